"""Presidio's analyzer with the recognizers that infrastructure needs, offline and failing closed.

Imported only by the scan worker: it takes a second and 100 MB. What the gateway's own process
needs to know is in `masking.prefilter`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import NoOpNlpEngine
from presidio_analyzer.predefined_recognizers import CryptoRecognizer, IbanRecognizer

from masking.context import WindowContextEnhancer
from masking.prefilter import may_hold_in, name_words
from masking.recognizers.card import PaymentCardRecognizer
from masking.recognizers.email import EmailAddressRecognizer
from masking.recognizers.phone import WrittenPhoneRecognizer
from masking.recognizers.secrets import secret_recognizers
from masking.recognizers.ssn import SocialSecurityRecognizer
from masking.spans import Span, disjoint_cover, whole

_LANGUAGE: Final = "en"
_PRESIDIO_LOG: Final = "presidio-analyzer"

THRESHOLD: Final = 0.5
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


def recognizers() -> list[EntityRecognizer]:
    """The curated set. Presidio's other defaults flag ids, hashes and hosts (or take seconds)."""
    return [
        EmailAddressRecognizer(),
        WrittenPhoneRecognizer(),
        PaymentCardRecognizer(),
        IbanRecognizer(),
        SocialSecurityRecognizer(),
        CryptoRecognizer(),
        *secret_recognizers(),
    ]


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
        self._engine = analyzer(recognizers() if chosen is None else chosen)
        self._log = logging.getLogger(_PRESIDIO_LOG)
        self._log.addFilter(_TimeoutsRaise())
        self._log.setLevel(logging.WARNING)

    def spans(self, texts: Sequence[str], context: str) -> list[list[Span]]:
        """Disjoint spans of each text, in order; `context` is the column's name, or empty.

        A text that is too long, or in which a pattern gave up, is one span from end to end.
        """
        found = {text: self._spans(text, context) for text in dict.fromkeys(texts)}
        return [found[text] for text in texts]

    def _spans(self, text: str, context: str) -> list[Span]:
        if not may_hold_in(context, text):
            return []
        if len(text) > LONGEST_TEXT or not self._log.isEnabledFor(logging.WARNING):
            return whole(text)
        try:
            return self.analyze(text, context)
        except (PatternTimedOut, TimeoutError):
            return whole(text)

    def analyze(self, text: str, context: str) -> list[Span]:
        """What Presidio finds, without the prefilter before it."""
        results = self._engine.analyze(text, language=_LANGUAGE, context=name_words(context))
        return disjoint_cover(Span(r.start, r.end, r.entity_type, r.score) for r in results)
