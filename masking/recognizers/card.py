"""Payment card numbers: 12 to 19 digits of a known range with a valid check digit.

Presidio's own recognizer knows first digits 1, 3, 4, 5 and 6 and at most 17 digits; a quarter of
its evaluator's cards pass it by (Mastercard 2-series, 19-digit Visa, 12-digit Maestro).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from presidio_analyzer import LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.fast.declared import Necessary
from masking.prefilter import CARD_RUN

_DIGITS: Final = re.compile(r"[0-9]+")
_WHOLE_PART: Final = re.compile(r"(?<![0-9])[0-9]{1,3}\.\Z")
_ACCOUNT: Final = re.compile(r"\barn:[\w:*-]*:\Z")  # twelve digits of an account at AWS
_SHORTEST, _LONGEST = 12, 19

# ISO/IEC 7812 issuer ranges in use and the lengths that their networks issue.
_RANGES: Final = tuple(
    (re.compile(prefix), lengths)
    for prefix, lengths in (
        (r"4", {13, 16, 19}),  # Visa
        (r"5[1-5]", {16}),  # Mastercard
        (r"222[1-9]|22[3-9]|2[3-6]|27[01]|2720", {16}),  # Mastercard 2-series
        (r"220[0-4]", {16, 17, 18, 19}),  # Mir
        (r"3[47]", {15}),  # American Express
        (r"30[0-5]|3095|3[689]", {14, 15, 16, 17, 18, 19}),  # Diners Club
        (r"35", {16, 17, 18, 19}),  # JCB
        (r"2131|1800", {15}),  # JCB, old
        (r"50|5[6-8]|6", {12, 13, 14, 15, 16, 17, 18, 19}),  # Maestro, Discover, UnionPay, RuPay
        (r"8[12]|9792", {16}),  # RuPay, Troy
    )
)


_BETWEEN: Final = r"[ \-._/\u00A0\u2010-\u2015]"
_FIRST_FOUR: Final = r"(?:[2-689][0-9]{3}|1800)"
_AT_LEAST: Final = (
    *(
        rf"(?:^|[^0-9A-Za-z]){_FIRST_FOUR}{rest}"
        for rest in (
            r"[0-9]{8}",
            rf"{_BETWEEN}+[0-9](?:{_BETWEEN}*[0-9]){{7}}",
            rf"[0-9]{{3}}{_BETWEEN}+[0-9](?:{_BETWEEN}*[0-9]){{4}}",
            rf"[0-9]{{4}}{_BETWEEN}+[0-9](?:{_BETWEEN}*[0-9]){{3}}",
            rf"[0-9]{{7}}{_BETWEEN}+[0-9]",
        )
    ),
    rf"(?:^|[^0-9])[1-9](?:{_BETWEEN}+[0-9]){{11}}",
    rf"(?:^|[^0-9])[1-9][0-9](?:{_BETWEEN}+[0-9]{{2}}){{5}}",
)
"""Twelve digits of a card, beginning as `_RANGES` do: the first group is one that `_may_begin`
takes, or all are single digits or pairs. Separators may be more than in a card: that is quicker."""


class PaymentCardRecognizer(LocalRecognizer):
    """Reports CREDIT_CARD, with or without separators between groups of digits."""

    necessary = tuple(Necessary(pattern, re.MULTILINE) for pattern in _AT_LEAST)

    def __init__(self) -> None:
        super().__init__(supported_entities=["CREDIT_CARD"], name="PaymentCardRecognizer")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        runs = (m.span() for m in CARD_RUN.finditer(text))
        found = (card for start, end in runs for card in _cards(text, start, end))
        return [RecognizerResult("CREDIT_CARD", start, end, 1.0) for start, end in found]


def _cards(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cards in a run of digit groups; each begins and ends at the edge of a group.

    Two cards, or a card and its check code, are often one run: every choice of neighbouring
    groups is tried, at most 19 digits each.
    """
    groups = [m.span() for m in _DIGITS.finditer(text, start, end)]
    if _is_spelled_out(text, groups):
        yield start, end
        return
    for first, (begin, end_of_first) in enumerate(groups):
        if not _may_begin(text, begin, end_of_first):
            continue
        digits = ""
        for last, (group_start, group_end) in enumerate(groups[first:], first):
            digits += text[group_start:group_end]
            if len(digits) > _LONGEST:
                break
            chosen = groups[first : last + 1]
            if is_card(digits) and _stand_together(text, chosen):
                yield begin, group_end


def _may_begin(text: str, begin: int, end: int) -> bool:
    """Whether a group of digits can be the first of a card: not glued to a letter, and either
    all of it or one or more blocks of four (Presidio takes blocks of three behind the first)."""
    if begin > 0 and _letter_at(text, begin - 1):
        return False
    if end - begin >= _SHORTEST:
        return not _follows_point(text, begin)
    return end - begin in (4, 7, 8, 11)


def _stand_together(text: str, groups: Sequence[tuple[int, int]]) -> bool:
    """Whether these groups may be one number: no columns of a table, no part of something else."""
    begin, end = groups[0][0], groups[-1][1]
    if _letter_at(text, end) or _ACCOUNT.search(text, max(0, begin - 80), begin):
        return False
    sizes = [b - a for a, b in groups]
    wide = any(b - a > 1 for (_, a), (b, _) in pairwise(groups))
    return not wide or sizes == [4, 6, 5] or (set(sizes[:-1]) == {4} and sizes[-1] <= 4)


def _is_spelled_out(text: str, groups: Sequence[tuple[int, int]]) -> bool:
    """Whether a run is one card in single digits or in pairs, with the same sign between them."""
    sizes = {end - start for start, end in groups}
    between = {text[a:b] for (_, a), (b, _) in pairwise(groups)}
    if len(between) != 1 or sizes not in ({1}, {2}):
        return False
    return is_card("".join(text[start:end] for start, end in groups))


def _letter_at(text: str, position: int) -> bool:
    return text[position : position + 1].isalpha()


def _follows_point(text: str, start: int) -> bool:
    """Digits of a fraction such as 0.4123456789012345; one in ten has a valid check digit."""
    return _WHOLE_PART.search(text[max(0, start - 5) : start]) is not None


def is_card(digits: str) -> bool:
    """Whether a network issues such a number, and its check digit fits (ISO/IEC 7812-1)."""
    if not _SHORTEST <= len(digits) <= _LONGEST:
        return False
    ranged = any(len(digits) in lengths and p.match(digits) for p, lengths in _RANGES)
    return ranged and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
