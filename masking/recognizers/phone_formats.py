"""Whether digits and signs may be written as the country formats this very number.

`NumberFormats.may_write` is a condition without which STRICT_GROUPING (9.0) refuses a number that
was written without a plus sign or a prefix for calls abroad:

- where the number's format wants the national prefix, the digits begin with that prefix, unless
  with the country's code (`_is_national_prefix_present_if_required`);
- the groups of a format of the number's are found in what is written, one behind the other, each
  unbroken; behind the first one a sign follows, or the whole number stands there unbroken
  (`_all_number_groups_remain_grouped`). Behind a country's code, from where the library looks for
  the groups is left open.

The library takes the first fitting format of one list, and all alternate ones; here it may be any
fitting one of both lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from phonenumbers import PhoneMetadata, PhoneNumberFormat
from phonenumbers.phonenumberutil import country_code_for_region

# What is private there has no types; versions are pinned, and compared in tests.
_matcher: Final[Any] = import_module("phonenumbers.phonenumbermatcher")
_numbers: Final[Any] = import_module("phonenumbers.phonenumberutil")

_ANYTHING: Final = re.compile("")
_NOTHING: Final = re.compile(r"(?!)")
_REMEMBERED: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class _Way:
    """A format, and the numbers that are formatted so."""

    begins: re.Pattern[str]
    all_of: re.Pattern[str] | None
    wants_prefix: bool
    format: Any

    def takes(self, number: str) -> bool:
        fits = self.all_of is None or self.all_of.fullmatch(number) is not None
        return fits and self.begins.match(number) is not None

    def groups(self, number: str) -> tuple[str, ...]:
        written: str = _numbers._format_nsn_using_pattern(
            number, self.format, PhoneNumberFormat.RFC3966
        )
        return tuple(written.split("-"))


class NumberFormats:
    """The formats of a region that is the first of its country's code."""

    def __init__(self, region: str) -> None:
        metadata: Any = PhoneMetadata.metadata_for_region(region)
        code = country_code_for_region(region)
        self._country_code = str(code)
        self._national_prefix = bool(metadata.national_prefix)
        self._prefix = re.compile(metadata.national_prefix_for_parsing or _NOTHING.pattern)
        self._national = [_way(each) for each in metadata.number_format]
        abroad = [_way(each) for each in metadata.intl_number_format]
        others = [_alternate(f) for f in _matcher._ALT_NUMBER_FORMATS.get(code, ())]
        self._ways = (*self._national, *abroad, *others)
        self._known = lru_cache(maxsize=_REMEMBERED)(self._looked_up)

    def may_write(self, part: str, digits: str, number: str) -> bool:
        """Whether `part`, which has these digits, may be the number as it is written."""
        with_code = digits.startswith(self._country_code)
        if not with_code and not self._prefix.match(digits) and self._wants_prefix(number):
            return False
        return any(self._are_in(part, number, each, with_code) for each in self._known(number))

    def _wants_prefix(self, number: str) -> bool:
        national = next((way for way in self._national if way.takes(number)), None)
        return national is not None and national.wants_prefix

    def _looked_up(self, number: str) -> frozenset[tuple[str, ...]]:
        """The groups that the number may be written in."""
        ways = (way for way in self._ways if way.takes(number))
        return frozenset(((number,), *(way.groups(number) for way in ways)))

    def _are_in(self, part: str, number: str, groups: Sequence[str], with_code: bool) -> bool:
        place = 0
        for index, group in enumerate(groups):
            begin = part.find(group, place)
            if begin < 0:
                return False
            place = begin + len(group)
            unbroken = index == 0 and self._national_prefix and part[place : place + 1].isdigit()
            if unbroken and not with_code:
                return part.startswith(number, begin)
        return True


def _way(each: Any) -> _Way:
    """One of the lists of which the first that fits is taken, by its last pattern."""
    patterns = each.leading_digits_pattern
    begins = re.compile(patterns[-1]) if patterns else _ANYTHING
    rule = each.national_prefix_formatting_rule
    wants = rule and not each.national_prefix_optional_when_formatting
    only_first = _numbers._formatting_rule_has_first_group_only(rule)
    return _Way(begins, re.compile(each.pattern), bool(wants) and not only_first, each)


def _alternate(each: Any) -> _Way:
    """One of the list of which all are tried, by their first pattern, whatever their length."""
    patterns = each.leading_digits_pattern
    return _Way(re.compile(patterns[0]) if patterns else _ANYTHING, None, False, each)
