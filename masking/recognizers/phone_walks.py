"""What python-phonenumbers finds in a line for several regions, without reading it once for each.

The library's matcher reads a line from left to right; what it tries next depends on what it tried
before only in whether that was a number. So one walk serves all regions for as long as they agree;
those that disagree with the others begin again, and what was tried is remembered. What is tried is
the library's decision, but where `NumberPlan` knows that plain digits are no number of the region,
and where a number with a plus sign and a country's code is the same in every region.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from masking.recognizers.phone_plans import PLAIN, NumberPlan, bare

_INTERNATIONAL: Final = re.compile(r"\(?\+[0-9()\[\]. /-]+")
_LONGEST_CODE: Final = 3
_SHORTEST_INTERNATIONAL: Final = 6

_Tried = dict[tuple[int, int, str], PhoneNumberMatch | None]


def tries(line: str) -> int:
    """More tries than the line has candidates, so that the search never gives up half-way.

    A candidate of n characters is tried once, and once more for each place where one of six
    inner patterns matches, before the first of them too: at most 6 (n + 1) + 1.
    """
    return 13 * len(line) + 13


def numbers(
    line: str, plans: Mapping[str, NumberPlan]
) -> Iterator[tuple[PhoneNumberMatch, Sequence[str]]]:
    """Each number, and regions that find it; what more regions find may come again."""
    tried: _Tried = {}
    left = [list(plans)]
    while left:
        walk = _Walk(line, left.pop(), plans, tried)
        for match in walk:
            yield match, walk.regions
        left += walk.left


class _Walk(PhoneNumberMatcher):
    """The library's matcher, for regions that have agreed so far."""

    def __init__(
        self, line: str, regions: list[str], plans: Mapping[str, NumberPlan], tried: _Tried
    ) -> None:
        super().__init__(line, regions[0], Leniency.VALID, max_tries=tries(line))
        self.regions = regions
        self.left: list[list[str]] = []
        self._plans = plans
        self._tried = tried

    def _parse_and_verify(self, candidate: str, offset: int) -> PhoneNumberMatch | None:
        found = {r: self._number(candidate, offset, r) for r in self._asked(candidate)}
        if len(found) < len(self.regions):
            found = dict.fromkeys(self.regions, found[self.regions[0]])
        agreeing = [region for region, match in found.items() if match is not None]
        if agreeing and len(agreeing) < len(self.regions):
            self.left.append([region for region, match in found.items() if match is None])
            self.regions = agreeing
        return found[self.regions[0]]

    def _asked(self, candidate: str) -> list[str]:
        return self.regions[:1] if _is_international(candidate) else self.regions

    def _number(self, candidate: str, offset: int, region: str) -> PhoneNumberMatch | None:
        if PLAIN.fullmatch(candidate) and not self._plans[region].may_be(bare(candidate)):
            return None
        place = (offset, len(candidate), region)
        if place not in self._tried:
            self.preferred_region = region
            known: Any = super()
            self._tried[place] = known._parse_and_verify(candidate, offset)
        return self._tried[place]


class _Whole(PhoneNumberMatcher):
    """The library's matcher, which tries nothing but the whole line.

    Inner matches are the whole only where the whole was tried before and refused; what is found
    behind the first candidate begins later.
    """

    def _extract_match(self, candidate: str, offset: int) -> PhoneNumberMatch | None:
        if offset != 0 or len(candidate) < len(self.text):
            return None
        known: Any = super()
        found: PhoneNumberMatch | None = known._extract_match(candidate, offset)
        return found

    def _extract_inner_match(self, candidate: str, offset: int) -> None:
        return None


def whole_is_grouped(number: str, region: str) -> bool:
    """Whether all of it is a number of the region, grouped as it is formatted."""
    return _Whole(number, region, Leniency.STRICT_GROUPING).has_next()


def _is_international(candidate: str) -> bool:
    if "+" not in candidate or not _INTERNATIONAL.fullmatch(candidate):
        return False
    digits = bare(candidate)
    codes = (digits[:length] for length in range(1, _LONGEST_CODE + 1))
    return (
        len(digits) >= _SHORTEST_INTERNATIONAL
        and digits[0] != "0"
        and any(int(code) in COUNTRY_CODE_TO_REGION_CODE for code in codes)
    )
