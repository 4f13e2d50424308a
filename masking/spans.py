"""Pieces of a text that must go, and the text without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

NOT_SCANNED: Final = "NOT_SCANNED"
"""The entity of a text that could not be searched in time, and so goes as a whole."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) hold an entity, with a confidence of 0 to 1."""

    start: int
    end: int
    entity: str
    score: float = 1.0
    recognizer: str = field(default="", compare=False)
    """Who found it, for people who ask; two spans that say the same are equal."""

    @property
    def length(self) -> int:
        return self.end - self.start


def whole(text: str) -> list[Span]:
    """Everything: what is masked of a text that nobody could look into."""
    return [Span(0, len(text), NOT_SCANNED)]


def disjoint_cover(spans: Iterable[Span]) -> list[Span]:
    """Spans that cover the same characters and don't overlap, in order.

    Overlapping ones become one, named after the most certain and then the longest of them:
    Presidio's own conflict resolution prints two entities for one value, or merges neighbours.
    """
    cover: list[Span] = []
    named_by: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if not cover or span.start >= cover[-1].end:
            cover.append(span)
            named_by.append(span)
            continue
        if (span.score, span.length) > (named_by[-1].score, named_by[-1].length):
            named_by[-1] = span
        end = max(cover[-1].end, span.end)
        best = named_by[-1]
        cover[-1] = replace(best, start=cover[-1].start, end=end)
    return cover


def substitute(text: str, spans: Sequence[Span]) -> str:
    """The text with each of the disjoint spans replaced by `<ENTITY>`."""
    return "".join(_pieces(text, spans))


def _pieces(text: str, spans: Sequence[Span]) -> Iterator[str]:
    position = 0
    for span in spans:
        yield text[position : span.start]
        yield placeholder(span.entity)
        position = span.end
    yield text[position:]


def placeholder(entity: str) -> str:
    return f"<{entity}>"


def clipped(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """The parts of the spans inside a piece of the text, counted from that piece's beginning."""
    inside = (s for s in spans if s.start < end and s.end > start)
    return [
        replace(s, start=max(s.start, start) - start, end=min(s.end, end) - start) for s in inside
    ]
