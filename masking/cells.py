"""Result sets in, result sets out: a plan for the columns, made once, and the rows under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from masking.errors import MaskingFailed
from masking.forms import Form, form_of
from masking.operators import PseudonymKey
from masking.prefilter import may_hold, may_hold_in
from masking.scanning import ScanText, SpanFinder
from masking.shapes import ColumnShape, Keep, Mask, Scan, Treatment
from masking.spans import NOT_SCANNED, Span, substitute
from masking.values import CellMask, column_mask

__all__ = ["ColumnShape", "Keep", "Mask", "Masked", "Masker", "Plan", "Scan", "Treatment"]

Row = Sequence[bytes | None]

MAXIMUM_CELL: Final = 1 << 20
"""Bytes of a cell that is looked into. A look takes a second for 10 MB, and all callers wait."""

UNREADABLE: Final = "UNREADABLE"
"""Counts cells that are no values of their type, so that nobody can say what is in them."""


@dataclass(frozen=True, slots=True)
class _Masked:
    index: int
    label: str
    mask: CellMask


@dataclass(frozen=True, slots=True)
class _Scanned:
    index: int
    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to each column of one result set."""

    width: int
    reasons: tuple[str, ...]
    masked: tuple[_Masked, ...]
    scanned: tuple[_Scanned, ...]

    @property
    def idle(self) -> bool:
        """Rows can go out as they came: nothing is masked, and nothing need be searched."""
        return not self.masked and not self.scanned

    def why(self, index: int) -> str:
        """Why a column is masked, in words for the caller; empty where no rule masks it."""
        return self.reasons[index]


@dataclass(frozen=True, slots=True)
class Masked:
    """Rows as they may be delivered, and how many cells or spans went, by label or entity."""

    rows: list[list[bytes | None]]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell that may hold something: where it is and what of it is searched."""

    row: int
    column: _Scanned
    texts: Sequence[str]


class Masker:
    """Masks rows and texts. What it can't search in time it masks as a whole."""

    def __init__(self, key: PseudonymKey, finder: SpanFinder) -> None:
        self._key = key
        self._finder = finder

    def plan(self, columns: Sequence[ColumnShape], treatments: Sequence[Treatment]) -> Plan:
        """One treatment a column. Raises ValueError for an operator that does not exist."""
        pairs = list(enumerate(zip(columns, treatments, strict=True)))
        return Plan(
            width=len(columns),
            reasons=tuple(t.why if isinstance(t, Mask) else "" for t in treatments),
            masked=tuple(
                _Masked(i, t.label or t.operator, column_mask(c, t.operator, self._key))
                for i, (c, t) in pairs
                if isinstance(t, Mask)
            ),
            scanned=tuple(_Scanned(i, c.name, f) for i, (c, t) in pairs if (f := _form(c, t))),
        )

    async def rows(self, plan: Plan, rows: Sequence[Row]) -> Masked:
        """The rows under the plan, as many and in the same order.

        Raises `MaskingFailed` where rows don't fit the plan or the scanner is gone.
        """
        if any(len(row) != plan.width for row in rows):
            raise MaskingFailed("a row does not have the columns that were announced")
        masked = [list(row) for row in rows]
        counts: Counter[str] = Counter()
        for column in plan.masked:
            _apply(column, masked, counts)
        cells = [c for column in plan.scanned for c in _candidates(column, masked, counts)]
        if cells:
            await self._scan(cells, masked, counts)
        return Masked(masked, dict(counts))

    async def text(self, text: str) -> str:
        """Free text, such as a backend's error, without the entities in it."""
        if not may_hold(text):
            return text
        (spans,) = await self._finder.spans([ScanText(text)])
        return substitute(text, spans)

    async def _scan(
        self, cells: Sequence[_Cell], rows: list[list[bytes | None]], counts: Counter[str]
    ) -> None:
        wanted = [ScanText(text, c.column.name) for c in cells for text in c.texts]
        found = iter(await self._finder.spans(wanted))
        for cell in cells:
            _rewrite(cell, [next(found) for _ in cell.texts], rows, counts)


def _form(column: ColumnShape, treatment: Treatment) -> Form | None:
    match treatment:
        case Scan():
            return form_of(column)
        case Keep() | Mask():
            return None
        case _:
            assert_never(treatment)


def _apply(column: _Masked, rows: list[list[bytes | None]], counts: Counter[str]) -> None:
    for row in rows:
        cell = row[column.index]
        if cell is not None:
            row[column.index] = column.mask(cell)
            counts[column.label] += 1


def _candidates(
    column: _Scanned, rows: list[list[bytes | None]], counts: Counter[str]
) -> Iterator[_Cell]:
    """Cells of a column that may hold something; those that can't be read become NULL here."""
    cells = list(_readable(column, rows, counts))
    # One look at the whole column first: for most columns it is the only one. What may be in a
    # part may be in the whole.
    if not may_hold("\n".join(text for cell in cells for text in cell.texts)):
        return
    for cell in cells:
        if any(may_hold_in(column.name, text) for text in cell.texts):
            yield cell


def _readable(
    column: _Scanned, rows: list[list[bytes | None]], counts: Counter[str]
) -> Iterator[_Cell]:
    for number, row in enumerate(rows):
        cell = row[column.index]
        if cell is None:
            continue
        if len(cell) > MAXIMUM_CELL:
            row[column.index] = None
            counts[NOT_SCANNED] += 1
            continue
        try:
            yield _Cell(number, column, column.form.texts(cell))
        except ValueError:
            row[column.index] = None
            counts[UNREADABLE] += 1


def _rewrite(
    cell: _Cell,
    found: Sequence[Sequence[Span]],
    rows: list[list[bytes | None]],
    counts: Counter[str],
) -> None:
    if not any(found):
        return
    counts.update(span.entity for spans in found for span in spans)
    row, index = rows[cell.row], cell.column.index
    original = row[index]
    row[index] = None if original is None else cell.column.form.rewrite(original, found)
