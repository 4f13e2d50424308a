"""Result sets in, result sets out: a plan for the columns, made once, and the rows under it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from masking.columns import (
    MAXIMUM_CELL,
    Effect,
    HiddenColumn,
    MaskedColumn,
    Memory,
    Pace,
    ScannedColumn,
    share,
)
from masking.errors import MaskingFailed
from masking.forms import Form, form_of
from masking.marks import Made, Marks
from masking.mysql_forms import as_searched, mysql_form
from masking.ner import NoNames, WithNames
from masking.operators import REDACTED, PseudonymKey
from masking.postgres_types import JSON, JSONB, TEXTS
from masking.scanning import ScanText, SpanFinder
from masking.shapes import ColumnShape, Hide, Keep, Mask, MysqlColumn, Scan, Treatment
from masking.spans import substitute
from masking.values import column_mask, fitted

__all__ = [
    "MAXIMUM_CELL",
    "ColumnShape",
    "Hide",
    "Keep",
    "Mask",
    "Masked",
    "MaskedCells",
    "Masker",
    "Plan",
    "Scan",
    "Treatment",
]

Cell = bytes | None
Row = Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to each column of one result set, while its statement runs.

    `wanted`: the numbers of the columns that something happens to, rising.
    """

    names: tuple[str, ...]
    reasons: tuple[str, ...]
    masked: tuple[MaskedColumn, ...]
    scanned: tuple[ScannedColumn, ...]
    hidden: tuple[HiddenColumn, ...]
    wanted: tuple[int, ...]
    pace: Pace = field(default_factory=Pace, compare=False)

    @property
    def width(self) -> int:
        return len(self.names)

    @property
    def idle(self) -> bool:
        """Rows can go out as they came: nothing is masked, and nothing need be searched."""
        return not self.wanted

    def why(self, index: int) -> str:
        """Why a column is masked, in words for the caller; empty where no rule masks it."""
        return self.reasons[index]


@dataclass(frozen=True, slots=True)
class MaskedCells:
    """In which rows cells were replaced, rising, and how many cells or spans went.

    `counts` is by label or entity, `by_column` by the column's name first.
    """

    rows: Sequence[int]
    counts: Mapping[str, int]
    by_column: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Masked:
    """Rows as they may be delivered, and how many cells or spans went, by label or entity."""

    rows: list[list[Cell]]
    counts: Mapping[str, int]


_NO_NAMES: Final = NoNames()
_NOTHING_CONFIGURED: Final = Made()


class Masker:
    """Masks rows and texts. What it can't search in time it masks as a whole.

    `retired`: keys before this one, whose pseudonyms are still known as ours. `made`: what else is.
    """

    def __init__(
        self,
        key: PseudonymKey,
        finder: SpanFinder,
        names: SpanFinder = _NO_NAMES,
        *,
        retired: Sequence[PseudonymKey] = (),
        made: Made = _NOTHING_CONFIGURED,
    ) -> None:
        self._key = key
        self._marks = Marks((key, *retired), made)
        self._finder = finder
        self._names = names

    def plan(
        self, columns: Sequence[ColumnShape | MysqlColumn], treatments: Sequence[Treatment]
    ) -> Plan:
        """One treatment a column. Raises ValueError for an operator that does not exist."""
        pairs = list(enumerate(zip(columns, treatments, strict=True)))
        room = share(sum(isinstance(t, Mask | Scan) for t in treatments))
        masked = tuple(
            MaskedColumn(i, t.label or t.operator, column_mask(c, t.operator, self._key), room)
            for i, (c, t) in pairs
            if isinstance(t, Mask)
        )
        scanned = tuple(
            ScannedColumn(i, c.name, form, Memory(room), _names(c, t))
            for i, (c, t) in pairs
            if (form := _form(c, t)) is not None
        )
        hidden = tuple(
            HiddenColumn(i, t.label, _same_cell(c)) for i, (c, t) in pairs if isinstance(t, Hide)
        )
        wanted = {c.index for c in masked} | {c.index for c in scanned} | {c.index for c in hidden}
        return Plan(
            names=tuple(c.name for c in columns),
            reasons=tuple(t.why if isinstance(t, Mask | Hide) else "" for t in treatments),
            masked=masked,
            scanned=scanned,
            hidden=hidden,
            wanted=tuple(sorted(wanted)),
        )

    def holds_masks(self, text: str) -> str:
        """Which mask that an operator left, or pseudonym, stands in a text; empty for none."""
        return self._marks.inside(text)

    async def columns(self, plan: Plan, columns: Sequence[list[Cell]]) -> MaskedCells:
        """Mask the cells of the plan's `wanted` columns where they stand, in that order.

        Raises `MaskingFailed` where the scanner is gone: the lists are not to be used then.
        """
        cells = dict(zip(plan.wanted, columns, strict=True))
        effect, pace = Effect(len(columns[0]) if columns else 0), plan.pace
        for masked in plan.masked:
            await masked.apply(cells[masked.index], effect, pace)
        for hidden in plan.hidden:
            hidden.hide(cells[hidden.index], effect)
        await self._scan(plan, cells, effect, pace)
        return _counted(plan, effect)

    async def _scan(
        self, plan: Plan, cells: Mapping[int, list[Cell]], effect: Effect, pace: Pace
    ) -> None:
        for column in plan.scanned:
            await pace.breathe()
            each = cells[column.index]
            sought = column.sought(each, effect)
            finder = self._finder
            if column.names:
                finder = WithNames(self._finder, self._names, column.names)
            found = await finder.column_spans(column.name, sought.texts)
            if found:
                column.rewrite(sought, found, each, effect)

    async def rows(self, plan: Plan, rows: Sequence[Row]) -> Masked:
        """The rows under the plan, as many and in the same order.

        Raises `MaskingFailed` where rows don't fit the plan or the scanner is gone.
        """
        if any(len(row) != plan.width for row in rows):
            raise MaskingFailed("a row does not have the columns that were announced")
        columns = [[row[index] for row in rows] for index in plan.wanted]
        found = await self.columns(plan, columns)
        masked = [list(row) for row in rows]
        for index, cells in zip(plan.wanted, columns, strict=True):
            for row in found.rows:
                masked[row][index] = cells[row]
        return Masked(masked, found.counts)

    async def text(self, text: str) -> str:
        """Free text, such as a backend's error, without the entities in it."""
        (spans,) = await self._finder.spans([ScanText(text)])
        return substitute(text, spans)


def _counted(plan: Plan, effect: Effect) -> MaskedCells:
    counts: Counter[str] = Counter()
    by_column: dict[str, Counter[str]] = {}
    for index, went in sorted(effect.tally.items()):
        counts.update(went)
        by_column.setdefault(plan.names[index], Counter()).update(went)
    return MaskedCells(effect.changed(), counts, by_column)


def _names(column: ColumnShape | MysqlColumn, treatment: Treatment) -> tuple[str, ...]:
    """Names stand in text and documents alone."""
    if isinstance(column, MysqlColumn):
        column = as_searched(column)
    texts = column.type in TEXTS or column.type in (JSON, JSONB)
    return treatment.names if texts and isinstance(treatment, Scan) else ()


def _form(column: ColumnShape | MysqlColumn, treatment: Treatment) -> Form | None:
    match treatment:
        case Scan():
            return mysql_form(column) if isinstance(column, MysqlColumn) else form_of(column)
        case Keep() | Mask() | Hide():
            return None
        case _:
            assert_never(treatment)


def _same_cell(column: ColumnShape | MysqlColumn) -> bytes | None:
    """What stands for any value of a type: `<redacted>` in text and JSON, else NULL."""
    if isinstance(column, MysqlColumn):
        column = as_searched(column)
    if column.type in TEXTS:
        return fitted(column, REDACTED)
    version = b"\x01" if column.type == JSONB and column.binary else b""
    return version + json.dumps(REDACTED).encode() if column.type in (JSON, JSONB) else None
