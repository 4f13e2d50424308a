"""Rows as a protocol's own frames, and as cells: one codec a protocol, looked up by its name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.errors import ProtocolError

Cell = bytes | None
Row = list[Cell]

_HEADER: Final = struct.Struct(">cih")  # type, length without the type byte, number of cells
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_MAX_CELLS: Final = 0x7FFF  # the count is a signed 16-bit integer


@dataclass(frozen=True, slots=True)
class RowCodec:
    """`decode` raises `ProtocolError` on anything but whole frames; `encode` is its inverse."""

    decode: Callable[[bytes], list[Row]]
    encode: Callable[[Sequence[Sequence[Cell]]], bytes]


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
    {"postgres": RowCodec(decode_postgres, encode_postgres)}
)
