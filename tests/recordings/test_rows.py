"""Rows as PostgreSQL frames and as cells: inverse of each other, or a protocol error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import ProtocolError
from recordings.rows import ROW_CODECS

CODEC = ROW_CODECS["postgres"]

# One row: 'D', length 4+2+(4+1)+4+(4+0), 3 cells: "x", NULL, "".
ONE = b"D\x00\x00\x00\x13\x00\x03\x00\x00\x00\x01x\xff\xff\xff\xff\x00\x00\x00\x00"


def test_text_null_and_empty_cells_are_told_apart() -> None:
    assert CODEC.decode(ONE) == [[b"x", None, b""]]


def test_rows_are_encoded_as_the_server_does() -> None:
    assert CODEC.encode([[b"x", None, b""]]) == ONE


def test_a_row_without_columns_and_no_rows_at_all() -> None:
    assert CODEC.decode(b"D\x00\x00\x00\x06\x00\x00") == [[]]
    assert CODEC.decode(b"") == []


@pytest.mark.parametrize(
    "frames",
    [
        *(ONE[:n] for n in range(1, len(ONE))),
        ONE + b"D",
        b"C" + ONE[1:],  # another message
        b"D\x00\x00\x00\x12" + ONE[5:],  # a length one too short
        b"D\x00\x00\x00\x14" + ONE[5:] + b"\x00",  # a length one too long
        b"D\xff\xff\xff\xff\x00\x00",
        b"D\x00\x00\x00\x05\x00\x00",
        b"D\x00\x00\x00\x06\xff\xff",  # a negative count
        b"D\x00\x00\x00\x0a\x00\x01\xff\xff\xff\xfe",  # a negative length that is not NULL
        b"D\x00\x00\x00\x0a\x00\x01\x00\x00\x00\x07" + ONE,  # a cell that reaches into the next row
        b"D\x00\x00\x00\x0a\x00\x02\x00\x00\x00\x00",  # fewer cells than counted
    ],
)
def test_anything_but_whole_rows_is_a_protocol_error(frames: bytes) -> None:
    with pytest.raises(ProtocolError):
        CODEC.decode(frames)


@given(st.lists(st.lists(st.none() | st.binary(max_size=9), max_size=5), max_size=5))
def test_what_is_encoded_decodes_to_itself(rows: list[list[bytes | None]]) -> None:
    assert CODEC.decode(CODEC.encode(rows)) == rows


@given(st.binary(max_size=80), st.integers(0, len(ONE)))
def test_bytes_decode_to_what_encodes_to_them_or_are_a_protocol_error(
    noise: bytes, kept: int
) -> None:
    frames = ONE[:kept] + noise
    try:
        rows = CODEC.decode(frames)
    except ProtocolError:
        return
    assert CODEC.encode(rows) == frames


def test_more_cells_than_a_row_can_have_are_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        CODEC.encode([[None] * 0x8000])
