"""Mask operators: what is left of a text under a column rule. Types are `masking.values`' matter.

Without Presidio, because they run in the gateway's own process; `masking.anonymizer` registers
the same ones with Presidio's anonymizer.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Final, assert_never

REDACTED: Final = "<redacted>"


@dataclass(frozen=True, slots=True)
class Null:
    """Nothing is left."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value."""

    value: str


@dataclass(frozen=True, slots=True)
class Redact:
    """`<redacted>` where the type can hold it."""


@dataclass(frozen=True, slots=True)
class KeepLast:
    """The last `count` letters and digits; fewer than half of them, or none at all."""

    count: int


@dataclass(frozen=True, slots=True)
class Email:
    """The domain of an e-mail address."""


@dataclass(frozen=True, slots=True)
class Year:
    """1 January of the same year."""


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """The same value for the same value within a domain, and nothing to link it over domains."""

    domain: str


Operator = Null | Constant | Redact | KeepLast | Email | Year | Pseudonym

OPERATORS: Final = (
    "null", "constant(x)", "redact", "keep_last(n)", "email", "year", "pseudonym(domain)",
)  # fmt: skip

_SYNTAX: Final = re.compile(r"(?P<name>[a-z_]+)(?:\((?P<argument>.*)\))?", re.DOTALL)


def parse_operator(text: str) -> Operator:
    """The operator that a configured mask such as `keep_last(4)` names.

    Raises ValueError with what would be right.
    """
    syntax = _SYNTAX.fullmatch(text.strip())
    if syntax is None:
        raise _unknown(text)
    match syntax["name"], syntax["argument"]:
        case "null", None:
            return Null()
        case "redact", None:
            return Redact()
        case "email", None:
            return Email()
        case "year", None:
            return Year()
        case "constant", str(value):
            return Constant(value)
        case "keep_last", str(count) if re.fullmatch(r"[1-9][0-9]?", count.strip()):
            return KeepLast(int(count))
        case "pseudonym", str(domain) if domain.strip():
            return Pseudonym(domain.strip())
        case _:
            raise _unknown(text)


def _unknown(text: str) -> ValueError:
    return ValueError(f"no mask operator {text!r}; there are {', '.join(OPERATORS)}")


@dataclass(frozen=True, slots=True, repr=False)
class PseudonymKey:
    """The key ring's secret for pseudonyms; its representation doesn't show it."""

    secret: bytes

    def digest(self, domain: str, kind: str, value: bytes) -> bytes:
        """32 bytes that depend on the value and tell nothing of it without the key."""
        domain_key = hmac.digest(self.secret, b"domain:" + domain.encode(), "sha256")
        return hmac.digest(domain_key, kind.encode() + b"\0" + value, "sha256")


def mask_text(operator: Operator, text: str, key: PseudonymKey) -> str | None:
    """What is left of a text, or None for nothing."""
    match operator:
        case Null():
            return None
        case Constant(value):
            return value
        case Redact():
            return REDACTED
        case KeepLast(count):
            return _keep_last(text, count)
        case Email():
            return _domain_only(text)
        case Year():
            return _year_only(text)
        case Pseudonym(domain):
            return _pseudonym(text, domain, key)
        case _:
            assert_never(operator)


def _keep_last(text: str, count: int) -> str:
    hidden = sum(map(str.isalnum, text)) - count
    if hidden <= count:
        return REDACTED
    masked = []
    for character in text:
        hide = character.isalnum() and hidden > 0
        hidden -= hide
        masked.append("*" if hide else character)
    return "".join(masked)


_ADDRESS: Final = re.compile(r"\s*[^@\s]+@([^@\s]+\.[^@\s.]+)\s*")


def _domain_only(text: str) -> str:
    address = _ADDRESS.fullmatch(text)
    return REDACTED if address is None else f"***@{address[1]}"


_DATE: Final = re.compile(r"([0-9]{4})-[0-9]{2}-[0-9]{2}(?:[ T].*)?", re.DOTALL)


def _year_only(text: str) -> str:
    date = _DATE.fullmatch(text.strip())
    return REDACTED if date is None else f"{date[1]}-01-01"


def _pseudonym(text: str, domain: str, key: PseudonymKey) -> str:
    """80 bits in base32, of the text without case and outer blanks, so that spellings join."""
    digest = key.digest(domain, "text", text.strip().casefold().encode("utf-8", "surrogatepass"))
    return "p_" + base64.b32encode(digest[:10]).decode().lower()
