"""Presidio's analyzer with the recognizers that infrastructure needs, offline and failing closed.

Imported only by the scan worker: it takes a second and 100 MB. What the gateway's own process
needs to know is in `masking.prefilter`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NlpArtifacts, NoOpNlpEngine

from masking import packs
from masking.context import WindowContextEnhancer
from masking.entities import THRESHOLD, Recognition
from masking.prefilter import may_hold_anything, may_hold_in, name_words
from masking.spans import Span, disjoint_cover, whole

_LANGUAGE: Final = "en"
_LOG: Final = logging.getLogger("ostiary.masking")
_PRESIDIO_LOG: Final = "presidio-analyzer"

_AS_IT_STANDS: Final = Recognition()

LONGEST_TEXT: Final = 1 << 20
"""Characters; a longer text is masked as a whole."""


class PatternTimedOut(Exception):
    """A regular expression gave up, so that the text was not searched to its end."""


class _TimeoutsRaise(logging.Filter):
    """Turns Presidio's warning that a pattern was skipped into an exception.

    The warning is all that Presidio does about it; what it would have found stays in the text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if "timed out" in str(record.msg):
            raise PatternTimedOut
        return True


def recognizers(recognition: Recognition = _AS_IT_STANDS) -> list[EntityRecognizer]:
    """The curated set. Presidio's other defaults flag ids, hashes and hosts (or take seconds)."""
    return packs.recognizers(recognition)


def analyzer(chosen: Sequence[EntityRecognizer]) -> AnalyzerEngine:
    """Presidio's engine with these recognizers and no language model; it never uses a network.

    The only recognizer of Presidio's that fetches anything is its e-mail recognizer (the public
    suffix list), which is not among ours.
    """
    models = [{"lang_code": _LANGUAGE, "model_name": "no_op"}]
    return AnalyzerEngine(
        nlp_engine=NoOpNlpEngine(models),
        registry=RecognizerRegistry(recognizers=list(chosen), supported_languages=[_LANGUAGE]),
        context_aware_enhancer=WindowContextEnhancer(),
        default_score_threshold=THRESHOLD,
        supported_languages=[_LANGUAGE],
    )


class Scanner:
    """Finds entities in texts. Pure: the same text and context always give the same spans."""

    def __init__(self, chosen: Sequence[EntityRecognizer] | None = None) -> None:
        self.recognizers = recognizers() if chosen is None else list(chosen)
        self._may_hold_in = may_hold_in if chosen is None else may_hold_anything
        self._engine = analyzer(self.recognizers)
        self.entities: list[str] = self._engine.get_supported_entities(_LANGUAGE)
        self._log = logging.getLogger(_PRESIDIO_LOG)
        self._log.addFilter(_TimeoutsRaise())
        self._log.setLevel(logging.WARNING)

    def spans(self, texts: Sequence[str], context: str) -> list[list[Span]]:
        """Disjoint spans of each text, in order; `context` is the column's name, or empty.

        A text that is too long, or in which a recognizer failed, is one span from end to end.
        """
        found = {text: self.guarded(text, context) for text in dict.fromkeys(texts)}
        return [found[text] for text in texts]

    def guarded(self, text: str, context: str) -> list[Span]:
        """`analyze` behind the hand-made prefilter; where it fails, the whole text."""
        return self.unfiltered(text, context) if self._may_hold_in(context, text) else []

    def unfiltered(self, text: str, context: str) -> list[Span]:
        """`analyze`; where it fails, the whole text."""
        if len(text) > LONGEST_TEXT or not self.reports_timeouts():
            return whole(text)
        try:
            return self.analyze(text, context)
        except Exception as error:  # noqa: BLE001 - recognizers are others' code: fail closed
            _LOG.warning("a recognizer failed, a text is masked whole: %s", type(error).__name__)
            return whole(text)

    def reports_timeouts(self) -> bool:
        """Whether a pattern that gives up is heard of: not while warnings are silenced."""
        return self._log.isEnabledFor(logging.WARNING)

    def artifacts(self, text: str) -> NlpArtifacts:
        return self._engine.nlp_engine.process_text(text, _LANGUAGE)

    def analyze(self, text: str, context: str) -> list[Span]:
        """What Presidio finds, without the prefilter before it."""
        results = self._engine.analyze(text, language=_LANGUAGE, context=name_words(context))
        return disjoint_cover(map(span_of, results))


def span_of(result: RecognizerResult) -> Span:
    """The span of a result, with the name of its recognizer where the result says it."""
    found_by = (result.recognition_metadata or {}).get(RecognizerResult.RECOGNIZER_NAME_KEY, "")
    return Span(result.start, result.end, result.entity_type, result.score, found_by)
