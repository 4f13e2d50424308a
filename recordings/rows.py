"""Rows as a protocol's own frames, and as cells: codecs are looked up by their names."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from policies.errors import ProtocolError
from recordings import copied_rows, mysql_rows, mysql_splice, mysql_walk
from recordings.copied_rows import layout_named
from recordings.cuts import Cell, Cut
from recordings.row_walk import cut_postgres, splice_postgres

__all__ = [
    "ROW_CODECS",
    "Cell",
    "Row",
    "RowCodec",
    "decode_postgres",
    "encode_postgres",
    "row_codec",
]

Row = list[Cell]

_HEADER: Final = struct.Struct(">cih")  # type, length without the type byte, number of cells
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_MAX_CELLS: Final = 0x7FFF  # the count is a signed 16-bit integer


@dataclass(frozen=True, slots=True)
class RowCodec:
    """`decode` raises `ProtocolError` on anything but whole frames; `encode` is its inverse.

    `cut` takes out of frames the cells of the columns that are wanted (frames, number of columns,
    wanted ones, rising); `splice` writes the frames again, of which these rows have other cells in
    the cut's columns. Both are `decode` and `encode` for whom most of a row is no concern of.
    """

    decode: Callable[[bytes], list[Row]]
    encode: Callable[[Sequence[Sequence[Cell]]], bytes]
    cut: Callable[[bytes, int, Sequence[int]], Cut]
    splice: Callable[[Cut, Sequence[int]], bytes]


def decode_postgres(frames: bytes) -> list[Row]:
    """Cells of PostgreSQL DataRow messages; `None` is NULL.

    Raises `ProtocolError`. Source: PostgreSQL 18, 54.7 "Message Formats", DataRow.
    """
    rows, position = [], 0
    try:
        while position < len(frames):
            row, position = _decode_frame(frames, position)
            rows.append(row)
    except struct.error:
        raise ProtocolError("a row is cut short") from None
    return rows


def _decode_frame(frames: bytes, start: int) -> tuple[Row, int]:
    kind, length, count = _HEADER.unpack_from(frames, start)
    end = start + 1 + length
    if kind != b"D" or length < 6 or count < 0 or end > len(frames):
        raise ProtocolError("not a whole row message")
    row, position = _decode_cells(frames, start + _HEADER.size, count)
    if position != end:
        raise ProtocolError("the cells of a row do not fill its message")
    return row, end


def _decode_cells(frames: bytes, position: int, count: int) -> tuple[Row, int]:
    """One check of the end, after, suffices: positions only rise."""
    row: Row = []
    unpack = _LENGTH.unpack_from
    for _ in range(count):
        (length,) = unpack(frames, position)
        position += 4
        if length >= 0:
            row.append(frames[position : position + length])
            position += length
        elif length == -1:
            row.append(None)
        else:
            raise ProtocolError("a cell has a negative length")
    return row, position


def encode_postgres(rows: Sequence[Sequence[Cell]]) -> bytes:
    """DataRow messages. Raises `ProtocolError` for a row that the format can't carry."""
    return b"".join(_encode_frame(row) for row in rows)


def _encode_frame(row: Sequence[Cell]) -> bytes:
    if len(row) > _MAX_CELLS:
        raise ProtocolError("a row has too many cells")
    pack = _LENGTH.pack
    cells = b"".join(_NULL if cell is None else pack(len(cell)) + cell for cell in row)
    try:
        return _HEADER.pack(b"D", len(cells) + 6, len(row)) + cells
    except struct.error:
        raise ProtocolError("a row is too large") from None


ROW_CODECS: Final[Mapping[str, RowCodec]] = MappingProxyType(
    {
        "postgres": RowCodec(decode_postgres, encode_postgres, cut_postgres, splice_postgres),
        mysql_rows.TEXT: RowCodec(
            mysql_rows.decode_text,
            mysql_rows.encode_text,
            mysql_walk.cut_text,
            mysql_splice.splice_text,
        ),
    }
)


def row_codec(name: str) -> RowCodec | None:
    """The codec of this name: a protocol's own, or one of a COPY's layout or of binary rows."""
    known = ROW_CODECS.get(name)
    if known is not None:
        return known
    sizes = mysql_rows.sizes_named(name)
    if sizes is not None:
        return RowCodec(
            partial(mysql_rows.decode_binary, sizes),
            partial(mysql_rows.encode_binary, sizes),
            partial(mysql_walk.cut_binary, sizes),
            partial(mysql_splice.splice_binary, sizes),
        )
    layout = layout_named(name)
    if layout is None:
        return None
    return RowCodec(
        partial(copied_rows.decode, layout),
        partial(copied_rows.encode, layout),
        partial(copied_rows.cut, layout),
        partial(copied_rows.splice, layout),
    )
