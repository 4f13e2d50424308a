"""Names in columns of free text: a scanner of its own beside the usual one.

The model (the extra `ner`) is loaded in a worker process, with the first text of a column that is
configured for it; without such a column there is no process. Not in here: the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from masking.entities import MODEL, NAMES_OF_PEOPLE_AND_PLACES, Recognition
from masking.errors import MaskingFailed
from masking.scanning import ScanText, ScanWorker, SpanFinder
from masking.spans import Span, disjoint_cover


def installed() -> bool:
    """Whether the extra `ner` is there."""
    return find_spec(MODEL) is not None


def name_worker(entities: Sequence[str]) -> ScanWorker:
    """A worker that looks for these names alone. It starts with its first text."""
    return ScanWorker(recognition=Recognition(names=tuple(entities)))


class NoNames:
    """A `SpanFinder` for a gateway in which no column is searched for names."""

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        raise MaskingFailed("a column is to be searched for names, and nothing searches for them")

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        raise MaskingFailed("a column is to be searched for names, and nothing searches for them")


class WithNames:
    """A `SpanFinder` that finds what the usual one does, and some of the names as well."""

    def __init__(self, usual: SpanFinder, names: SpanFinder, entities: Sequence[str]) -> None:
        self._usual = usual
        self._names = names
        self._entities = frozenset(entities)

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        usual = await self._usual.spans(texts)
        names = await self._names.spans(texts)
        return [self._together(u, n) for u, n in zip(usual, names, strict=True)]

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        usual: Mapping[int, list[Span]] = await self._usual.column_spans(context, texts)
        names = await self._names.column_spans(context, texts)
        found = {
            index: self._together(usual.get(index, []), names.get(index, []))
            for index in sorted({*usual, *names})
        }
        return {index: spans for index, spans in found.items() if spans}

    def _together(self, usual: Sequence[Span], names: Sequence[Span]) -> list[Span]:
        """What could not be searched for names goes as a whole, as it does for anything else."""
        unwanted = frozenset(NAMES_OF_PEOPLE_AND_PLACES) - self._entities
        return disjoint_cover([*usual, *(span for span in names if span.entity not in unwanted)])
