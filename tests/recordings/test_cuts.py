"""Cutting cells out of rows and splicing others in: like decoding and encoding all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking.errors import MaskingFailed
from policies.errors import ProtocolError
from policies.sql.copied import CopyLayout
from recordings.copied_rows import codec_name
from recordings.rows import Cell, Row, RowCodec, row_codec

LAYOUTS = (
    CopyLayout(),
    CopyLayout("text", "|"),
    CopyLayout("text", "Q", "\\Q"),
    CopyLayout("csv", ",", "", '"', '"'),
    CopyLayout("csv", ";", "N", "'", "\\"),
    CopyLayout("csv", ",", "", '"', '"', quoted=True),
)
CODECS = ("postgres", "mysql", *map(codec_name, LAYOUTS))

values = st.none() | st.text(
    st.sampled_from("aQ\\N.,;|\"' \t\n\rä") | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=6,
).map(str.encode)


def codec(name: str) -> RowCodec:
    found = row_codec(name)
    assert found is not None
    return found


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], list[int]]:
    """Rows of one width, and some of their columns."""
    width = draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(values, min_size=width, max_size=width), max_size=6))
    wanted = draw(st.sets(st.integers(0, width - 1)))
    return rows, sorted(wanted)


def width_of(rows: Sequence[Row], wanted: Sequence[int]) -> int:
    return len(rows[0]) if rows else max(wanted, default=0) + 1


@given(tables(), st.sampled_from(CODECS))
def test_what_is_cut_out_is_what_is_decoded(table: tuple[list[Row], list[int]], name: str) -> None:
    rows, wanted = table
    frames = codec(name).encode(rows)
    cut = codec(name).cut(frames, width_of(rows, wanted), wanted)
    assert cut.columns == [[row[number] for row in rows] for number in wanted]


@given(tables(), st.sampled_from(CODECS), st.data())
def test_what_is_spliced_in_is_what_is_encoded(
    table: tuple[list[Row], list[int]], name: str, data: st.DataObject
) -> None:
    rows, wanted = table
    frames = codec(name).encode(rows)
    cut = codec(name).cut(frames, width_of(rows, wanted), wanted)
    changed = sorted(data.draw(st.sets(st.sampled_from(range(len(rows)))))) if rows else []
    for row in changed:
        for number, cells in zip(wanted, cut.columns, strict=True):
            rows[row][number] = cells[row] = data.draw(values)
    assert codec(name).splice(cut, changed) == codec(name).encode(rows)


@pytest.mark.parametrize("name", CODECS)
def test_rows_in_which_nothing_changed_are_the_bytes_that_came(name: str) -> None:
    rows: list[list[Cell]] = [[b"a", None, b"b"]] * 3
    frames = codec(name).encode(rows)
    assert codec(name).splice(codec(name).cut(frames, 3, [0, 2]), []) == frames
    assert codec(name).splice(codec(name).cut(frames, 3, [1]), [0, 2]) == frames


@pytest.mark.parametrize("name", CODECS)
def test_a_cell_may_grow_past_any_length_prefix(name: str) -> None:
    rows: list[list[Cell]] = [[b"a", b"b", b"c"], [b"d", b"e", b"f"]]
    for size in (0, 1, 127, 128, 255, 1023, 1024, 65_535, 65_536, 1 << 24):
        cut = codec(name).cut(codec(name).encode(rows), 3, [1])
        cut.columns[0][1] = b"x" * size
        assert codec(name).splice(cut, [1]) == codec(name).encode(
            [rows[0], [b"d", b"x" * size, b"f"]]
        )


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("width", [1, 3, 300])
def test_rows_of_another_width_are_refused(name: str, width: int) -> None:
    frames = codec(name).encode([[b"a", b"b"]])
    with pytest.raises(MaskingFailed):
        codec(name).cut(frames, width, [0])


ONE = b"D\x00\x00\x00\x13\x00\x03\x00\x00\x00\x01x\xff\xff\xff\xff\x00\x00\x00\x00"


@given(st.binary(max_size=80), st.integers(0, 2 * len(ONE)), st.sets(st.integers(0, 2)))
def test_bytes_are_cut_like_they_are_decoded_or_are_refused(
    noise: bytes, kept: int, wanted: set[int]
) -> None:
    frames, postgres = (ONE + ONE)[:kept] + noise, codec("postgres")
    try:
        rows = postgres.decode(frames)
    except ProtocolError:
        with pytest.raises((ProtocolError, MaskingFailed)):
            postgres.cut(frames, 3, sorted(wanted))
        return
    if any(len(row) != 3 for row in rows):
        with pytest.raises(MaskingFailed):
            postgres.cut(frames, 3, sorted(wanted))
        return
    cut = postgres.cut(frames, 3, sorted(wanted))
    assert cut.columns == [[row[number] for row in rows] for number in sorted(wanted)]
    assert postgres.splice(cut, range(len(rows))) == frames


@given(st.binary(max_size=40), st.sampled_from(CODECS[2:]))
def test_any_line_is_cut_like_it_is_decoded_or_is_refused(line: bytes, name: str) -> None:
    frames = b"d" + (len(line) + 4).to_bytes(4, "big") + line
    try:
        (row,) = codec(name).decode(frames)
    except ProtocolError:
        for width in range(1, 5):
            with pytest.raises((ProtocolError, MaskingFailed)):
                codec(name).cut(frames, width, range(width))
        return
    cut = codec(name).cut(frames, len(row), range(len(row)))
    assert [cells[0] for cells in cut.columns] == row
