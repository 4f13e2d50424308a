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

from masking.prefilter import may_hold_secret

_PLACEHOLDER: Final = regex.compile(
    r"(?:null|none|true|false|nil|undefined|changeme|\*+|x+|<[^>]*>|\$\{[^}]*\}|\$\w+|\{\{.*\}\})\Z",
    regex.IGNORECASE,
)

_KEY_WORD: Final = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|"
    r"(?:auth|access|refresh|id|bearer)?[_-]?token|client[_-]?secret|"
    r"(?:private|encryption)[_-]?key|credentials?|session[_-]?id|connect\.sid)"
)

_ASSIGNED: Final = (
    r"(?:"
    r'\\+"([^"\\\r\n]{4,4096}+)'  # JSON in a JSON string
    r'|"((?:[^"\\\r\n]|\\.){4,4096}+)'
    r"|'((?:[^'\\\r\n]|\\.){4,4096}+)"
    r"|([^\s\"',;&}{\])\\]{4,4096}+)"
    r")"
)

_TOKENS: Final = "|".join(
    (
        r"gh[pousr]_[A-Za-z0-9]{36,}",
        r"github_pat_[A-Za-z0-9_]{50,}",
        r"gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_\-]{20,}",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
        r"whsec_[A-Za-z0-9]{24,}",
        r"AIza[A-Za-z0-9_\-]{35,}",
        r"ya29\.[A-Za-z0-9_\-]{20,}",
        r"GOCSPX-[A-Za-z0-9_\-]{20,}",
        r"sk-(?:proj|svcacct|admin|ant)-[A-Za-z0-9_\-]{20,}",
        r"sk-[A-Za-z0-9]{40,}",
        r"hf_[A-Za-z0-9]{30,}",
        r"npm_[A-Za-z0-9]{36,}",
        r"pypi-AgE[A-Za-z0-9_\-]{50,}",
        r"hv[sbr]\.[A-Za-z0-9_\-]{24,}",
        r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",
        r"SK[0-9a-f]{32}",
        r"dop_v1_[0-9a-f]{64}",
        r"dapi[0-9a-f]{32}",
        r"eyJrIjoi[A-Za-z0-9=]{40,}",
        r"glsa_[A-Za-z0-9_]{32,}",
        r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{32,}",
        r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    )
)

# (flags, score, pattern) by entity. No rule has a nested capture group.
_Rule = tuple[int, float, str]
_I: Final = regex.IGNORECASE

RULES: Final[Mapping[str, Sequence[_Rule]]] = {
    "PRIVATE_KEY": (
        # A key that is cut off goes to the end of the text.
        (
            0,
            1.0,
            r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]|-(?!----END))*+(?:-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----)?",
        ),
        (
            0,
            1.0,
            r"(?:client[-_]key[-_]data|private_key_data)\\*\"?\s*[:=]\s*\\*\"?"
            r"([A-Za-z0-9+/=]{40,})",
        ),
    ),
    "AWS_KEY": (
        (0, 1.0, r"(?<![A-Z0-9])A(?:KIA|SIA|ROA|IDA|BIA|CCA)[A-Z2-7]{16}(?![A-Z0-9])"),
        (
            _I,
            1.0,
            r"secret[_-]?(?:access[_-]?)?key\\*[\"']?\s*[:=]\s*\\*[\"']?"
            r"([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])",
        ),
    ),
    "CLOUD_TOKEN": (
        (0, 1.0, rf"(?<![A-Za-z0-9])(?:{_TOKENS})"),
        (0, 1.0, r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9+/]{40,})"),
        (
            _I,
            1.0,
            r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=([A-Za-z0-9+/%=]{20,})",
        ),
        (_I, 0.9, r"[?&]sig=([A-Za-z0-9%+/=]{30,})"),
    ),
    "JWT": (
        (
            0,
            1.0,
            r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){1,4}",
        ),
    ),
    "AUTH_HEADER": (
        (
            _I,
            1.0,
            r"\b(?:proxy-)?authorization\\*[\"']?\s*[:=]\s*\\*[\"']?"
            r"(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)\s+([^\s\"',;\\]{8,})",
        ),
        (_I, 0.8, r"\bbearer\s+([A-Za-z0-9_\-.=+/]{20,})"),
        (_I, 0.9, r"\b(?:set-)?cookie\\*[\"']?\s*:\s*([^\r\n\"]{8,})"),
    ),
    "URI_CREDENTIALS": (
        # The password may hold "@" itself: it goes on to the last one before the host.
        (
            _I,
            1.0,
            r"[a-z0-9]://[^\s/@:\"'<>]{0,80}:([^\s/\"'<>?#]{1,200})@(?=[A-Za-z0-9\[.])",
        ),
    ),
    "PASSWORD": (
        (
            _I,
            0.85,
            rf"(?<![A-Za-z0-9])(?:[A-Za-z0-9_.\-]{{0,40}}[_.\-])?{_KEY_WORD}"
            rf"\\*[\"']?\s{{0,3}}(?:=>|:=|[:=])\s{{0,3}}{_ASSIGNED}",
        ),
        (
            0,
            0.9,
            r"\b(?:mysql|mysqldump|mariadb|mysqladmin)\b[^\r\n|;]{0,200}?\s-p([^\s\-][^\s]{3,})",
        ),
        (_I, 0.9, r"--(?:password|token|secret|api-key)[= ]([^\s]{4,})"),
        (0, 1.0, r'"auth"\s*:\s*"([A-Za-z0-9+/=]{8,})"'),
        (
            _I,
            0.9,
            r'"[a-z0-9_]{0,60}(?:password|secret|token)[a-z0-9_]{0,60}"\s*:\s*\{[^{}]{0,200}?'
            r'"value"\s*:\s*"([^"]+)"',
        ),
    ),
    "PASSWORD_HASH": (
        (0, 1.0, r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}"),
        (
            0,
            1.0,
            r"\$argon2(?:id?|d)\$v=\d+\$m=\d+,t=\d+,p=\d+"
            r"\$[A-Za-z0-9+/_\-=]+\$[A-Za-z0-9+/_\-=]+",
        ),
        (0, 1.0, r"(?<![\w$])\$(?:1|5|6|y|gy|7|apr1|sha1|md5|scrypt)\$[^\s:\"',]{8,}"),
        (
            0,
            1.0,
            r"SCRAM-SHA-(?:1|256|512)\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+",
        ),
        (0, 0.9, r"(?<![A-Za-z0-9])md5[0-9a-f]{32}(?![A-Za-z0-9])"),
        (0, 1.0, r"(?<![A-Za-z0-9*])\*[0-9A-F]{40}(?![A-Za-z0-9])"),
        (0, 1.0, r"\$A\$[0-9A-F]{3}\$[^\r\n]{20,}"),
        (
            0,
            1.0,
            r"\b(?:pbkdf2_sha(?:1|256|512)|bcrypt_sha256|scrypt)\$[\w=,]+"
            r"\$[A-Za-z0-9./+=]+\$[A-Za-z0-9+/=$]+",
        ),
        (0, 1.0, r"\{S?(?:SHA|MD5|SHA256|SHA512|CRYPT)\}[A-Za-z0-9+/=$.]{20,}"),
        (0, 1.0, r"\b(?:pbkdf2|scrypt):[a-z0-9]+:\d+(?::\d+:\d+)?\$[A-Za-z0-9]+\$[0-9a-f]{32,}"),
    ),
}


class SecretRecognizer(LocalRecognizer):
    """Reports one entity of `RULES`."""

    def __init__(self, entity: str, rules: Sequence[_Rule]) -> None:
        # ASCII: case folding must not reach beyond what the prefilter's marks do.
        self._rules = [
            (regex.compile(p, flags | regex.ASCII | regex.M), s) for flags, s, p in rules
        ]
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


def _matches(pattern: regex.Pattern[str], text: str) -> Iterator[regex.Match[str]]:
    for match in pattern.finditer(text):
        if not _PLACEHOLDER.match(match[match.lastindex or 0]):
            yield match


def secret_recognizers() -> list[SecretRecognizer]:
    """One recognizer for each entity."""
    return [SecretRecognizer(entity, rules) for entity, rules in RULES.items()]
