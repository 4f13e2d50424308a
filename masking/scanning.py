"""The scanner as the gateway sees it: Presidio in processes of its own, which can neither block
nor crash the gateway, and a prefilter that clears most texts in the gateway's process.

Batches go to the lane (`masking.lanes`) with the least to do, one of a caller's after another, so
that many callers take turns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from masking.beginnings import Beginnings
from masking.entities import Recognition
from masking.fast.clearing import AVAILABLE, Clearing, Unusable
from masking.fast.rechecks import Sample
from masking.lanes import Batch, Greeting, Lane, ScanText
from masking.prefilter import may_hold, may_hold_anything, may_hold_in
from masking.spans import Span

__all__ = ["BATCH", "DEADLINE", "ScanText", "ScanWorker", "SpanFinder", "StreamFinder"]

_LOG: Final = logging.getLogger("ostiary.masking")

_AS_IT_STANDS: Final = Recognition()

DEADLINE: Final = 5.0
"""Seconds for one batch."""

BATCH: Final = 16 * 1024
"""Characters of one batch, so that one costly text takes few others with it. A longer text is a
batch of its own. Presidio's worst case is about a second for 10,000 characters."""


class SpanFinder(Protocol):
    """Finds disjoint spans in texts without blocking the event loop."""

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        """Spans of each text, in order. Raises `MaskingFailed`."""
        ...

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        """Spans by a text's index, where there are any, of the texts of one column.

        Raises `MaskingFailed`.
        """
        ...


class StreamFinder(SpanFinder, Protocol):
    """Knows besides what may become a value, or be one whose form was lost. For streams."""

    async def ready(self) -> None:
        """Once it is known what the configuration adds. Raises `MaskingFailed`."""
        ...

    def may_hold(self, text: str) -> bool:
        """False only where nothing would be reported, however the text was broken."""
        ...

    def begins(self, text: str) -> int | None:
        """Where the end of a text begins that may become a value, by what the configuration adds to
        the curated recognizers; else None."""
        ...


class ScanWorker:
    """A `StreamFinder` over spawned processes, of which one starts with `warm` or the first text.

    Texts that the prefilter clears never leave this process, but for the `recheck`ed fraction.
    For one event loop.
    """

    def __init__(
        self,
        deadline: float = DEADLINE,
        *,
        workers: int = 1,
        recheck: float = 0.0,
        recognition: Recognition = _AS_IT_STANDS,
    ) -> None:
        self._lanes = [Lane(deadline, recognition, self._greeted) for _ in range(max(1, workers))]
        self._may_hold_in = may_hold_in if recognition == _AS_IT_STANDS else may_hold_anything
        self._clearing: Clearing | None = None
        self._curated = recognition == _AS_IT_STANDS
        self._beginnings = Beginnings(()) if self._curated else None
        self._sample = Sample(recheck)
        self.differences = 0
        """Rechecked texts in which plain Presidio found something else."""

    @property
    def clears(self) -> bool:
        """Whether a worker's prefilter is in use here; else a hand-made one is, or none."""
        return self._clearing is not None

    async def __aenter__(self) -> Self:
        return self

    def warm(self) -> None:
        """Start one process in the background, so that the first text does not wait for it."""
        self._lanes[0].warm()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self._lanes:
            await lane.close()

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        columns: dict[str, list[str]] = {}
        for text in dict.fromkeys(texts):
            columns.setdefault(text.context, []).append(text.text)
        batch = [self._batch(context, each) for context, each in columns.items()]
        found = await self._searched(batch)
        return [found.get(text, []) for text in texts]

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        found = await self._searched([self._batch(context, list(dict.fromkeys(texts)))])
        if not found:
            return {}
        by_text = {text.text: spans for text, spans in found.items()}
        return {index: by_text[text] for index, text in enumerate(texts) if text in by_text}

    async def ready(self) -> None:
        if self._beginnings is None:
            await self._lane().ready()

    def may_hold(self, text: str) -> bool:
        return may_hold(text) or (not self._curated and bool(self._suspects("", [text])))

    def begins(self, text: str) -> int | None:
        return 0 if self._beginnings is None else self._beginnings.start(text)

    def _batch(self, context: str, texts: Sequence[str]) -> Batch:
        """The texts of one column that must be looked at."""
        again = self._sample.of(len(texts))
        suspects = self._suspects(context, texts)
        kept = [*dict.fromkeys([*again, *suspects])]
        return Batch([ScanText(texts[i], context) for i in kept], range(len(again)))

    def _suspects(self, context: str, texts: Sequence[str]) -> list[int]:
        if self._clearing is not None:
            try:
                return sorted(self._clearing.suspects(context, texts))
            except Unusable as error:
                self._clearing = None
                _LOG.error("the prefilter is not used again: %s", error)
        return [index for index, text in enumerate(texts) if self._may_hold_in(context, text)]

    async def _searched(self, columns: Sequence[Batch]) -> dict[ScanText, list[Span]]:
        found: dict[ScanText, list[Span]] = {}
        for batch in _batches(columns):
            answer = await self._lane().exchange(batch)
            found.update((batch.texts[index], spans) for index, spans in answer.spans.items())
            self._count(answer.differences)
        return found

    def _lane(self) -> Lane:
        """The one with the least to do; a worker that runs before one that must start."""
        return min(self._lanes, key=lambda lane: (lane.waiting, not lane.started))

    def _count(self, differences: int) -> None:
        if differences:
            self.differences += differences
            _LOG.error("%d rechecked texts: plain Presidio finds something else", differences)

    def _greeted(self, greeting: Greeting) -> None:
        """In a lane's thread: takes what a worker hands over, once."""
        if self._beginnings is None:
            self._beginnings = Beginnings(greeting.beginnings)
        if self._clearing is not None or greeting.prefilter is None or not AVAILABLE:
            return
        try:
            self._clearing = Clearing(greeting.prefilter)
        except Unusable as error:
            _LOG.error("the prefilter is not used: %s", error)


def _batches(columns: Sequence[Batch]) -> Iterator[Batch]:
    texts: list[ScanText] = []
    again: list[int] = []
    size = 0
    for column in columns:
        for index, text in enumerate(column.texts):
            if texts and size + len(text.text) > BATCH:
                yield Batch(texts, again)
                texts, again, size = [], [], 0
            again += [len(texts)] if index in column.rechecked else []
            texts.append(text)
            size += len(text.text)
    if texts:
        yield Batch(texts, again)
