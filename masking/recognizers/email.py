"""E-mail addresses as they stand in logs, links and intranets.

Presidio's own recognizer validates the whole match against the public suffix list: it misses
`GET /users/bob@example.com` and `bob@corp.local`, takes `user=bob@...` as one address, and its
first match fetches that list from the network. Here an address is an address wherever it leads.
"""

from __future__ import annotations

import re
from typing import Final

from presidio_analyzer import LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.prefilter import may_hold_email

_LOCAL: Final = r"[\w.!#$*+^~'-]"
"""Characters of a local part. "=", "/", "&", "|" and quotes are allowed by RFC 5322, but stand
before an address far more often than in one."""

_DOMAIN: Final = (
    r"(?:(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})|localhost\b)"
)

# The look-behind lets a search begin only where a run begins: without it a long run of letters
# is tried from each of its characters.
ADDRESS: Final = re.compile(
    rf"(?<!{_LOCAL})[.!#$*+^~'-]*+(\w{_LOCAL}*+(?:@|%40){_DOMAIN})", re.IGNORECASE
)


class EmailAddressRecognizer(LocalRecognizer):
    """Reports EMAIL_ADDRESS, also with an internal suffix, in a path, or percent-encoded."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["EMAIL_ADDRESS"], name="EmailAddressRecognizer")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        if not may_hold_email(text):
            return []
        matches = ADDRESS.finditer(text)
        return [RecognizerResult("EMAIL_ADDRESS", *m.span(1), 1.0) for m in matches]
