"""Precision and recall of a scanner on labelled samples, by entity.

A labelled value counts as found where at least 80 % of its characters are covered, by whatever
entity: what goes is gone. It counts as named right where the covering span has its entity. A span
is right where it overlaps a labelled value; precision is counted for the entity that was reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from masking.spans import Span
from tests.masking.quality.samples import Label, Sample

_ENOUGH = 0.8


class Finder(Protocol):
    """What `masking.engine.Scanner` does."""

    def spans(self, texts: Sequence[str], context: str) -> list[list[Span]]: ...


@dataclass(frozen=True)
class Figures:
    """Counts of one entity: labelled values, those found, those named right; spans, right ones."""

    values: int
    found: int
    named: int
    spans: int
    right: int

    @property
    def recall(self) -> float:
        return self.found / self.values if self.values else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.spans if self.spans else 1.0


@dataclass(frozen=True)
class Measured:
    by_entity: Mapping[str, Figures]
    missed: Mapping[str, int]
    """Values that were not found, by kind."""
    alarms: Mapping[str, int]
    """Samples without a labelled value in which something was found, by kind."""
    harmless: int

    @property
    def harmless_precision(self) -> float:
        """The share of harmless samples that were left alone."""
        return 1 - sum(self.alarms.values()) / self.harmless if self.harmless else 1.0


def measure(finder: Finder, samples: Sequence[Sample]) -> Measured:
    found = finder.spans([sample.text for sample in samples], "")
    pairs = list(zip(samples, found, strict=True))
    return Measured(
        by_entity=_by_entity(pairs),
        missed=Counter(
            sample.kind
            for sample, spans in pairs
            for label in sample.labels
            if not _covered(label, spans)
        ),
        alarms=Counter(sample.kind for sample, spans in pairs if spans and not sample.labels),
        harmless=sum(not sample.labels for sample in samples),
    )


def _by_entity(pairs: Iterable[tuple[Sample, list[Span]]]) -> dict[str, Figures]:
    counts: dict[str, Counter[str]] = {}
    for sample, spans in pairs:
        for label in sample.labels:
            count = counts.setdefault(label.entity, Counter())
            count["values"] += 1
            count["found"] += _covered(label, spans)
            count["named"] += _covered(label, [s for s in spans if s.entity == label.entity])
        for span in spans:
            count = counts.setdefault(span.entity, Counter())
            count["spans"] += 1
            count["right"] += any(_overlap(label, span) for label in sample.labels)
    return {
        entity: Figures(c["values"], c["found"], c["named"], c["spans"], c["right"])
        for entity, c in sorted(counts.items())
    }


def _covered(label: Label, spans: Iterable[Span]) -> bool:
    return sum(_overlap(label, span) for span in spans) >= _ENOUGH * (label.end - label.start)


def _overlap(label: Label, span: Span) -> int:
    return max(0, min(label.end, span.end) - max(label.start, span.start))
