"""Operators on numbers: whole numbers, exact decimals and floating point, without a wire form."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from masking.operators import Bucket, Constant, Digits, Operator, Pseudonym, PseudonymKey, WithKeys
from masking.pseudonyms import Domain
from masking.text_masks import REMEMBERED
from masking.values.cells import Fixed


@dataclass(frozen=True, slots=True)
class Limits:
    """The least and the greatest whole number of a type."""

    least: int
    greatest: int

    @classmethod
    def signed(cls, bits: int) -> Limits:
        return cls(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)

    @classmethod
    def unsigned(cls, bits: int) -> Limits:
        return cls(0, (1 << bits) - 1)

    def checked(self, value: int) -> int:
        """Raises OverflowError outside."""
        if not self.least <= value <= self.greatest:
            raise OverflowError("outside of the type")
        return value


@dataclass(frozen=True, slots=True)
class Decimal:
    """An exact number as digits before and behind the point; `fraction` has the scale's length."""

    negative: bool
    whole: str
    fraction: str

    @classmethod
    def parsed(cls, text: str) -> Decimal:
        """A plain decimal such as -12.50. Raises ValueError for any other text, NaN too."""
        match = _PLAIN.fullmatch(text)
        if match is None:
            raise ValueError("not a plain decimal")
        return cls(match[1] == "-", match[2].lstrip("0") or "0", match[3] or "")

    def __str__(self) -> str:
        point = "." if self.fraction else ""
        sign = "-" if self.negative and (self.whole + self.fraction).strip("0") else ""
        return f"{sign}{self.whole}{point}{self.fraction}"


_PLAIN: Final = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?")
_MOST_DIGITS: Final = 200
"""Of a number that is permuted: more would cost more than a statement may."""

IntegerMask = Callable[[int], int | None]
DecimalMask = Callable[[Decimal], Decimal | None]
FloatMask = Callable[[float], float | None]


def integer_mask(operator: Operator, key: PseudonymKey, limits: Limits) -> IntegerMask | None:
    """None where nothing can be left. The mask may raise ValueError or OverflowError."""
    match operator:
        case Constant(value):
            return Fixed(limits.checked(_whole(value.strip())))
        case Bucket(size):
            return lambda value: limits.checked(value // size * size)
        case Pseudonym() | Digits():
            domain = number_domain(operator, key)
            return lru_cache(REMEMBERED)(
                lambda value: limits.checked(integer_pseudonym(value, domain))
            )
        case WithKeys(inner):
            return integer_mask(inner, key, limits)
        case _:
            return None


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,40}", text):
        raise ValueError("not a whole number")
    return int(text)


def number_domain(operator: Pseudonym | Digits, key: PseudonymKey) -> Domain:
    """`digits` keeps its numbers apart from pseudonyms, even of a domain of the same name."""
    apart = "digits:" if isinstance(operator, Digits) else ""
    return key.domain(apart + operator.domain)


_WIDTHS: Final = (8, 16, 24, 32, 64)
_ENDS: Final = sorted(
    {(1 << (bits - spare)) - 1 for bits in _WIDTHS for spare in (0, 1)}
    | {10**digits - 1 for digits in range(1, 21)}
)
"""Where stretches of positive numbers end that are permuted among themselves: at powers of ten, to
keep the length, and at the ends of all integer types, so that what fits a type goes on fitting
whatever type the equal value of another column has."""

_NEGATIVE_ENDS: Final = sorted(
    {1 << (bits - 1) for bits in _WIDTHS} | {10**digits - 1 for digits in range(1, 21)}
)


def _stretch(size: int, ends: list[int], start: int) -> tuple[int, int]:
    """The first and last number of the stretch that a magnitude is in."""
    if size > ends[-1]:
        length = len(str(size))
        return 10 ** (length - 1), 10**length - 1
    position = bisect_left(ends, size)
    return (ends[position - 1] + 1 if position else start), ends[position]


def integer_pseudonym(value: int, domain: Domain) -> int:
    """Another number with the same sign and as many digits; no two values share one."""
    if len(str(value)) > _MOST_DIGITS:
        raise ValueError("too many digits")
    if value < 0:
        first, last = _stretch(-value, _NEGATIVE_ENDS, 1)
        return -first - domain.permuted(-value - first, last - first + 1, f"integer:-{first}")
    first, last = _stretch(value, _ENDS, 0)
    return first + domain.permuted(value - first, last - first + 1, f"integer:{first}")


def decimal_mask(
    operator: Operator, key: PseudonymKey, precision: tuple[int, int] | None
) -> DecimalMask | None:
    """`precision`: most digits in all and behind the point. What doesn't fit is left out."""
    match operator:
        case Constant(value):
            return Fixed(_fitting(_scaled(Decimal.parsed(value.strip()), precision), precision))
        case Bucket(size):
            return lambda value: _fitting(_bucketed(value, size), precision)
        case Pseudonym() | Digits():
            domain = number_domain(operator, key)
            return lru_cache(REMEMBERED)(
                lambda value: _fitting(decimal_pseudonym(value, domain), precision)
            )
        case WithKeys(inner):
            return decimal_mask(inner, key, precision)
        case _:
            return None


def _scaled(value: Decimal, precision: tuple[int, int] | None) -> Decimal:
    if precision is None:
        return value
    if len(value.fraction.rstrip("0")) > precision[1]:
        raise ValueError("more places than the type has")
    fraction = value.fraction[: precision[1]].ljust(precision[1], "0")
    return Decimal(value.negative, value.whole, fraction)


def _fitting(value: Decimal, precision: tuple[int, int] | None) -> Decimal:
    if precision is not None and len(value.whole.lstrip("0")) > precision[0] - precision[1]:
        raise OverflowError("more digits than the type has")
    return value


def _bucketed(value: Decimal, size: int) -> Decimal:
    if len(value.whole) > _MOST_DIGITS:
        raise ValueError("too many digits")
    whole = -int(value.whole) if value.negative else int(value.whole)
    floor = (whole - 1 if value.negative and value.fraction.strip("0") else whole) // size * size
    return Decimal(floor < 0, str(abs(floor)), "0" * len(value.fraction))


def decimal_pseudonym(value: Decimal, domain: Domain) -> Decimal:
    """A whole number's is the integer's; others keep the places that they have digits in."""
    digits = value.fraction.rstrip("0")
    if len(value.whole) + len(digits) > _MOST_DIGITS:
        raise ValueError("too many digits")
    zeros = "0" * (len(value.fraction) - len(digits))
    if not digits:
        whole = integer_pseudonym(int(value.whole) * (-1 if value.negative else 1), domain)
        return Decimal(whole < 0, str(abs(whole)), zeros)
    size = int(value.whole)
    first, last = (0, 0) if size == 0 else _stretch(size, _ENDS, 1)
    fractions = 9 * 10 ** (len(digits) - 1)  # the last digit is not 0
    tail = int(digits)
    place = (size - first) * fractions + tail - tail // 10 - 1
    space = f"decimal:{'-' if value.negative else ''}{first}:{len(digits)}"
    other = domain.permuted(place, (last - first + 1) * fractions, space)
    above, index = divmod(other, fractions)
    fraction = str(index // 9 * 10 + index % 9 + 1).zfill(len(digits))
    return Decimal(value.negative, str(first + above), fraction + zeros)


def float_mask(operator: Operator) -> FloatMask | None:
    """Floating point numbers have buckets and constants: equal ones are a matter of rounding."""
    match operator:
        case Constant(value):
            return Fixed(finite(float(value.strip())))
        case Bucket(size):
            return lambda value: float(math.floor(_exact(value) / size) * size)
        case WithKeys(inner):
            return float_mask(inner)
        case _:
            return None


_MOST_EXACT: Final = float(1 << 53)


def _exact(number: float) -> float:
    """Raises ValueError for a number that is no sum of ones: its bucket would tell all of it."""
    if not abs(number) <= _MOST_EXACT:
        raise ValueError("too large for a bucket")
    return number


def finite(number: float) -> float:
    """Raises ValueError for infinities and for what is no number."""
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
