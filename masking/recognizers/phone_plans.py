"""Whether digits may be a valid number of a region.

python-phonenumbers takes 50 to 100 microseconds to learn that digits are no number of a region.
`NumberPlan.may_be` is a condition without which `parse` and `is_valid_number` (9.0) refuse plain
digits: what is left of them without the country's code and the national prefix, which `parse`
strips twice at most, matches a pattern of numbers of the country's regions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE, country_code_for_region

from masking.recognizers.phone_formats import NumberFormats

_TYPES: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip",
    "pager", "uan", "voicemail",
)  # fmt: skip
_NO_DIGIT: Final = re.compile(r"[^0-9]+")

PLAIN: Final = re.compile(r"[0-9()\[\]. /-]+")
"""Of what is tried as a number: nothing but digits and signs, no extension and no plus sign."""

_STRIPPED: Final = 2
_NOTHING: Final = re.compile(r"(?!)")
_REMEMBERED: Final = 1 << 12


class NumberPlan:
    """A region's numbers, as digits alone."""

    def __init__(self, region: str) -> None:
        metadata: Any = PhoneMetadata.metadata_for_region(region)
        self._country_code = str(metadata.country_code)
        self._valid = re.compile("|".join(sorted(_patterns(country_code_for_region(region)))))
        self._abroad = re.compile(metadata.international_prefix or _NOTHING.pattern)
        self._national = re.compile(metadata.national_prefix_for_parsing or _NOTHING.pattern)
        self._rule: str = metadata.national_prefix_transform_rule or ""
        self._formats = NumberFormats(region)
        self._numbers = lru_cache(maxsize=_REMEMBERED)(self._found)

    def is_abroad(self, digits: str) -> bool:
        """Whether they begin with what is dialled before another country's code."""
        return self._abroad.match(digits) is not None

    def may_be(self, digits: str) -> bool:
        """False only where the region has no such number."""
        return self.is_abroad(digits) or bool(self._numbers(digits))

    def may_be_written(self, part: str) -> bool:
        """False only where these digits and signs (`PLAIN`) are no number of the region, or none
        as it is written."""
        digits = bare(part)
        if self.is_abroad(digits):
            return True
        return any(self._formats.may_write(part, digits, n) for n in self._numbers(digits))

    def _found(self, digits: str) -> tuple[str, ...]:
        """What may be left of the digits, as valid numbers."""
        left = each = {digits, digits.removeprefix(self._country_code)}
        for _ in range(_STRIPPED):
            each = {shorter for one in each for shorter in self._without_prefix(one)}
            left |= each
        return tuple(one for one in left if self._valid.fullmatch(one))

    def _without_prefix(self, digits: str) -> Iterator[str]:
        prefix = self._national.match(digits)
        if prefix:
            yield digits[prefix.end() :]
            if self._rule:
                yield self._national.sub(self._rule, digits, count=1)


def bare(number: str) -> str:
    """Its digits."""
    return _NO_DIGIT.sub("", number)


def _patterns(country_code: int) -> set[str]:
    regions = COUNTRY_CODE_TO_REGION_CODE[country_code]
    each: list[Any] = [
        PhoneMetadata.metadata_for_region_or_calling_code(country_code, r) for r in regions
    ]
    kinds = (getattr(one, kind) for one in each if one is not None for kind in _TYPES)
    return {f"(?:{k.national_number_pattern})" for k in kinds if k and k.national_number_pattern}
