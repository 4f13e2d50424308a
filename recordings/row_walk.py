"""PostgreSQL's DataRow messages, walked once: cells are found by their lengths, few are copied.

The hot loop over results, compiled where a compiler was there. It reads lengths byte by byte,
because that is what mypyc makes fast; and rows that don't change are never taken apart.
Source: PostgreSQL 18, 54.7 "Message Formats", DataRow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.errors import ProtocolError
from recordings.cuts import Cell, Cut, wrong_width

_TYPE: Final = ord("D")
_HEADER: Final = 7  # type, length without the type byte, number of cells
_LEAST: Final = 6  # what a message's length counts besides its cells
_NULL: Final = b"\xff\xff\xff\xff"
_LARGEST: Final = 0x7FFFFFFF
_SMALL: Final = 1024
_LENGTHS: Final = [size.to_bytes(4, "big") for size in range(_SMALL)]


def cut_postgres(frames: bytes, width: int, wanted: Sequence[int]) -> Cut:
    """The cells of the wanted columns of `width`; `wanted` rises.

    Raises `ProtocolError` for anything but whole frames, `MaskingFailed` for another width.
    """
    columns: list[list[Cell]] = [[] for _ in wanted]
    starts: list[int] = []
    steps = _steps(wanted, columns)
    position, size = 0, len(frames)
    try:
        while position < size:
            starts.append(position)
            position = _walk_row(frames, position, width, steps)
    except IndexError:
        raise ProtocolError("a row is cut short") from None
    if position != size:
        raise ProtocolError("not a whole row message")
    return Cut(frames, width, wanted, starts, columns)


def _steps(wanted: Sequence[int], columns: list[list[Cell]]) -> list[tuple[int, list[Cell]]]:
    """For each wanted column, how many are skipped before it, and where its cells go."""
    steps: list[tuple[int, list[Cell]]] = []
    before = 0
    for number, column in zip(wanted, columns, strict=True):
        steps.append((number - before, column))
        before = number + 1
    return steps


def _walk_row(frames: bytes, start: int, width: int, steps: list[tuple[int, list[Cell]]]) -> int:
    """Where the row ends. Raises `IndexError` where the frames end before it."""
    length = _number(frames, start + 1)
    if frames[start] != _TYPE or length < _LEAST:
        raise ProtocolError("not a whole row message")
    if (frames[start + 5] << 8 | frames[start + 6]) != width:
        raise wrong_width()
    position, left = start + _HEADER, width
    for skipped, column in steps:
        if skipped:
            position = _skip(frames, position, skipped)
        size = _cell_size(frames, position)
        position += 4
        if size < 0:
            column.append(None)
        else:
            column.append(frames[position : position + size])
            position += size
        left -= skipped + 1
    if left:
        position = _skip(frames, position, left)
    if position != start + 1 + length:
        raise ProtocolError("the cells of a row do not fill its message")
    return position


def _skip(frames: bytes, position: int, count: int) -> int:
    """Where the cell begins that stands so many cells further on."""
    for _ in range(count):
        size = _cell_size(frames, position)
        position += 4
        if size > 0:
            position += size
    return position


def _cell_size(frames: bytes, position: int) -> int:
    """Bytes of the cell whose length stands here; -1 for NULL."""
    first = frames[position]
    low = frames[position + 1] << 16 | frames[position + 2] << 8 | frames[position + 3]
    if first < 0x80:
        return first << 24 | low if first else low
    if first == 0xFF and low == 0xFFFFFF:
        return -1
    raise ProtocolError("a cell has a negative length")


def _number(frames: bytes, position: int) -> int:
    """An unsigned number of 32 bits: what is negative as a signed one is too large for any row."""
    return (
        frames[position] << 24
        | frames[position + 1] << 16
        | frames[position + 2] << 8
        | frames[position + 3]
    )


def splice_postgres(cut: Cut, changed: Sequence[int]) -> bytes:
    """The frames with the cut's cells in the rows that changed; all others as they came.

    `changed`: numbers of rows, rising. Raises `ProtocolError` for a row that the format can't
    carry.
    """
    frames = cut.frames
    if not changed:
        return frames
    pieces: list[bytes] = []
    steps = _steps(cut.wanted, cut.columns)
    kept = 0  # from here on nothing is written yet
    for row in changed:
        start = cut.starts[row]
        if kept < start:
            pieces.append(frames[kept:start])
        kept = _write_row(frames, start, row, steps, pieces)
    pieces.append(frames[kept:])
    return b"".join(pieces)


def _write_row(
    frames: bytes,
    start: int,
    row: int,
    steps: list[tuple[int, list[Cell]]],
    pieces: list[bytes],
) -> int:
    """Write the row as far as its last wanted cell; where what follows begins in the frames."""
    pieces.append(b"D")
    place = len(pieces)
    pieces.append(b"")
    length, kept, position = _number(frames, start + 1), start + 5, start + _HEADER
    for skipped, column in steps:
        if skipped:
            position = _skip(frames, position, skipped)
        if kept < position:
            pieces.append(frames[kept:position])
        size = _cell_size(frames, position)
        position += 4
        if size > 0:
            position += size
            length -= size
        cell = column[row]
        if cell is None:
            pieces.append(_NULL)
        else:
            length += len(cell)
            pieces.append(_LENGTHS[len(cell)] if len(cell) < _SMALL else _packed(len(cell)))
            pieces.append(cell)
        kept = position
    pieces[place] = _LENGTHS[length] if length < _SMALL else _packed(length)
    return kept


def _packed(length: int) -> bytes:
    if length > _LARGEST:
        raise ProtocolError("a row is too large")
    return length.to_bytes(4, "big")
