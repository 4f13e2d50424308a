"""MySQL's rows, written again with other cells in some of them; all else stays as it came.

A row that changes keeps its packet's number. Compiled like `mysql_walk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.errors import ProtocolError
from recordings.cuts import Cell, Cut
from recordings.mysql_walk import (
    COUNTED,
    FULL,
    HEADER,
    NULL,
    has_length,
    joined,
    skip,
    steps_of,
    value_at,
    values_start,
)

_ONE: Final = [bytes([size]) for size in range(NULL)]
_NO_SIZES: Final[list[int]] = []


def splice_text(cut: Cut, changed: Sequence[int]) -> bytes:
    """The rows with the cut's cells where they changed (rising); all others as they came."""
    return _splice(cut, changed, _NO_SIZES)


def splice_binary(sizes: list[int], cut: Cut, changed: Sequence[int]) -> bytes:
    """As `splice_text`. Raises `ProtocolError` for a cell that its type can't have."""
    return _splice(cut, changed, sizes)


def _splice(cut: Cut, changed: Sequence[int], sizes: list[int]) -> bytes:
    frames = cut.frames
    if not changed:
        return frames
    pieces: list[bytes] = []
    steps = steps_of(cut.wanted, cut.columns)
    kept = 0  # from here on nothing is written yet
    for row in changed:
        start = cut.starts[row]
        if kept < start:
            pieces.append(frames[kept:start])
        end = cut.starts[row + 1] if row + 1 < len(cut.starts) else len(frames)
        kept = _write_row(frames, start, end, row, steps, sizes, pieces)
    pieces.append(frames[kept:])
    return b"".join(pieces)


def _write_row(
    frames: bytes,
    start: int,
    end: int,
    row: int,
    steps: list[tuple[int, list[Cell]]],
    sizes: list[int],
    pieces: list[bytes],
) -> int:
    """Write a row, or its beginning; where what follows begins in the frames."""
    own: list[bytes] = []
    content, position, last = frames, start + HEADER, end
    if end - start - HEADER >= FULL:
        content = joined(frames, start)
        position, last = 0, len(content)
    if sizes:
        kept, length = _write_binary(content, position, last, row, steps, sizes, own)
    else:
        kept, length = _write_text(content, position, last, row, steps, own)
    if length < FULL and content is frames:
        pieces.append(length.to_bytes(3, "little"))
        pieces.append(frames[start + 3 : start + 4])
        pieces.extend(own)
        return kept
    own.append(content[kept:last])
    pieces.append(framed(b"".join(own), frames[start + 3]))
    return end


def _write_text(
    content: bytes,
    position: int,
    end: int,
    row: int,
    steps: list[tuple[int, list[Cell]]],
    own: list[bytes],
) -> tuple[int, int]:
    """Write as far as the last wanted cell; what follows it, and how long the row will be."""
    length, kept = end - position, position
    for skipped, column in steps:
        if skipped:
            position = skip(content, position, end, skipped)
        if kept < position:
            own.append(content[kept:position])
        kept = skip(content, position, end, 1)
        length += _write_counted(column[row], own) - (kept - position)
        position = kept
    return kept, length


def _write_counted(cell: Cell, own: list[bytes]) -> int:
    """Write a cell behind its length, or NULL; how many bytes that are."""
    if cell is None:
        own.append(b"\xfb")
        return 1
    size = len(cell)
    before = _ONE[size] if size < NULL else counted(size)
    own.append(before)
    own.append(cell)
    return len(before) + size


def _write_binary(
    content: bytes,
    start: int,
    end: int,
    row: int,
    steps: list[tuple[int, list[Cell]]],
    sizes: list[int],
    own: list[bytes],
) -> tuple[int, int]:
    """As `_write_text`, with the bitmap written again."""
    position = values_start(content, start, end, len(sizes))
    nulls = bytearray(content[start + 1 : position])
    own.append(b"\0")
    own.append(b"")
    length, kept, number = end - start, position, 0
    for skipped, column in steps:
        for _ in range(skipped):
            position = _next_value(content, position, nulls, number, sizes[number])
            number += 1
        if kept < position:
            own.append(content[kept:position])
        kept = _next_value(content, position, nulls, number, sizes[number])
        cell = column[row]
        length += _write_value(cell, sizes[number], own) - (kept - position)
        bit = number + 2
        if cell is None:
            nulls[bit >> 3] |= 1 << (bit & 7)
        else:
            nulls[bit >> 3] &= ~(1 << (bit & 7)) & 0xFF
        position = kept
        number += 1
    own[1] = bytes(nulls)
    return kept, length


def _next_value(content: bytes, position: int, nulls: bytearray, number: int, size: int) -> int:
    bit = number + 2
    if nulls[bit >> 3] >> (bit & 7) & 1:
        return position
    length, position = value_at(content, position, size)
    return position + length


def _write_value(cell: Cell, size: int, own: list[bytes]) -> int:
    if cell is None:
        return 0
    if size == COUNTED:
        return _write_counted(cell, own)
    if not has_length(size, len(cell)):
        raise ProtocolError("a cell does not have its type's length")
    if size < 0:
        own.append(_ONE[len(cell)])
        own.append(cell)
        return len(cell) + 1
    own.append(cell)
    return len(cell)


def framed(payload: bytes, number: int) -> bytes:
    """The packets of a row, the first of which has this number."""
    parts: list[bytes] = []
    for start in range(0, len(payload) + 1, FULL):
        part = payload[start : min(start + FULL, len(payload))]
        parts.append(len(part).to_bytes(3, "little"))
        parts.append(bytes([number & 0xFF]))
        parts.append(part)
        number += 1
    return b"".join(parts)


def counted(size: int) -> bytes:
    """A length as it stands in front of a value."""
    if size < NULL:
        return bytes([size])
    if size < 1 << 16:
        return b"\xfc" + size.to_bytes(2, "little")
    if size <= FULL:
        return b"\xfd" + size.to_bytes(3, "little")
    return b"\xfe" + size.to_bytes(8, "little")
