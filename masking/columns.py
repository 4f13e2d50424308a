"""One column of a chunk of rows at a time: masked as a whole, or searched in bulk.

The lists of cells that come in are changed in place. What a column did to a cell is remembered for
as long as its statement runs, within bounds, so that equal cells cost once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from masking.forms import Form
from masking.spans import NOT_SCANNED, Span
from masking.values import CellMask
from masking.values.guards import Always

Cell = bytes | None

MAXIMUM_CELL: Final = 1 << 20
"""Bytes of a cell that is looked into. A look takes a second for 10 MB, and all callers wait."""

UNREADABLE: Final = "UNREADABLE"
"""Counts cells that are no values of their type, so that nobody can say what is in them."""

REMEMBERED: Final = 16_384
"""Cells whose masks are remembered while a statement runs, of all its columns together."""

LONGEST_REMEMBERED: Final = 256  # bytes
STEP: Final = 0.008  # seconds of work after which others have their turn
_BLOCK: Final = 32
"""Cells between two looks at the clock; the slowest mask takes 0.1 ms for a short cell."""

_LONG: Final = 1 << 15
"""Bytes of a cell that is masked in a thread: 1 MB takes some masks half a second."""


class Pace:
    """Lets others have their turn in the midst of much work."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def breathe(self) -> None:
        if perf_counter() - self._since > STEP:
            await asyncio.sleep(0)
            self._since = perf_counter()


@dataclass(frozen=True, slots=True)
class Known:
    """What is delivered for a cell, and what was found in it."""

    cell: Cell
    found: tuple[str, ...]


def share(columns: int) -> int:
    """How many cells each of so many columns may remember."""
    return max(REMEMBERED // max(columns, 4), 8)


class Memory:
    """What became of the short cells of a column, as long as there is room for so many."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.known: dict[bytes, Known] = {}

    def keep(self, cell: bytes, known: Known) -> None:
        if len(cell) > LONGEST_REMEMBERED:
            return
        if len(self.known) >= self._room:
            self.known.clear()
        self.known[cell] = known


@dataclass(slots=True)
class Effect:
    """What was done to a chunk: in which rows, and to how many cells or spans of what."""

    count: int
    everywhere: bool = False
    rows: set[int] = field(default_factory=set)
    tally: dict[int, Counter[str]] = field(default_factory=dict)

    def changed(self) -> Sequence[int]:
        """Numbers of rows, rising."""
        return range(self.count) if self.everywhere else sorted(self.rows)

    def went(self, index: int, name: str, times: int = 1) -> None:
        """So many cells or spans of this column have gone, under this label or entity."""
        self.tally.setdefault(index, Counter())[name] += times


@dataclass(frozen=True, slots=True)
class HiddenColumn:
    """The same cell in every row."""

    index: int
    label: str
    cell: Cell

    def hide(self, cells: list[Cell], effect: Effect) -> None:
        if cells:
            cells[:] = [self.cell] * len(cells)
            effect.everywhere = True
            effect.went(self.index, self.label, len(cells))


@dataclass(frozen=True, slots=True)
class MaskedColumn:
    """Each cell that is not NULL goes under the mask."""

    index: int
    label: str
    mask: CellMask
    room: int
    known: dict[bytes, Cell] = field(default_factory=dict, compare=False)

    async def apply(self, cells: list[Cell], effect: Effect, pace: Pace) -> None:
        nulls = cells.count(None)
        if nulls == len(cells):
            return
        if nulls:
            effect.rows.update(row for row, cell in enumerate(cells) if cell is not None)
        else:
            effect.everywhere = True
        effect.went(self.index, self.label, len(cells) - nulls)
        mask = self.mask
        if isinstance(mask, Always):
            value = mask.value
            cells[:] = [None if cell is None else value for cell in cells]
            return
        for start in range(0, len(cells), _BLOCK):
            await self._apply(cells, start, min(start + _BLOCK, len(cells)))
            await pace.breathe()

    async def _apply(self, cells: list[Cell], start: int, end: int) -> None:
        known, mask = self.known, self.mask
        for row in range(start, end):
            cell = cells[row]
            if cell is None:
                continue
            if len(cell) > LONGEST_REMEMBERED:
                cells[row] = await _long(mask, cell) if len(cell) > _LONG else mask(cell)
            elif cell in known:
                cells[row] = known[cell]
            else:
                if len(known) >= self.room:
                    known.clear()
                cells[row] = known[cell] = mask(cell)


async def _long(mask: CellMask, cell: bytes) -> Cell:
    return await asyncio.to_thread(mask, cell)


@dataclass(frozen=True, slots=True)
class Sought:
    """What of a column is to be searched.

    `rows`: where each cell stands; its texts begin at `firsts`, or are one each where that is None.
    """

    texts: Sequence[str]
    rows: Sequence[int]
    firsts: Sequence[int] | None = None

    def place(self, text: int) -> int:
        """Which of the cells a text belongs to."""
        return text if self.firsts is None else bisect_right(self.firsts, text) - 1

    def texts_of(self, place: int) -> range:
        if self.firsts is None:
            return range(place, place + 1)
        last = place + 1 == len(self.firsts)
        return range(self.firsts[place], len(self.texts) if last else self.firsts[place + 1])


@dataclass(frozen=True, slots=True)
class ScannedColumn:
    """Cells are searched, and what is found in them is replaced."""

    index: int
    name: str
    form: Form
    memory: Memory = field(compare=False)
    names: tuple[str, ...] = ()

    def sought(self, cells: list[Cell], effect: Effect) -> Sought:
        """All cells that nobody knows; those that can't be read become NULL here.

        What is remembered of equal cells is done here too.
        """
        rows: Sequence[int] = range(len(cells))
        if self.memory.known:
            rows = self._unknown(cells, effect)
        given = cells if len(rows) == len(cells) else [cells[row] for row in rows]
        texts = self._verbatim(given)
        return Sought(texts, rows) if texts is not None else self._one_by_one(cells, rows, effect)

    def _unknown(self, cells: list[Cell], effect: Effect) -> list[int]:
        unknown = []
        known = self.memory.known
        for row, cell in enumerate(cells):
            if cell is None or cell not in known:
                unknown.append(row)
            else:
                self._put(cells, row, known[cell], effect)
        return unknown

    def _verbatim(self, given: Sequence[Cell]) -> list[str] | None:
        """The texts of all cells at once, where each is a text as it stands; "" for NULL.

        None where a cell must be looked at by itself.
        """
        cells = [cell or b"" for cell in given]
        joined = b"\n".join(cells)
        if not self.form.verbatim(joined):
            return None
        if len(joined) > MAXIMUM_CELL and any(len(cell) > MAXIMUM_CELL for cell in cells):
            return None
        try:
            texts = joined.decode().split("\n")
        except UnicodeDecodeError:
            return None
        return texts if len(texts) == len(cells) else [cell.decode() for cell in cells]

    def _one_by_one(self, cells: list[Cell], rows: Sequence[int], effect: Effect) -> Sought:
        texts: list[str] = []
        read: list[int] = []
        firsts: list[int] = []
        for row in rows:
            cell = cells[row]
            each = () if cell is None else self._texts(cell)
            if isinstance(each, str):
                cells[row] = None
                effect.rows.add(row)
                effect.went(self.index, each)
            elif each:
                read.append(row)
                firsts.append(len(texts))
                texts.extend(each)
        return Sought(texts, read, firsts)

    def _texts(self, cell: bytes) -> Sequence[str] | str:
        """The texts of a cell, or why there are none (a `str`)."""
        if len(cell) > MAXIMUM_CELL:
            return NOT_SCANNED
        try:
            return self.form.texts(cell)
        except ValueError:
            return UNREADABLE

    def rewrite(
        self,
        sought: Sought,
        found: Mapping[int, Sequence[Span]],
        cells: list[Cell],
        effect: Effect,
    ) -> None:
        """Put what is left of the cells in their places; `found` is by the numbers of texts."""
        for place in sorted({sought.place(text) for text in found}):
            row = sought.rows[place]
            cell = cells[row]
            if cell is None:
                continue
            known = self.memory.known.get(cell)
            if known is None:
                spans = [found.get(text, ()) for text in sought.texts_of(place)]
                known = self._rewritten(cell, spans)
            self._put(cells, row, known, effect)

    def _rewritten(self, cell: bytes, found: Sequence[Sequence[Span]]) -> Known:
        entities = tuple(span.entity for spans in found for span in spans)
        known = Known(self.form.rewrite(cell, found), entities)
        if NOT_SCANNED not in entities:  # which a later look may find out
            self.memory.keep(cell, known)
        return known

    def _put(self, cells: list[Cell], row: int, known: Known, effect: Effect) -> None:
        cells[row] = known.cell
        effect.rows.add(row)
        for entity in known.found:
            effect.went(self.index, entity)
