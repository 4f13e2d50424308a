"""Entities in text that stands there encoded once, or as a number with a line break inside.

`masking.encodings` decodes, the other recognizers look at that. What they find is reported where it
stands in the original: the characters themselves where each has its place there (percent-encoding,
line breaks), the whole token in base64 and hexadecimal.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from presidio_analyzer import EntityRecognizer, LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.encodings import NECESSARY, tokens, views
from masking.entities import THRESHOLD
from masking.fast.declared import Necessary


class EncodedTextRecognizer(LocalRecognizer):
    """Reports the entities of other recognizers that reach their thresholds without context."""

    necessary: Final = tuple(Necessary(pattern) for pattern in NECESSARY)

    def __init__(self, others: Sequence[EntityRecognizer]) -> None:
        self._others = tuple(others)
        entities = dict.fromkeys(e for other in others for e in other.supported_entities)
        super().__init__(supported_entities=list(entities), name="EncodedTextRecognizer")
        self.score_thresholds = {e: t for o in others for e, t in o.score_thresholds.items()}

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        return [*self._in_views(text), *self._in_tokens(text)]

    def _in_views(self, text: str) -> Iterator[RecognizerResult]:
        for view in views(text):
            for found in self._found(view.text):
                if view.differs(found.start, found.end):
                    yield _moved(found, view.places[found.start], view.places[found.end])

    def _in_tokens(self, text: str) -> Iterator[RecognizerResult]:
        """One look at all tokens, on lines of their own."""
        decoded = list(tokens(text))
        starts = [0, *accumulate(len(token.text) + 1 for token in decoded)]
        for found in self._found("\n".join(token.text for token in decoded)):
            first = bisect_right(starts, found.start) - 1
            last = bisect_right(starts, found.end - 1) - 1
            for token in decoded[first : last + 1]:
                yield _moved(found, token.start, token.end)

    def _found(self, decoded: str) -> Iterator[RecognizerResult]:
        no_artifacts: Any = None  # there is no language model behind these recognizers
        for other in self._others if decoded else ():
            for found in other.analyze(decoded, other.supported_entities, no_artifacts):
                if found.score >= other.score_thresholds.get(found.entity_type, THRESHOLD):
                    yield found


def _moved(found: RecognizerResult, start: int, end: int) -> RecognizerResult:
    return RecognizerResult(found.entity_type, start, end, found.score)
