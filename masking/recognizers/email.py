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

from masking.fast.declared import Necessary
from masking.prefilter import may_hold_email

_LOCAL: Final = r"[\w.!#$*+^~'-]"
"""Characters of a local part. "=", "/", "&", "|" and quotes are allowed by RFC 5322, but stand
before an address far more often than in one."""

_QUOTED: Final = r'"[^"@\r\n]{1,62}"'  # RFC 5321, section 4.1.2

_DOMAIN: Final = (
    r"(?:\[[0-9]{1,3}(?:\.[0-9]{1,3}){3}\]"
    r"|(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})|localhost\b)"
)

# The look-behind lets a search begin only where a run begins: without it a long run of letters
# is tried from each of its characters.
ADDRESS: Final = re.compile(
    rf"(?<!{_LOCAL})[.!#$*+^~'-]*+((?:\w{_LOCAL}*+|{_QUOTED})(?:@|%40){_DOMAIN})", re.IGNORECASE
)


_BEFORE_PASSWORD: Final = re.compile(
    r"[a-z0-9]://[^\s/@:\"'<>]{0,80}:[^\s/\"'<>?#]{0,200}\Z", re.IGNORECASE
)


class EmailAddressRecognizer(LocalRecognizer):
    """Reports EMAIL_ADDRESS, also with an internal suffix, in a path, or percent-encoded."""

    necessary = (Necessary(ADDRESS.pattern, ADDRESS.flags),)

    def __init__(self) -> None:
        super().__init__(supported_entities=["EMAIL_ADDRESS"], name="EmailAddressRecognizer")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        if not may_hold_email(text):
            return []
        matches = (m for m in ADDRESS.finditer(text) if not _in_credentials(text, m.start(1)))
        return [RecognizerResult("EMAIL_ADDRESS", *m.span(1), 1.0) for m in matches]


def _in_credentials(text: str, start: int) -> bool:
    """Whether a password stands here, of a URL with credentials: their rule leaves the host."""
    return _BEFORE_PASSWORD.search(text, max(0, start - 300), start) is not None
