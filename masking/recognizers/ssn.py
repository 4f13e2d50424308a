"""US social security numbers, the well-known sample numbers among them."""

from __future__ import annotations

import re
from typing import Final

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import UsSsnRecognizer

from masking.prefilter import SOCIAL_SECURITY_WORDS

_SAMPLES: Final = frozenset({"123456789", "987654320", "078051120"})
_SEPARATED: Final = Pattern(
    "SSN6 (other separators, spaces round them)",
    r"\b([0-9]{3})( ?[-./\u2010-\u2015\u00a0] ?|  )([0-9]{2})\2([0-9]{4})\b",
    0.5,
)
_SEPARATORS: Final = re.compile("[^0-9]+")


class SocialSecurityRecognizer(UsSsnRecognizer):
    """Presidio's recognizer, which passes sample numbers by: here they go like any other.

    Nine digits without separators count beside a word that says social security.
    """

    def __init__(self) -> None:
        super().__init__(
            patterns=[*UsSsnRecognizer.PATTERNS, _SEPARATED], context=list(SOCIAL_SECURITY_WORDS)
        )
        self.score_thresholds = {"US_SSN": 0.4}

    def invalidate_result(self, pattern_text: str) -> bool:
        """Also where a separator has spaces round it, which Presidio takes for different ones."""
        if len(set(_SEPARATORS.findall(pattern_text))) > 1:
            return True
        digits = _SEPARATORS.sub("", pattern_text)
        if digits in _SAMPLES:
            return False
        refused: bool = super().invalidate_result(digits)
        return refused
