"""What each operator leaves of a text; the masks of other types fall back on these."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar, assert_never

from masking.operators import (
    REDACTED,
    Bucket,
    Constant,
    Digits,
    Email,
    KeepLast,
    Null,
    Operator,
    Partial,
    Pseudonym,
    PseudonymKey,
    Redact,
    Truncate,
    Unit,
    WithKeys,
)
from masking.pseudonyms import SHORTEST, Domain

TextMask = Callable[[str], str | None]

REMEMBERED: Final = 8192
"""Values whose pseudonyms one mask remembers: columns that are joined repeat theirs."""

_LONGEST_REMEMBERED: Final = 512
"""Characters or bytes: a column of documents must not fill the memory."""


def mask_text(operator: Operator, text: str, key: PseudonymKey) -> str | None:
    """What is left of a text, or None for nothing."""
    return text_mask(operator, key)(text)


def text_mask(operator: Operator, key: PseudonymKey, room: int | None = None) -> TextMask:
    """The operator for many texts; `room`: the most characters that the result may have."""
    match operator:
        case Null():
            return lambda text: None
        case Constant(value):
            return lambda text: value
        case Redact():
            return lambda text: REDACTED
        case KeepLast(count):
            return lambda text: partly(text, 0, count, "*")
        case Partial(first, last, character):
            return lambda text: partly(text, first, last, character)
        case Email():
            return _domain_only
        case Digits(domain):
            return remembered(_digit_mask(key.domain(f"digits:{domain}")))
        case Truncate(unit):
            return lambda text: _truncated(text, unit)
        case Bucket(size):
            return lambda text: _bucketed(text, size)
        case Pseudonym(domain):
            return _token_mask(key.domain(domain), room)
        case WithKeys(inner):
            return text_mask(inner, key, room)
        case _:
            assert_never(operator)


Sized = TypeVar("Sized", str, bytes)


def remembered(mask: Callable[[Sized], Sized]) -> Callable[[Sized], Sized]:
    """The mask with a memory of the short values that it had last."""
    known = lru_cache(REMEMBERED)(mask)
    return lambda value: known(value) if len(value) <= _LONGEST_REMEMBERED else mask(value)


def _token_mask(domain: Domain, room: int | None) -> TextMask:
    if room is not None and room < SHORTEST:
        return lambda text: None
    return remembered(lambda text: domain.token(text, room or 0))


def partly(text: str, first: int, last: int, character: str) -> str:
    """The first and last letters and digits; `<redacted>` where that were half of them or more.

    Signs of ASCII between them stay where they are; any other character goes.
    """
    if sum(map(str.isalnum, text)) <= 2 * (first + last):
        return REDACTED
    start, end = after(text, first), len(text) - after(text[::-1], last)
    kept = text[:start], text[end:]
    shown = [k if k.isascii() else _STRANGE.sub(character, k) for k in kept]
    return shown[0] + _HIDDEN.sub(character, text[start:end]) + shown[1]


_HIDDEN: Final = re.compile(r"[A-Za-z0-9]|[^\x00-\x7f]")
_STRANGE: Final = re.compile(r"[^\x00-\x7f\w]")


def after(text: str, count: int) -> int:
    """Where the first `count` letters and digits end; the text has as many."""
    position = 0
    while count:
        count -= text[position].isalnum()
        position += 1
    return position


_ADDRESS: Final = re.compile(r"\s*<?[^@\s]+@((?:[\w-]+\.)+[\w-]+)>?\s*")
"""The domain is a name: nothing that stands behind an address, such as a parameter, is shown."""


def _domain_only(text: str) -> str:
    address = _ADDRESS.fullmatch(text)
    return REDACTED if address is None else f"***@{address[1]}"


_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})([ T].*)?", re.DOTALL)


def _truncated(text: str, unit: Unit) -> str:
    date = _DATE.fullmatch(text.strip())
    if date is None or (unit is Unit.DAY and not date[4]):
        return REDACTED
    year, month, day = date[1], date[2], date[3]
    try:
        datetime(int(year), int(month), int(day))
    except ValueError:
        return REDACTED
    return f"{year}-{'01' if unit is Unit.YEAR else month}-{day if unit is Unit.DAY else '01'}"


_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,30})(\.[0-9]{1,30})?\s*", re.ASCII)


def _bucketed(text: str, size: int) -> str:
    number = _NUMBER.fullmatch(text)
    if number is None:
        return REDACTED
    whole = int(number[1])
    below = number[1].startswith("-") and (number[2] or "").strip(".0")
    floor = (whole - 1 if below else whole) // size * size
    return str(floor)


_SEPARATORS: Final = frozenset(" -.()+/#,:;_\t")


def _digit_mask(domain: Domain) -> Callable[[str], str]:
    def masked(text: str) -> str:
        digits = "".join(str(int(c)) for c in text if c.isdecimal())
        if not digits or len(digits) > 200:
            return REDACTED
        other = permuted_digits(digits, domain)
        replaced = iter(other)
        return "".join(
            next(replaced) if c.isdecimal() else c if c in _SEPARATORS else "*" for c in text
        )

    return masked


def permuted_digits(digits: str, domain: Domain) -> str:
    """As many other digits; those of two texts of one length are never the same."""
    other = domain.permuted(int(digits), 10 ** len(digits), "digits")
    return str(other).zfill(len(digits))
