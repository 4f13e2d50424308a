"""US social security numbers, the well-known sample numbers among them."""

from __future__ import annotations

from typing import Final

from presidio_analyzer.predefined_recognizers import UsSsnRecognizer

from masking.prefilter import SOCIAL_SECURITY_WORDS

_SAMPLES: Final = frozenset({"123456789", "987654320", "078051120"})


class SocialSecurityRecognizer(UsSsnRecognizer):
    """Presidio's recognizer, which passes sample numbers by: here they go like any other.

    Nine digits without separators count beside a word that says social security.
    """

    def __init__(self) -> None:
        super().__init__(context=list(SOCIAL_SECURITY_WORDS))
        self.score_thresholds = {"US_SSN": 0.4}

    def invalidate_result(self, pattern_text: str) -> bool:
        if "".join(filter(str.isdigit, pattern_text)) in _SAMPLES:
            return False
        refused: bool = super().invalidate_result(pattern_text)
        return refused
