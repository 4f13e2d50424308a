"""`FastScanner`: the spans of `masking.engine.Scanner.analyze`, in a fraction of the time.

Presidio's recognizers stay the only authority. What is done here decides which texts a recognizer
need not see (`searches`, `clearing`), how many it sees at once (`lines`), and does to its results
what `AnalyzerEngine.analyze` does, in the same order: context, threshold, duplicates; then the same
disjoint cover. Without Hyperscan, `Scanner.spans` answers in its place.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import accumulate
from operator import itemgetter
from typing import Final

from presidio_analyzer import EntityRecognizer, RecognizerResult

from masking.context import boosted, has_context
from masking.engine import LONGEST_TEXT, Scanner, span_of
from masking.entities import THRESHOLD
from masking.fast.clearing import AVAILABLE, Clearing, Unusable
from masking.fast.database import Prefilter
from masking.fast.memory import Memory
from masking.fast.searches import Search, search
from masking.prefilter import name_words
from masking.spans import Span, disjoint_cover

_LOG: Final = logging.getLogger("ostiary.masking")

MEMORY: Final = 32 << 20  # bytes
JOINED: Final = 32 * 1024
"""Characters of the texts that a recognizer gets at once."""

_CERTAIN: Final = 1.0
"""The highest score."""

_SCANNED: Final = 1 << 20
"""Characters of the texts that the prefilter gets at once."""


class FastScanner:
    """Finds entities in the texts of a column. Pure, but for what it remembers."""

    def __init__(
        self, chosen: Sequence[EntityRecognizer] | None = None, memory: int = MEMORY
    ) -> None:
        self.plain = Scanner(chosen)
        self._searches = [search(r, THRESHOLD) for r in self.plain.recognizers]
        self._entities = self.plain.entities
        self._most = [known.most() for known in self._searches]
        self._artifacts = self.plain.artifacts("")
        self._capacity = memory
        self.forget()
        self.prefilter = _compiled(self._searches)
        self._clearing = None if self.prefilter is None else Clearing(self.prefilter)

    def forget(self) -> None:
        """Begin without what was found before."""
        self._memory = Memory(self._capacity)

    def spans(self, texts: Sequence[str], context: str) -> list[list[Span]]:
        """Disjoint spans of each text, in order; `context` is the column's name, or empty."""
        found = self.column(context, texts)
        return [found.get(index, []) for index in range(len(texts))]

    def column(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        """Disjoint spans by the text's index, only of texts in which anything is found.

        A text that is too long, or in which a recognizer failed, is one span from end to end.
        """
        unique = list(dict.fromkeys(texts))
        found: dict[str, list[Span]] = {}
        for piece in _pieces(unique):
            found.update(self._found(context, piece))
        return {index: found[text] for index, text in enumerate(texts) if text in found}

    def _found(self, context: str, texts: Sequence[str]) -> dict[str, list[Span]]:
        if self._clearing is None or not self.plain.reports_timeouts():
            return self._plainly(context, texts)
        if any(len(text) > LONGEST_TEXT for text in texts):
            return self._plainly(context, texts)
        try:
            suspects = self._clearing.suspects(context, texts)
        except Unusable as error:
            _LOG.error("the prefilter failed and is not used again: %s", error)
            self._clearing = None
            return self._plainly(context, texts)
        return self._looked_at(context, texts, suspects) if suspects else {}

    def _plainly(self, context: str, texts: Sequence[str]) -> dict[str, list[Span]]:
        return {text: spans for text in texts if (spans := self.plain.guarded(text, context))}

    def _looked_at(
        self, context: str, texts: Sequence[str], suspects: Mapping[int, Mapping[int, bool]]
    ) -> dict[str, list[Span]]:
        found: dict[str, list[Span]] = {}
        sheet = _Sheet(context, texts)
        for index, wanted in suspects.items():
            known = self._memory.get(context, texts[index])
            if known:
                found[texts[index]] = known
            elif known is None and (kept := self._kept(texts[index], wanted)):
                sheet.add(index, kept)
                sheet.asking.update((number, index) for number in kept if wanted[number])
        for index, spans in self._searched(sheet):
            self._memory.put(context, texts[index], spans)
            if spans:
                found[texts[index]] = spans
        return found

    def _kept(self, text: str, wanted: Mapping[int, bool]) -> list[int]:
        """The recognizers that don't spare the text themselves; quick ones are not asked twice."""
        known = self._searches
        return [n for n, a in wanted.items() if not a or known[n].quick or known[n].may_hold(text)]

    def _searched(self, sheet: _Sheet) -> Iterator[tuple[int, list[Span]]]:
        for number in sorted(sheet.wanted, key=self._late):
            self._ask(number, sheet)
        for index in sheet.indexes:
            text = sheet.texts[index]
            if index in sheet.failed:
                yield index, self.plain.guarded(text, sheet.context)
            elif index in sheet.results:
                yield index, self._judged(sheet.results[index], text, sheet.words)
            else:
                yield index, []

    def _late(self, number: int) -> tuple[bool, int]:
        """Last those that need not look where another is certain of all of a text."""
        return self._most[number] < _CERTAIN, number

    def _ask(self, number: int, sheet: _Sheet) -> None:
        known = self._searches[number]
        wanted = sheet.wanted[number]
        if self._most[number] < _CERTAIN:
            wanted = [index for index in wanted if not self._is_settled(sheet, index)]
        for batch in _batches(sheet, wanted, joined=known.by_line):
            try:
                sheet.note(number, batch, self._results(number, sheet, batch))
            except Exception as error:  # noqa: BLE001 - recognizers are others' code; plain judges
                _LOG.warning("a recognizer failed: %s", type(error).__name__)
                sheet.failed.update(batch)

    def _is_settled(self, sheet: _Sheet, index: int) -> bool:
        """Whether a result of the highest score is all of a text.

        Any other result lies inside it. One that scores less then changes nothing: it names no
        span, makes none longer, and of its own kind removes only such as score no more than it.
        """
        end = len(sheet.texts[index])
        return any(
            found.score >= _CERTAIN
            and found.start == 0
            and found.end == end
            and found.score >= self._searches[number].threshold(found.entity_type)
            for number, found in sheet.results.get(index, ())
        )

    def _results(self, number: int, sheet: _Sheet, batch: Sequence[int]) -> list[RecognizerResult]:
        known = self._searches[number]
        text = "\n".join([sheet.texts[index] for index in batch])
        if known.quick is not None:
            alone = (number, batch[0]) in sheet.asking
            return known.quick.quickly_alone(text) if alone else known.quick.quickly(text)
        # Recognizers that are known read the text alone: those of any text will do.
        artifacts = self.plain.artifacts(text) if known.necessary is None else self._artifacts
        return known.recognizer.analyze(text, self._entities, artifacts) or []

    def _judged(
        self, results: Sequence[tuple[int, RecognizerResult]], text: str, words: Sequence[str]
    ) -> list[Span]:
        kept = []
        for number, result in sorted(results, key=itemgetter(0)):
            known = self._searches[number]
            result.recognition_metadata = {
                RecognizerResult.RECOGNIZER_NAME_KEY: vars(known.recognizer)["name"]
            }
            if has_context(known.words, text, result.start, words):
                result.score = boosted(result.score)
            if result.score >= known.threshold(result.entity_type):
                kept.append(result)
        unique = EntityRecognizer.remove_duplicates(kept)
        return disjoint_cover(map(span_of, unique))


@dataclass(slots=True)
class _Sheet:
    """The texts of one column that are looked at, and what came of it."""

    context: str
    texts: Sequence[str]
    words: list[str] = field(init=False)
    indexes: list[int] = field(default_factory=list)
    wanted: dict[int, list[int]] = field(default_factory=dict)
    results: dict[int, list[tuple[int, RecognizerResult]]] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    asking: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.words = name_words(self.context)

    def add(self, index: int, recognizers: Sequence[int]) -> None:
        self.indexes.append(index)
        for number in recognizers:
            self.wanted.setdefault(number, []).append(index)

    def note(self, number: int, batch: Sequence[int], results: list[RecognizerResult]) -> None:
        """Results of the batch's joined texts. Raises ValueError for one over a text's edge."""
        if not results:
            return
        starts = [0, *(end + n + 1 for n, end in enumerate(accumulate(self._lengths(batch))))]
        for result in results:
            place = bisect_right(starts, result.start, hi=len(batch)) - 1
            result.start -= starts[place]
            result.end -= starts[place]
            if result.end > len(self.texts[batch[place]]):
                raise ValueError("a result reaches over the edge of a text")
            self.results.setdefault(batch[place], []).append((number, result))

    def _lengths(self, batch: Sequence[int]) -> Iterator[int]:
        return (len(self.texts[index]) for index in batch)


def _batches(sheet: _Sheet, indexes: Sequence[int], *, joined: bool) -> Iterator[list[int]]:
    """The texts one by one, or as many at once as may be joined."""
    if not joined:
        yield from ([index] for index in indexes)
        return
    batch: list[int] = []
    size = 0
    for index in indexes:
        length = len(sheet.texts[index]) + 1
        if batch and size + length > JOINED:
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += length
    if batch:
        yield batch


def _pieces(texts: list[str]) -> Iterator[list[str]]:
    if sum(map(len, texts)) + len(texts) <= _SCANNED:
        yield texts
        return
    piece: list[str] = []
    size = 0
    for text in texts:
        if piece and size + len(text) > _SCANNED:
            yield piece
            piece, size = [], 0
        piece.append(text)
        size += len(text) + 1
    if piece:
        yield piece


def _compiled(searches: Sequence[Search]) -> Prefilter | None:
    if not AVAILABLE:
        _LOG.warning("hyperscan is not installed: masking works, more slowly")
        return None
    prefilter: Prefilter = import_module("masking.fast.compiling").compiled(searches)
    return prefilter
