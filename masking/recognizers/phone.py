"""Phone numbers, graded by how they are written.

Presidio scores every valid number 0.4, so that a threshold keeps all of them or none: ten digits
in a row are a valid number of some country four times in five. Here a number that is written the
way its country writes it counts by itself, and bare digits only beside a word that says phone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher
from presidio_analyzer import EntityRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from masking.prefilter import PHONE_RUN, PHONE_WORDS

# Presidio's regions without CA, whose numbers are found as numbers of the same plan as US.
REGIONS: Final = ("US", "GB", "DE", "FR", "IL", "IN", "BR")

_WRITTEN, _BARE = 0.6, 0.3

_SOMETHING_ELSE: Final = re.compile(
    r"\d+\.\d+"  # a decimal
    r"|\d{1,2}([./-])\d{1,2}\1\d{4}(?:\D.*)?|\d{4}-\d\d-\d\d(?:\D.*)?"  # a date
    r"|\d{1,3}(?:\.\d{1,3}){3}"  # an IPv4 address
)
"""Shapes that are usual for other things, and valid numbers in Germany, Brazil or India."""


class WrittenPhoneRecognizer(PhoneRecognizer):
    """Reports PHONE_NUMBER of seven digits or more."""

    def __init__(self) -> None:
        super().__init__(
            context=list(PHONE_WORDS), supported_regions=REGIONS, leniency=Leniency.VALID
        )

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Searches line by line, which changes nothing: no number contains a line break."""
        results: list[RecognizerResult] = []
        offset = 0
        for line in text.split("\n"):
            if PHONE_RUN.search(line):
                results += [
                    RecognizerResult("PHONE_NUMBER", offset + m.start, offset + m.end, score)
                    for m, score in _numbers(line)
                ]
            offset += len(line) + 1
        found: list[RecognizerResult] = EntityRecognizer.remove_duplicates(results)
        return found


def _numbers(line: str) -> Iterator[tuple[PhoneNumberMatch, float]]:
    for region in REGIONS:
        matches = PhoneNumberMatcher(line, region, Leniency.VALID, max_tries=_tries(line))
        for match in matches:
            if PHONE_RUN.search(match.raw_string):
                yield match, _score(match.raw_string, region)


def _tries(line: str) -> int:
    """More tries than the line has candidates, so that the search never gives up half-way.

    A candidate of n characters is tried once, and once more for each place where one of six
    inner patterns matches, before the first of them too: at most 6 (n + 1) + 1.
    """
    return 13 * len(line) + 13


def _score(number: str, region: str) -> float:
    if number.isdecimal() or _SOMETHING_ELSE.fullmatch(number):
        return _BARE
    grouped = PhoneNumberMatcher(number, region, Leniency.STRICT_GROUPING)
    usual = any(m.start == 0 and m.end == len(number) for m in grouped)
    return _WRITTEN if usual or number.lstrip("(").startswith("+") else _BARE
