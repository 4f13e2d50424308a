"""MySQL's rows as packets and as cells, in both formats: inverse of each other, or an error."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking import mysql_types as t
from masking.errors import MaskingFailed
from policies.errors import ProtocolError
from recordings.mysql_rows import binary_name
from recordings.rows import Cell, Row, RowCodec, row_codec

FULL: Final = 0xFFFFFF
LENGTHS: Final[dict[int, Sequence[int]]] = {
    **dict.fromkeys((t.TINY,), (1,)),
    **dict.fromkeys((t.SHORT, t.YEAR), (2,)),
    **dict.fromkeys((t.LONG, t.INT24, t.FLOAT), (4,)),
    **dict.fromkeys((t.LONGLONG, t.DOUBLE), (8,)),
    **dict.fromkeys((t.DATE, t.DATETIME, t.TIMESTAMP), (0, 4, 7, 11)),
    t.TIME: (0, 8, 12),
    **dict.fromkeys((t.NEWDECIMAL, t.VAR_STRING, t.STRING, t.BLOB, t.BIT, t.JSON), (0, 1, 3, 251)),
    **dict.fromkeys((t.ENUM, t.SET, t.GEOMETRY, t.VECTOR), (0, 250, 700)),
    t.NULL: (),
}


def codec(name: str) -> RowCodec:
    found = row_codec(name)
    assert found is not None
    return found


def cells_of(kind: int) -> st.SearchStrategy[Cell]:
    """Values of every length that the type has."""
    lengths = LENGTHS[kind]
    if not lengths:
        return st.none()
    sizes = st.sampled_from(lengths)
    return st.none() | sizes.map(lambda size: random.Random(size).randbytes(size))


def texts() -> st.SearchStrategy[Cell]:
    sizes = st.sampled_from((0, 1, 2, 250, 251, 252, 65_535, 65_536))
    return st.none() | sizes.map(lambda size: b"x" * size)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[Row], list[int], list[st.SearchStrategy[Cell]]]:
    """A codec's name, rows that it can have, some of their columns, and strategies of cells."""
    kinds = draw(st.lists(st.sampled_from(sorted(LENGTHS)), min_size=1, max_size=17))
    binary = draw(st.booleans())
    cells = [cells_of(kind) for kind in kinds] if binary else [texts() for _ in kinds]
    rows = draw(st.lists(st.tuples(*cells).map(list), max_size=4))
    flags = draw(st.sampled_from([0, t.UNSIGNED, t.UNSIGNED | t.ENUM_FLAG]))
    name = binary_name([(kind, flags) for kind in kinds]) if binary else "mysql"
    wanted = draw(st.sets(st.integers(0, len(kinds) - 1)))
    return name, rows, sorted(wanted), cells


Table = tuple[str, list[Row], list[int], list[st.SearchStrategy[Cell]]]


@given(tables())
def test_what_is_encoded_decodes_to_itself(table: Table) -> None:
    name, rows, _, _ = table
    assert codec(name).decode(codec(name).encode(rows)) == rows


@given(tables(), st.data())
def test_cutting_and_splicing_are_decoding_and_encoding(table: Table, data: st.DataObject) -> None:
    name, rows, wanted, cells = table
    frames = codec(name).encode(rows)
    cut = codec(name).cut(frames, len(cells), wanted)
    assert cut.columns == [[row[number] for row in rows] for number in wanted]
    assert codec(name).splice(cut, range(len(rows))) == frames
    changed = sorted(data.draw(st.sets(st.sampled_from(range(len(rows)))))) if rows else []
    for row in changed:
        for number, column in zip(wanted, cut.columns, strict=True):
            rows[row][number] = column[row] = data.draw(cells[number])
    assert codec(name).splice(cut, changed) == codec(name).encode(rows)


# Source: MySQL's protocol documentation, "Text Resultset Row" and "Binary Protocol Resultset Row".
TEXT: Final = b"\x08\0\0\x07\x01x\xfb\x00\x03abc"
BINARY: Final = b"\x0d\0\0\x04\0\x08\x03abc\x00\x07\0\0\0\xff\xff"  # abc, NULL, '', 7, -1
BINARY_NAME: Final = "mysql:fd030c0302"


def test_rows_are_read_and_written_as_the_protocol_says() -> None:
    assert codec("mysql").decode(TEXT) == [[b"x", None, b"", b"abc"]]
    assert codec("mysql").encode([[b"x", None, b"", b"abc"]]) == TEXT[:3] + b"\0" + TEXT[4:]
    found = codec(BINARY_NAME)
    assert found.decode(BINARY) == [[b"abc", None, b"", b"\7\0\0\0", b"\xff\xff"]]
    assert found.encode(found.decode(BINARY)) == BINARY[:3] + b"\0" + BINARY[4:]


def test_a_value_may_become_null_and_null_a_value() -> None:
    found = codec(BINARY_NAME)
    cut = found.cut(BINARY, 5, [0, 1, 4])
    cut.columns[0][0], cut.columns[1][0], cut.columns[2][0] = None, b"\1\0\0\0", None
    assert found.decode(found.splice(cut, [0])) == [[None, b"\1\0\0\0", b"", b"\7\0\0\0", None]]
    assert found.splice(cut, [0])[3] == BINARY[3]


@pytest.mark.parametrize(("column", "cell"), [(1, b""), (1, b"12345"), (2, b"123"), (4, b"1")])
def test_a_cell_of_another_length_than_its_types_is_a_protocol_error(
    column: int, cell: bytes
) -> None:
    found = codec(BINARY_NAME)
    cut = found.cut(BINARY, 5, [column])
    cut.columns[0][0] = cell
    with pytest.raises(ProtocolError):
        found.splice(cut, [0])
    (row,) = found.decode(BINARY)
    row[column] = cell
    with pytest.raises(ProtocolError):
        found.encode([row])


@pytest.mark.parametrize("name", ["mysql", "mysql:fc03"])
@pytest.mark.parametrize("size", [FULL - 11, FULL - 10, FULL - 9, 2 * FULL])
def test_rows_over_16_mb_are_cut_and_spliced_like_others(name: str, size: int) -> None:
    found, small = codec(name), b"abcd"
    rows: list[list[Cell]] = [[b"x" * size, small], [b"y", small]]
    frames = found.encode(rows)
    assert found.decode(frames) == rows
    cut = found.cut(frames, 2, [1])
    assert cut.columns == [[small, small]]
    assert found.splice(cut, [0, 1]) == frames
    whole = found.cut(frames, 2, [0])
    whole.columns[0][0] = b"masked"
    assert found.decode(found.splice(whole, [0])) == [[b"masked", small], rows[1]]
    whole.columns[0][0], whole.columns[0][1] = b"x" * size, b"z" * size
    assert found.decode(found.splice(whole, [0, 1])) == [rows[0], [b"z" * size, small]]


@pytest.mark.parametrize("name", ["mysql", BINARY_NAME])
def test_another_width_is_refused(name: str) -> None:
    frames = TEXT if name == "mysql" else BINARY
    for width in (1, 3, 6, 300):
        for wanted in ([], [0]):
            with pytest.raises(MaskingFailed):
                codec(name).cut(frames, width, wanted)


@pytest.mark.parametrize(
    "frames",
    [
        *(TEXT[:n] for n in range(1, len(TEXT))),
        TEXT + b"\0",
        b"\0\0\0\0",  # an empty packet
        b"\x05\0\0\0\xfe\0\0\2\0",  # the end of rows
        b"\x03\0\0\0\xff\x01x",  # an error
        b"\x04\0\0\0\xfc\x01\0x",  # a length that is longer than it need be
        b"\x05\0\0\0\xfd\x01\0\0x",
        b"\x02\0\0\0\x02x",  # a cell that reaches into the next row
        b"\x02\0\0\0\x05x" + TEXT,
        b"\xff\xff\xff\0" + b"\1x" * 10,
    ],
)
def test_anything_but_whole_rows_is_a_protocol_error(frames: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec("mysql").decode(frames)
    for wanted in ([], [0]):
        with pytest.raises((ProtocolError, MaskingFailed)):
            codec("mysql").cut(frames, 4, wanted)


@pytest.mark.parametrize(
    "frames",
    [
        *(BINARY[:n] for n in range(1, len(BINARY))),
        BINARY + b"\0",
        BINARY.replace(b"\0\x08", b"\1\x08"),  # another first byte
        BINARY.replace(b"\0\x08", b"\0\x09"),  # bits that nobody uses
        BINARY.replace(b"\0\x08", b"\0\x88"),
        BINARY.replace(b"\0\x08", b"\0\x18"),  # one NULL more than is left out
        b"\x0b\0\0\x04\0\x08\x00\x03abc\7\0\0\0\xff\xff",  # a moment of three bytes
        b"\x01\0\0\0\0",
    ],
)
def test_anything_but_whole_binary_rows_is_a_protocol_error(frames: bytes) -> None:
    for act in (codec(BINARY_NAME).decode, partial(cut_all, [])):
        with pytest.raises(ProtocolError):
            act(frames)
    with pytest.raises(ProtocolError):
        cut_all(range(5), frames)


def cut_all(wanted: Sequence[int], frames: bytes) -> object:
    return codec(BINARY_NAME).cut(frames, 5, wanted)


@given(st.binary(max_size=60), st.integers(0, 30), st.sampled_from([(TEXT, "mysql"), (BINARY, "")]))
def test_bytes_are_cut_like_they_are_decoded_or_are_refused(
    noise: bytes, kept: int, kind: tuple[bytes, str]
) -> None:
    one, name = kind
    frames, found = (one + one)[:kept] + noise, codec(name or BINARY_NAME)
    width = 4 if name else 5
    try:
        rows = found.decode(frames)
    except ProtocolError:
        for wanted in ([], [0, 2], range(width)):
            with pytest.raises((ProtocolError, MaskingFailed)):
                found.cut(frames, width, wanted)
        return
    if any(len(row) != width for row in rows):
        with pytest.raises(MaskingFailed):
            found.cut(frames, width, [0])
        return
    cut = found.cut(frames, width, range(width))
    assert cut.columns == [[row[number] for row in rows] for number in range(width)]
    assert found.splice(cut, range(len(rows))) == frames


@pytest.mark.parametrize(
    "name",
    ["mysql:", "mysql:0", "mysql:3", "mysql:03u0", "mysql:uu", "mysql:FC", "mysql:14", "mysql:03 "],
)
def test_another_name_is_no_codec(name: str) -> None:
    assert row_codec(name) is None


def test_a_type_that_nobody_knows_has_no_codec() -> None:
    with pytest.raises(ProtocolError):
        binary_name([(t.LONG, 0), (20, 0)])
    with pytest.raises(ProtocolError):
        binary_name([])
    assert binary_name([(t.LONG, t.UNSIGNED), (t.BLOB, 0)]) == "mysql:03ufc"


def test_rows_that_can_not_be_told_from_the_end_of_rows_are_not_written() -> None:
    with pytest.raises(ProtocolError):
        codec("mysql").encode([[]])
    with pytest.raises(ProtocolError):
        codec("mysql:03").encode([[b"\0\0\0\0", None]])
