"""MySQL's rows, walked once: cells are found by their lengths or types, few are copied.

The hot loop over results, compiled where a compiler was there. Rows that don't change are never
taken apart; one that fills a packet (16 MB) is put together first. Source: MySQL's protocol
documentation, "Text Resultset Row" and "Binary Protocol Resultset Row".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.errors import ProtocolError
from recordings.cuts import Cell, Cut, wrong_width

FULL: Final = 0xFFFFFF
"""The size of a packet that goes on in the next one."""
COUNTED: Final = 0
MOMENT: Final = -1
TIME: Final = -2
NEVER: Final = -3
"""Instead of a size: behind a length; a day or moment; a time; NULL in every row."""

HEADER: Final = 4
NULL: Final = 0xFB
_END: Final = 0xFE


def cut_text(frames: bytes, width: int, wanted: Sequence[int]) -> Cut:
    """The cells of the wanted columns of `width`; `wanted` rises.

    Raises `ProtocolError` for anything but whole rows, `MaskingFailed` for another width.
    """
    columns: list[list[Cell]] = [[] for _ in wanted]
    starts: list[int] = []
    steps = steps_of(wanted, columns)
    position, size = 0, len(frames)
    try:
        while position < size:
            starts.append(position)
            end = row_end(frames, position)
            if end - position - HEADER < FULL:
                _walk_text(frames, position + HEADER, end, width, steps)
            else:
                payload = joined(frames, position)
                _walk_text(payload, 0, len(payload), width, steps)
            position = end
    except IndexError:
        raise ProtocolError("a row is cut short") from None
    return Cut(frames, width, wanted, starts, columns)


def cut_binary(sizes: list[int], frames: bytes, width: int, wanted: Sequence[int]) -> Cut:
    """As `cut_text`, of rows in the binary format: `sizes` of their values, or what stands for one.

    Raises `ProtocolError` for anything but whole rows, `MaskingFailed` for another width.
    """
    columns: list[list[Cell]] = [[] for _ in wanted]
    starts: list[int] = []
    if width != len(sizes):
        raise wrong_width()
    targets = _targets(width, wanted, columns)
    position, size = 0, len(frames)
    try:
        while position < size:
            starts.append(position)
            end = row_end(frames, position)
            if end - position - HEADER < FULL:
                _walk_binary(frames, position + HEADER, end, sizes, targets)
            else:
                payload = joined(frames, position)
                _walk_binary(payload, 0, len(payload), sizes, targets)
            position = end
    except IndexError:
        raise ProtocolError("a row is cut short") from None
    return Cut(frames, width, wanted, starts, columns)


def row_end(frames: bytes, position: int) -> int:
    """Where a row ends, with all packets that it fills. Raises `ProtocolError`, `IndexError`."""
    size = frames[position] | frames[position + 1] << 8 | frames[position + 2] << 16
    first, end = frames[position + HEADER], position + HEADER + size
    if size == 0 or (first == _END and size < FULL) or end > len(frames):
        raise ProtocolError("not a whole row")
    while size == FULL:
        size = frames[end] | frames[end + 1] << 8 | frames[end + 2] << 16
        end += HEADER + size
        if end > len(frames):
            raise ProtocolError("not a whole row")
    return end


def joined(frames: bytes, position: int) -> bytes:
    """The payload of a row of several packets, which is known to be whole."""
    parts: list[bytes] = []
    size = FULL
    while size == FULL:
        size = frames[position] | frames[position + 1] << 8 | frames[position + 2] << 16
        parts.append(frames[position + HEADER : position + HEADER + size])
        position += HEADER + size
    return b"".join(parts)


def steps_of(wanted: Sequence[int], columns: list[list[Cell]]) -> list[tuple[int, list[Cell]]]:
    """For each wanted column, how many are skipped before it, and where its cells go."""
    steps: list[tuple[int, list[Cell]]] = []
    before = 0
    for number, column in zip(wanted, columns, strict=True):
        steps.append((number - before, column))
        before = number + 1
    return steps


def _targets(
    width: int, wanted: Sequence[int], columns: list[list[Cell]]
) -> list[list[Cell] | None]:
    """Where the cells of each column go; None for those that are not wanted."""
    targets: list[list[Cell] | None] = [None] * width
    for number, column in zip(wanted, columns, strict=True):
        targets[number] = column
    return targets


def _walk_text(
    content: bytes, position: int, end: int, width: int, steps: list[tuple[int, list[Cell]]]
) -> None:
    left = width
    for skipped, column in steps:
        if skipped:
            position = skip(content, position, end, skipped)
        if position >= end:
            raise wrong_width()
        size = content[position]
        position += 1
        if size == NULL:
            column.append(None)
        else:
            if size > NULL:
                size, position = _long_length(content, position, size)
            if position + size > end:
                raise ProtocolError("a cell is longer than its row")
            column.append(content[position : position + size])
            position += size
        left -= skipped + 1
    if left:
        position = skip(content, position, end, left)
    if position != end:
        raise wrong_width()


def skip(content: bytes, position: int, end: int, count: int) -> int:
    """Where the cell begins that stands so many cells further on."""
    for _ in range(count):
        if position >= end:
            raise wrong_width()
        size = content[position]
        position += 1
        if size < NULL:
            position += size
        elif size > NULL:
            size, position = _long_length(content, position, size)
            position += size
        if position > end:
            raise ProtocolError("a cell is longer than its row")
    return position


def _long_length(content: bytes, position: int, first: int) -> tuple[int, int]:
    """A length of more than one byte, which is never more than it needs; and what follows it."""
    if first == 0xFC:
        size = content[position] | content[position + 1] << 8
        if size >= NULL:
            return size, position + 2
    elif first == 0xFD:
        size = content[position] | content[position + 1] << 8 | content[position + 2] << 16
        if size >= 1 << 16:
            return size, position + 3
    elif first == 0xFE and position + 8 <= len(content):
        size = int.from_bytes(content[position : position + 8], "little")
        if FULL < size <= len(content):
            return size, position + 8
    raise ProtocolError("a cell has an odd length")


def _walk_binary(
    content: bytes, start: int, end: int, sizes: list[int], targets: list[list[Cell] | None]
) -> None:
    nulls = start + 1
    position = values_start(content, start, end, len(sizes))
    for number in range(len(sizes)):
        target = targets[number]
        bit = number + 2
        if content[nulls + (bit >> 3)] >> (bit & 7) & 1:
            if target is not None:
                target.append(None)
            continue
        size, position = value_at(content, position, sizes[number])
        if position + size > end:
            raise ProtocolError("a cell is longer than its row")
        if target is not None:
            target.append(content[position : position + size])
        position += size
    if position != end:
        raise ProtocolError("the cells of a row do not fill its message")


def values_start(content: bytes, start: int, end: int, width: int) -> int:
    """Where the values begin: behind a zero and a bitmap, of which the other bits are zeros."""
    last = start + ((width + 9) >> 3)
    if last >= end or content[start] or content[start + 1] & 3:
        raise ProtocolError("not a row in the binary format")
    used = (width + 2) & 7
    if used and content[last] >> used:
        raise ProtocolError("more bits than columns")
    return last + 1


def value_at(content: bytes, position: int, size: int) -> tuple[int, int]:
    """How many bytes a value has, and where they begin."""
    if size > 0:
        return size, position
    if size == COUNTED:
        size = content[position]
        if size < NULL:
            return size, position + 1
        return _long_length(content, position + 1, size)
    if size == NEVER:
        raise ProtocolError("a value where there is none")
    length = content[position]
    if not has_length(size, length):
        raise ProtocolError("a moment has an odd length")
    return length, position + 1


def has_length(size: int, length: int) -> bool:
    """Whether a value of this size, or what stands for one, can have so many bytes."""
    if size > 0:
        return length == size
    if size == MOMENT:
        return length == 0 or length == 4 or length == 7 or length == 11
    if size == TIME:
        return length == 0 or length == 8 or length == 12
    return size == COUNTED
