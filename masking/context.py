"""Context for recognizers: the words before a match and those of the column's name.

Presidio's enhancer compares substrings ("ip" in "description") and copies every result, and
without an NLP engine it does not read the text at all.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Final

from presidio_analyzer import ContextAwareEnhancer, EntityRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.prefilter import says

_WORD: Final = re.compile(r"[^\W_]+")
_BOOST, _AT_LEAST = 0.35, 0.4
"""Presidio's own defaults for what a context word adds, and the least score with one."""

_WORDS_BEFORE = 5
_CHARACTERS_BEFORE = 80


class WindowContextEnhancer(ContextAwareEnhancer):
    """Raises a score by 0.35 where one of the last words on the line is a context word."""

    def __init__(self) -> None:
        super().__init__(
            context_similarity_factor=_BOOST,
            min_score_with_context_similarity=_AT_LEAST,
            context_prefix_count=_WORDS_BEFORE,
            context_suffix_count=0,
        )

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: Sequence[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        words = {r.id: frozenset(r.context or ()) for r in recognizers}
        for result in raw_results:
            wanted = words[result.recognition_metadata[RecognizerResult.RECOGNIZER_IDENTIFIER_KEY]]
            if has_context(wanted, text, result.start, context or ()):
                result.score = boosted(result.score)
        return raw_results


def boosted(score: float) -> float:
    """What a result scores beside a context word."""
    return min(1.0, max(score + _BOOST, _AT_LEAST))


def has_context(wanted: Container[str], text: str, start: int, column_words: Sequence[str]) -> bool:
    """Whether a wanted word is in the column's name, or shortly before `start` on its line."""
    if not wanted:
        return False
    return any(says(wanted, word) for word in (*column_words, *_before(text, start)))


def _before(text: str, start: int) -> list[str]:
    first = max(0, start - _CHARACTERS_BEFORE, text.rfind("\n", 0, start) + 1)
    return [word.lower() for word in _WORD.findall(text[first:start])[-_WORDS_BEFORE:]]
