"""Searching what is held of a stream, and writing it again without what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from masking.errors import MaskingFailed
from masking.scanning import ScanText, StreamFinder
from masking.spans import NOT_SCANNED, Span, disjoint_cover, placeholder, whole
from masking.streams.bounds import Bounds
from masking.streams.controls import kept
from masking.streams.decoding import UNREADABLE
from masking.streams.lines import UNFINISHED_VALUE, Ask, Batch, Lines

ALWAYS: Final = frozenset({NOT_SCANNED, UNREADABLE})
"""What goes whatever entities are asked for: nobody could look into it."""

Wanted = Callable[[str], bool]


def everything(entity: str) -> bool:
    """Every entity counts."""
    return True


class Searches:
    """Asks the finder; what it can't search counts as found from end to end."""

    def __init__(self, finder: StreamFinder, wanted: Wanted = everything) -> None:
        self._finder = finder
        self._wanted = wanted

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        """Wanted spans of each text."""
        try:
            found = await self._finder.spans(texts) if texts else []
        except MaskingFailed:
            found = [whole(text.text) for text in texts]
        return [[s for s in spans if self.wants(s.entity)] if spans else [] for spans in found]

    async def in_lines(self, lines: Sequence[str]) -> dict[int, list[Span]]:
        """Wanted spans by a line's place, where there are any."""
        try:
            found = await self._finder.column_spans("", lines) if lines else {}
        except MaskingFailed:
            found = {index: whole(line) for index, line in enumerate(lines)}
        return {
            index: kept
            for index, spans in found.items()
            if (kept := [s for s in spans if self.wants(s.entity)])
        }

    async def ready(self) -> None:
        """Once the finder knows what may begin, or will never: then anything may."""
        with suppress(MaskingFailed):
            await self._finder.ready()

    def may_hold(self, text: str) -> bool:
        """False only where nothing would be found, however the text was broken."""
        return self._finder.may_hold(text)

    def begins(self, text: str) -> int | None:
        """Where the end of a text begins that may become a value, by what is configured."""
        return self._finder.begins(text)

    def wants(self, entity: str) -> bool:
        return entity in ALWAYS or self._wanted(entity)


class LineStream:
    """Lines of text under masks; see `masking.streams.lines` for what is held back."""

    def __init__(self, searches: Searches, bounds: Bounds, columns: int = 0) -> None:
        self._searches = searches
        self._lines = Lines(bounds, searches.begins, columns)

    @property
    def waiting(self) -> bool:
        return self._lines.waiting

    async def feed(self, text: str) -> list[Piece]:
        """What may go out now that this text has come."""
        await self._searches.ready()
        return await self._searched(self._lines.feed(text))

    async def expire(self) -> list[Piece]:
        """All that was held back, because the time for it has passed."""
        return await self._searched(self._lines.expire())

    async def end(self) -> list[Piece]:
        """The rest."""
        return await self._searched(self._lines.end())

    async def _searched(self, batch: Batch | None) -> list[Piece]:
        if batch is None:
            return []
        taken = self._lines.taken
        spans = [s for s in batch.certain if self._counts(s.entity)]
        for index, inside in (await self._searches.in_lines(batch.texts)).items():
            spans += (_moved(s, batch.starts[index]) for s in inside)
        found = await self._searches.spans([ask.text for ask in batch.asks])
        for ask, inside in zip(batch.asks, found, strict=True):
            if inside or ask.spelled:
                spans += [s for s in self._placed(ask, inside) if not _is_guess(ask, s, spans)]
        if not spans and not batch.dropped:
            return [Piece(batch.raw[batch.shown : batch.end])]
        cover = disjoint_cover(spans)
        if cover and cover[-1].end > batch.end:
            self._lines.carry([s for s in cover if s.end > batch.end], taken)
        return list(_pieces(batch, cover))

    def _placed(self, ask: Ask, found: Sequence[Span]) -> Iterator[Span]:
        """Spans of a text as spans of its batch."""
        if ask.spelled and not found and self._searches.may_hold(ask.text.text):
            found = whole(ask.text.text)
        for span in found:
            if ask.breaks and not any(span.start < place < span.end for place in ask.breaks):
                continue
            start, end = span.start + ask.start, span.end + ask.start
            if ask.reading is not None:
                start, end = ask.reading.range(span.start, span.end)
            yield replace(span, start=start, end=end)

    def _counts(self, entity: str) -> bool:
        return entity == UNFINISHED_VALUE or self._searches.wants(entity)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the input, and what goes out in its place; `spans` say why, if it is another."""

    raw: str
    spans: Sequence[Span] = ()
    output: str | None = None

    @property
    def text(self) -> str:
        return self.raw if self.output is None else self.output


_COMPLETE: Final = frozenset({"EMAIL_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS"})
"""What is complete if it is found: letters beside it are more likely the next line's own."""


def _is_guess(ask: Ask, span: Span, found: Sequence[Span]) -> bool:
    """Whether a span over a guessed break only adds to one that was found in one of the lines."""
    if not (ask.guessed and ask.breaks and span.entity in _COMPLETE):
        return False
    return any(
        s.entity == span.entity and span.start <= s.start and s.end <= span.end for s in found
    )


def _moved(span: Span, by: int) -> Span:
    return replace(span, start=span.start + by, end=span.end + by)


def _pieces(batch: Batch, cover: Sequence[Span]) -> Iterator[Piece]:
    """The batch from `shown` to `end`, piece by piece."""
    position = batch.shown
    for start, end, span in _changes(batch, cover):
        start, end = max(start, position), min(end, batch.end)
        if start >= end:
            continue
        if start > position:
            yield Piece(batch.raw[position:start])
        raw = batch.raw[start:end]
        if span is None:
            yield Piece(raw, (), "")
        else:
            yield Piece(raw, (span,), placeholder(span.entity) + kept(raw))
        position = end
    if position < batch.end:
        yield Piece(batch.raw[position : batch.end])


def _changes(batch: Batch, cover: Sequence[Span]) -> list[tuple[int, int, Span | None]]:
    spans: Iterable[tuple[int, int, Span | None]] = ((s.start, s.end, s) for s in cover)
    return sorted([*spans, *((a, b, None) for a, b in batch.dropped)], key=lambda c: c[:2])
