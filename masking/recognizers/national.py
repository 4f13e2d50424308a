"""A predefined recognizer of Presidio's for one country, held to what it can prove.

Presidio lets a check digit raise a score to 1.0: every eleventh number of ten digits is a UK_NHS
then. Some of its patterns have no word boundaries, and match inside hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from presidio_analyzer import LocalRecognizer, Pattern, PatternRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.fast.declared import Necessary
from masking.fast.trees import flags_of_regex


class NationalRecognizer(LocalRecognizer):
    """Reports what the predefined recognizer does, as whole words, with at most this score."""

    def __init__(
        self, predefined: PatternRecognizer, words: Sequence[str], *, at_most: float
    ) -> None:
        (entity,) = predefined.supported_entities
        self._predefined = predefined
        self._at_most = at_most
        name = f"National{type(predefined).__name__}"
        super().__init__(supported_entities=[entity], name=name, context=list(words))

    @property
    def necessary(self) -> tuple[Necessary, ...]:
        """The predefined recognizer's own patterns."""
        flags = flags_of_regex(int(self._predefined.global_regex_flags or 0))
        checked = type(self._predefined).validate_result is not PatternRecognizer.validate_result
        patterns: list[Pattern] = vars(self._predefined)["patterns"]  # untyped in Presidio
        return tuple(
            Necessary(p.regex, flags, min(1.0 if checked else p.score, self._at_most))
            for p in patterns
        )

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        return list(self._found(text))

    def _found(self, text: str) -> Iterator[RecognizerResult]:
        (entity,) = self.supported_entities
        for found in self._predefined.analyze(text, [entity]):
            if _is_word(text, found.start, found.end):
                score = min(found.score, self._at_most)
                yield RecognizerResult(entity, found.start, found.end, score)


def _is_word(text: str, start: int, end: int) -> bool:
    return not (text[max(0, start - 1) : start].isalnum() or text[end : end + 1].isalnum())
