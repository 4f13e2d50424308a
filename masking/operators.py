"""Mask operators: what a column rule may say, and how it is written. What they leave of a value
is `masking.text_masks`' and `masking.values`' matter.

A column has one operator, so that no second query shows the part that the first one hid; what is
computed from the column is not delivered under it, but redacted (`server.obligations`). `keep_last`
and `partial` never show half of a value or more, `digits` shows its length and separators,
truncated dates and buckets a range.

Without Presidio, because they run in the gateway's own process; `masking.anonymizer` registers
the same ones with Presidio's anonymizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from masking.pseudonyms import PseudonymKey

__all__ = ["EXPLAINED", "OPERATORS", "REDACTED", "Operator", "PseudonymKey", "parse_operator"]

REDACTED: Final = "<redacted>"


@dataclass(frozen=True, slots=True)
class Null:
    """Nothing is left."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value, where it is one of the column's type."""

    value: str


@dataclass(frozen=True, slots=True)
class Redact:
    """`<redacted>` where the type can hold it."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The first and last letters and digits; fewer than half of them, or none at all."""

    first: int
    last: int
    character: str = "*"


@dataclass(frozen=True, slots=True)
class KeepLast:
    """The last `count` letters and digits; fewer than half of them, or none at all."""

    count: int


@dataclass(frozen=True, slots=True)
class Email:
    """The domain of an e-mail address."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Other digits for the digits, in the same places; letters go. Equal digits stay equal."""

    domain: str = "digits"


class Unit(StrEnum):
    YEAR = "year"
    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Truncate:
    """The first moment of the same year, month or day."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class Bucket:
    """The greatest multiple of `size` that is not above the number."""

    size: int


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """The same value for the same value within a domain, and nothing to link it over domains."""

    domain: str


ByValue = Partial | KeepLast | Email | Digits | Truncate | Bucket | Pseudonym
"""What is left depends on the value; a document's values are masked one by one."""


@dataclass(frozen=True, slots=True)
class WithKeys:
    """The keys of a JSON document go under the operator too, as its values do."""

    operator: ByValue


Operator = Null | Constant | Redact | ByValue | WithKeys

_DOMAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_COUNT: Final = re.compile(r"[1-9][0-9]?")
_PARTIAL: Final = re.compile(r"([0-9]{1,2})\s*,\s*([0-9]{1,2})(?:\s*,\s*([*#\u2022xX]))?")
_SIZE: Final = re.compile(r"[1-9][0-9]{0,17}")


def _counted(argument: str) -> Operator | None:
    return KeepLast(int(argument)) if _COUNT.fullmatch(argument) else None


def _partial(argument: str) -> Operator | None:
    match = _PARTIAL.fullmatch(argument)
    if match is None or not int(match[1]) + int(match[2]):
        return None
    return Partial(int(match[1]), int(match[2]), match[3] or "*")


def _digits(argument: str) -> Operator | None:
    return Digits(argument) if _DOMAIN.fullmatch(argument) else None


def _bucket(argument: str) -> Operator | None:
    sized = _SIZE.fullmatch(argument) and int(argument) > 1
    return Bucket(int(argument)) if sized else None


def _pseudonym(argument: str) -> Operator | None:
    return Pseudonym(argument) if _DOMAIN.fullmatch(argument) else None


def _with_keys(argument: str) -> Operator | None:
    inner = parse_operator(argument)
    return WithKeys(inner) if isinstance(inner, ByValue) else None


@dataclass(frozen=True, slots=True)
class _Syntax:
    """How an operator is written: `alone` without an argument, `read` with one."""

    written: str
    explained: str
    alone: Operator | None = None
    read: Callable[[str], Operator | None] | None = None


_SYNTAXES: Final[Mapping[str, _Syntax]] = MappingProxyType(
    {
        "null": _Syntax("null", "NULL, in every type", Null()),
        "redact": _Syntax("redact", "<redacted> in text and JSON, NULL in other types", Redact()),
        "constant": _Syntax(
            "constant(text)", "always this value, or NULL where the type has no such value"
        ),
        "keep_last": _Syntax(
            "keep_last(4)", "the last 1 to 99 letters and digits, and never half of them or more",
            read=_counted,
        ),
        "partial": _Syntax(
            "partial(2,4)",
            "the first 2 and the last 4 letters and digits, and never half of them or more; a "
            "third argument is the mask character: one of * # \u2022 x X",
            read=_partial,
        ),
        "email": _Syntax("email", "the domain of an e-mail address: ***@example.com", Email()),
        "digits": _Syntax(
            "digits", "other digits in the same format, equal for equal digits; digits(domain) "
            "keeps domains apart (letters, digits, _ and -)",
            Digits(), _digits,
        ),
        "year": _Syntax("year", "1 January of the same year", Truncate(Unit.YEAR)),
        "month": _Syntax("month", "the first day of the same month", Truncate(Unit.MONTH)),
        "day": _Syntax("day", "the day of a moment, without its time", Truncate(Unit.DAY)),
        "bucket": _Syntax(
            "bucket(10)", "the number rounded down to a multiple of 2 or more", read=_bucket
        ),
        "pseudonym": _Syntax(
            "pseudonym(domain)",
            "a stand-in that is equal for equal values of one domain (letters, digits, _ and -)",
            read=_pseudonym,
        ),
        "with_keys": _Syntax(
            "with_keys(pseudonym(domain))",
            "the keys of JSON documents go under the operator too; one that depends on the value",
            read=_with_keys,
        ),
    }
)  # fmt: skip

OPERATORS: Final = tuple(syntax.written for syntax in _SYNTAXES.values())
"""One example of each, as it is written in a column rule."""

EXPLAINED: Final = "; ".join(f"{s.written}: {s.explained}" for s in _SYNTAXES.values())

_WRITTEN: Final = re.compile(r"(?P<name>[a-z_]+)(?:\((?P<argument>[^\x00]*)\))?", re.DOTALL)


def parse_operator(text: str) -> Operator:
    """The operator that a configured mask such as `keep_last(4)` names.

    Raises ValueError with what would be right, without the text: it may hold what should be hidden.
    """
    written = _WRITTEN.fullmatch(text.strip())
    syntax = None if written is None else _SYNTAXES.get(written["name"])
    if written is None or syntax is None:
        raise ValueError(_known())
    argument = written["argument"]
    if argument is None:
        operator = syntax.alone
    elif written["name"] == "constant":
        operator = Constant(argument)
    else:
        operator = syntax.read(argument.strip()) if syntax.read else None
    if operator is None:
        raise ValueError(f"{_known()}; {syntax.written} is {syntax.explained}")
    return operator


def _known() -> str:
    return f"write {', '.join(OPERATORS[:-1])} or {OPERATORS[-1]}"
