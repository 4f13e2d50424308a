"""Masking cell by cell, with nothing made fast: what `masking.cells` is held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from masking.cells import _same_cell
from masking.columns import MAXIMUM_CELL, UNREADABLE
from masking.forms import form_of
from masking.operators import PseudonymKey
from masking.scanning import ScanText, SpanFinder
from masking.shapes import ColumnShape, Hide, Keep, Mask, Scan, Treatment
from masking.spans import NOT_SCANNED
from masking.values import column_mask

Cell = bytes | None


class PlainMasker:
    """One cell after another, each text shown to the finder by itself."""

    def __init__(
        self,
        key: PseudonymKey,
        finder: SpanFinder,
        columns: Sequence[ColumnShape],
        treatments: Sequence[Treatment],
    ) -> None:
        self._key = key
        self._finder = finder
        self._columns = tuple(zip(columns, treatments, strict=True))
        self.counts: Counter[str] = Counter()

    async def rows(self, rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
        return [
            [await self._cell(c, *how) for c, how in zip(row, self._columns, strict=True)]
            for row in rows
        ]

    async def _cell(self, cell: Cell, shape: ColumnShape, treatment: Treatment) -> Cell:
        match treatment:
            case Hide(label):
                self.counts[label] += 1
                return _same_cell(shape)
            case Mask(operator, label) if cell is not None:
                self.counts[label] += 1
                return column_mask(shape, operator, self._key)(cell)
            case Scan() if cell is not None:
                return await self._scanned(cell, shape)
            case Scan() | Mask() | Keep():
                return cell

    async def _scanned(self, cell: bytes, shape: ColumnShape) -> Cell:
        form = form_of(shape)
        if form is None:
            return cell
        if len(cell) > MAXIMUM_CELL:
            self.counts[NOT_SCANNED] += 1
            return None
        try:
            texts = form.texts(cell)
        except ValueError:
            self.counts[UNREADABLE] += 1
            return None
        found = [(await self._finder.spans([ScanText(text, shape.name)]))[0] for text in texts]
        self.counts.update(span.entity for spans in found for span in spans)
        return form.rewrite(cell, found) if any(found) else cell
