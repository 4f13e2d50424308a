"""Whether digits and signs may be a phone number as its country writes it, by their shape alone.

`may_be_written` is what `WrittenPhoneRecognizer` can say of a text in microseconds, where
python-phonenumbers takes milliseconds: false only where the recognizer reports nothing that counts
without a context word. It follows the library (9.0):

1. What is reported lies in a *run*: digits with at most four signs between two of them, brackets
   and plus signs before, an extension behind. Runs with a plus sign, an extension or digits beyond
   ASCII have a pattern of their own (`PERHAPS_WRITTEN`), and the recognizer sees them all; of those
   with 21 digits without a sign, or more than 20 groups, the answer is perhaps.
2. Of a run the matcher tries all of it, then its parts between signs of one kind, and after a match
   what follows. `_tried` tries the same on the run's *shape*, its digits replaced by nines: where
   a run is parted depends on its signs alone. Dates and timestamps, which the matcher passes by for
   their digits, are tried too, but for a run with a date in slashes, which it drops as a whole.
   Parts beside a letter are no numbers.
3. A tried part counts if it is grouped as the number is formatted (STRICT_GROUPING). A number from
   its country's own region is formatted in that country's ways, of which there are some dozens; one
   behind a prefix for calls abroad (`00`, `011`) in any country's: perhaps.
4. Grouped means: each formatted group stands in the part unbroken, in order (whatever digits stand
   between: prefixes); and unless the whole number is unbroken, a sign follows the first group. Both
   can be told from the lengths of the groups.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from phonenumbers import PhoneMetadata, PhoneNumberFormat
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE, country_code_for_region

from masking.recognizers.phone_plans import PLAIN, NumberPlan, bare

# What is private there has no types; versions are pinned, and compared in tests.
_matcher: Final[Any] = import_module("phonenumbers.phonenumbermatcher")
_numbers: Final[Any] = import_module("phonenumbers.phonenumberutil")

_SIGN: Final = (
    r"[-xX\u2010-\u2015\u2212\u30FC\uFF0D-\uFF0F "
    r"\u00A0\u00AD\u200B\u2060\u3000()\uFF08\uFF09\uFF3B\uFF3D.\[\]/~\u2053\u223C\uFF5E]"
)
_OPENING: Final = r"(\[\uFF08\uFF3B"
_EXTENSION: Final = (
    r"[ \u00A0\t,;]*(?i:e?xt|int|anexo|\u0434\u043E\u0431|\uFF45?\uFF58\uFF54|\uFF49\uFF4E\uFF54"
    r"|[x\uFF58#\uFF03~\uFF5E])"
)

STRANGE_DIGIT: Final = (
    "[" + "".join(c for c in map(chr, range(128, sys.maxunicode + 1)) if c.isdecimal()) + "]"
)
"""A digit beyond ASCII: with one, other patterns need not look for any."""
PLAIN_RUN: Final = rf"[0-9](?:{_SIGN}{{0,4}}[0-9]){{6}}"
PERHAPS_WRITTEN: Final = "|".join(
    (
        rf"[+\uFF0B](?:{_SIGN}|\+){{0,9}}[0-9](?:{_SIGN}{{0,4}}[0-9]){{6}}",
        rf"[0-9]{_EXTENSION}[:.\uFF0E]?[ \u00A0\t,-]*[0-9]",
        r"[0-9];ext=[0-9]",
        STRANGE_DIGIT,
    )
)
"""A plus sign before seven digits, an extension, or a digit beyond ASCII: nothing more is asked."""

# Signs are any number here, where the library takes four: fewer states for Hyperscan.
_NO_POINT: Final = _SIGN.replace(".", "")
_NEITHER: Final = _NO_POINT.replace("[-", "[", 1)
_BUT_POINT: Final = rf"(?:{_NO_POINT}{_SIGN}*|\.{_SIGN}+)"
_BUT_DASH: Final = rf"(?:{_SIGN.replace('[-', '[', 1)}{_SIGN}*|-{_SIGN}+)"
_BUT_EITHER: Final = rf"(?:{_NEITHER}{_SIGN}*|[.\-]{_SIGN}+)"
_BEGIN: Final = r"(?:^|[^0-9A-Za-z%])"
_BEGIN_OF_POINTED: Final = (
    rf"(?:^|[^0-9A-Za-z%.]|(?:^|[^0-9])\.|[0-9]{{4}}\.|{_NO_POINT}[0-9]{{1,3}}\.)"
)


def _more(digits: int) -> str:
    return rf"(?:{_SIGN}*[0-9]){{{digits}}}"


WRITTEN: Final = (
    rf"[{_OPENING}]{_SIGN}*[0-9]{_more(6)}",
    r"[0-9]{21}",
    rf"(?:[0-9]+{_SIGN}+){{20}}[0-9]",
    rf"[0-9]{{6}}{_BUT_POINT}[0-9]",
    rf"[0-9]{{5}}\.[0-9]+{_SIGN}+[0-9]",
    rf"{_BEGIN}[0-9]{{5}}{_BUT_POINT}[0-9]{_more(1)}",
    rf"{_BEGIN}[0-9]{{4}}{_BUT_EITHER}[0-9]{_more(2)}",
    rf"{_BEGIN}[0-9]{{4}}\.[0-9]+{_SIGN}+[0-9]",
    rf"{_BEGIN}[0-9]{{4}}-(?:[0-9]{_SIGN}+[0-9]{_more(1)}|[0-9]{{3}}"
    rf"|[0-9]{{2}}(?:{_BUT_DASH}[0-9]|-[0-9](?:$|[^0-9\n])|-[0-9]{{3}}))",
    rf"{_BEGIN}(?:[0-9]{_BUT_POINT}[0-9]{_more(5)}|[0-9]{{2}}{_BUT_POINT}[0-9]{_more(4)}"
    rf"|[0-9]{{3}}{_BUT_POINT}[0-9]{_more(3)})",
    rf"{_BEGIN_OF_POINTED}[0-9]{{1,3}}\.(?:[0-9]{{4,}}{_SIGN}+[0-9]"
    rf"|[0-9]{{1,3}}(?:{_BUT_POINT}[0-9]|\.[0-9]{{4}}"
    rf"|\.[0-9]{{1,3}}(?:{_BUT_POINT}[0-9]|\.[0-9]{{4}}|\.[0-9]{{1,3}}{_SIGN}+[0-9]"
    r"|(?:$|[^0-9.\n]|\.(?:$|[^0-9\n])))))",
)
"""Seven digits at least with a bracket before them or signs between them, that are not all of
`SOMETHING_ELSE`: each pattern is what the first group is followed by.

A number begins behind no letter and no `%`, unless with a bracket. One with a point behind its
first one to three digits begins behind another point only where no digit stands before that, where
the library stops reading (21 digits or groups), or behind a number that was found: the library
parts at points last, into pieces without any, so that this one has four digits in its last group,
or another sign before it. That leaves IPv4 addresses out.
"""

_RUN: Final = re.compile(rf"[0-9](?<![0-9][0-9])(?:{_SIGN}{{0,4}}[0-9]){{6,}}")
_LEAD: Final = 10  # characters before a run that may belong to it: twice a bracket and four signs
_OPENS: Final = re.compile(rf"[{_OPENING}]")
_LETTERS: Final = frozenset(string.ascii_letters + "%")
_NINES: Final = str.maketrans("012345678", "999999999")
_SHORTEST: Final = 7
_NONE: Final = frozenset[str]()
_SHORTEST_VALID: Final = 4
"""Digits of the shortest valid number of the regions: a German one."""
_MOST_GROUPS: Final = 20
_LONG_BLOCK: Final = "9" * 21

SOMETHING_ELSE: Final = re.compile(
    r"\d+\.\d+"  # a decimal
    r"|\d{1,2}([./-])\d{1,2}\1\d{4}(?:\D.*)?|\d{4}-\d\d-\d\d(?:\D.*)?"  # a date
    r"|\d{1,3}(?:\.\d{1,3}){3}"  # an IPv4 address
)
"""Shapes that are usual for other things, and valid numbers in Germany, Brazil or India."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a part of a shape begins and ends, and the regions that may write a number so."""

    start: int
    end: int
    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Of a shape: its parts that may count, whether it is tried as one, whether all is open."""

    parts: tuple[_Part, ...] = ()
    one_candidate: bool = False
    odd: bool = False


class PhoneShapes:
    """The shapes of numbers of some regions."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = frozenset(regions)
        self.plans = {region: NumberPlan(region) for region in regions}
        self._formats = {r: sorted(_formats(country_code_for_region(r))) for r in regions}
        self._verdict = lru_cache(maxsize=1 << 14)(self._judged)
        self._fitting = lru_cache(maxsize=1 << 14)(self._fitted)

    def may_be_written(self, text: str) -> bool:
        """False only where no number in the text is written as its country writes it, but for
        those of `PERHAPS_WRITTEN`."""
        return any(self._of_run(text, *run.span()) for run in _RUN.finditer(text))

    def regions(self, text: str) -> frozenset[str]:
        """The regions that may find such a number in the text."""
        found = _NONE
        for run in _RUN.finditer(text):
            found |= self._of_run(text, *run.span())
        return found

    def may_be_grouped(self, number: str, region: str) -> bool:
        """False only where the region has no such number or writes it in another way."""
        return not PLAIN.fullmatch(number) or self.plans[region].may_be_written(number)

    def _of_run(self, text: str, start: int, end: int) -> frozenset[str]:
        digits = text[start:end]
        shape = digits.translate(_NINES)
        if _OPENS.search(text, max(0, start - _LEAD), start):
            shape = "(" + shape
        glued = (
            start > 0 and text[start - 1] in _LETTERS,
            end < len(text) and text[end] in _LETTERS,
        )
        verdict = self._verdict(shape, glued)
        if verdict.odd:
            return self._regions
        if not verdict.parts:
            return _NONE
        if "/" in shape and _matcher._SLASH_SEPARATED_DATES.search(digits):
            return _NONE if verdict.one_candidate else self._regions
        moved = len(shape) - len(digits)
        found: set[str] = set()
        for part in verdict.parts:
            written = digits[max(0, part.start - moved) : part.end - moved]
            found.update(self._of_part(written, part.regions, found))
        return frozenset(found)

    def _of_part(
        self, written: str, regions: frozenset[str], known: Container[str]
    ) -> Iterator[str]:
        digits = bare(written)
        for region, plan in self.plans.items():
            if region not in known and (
                plan.may_be_written(written) if region in regions else plan.is_abroad(digits)
            ):
                yield region

    def _judged(self, shape: str, glued: tuple[bool, bool]) -> _Verdict:
        if shape.count("9") < _SHORTEST:
            return _Verdict()
        if _is_odd(shape):
            return _Verdict(odd=True)
        parts = {
            _Part(at, at + len(part), self._grouping(part))
            for at, part in _tried(shape)
            if _counts(part) and not _is_glued(shape, at, part, glued)
        }
        return _Verdict(tuple(parts), one_candidate=_is_one_candidate(shape))

    def _grouping(self, part: str) -> frozenset[str]:
        return frozenset(r for r in self._regions if self._is_grouped(part, r))

    def _is_grouped(self, part: str, region: str) -> bool:
        return self._fitting(tuple(map(len, re.findall(r"\d+", part))), region)

    def _fitted(self, lengths: tuple[int, ...], region: str) -> bool:
        return any(_fits(groups, lengths) for groups in self._formats[region])


def _is_glued(shape: str, at: int, part: str, glued: tuple[bool, bool]) -> bool:
    """Whether a letter stands directly before a part that begins with a digit, or after one."""
    before, after = glued
    if before and at == 0 and part[:1] == "9":
        return True
    return after and at + len(part) == len(shape)


def _is_odd(shape: str) -> bool:
    return (
        not shape.isascii()
        or _LONG_BLOCK in shape
        or any(sign in shape for sign in "xX~")
        or len(re.findall(r"\d+", shape)) > _MOST_GROUPS
    )


def _is_one_candidate(shape: str) -> bool:
    candidate = _matcher._PATTERN.search(shape)
    return candidate is not None and candidate.end() == len(shape)


def _counts(part: str) -> bool:
    """Whether a number written so may count by itself."""
    return part.count("9") >= _SHORTEST and not (part.isdecimal() or SOMETHING_ELSE.fullmatch(part))


def _tried(shape: str) -> Iterator[tuple[int, str]]:
    """What the matcher may try as a number, and where it begins; more than it tries at once."""
    begins, seen = [0], set[int]()
    while begins:
        begin = begins.pop()
        candidate = _matcher._PATTERN.search(shape, begin)
        if begin in seen or candidate is None:
            continue
        seen.add(begin)
        for start, part in _parts(candidate[0]):
            yield candidate.start() + start, part
            if part.count("9") >= _SHORTEST_VALID:  # what is found ends here, the search goes on
                begins.append(candidate.start() + start + len(part))
        begins.append(candidate.end())


def _parts(candidate: str) -> Iterator[tuple[int, str]]:
    """The whole, and what `_extract_inner_match` makes of it."""
    yield 0, candidate
    for inner in _matcher._INNER_MATCHES:
        match = inner.search(candidate)
        if match:
            yield 0, _trimmed(candidate[: match.start()])
        while match:
            yield match.start(1), _trimmed(match[1])
            match = inner.search(candidate, match.start() + 1)


def _trimmed(part: str) -> str:
    unwanted = _numbers._UNWANTED_END_CHAR_PATTERN.search(part)
    return part[: unwanted.start()] if unwanted else part


def _fits(groups: Sequence[int], lengths: Sequence[int]) -> bool:
    """Whether formatted groups may stand in digits of these lengths, as step 4 says."""
    if any(length >= sum(groups) for length in lengths):
        return True
    first = next((n for n, length in enumerate(lengths) if length >= groups[0]), None)
    return first is not None and _stand_in(groups[1:], lengths[first + 1 :])


def _stand_in(groups: Sequence[int], lengths: Sequence[int]) -> bool:
    """Each group unbroken, in order, as early as it can."""
    rooms = iter(lengths)
    room = 0
    for group in groups:
        while room < group:
            try:
                room = next(rooms)
            except StopIteration:
                return False
        room -= group
    return True


def _formats(country_code: int) -> Iterator[tuple[int, ...]]:
    """The lengths of the groups in which numbers of a country are formatted, of all lengths."""
    regions = COUNTRY_CODE_TO_REGION_CODE[country_code]
    each: list[Any] = [PhoneMetadata.metadata_for_region(region) for region in regions]
    lengths = {n for one in each for n in one.general_desc.possible_length if n > 0}
    main = each[0]
    ways = [
        *main.number_format,
        *main.intl_number_format,
        *_matcher._ALT_NUMBER_FORMATS.get(country_code, ()),
    ]
    for length in lengths:
        yield (length,)
        for way in ways:
            number = "9" * length
            written = _numbers._format_nsn_using_pattern(number, way, PhoneNumberFormat.RFC3966)
            yield tuple(len(group) for group in written.split("-"))
