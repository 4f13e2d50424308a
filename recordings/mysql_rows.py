"""MySQL's rows as whole packets and as cells, in the text and in the binary format.

A codec of binary rows is named after their columns' types, so that a recording can be read by the
name: "mysql:03ufc" is an unsigned INT and a BLOB. The hot loop is `mysql_walk`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from masking import mysql_types as t
from policies.errors import ProtocolError
from recordings.cuts import Cell
from recordings.mysql_splice import counted, framed
from recordings.mysql_walk import COUNTED, MOMENT, NEVER, TIME, has_length

Row = list[Cell]

TEXT: Final = "mysql"
_BINARY: Final = re.compile(r"mysql:((?:[0-9a-f]{2}u?)+)")
_KIND: Final = re.compile(r"([0-9a-f]{2})u?")
_FULL: Final = 0xFFFFFF
_WIDTHS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_SIZES: Final[dict[int, int]] = {
    **t.BINARY_SIZES,
    t.YEAR: 2,
    t.FLOAT: 4,
    t.DOUBLE: 8,
    t.NULL: NEVER,
    t.TIME: TIME,
    **dict.fromkeys((t.DATE, t.NEWDATE, *t.MOMENTS), MOMENT),
    **dict.fromkeys((*t.DECIMALS, *t.STRINGS, t.BIT, t.VECTOR), COUNTED),
    **dict.fromkeys((t.JSON, t.ENUM, t.SET, t.GEOMETRY), COUNTED),
}


def binary_name(kinds: Sequence[tuple[int, int]]) -> str:
    """The codec of binary rows whose columns have these types and flags.

    Raises `ProtocolError` for a type that nobody knows the size of.
    """
    if not kinds or any(kind not in _SIZES for kind, _ in kinds):
        raise ProtocolError("rows of unknown types")
    return "mysql:" + "".join(
        f"{kind:02x}{'u' if flags & t.UNSIGNED else ''}" for kind, flags in kinds
    )


@lru_cache(maxsize=256)
def sizes_named(name: str) -> list[int] | None:
    """The sizes of values in binary rows by this codec; None for any other name."""
    found = _BINARY.fullmatch(name)
    if found is None:
        return None
    kinds = [int(kind, 16) for kind in _KIND.findall(found[1])]
    return [_SIZES[kind] for kind in kinds] if all(kind in _SIZES for kind in kinds) else None


def decode_text(frames: bytes) -> list[Row]:
    """Cells of rows in the text format; `None` is NULL. Raises `ProtocolError`."""
    return [_text_cells(payload) for payload in _payloads(frames)]


def encode_text(rows: Sequence[Sequence[Cell]]) -> bytes:
    """Packets of rows in the text format, numbered from 0. Raises `ProtocolError`."""
    return _packets([_text_payload(row) for row in rows])


def decode_binary(sizes: Sequence[int], frames: bytes) -> list[Row]:
    """Cells of rows in the binary format, as `sizes` has them. Raises `ProtocolError`."""
    return [_binary_cells(payload, sizes) for payload in _payloads(frames)]


def encode_binary(sizes: Sequence[int], rows: Sequence[Sequence[Cell]]) -> bytes:
    """Packets of rows in the binary format, numbered from 0. Raises `ProtocolError`."""
    return _packets([_binary_payload(row, sizes) for row in rows])


def _payloads(frames: bytes) -> Iterator[bytes]:
    position, parts = 0, []
    while position < len(frames):
        size = int.from_bytes(frames[position : position + 3], "little")
        end = position + 4 + size
        if end > len(frames):
            raise ProtocolError("a row is cut short")
        parts.append(frames[position + 4 : end])
        position = end
        if size < _FULL:
            payload = b"".join(parts)
            if not payload or (payload[0] == 0xFE and len(payload) < _FULL):
                raise ProtocolError("not a row")
            yield payload
            parts = []
    if parts:
        raise ProtocolError("a row is cut short")


def _packets(payloads: Sequence[bytes]) -> bytes:
    number, written = 0, []
    for payload in payloads:
        if not payload or (payload[0] == 0xFE and len(payload) < _FULL):
            raise ProtocolError("a row that can't be told from the end of rows")
        written.append(framed(payload, number))
        number += len(payload) // _FULL + 1
    return b"".join(written)


def _text_payload(row: Sequence[Cell]) -> bytes:
    return b"".join([b"\xfb" if cell is None else counted(len(cell)) + cell for cell in row])


def _text_cells(payload: bytes) -> Row:
    position, row = 0, Row()
    while position < len(payload):
        if payload[position] == 0xFB:
            row.append(None)
            position += 1
            continue
        size, position = _length(payload, position)
        row.append(_taken(payload, position, size))
        position += size
    return row


def _length(payload: bytes, position: int) -> tuple[int, int]:
    """The length that stands here, in as few bytes as it can, and what follows it."""
    before = payload[position : position + 1]
    width = _WIDTHS.get(before[0], 0) if before else 0
    size = int.from_bytes(
        payload[position + 1 : position + 1 + width] if width else before, "little"
    )
    if not before or counted(size) != payload[position : position + 1 + width]:
        raise ProtocolError("a cell has an odd length")
    return size, position + 1 + width


def _taken(payload: bytes, position: int, size: int) -> bytes:
    if position + size > len(payload):
        raise ProtocolError("a cell is longer than its row")
    return payload[position : position + size]


def _binary_cells(payload: bytes, sizes: Sequence[int]) -> Row:
    position = 1 + (len(sizes) + 9) // 8
    nulls = int.from_bytes(payload[1:position], "little")
    if payload[0] or len(payload) < position or nulls & 3 or nulls >> len(sizes) + 2:
        raise ProtocolError("not a row in the binary format")
    row = Row()
    for number, size in enumerate(sizes):
        if nulls >> number + 2 & 1:
            row.append(None)
            continue
        length = size
        if size == COUNTED:
            length, position = _length(payload, position)
        elif size < 0:
            length = int.from_bytes(_taken(payload, position, 1), "little")
            position += 1
        if not has_length(size, length):
            raise ProtocolError("a value has an odd length")
        row.append(_taken(payload, position, length))
        position += length
    if position != len(payload):
        raise ProtocolError("the cells of a row do not fill its message")
    return row


def _binary_payload(row: Sequence[Cell], sizes: Sequence[int]) -> bytes:
    if len(row) != len(sizes):
        raise ProtocolError("a row has not as many cells as columns")
    nulls, values = 0, []
    for number, (cell, size) in enumerate(zip(row, sizes, strict=True)):
        if cell is None:
            nulls |= 1 << number + 2
        elif not has_length(size, len(cell)):
            raise ProtocolError("a cell does not have its type's length")
        elif size > 0:
            values.append(cell)
        else:
            values.append(counted(len(cell)) + cell)
    return b"\0" + nulls.to_bytes((len(sizes) + 9) // 8, "little") + b"".join(values)
