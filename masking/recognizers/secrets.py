"""Secrets of infrastructure: keys, tokens, passwords and their hashes, as Presidio recognizers.

Presidio has none. A rule's capture groups are what is reported, so that `password=` stays
readable; without one it is the whole match. Every pattern takes linear time: repetitions are
possessive or bounded. They are `regex`'s, because possessive groups of `re` match wrongly before
Python 3.11.5 (CPython issue 106052).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.fast.declared import Necessary
from masking.fast.trees import flags_of_regex
from masking.prefilter import may_hold_secret
from masking.recognizers import password_rules, token_rules
from masking.recognizers.manifests import NECESSARY, secret_values
from masking.recognizers.token_rules import Rule

RULES: Final[Mapping[str, Sequence[Rule]]] = {**token_rules.RULES, **password_rules.RULES}

_PLACEHOLDER: Final = regex.compile(
    r"(?:null|none|true|false|nil|undefined|changeme|\*+|x+|<[^>]*>|\$\{[^}]*\}|\$\w+|\{\{.*\}\})\Z",
    regex.IGNORECASE,
)


class SecretRecognizer(LocalRecognizer):
    """Reports one entity of `RULES`."""

    def __init__(self, entity: str, rules: Sequence[Rule]) -> None:
        # ASCII: case folding must not reach beyond what the prefilter's marks do.
        self._rules = [
            (regex.compile(p, flags | regex.ASCII | regex.M), s) for flags, s, p in rules
        ]
        self.necessary = [Necessary(p.pattern, flags_of_regex(p.flags), s) for p, s in self._rules]
        super().__init__(supported_entities=[entity], name=f"{entity.title()}Recognizer")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        if not may_hold_secret(text):
            return []
        return [
            RecognizerResult(self.supported_entities[0], *match.span(match.lastindex or 0), score)
            for pattern, score in self._rules
            for match in _matches(pattern, text)
        ]


class SecretManifestRecognizer(LocalRecognizer):
    """Reports the values of Kubernetes Secrets as PASSWORD, whatever their keys are."""

    necessary: Final = (Necessary(NECESSARY),)

    def __init__(self) -> None:
        super().__init__(supported_entities=["PASSWORD"], name="SecretManifestRecognizer")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        return [RecognizerResult("PASSWORD", *span, 1.0) for span in secret_values(text)]


def _matches(pattern: regex.Pattern[str], text: str) -> Iterator[regex.Match[str]]:
    for match in pattern.finditer(text):
        if not _PLACEHOLDER.match(match[match.lastindex or 0]):
            yield match


def secret_recognizers() -> list[LocalRecognizer]:
    """One recognizer for each entity, and one for manifests."""
    return [
        *(SecretRecognizer(entity, rules) for entity, rules in RULES.items()),
        SecretManifestRecognizer(),
    ]
