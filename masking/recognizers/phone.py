"""Phone numbers, graded by how they are written.

Presidio scores every valid number 0.4, so that a threshold keeps all of them or none: ten digits
in a row are a valid number of some country four times in five. Here a number that is written the
way its country writes it counts by itself, and bare digits only beside a word that says phone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher
from presidio_analyzer import EntityRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from masking.fast.declared import Certainty, Necessary
from masking.prefilter import PHONE_RUN, PHONE_WORDS
from masking.recognizers.phone_plans import PLAIN, NumberPlan
from masking.recognizers.phone_shapes import (
    PERHAPS_WRITTEN,
    PLAIN_RUN,
    SOMETHING_ELSE,
    STRANGE_DIGIT,
    WRITTEN,
    PhoneShapes,
)
from masking.recognizers.phone_walks import numbers, tries, whole_is_grouped

# Presidio's regions without CA, whose numbers are found as numbers of the same plan as US.
REGIONS: Final = ("US", "GB", "DE", "FR", "IL", "IN", "BR")

_WRITTEN, _BARE = 0.6, 0.3

_ONE_PART: Final = re.compile(r"[0-9]{1,20}(?:-[0-9]{1,20}){0,20}")
"""The library tries all of it as a number, and no part of it."""


class WrittenPhoneRecognizer(PhoneRecognizer):
    """Reports PHONE_NUMBER of seven digits or more."""

    necessary = (
        Necessary(PLAIN_RUN, score=_BARE),
        Necessary(STRANGE_DIGIT, score=_BARE),
        Necessary(PERHAPS_WRITTEN, score=_WRITTEN),
        *(Necessary(pattern, score=_WRITTEN, certainty=Certainty.ASK) for pattern in WRITTEN),
    )

    def __init__(self) -> None:
        super().__init__(
            context=list(PHONE_WORDS), supported_regions=REGIONS, leniency=Leniency.VALID
        )
        self._shapes = PhoneShapes(REGIONS)

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Searches line by line, which changes nothing: no number contains a line break."""
        results: list[RecognizerResult] = []
        for offset, line in _lines(text):
            for region in REGIONS:
                for match in PhoneNumberMatcher(line, region, Leniency.VALID, tries(line)):
                    if PHONE_RUN.search(match.raw_string):
                        score = _score(match.raw_string, region, _plainly_grouped)
                        results.append(_result(offset, match, score))
        found: list[RecognizerResult] = EntityRecognizer.remove_duplicates(results)
        return found

    def quickly(self, text: str) -> list[RecognizerResult]:
        """The results of `analyze`."""
        plans = {str(region): self._shapes.plans[region] for region in REGIONS}
        each = (self._in_line(*line, plans) for line in _lines(text))
        return _without_duplicates(each)

    def quickly_alone(self, text: str) -> list[RecognizerResult]:
        """Of a text without a match of `PERHAPS_WRITTEN`: bare digits may be missing."""
        regions = self._shapes.regions(text)
        if not regions:
            return []
        plans = {str(region): self._shapes.plans[region] for region in REGIONS if region in regions}
        each = (
            self._in_line(offset, line, plans)
            for offset, line in _lines(text)
            if not _ONE_PART.fullmatch(line) or self._is_written(line, plans)
        )
        return _without_duplicates(each)

    def may_hold(self, text: str) -> bool:
        """Whether a number in the text may count without a context word."""
        return self._shapes.may_be_written(text)

    def _in_line(
        self, offset: int, line: str, plans: Mapping[str, NumberPlan]
    ) -> list[RecognizerResult]:
        if self._is_written(line, plans):  # any other number would be a duplicate inside it
            return [RecognizerResult("PHONE_NUMBER", offset, offset + len(line), _WRITTEN)]
        return [
            _result(offset, match, self._best_score(match.raw_string, agreeing))
            for match, agreeing in numbers(line, plans)
            if PHONE_RUN.search(match.raw_string)
        ]

    def _is_written(self, line: str, plans: Mapping[str, NumberPlan]) -> bool:
        """Whether all of the line is a number as it is written. STRICT_GROUPING implies VALID."""
        if not PLAIN.fullmatch(line):
            return False
        return any(
            plan.may_be_written(line) and _score(line, region) == _WRITTEN
            for region, plan in plans.items()
        )

    def _best_score(self, number: str, regions: Sequence[str]) -> float:
        written = (
            _score(number, region) == _WRITTEN
            for region in regions
            if self._shapes.may_be_grouped(number, region)
        )
        return _WRITTEN if any(written) else _BARE


def _without_duplicates(each: Iterable[list[RecognizerResult]]) -> list[RecognizerResult]:
    found: list[RecognizerResult] = EntityRecognizer.remove_duplicates(
        [result for results in each for result in results]
    )
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines in which there may be a number, and where they begin."""
    offset = 0
    for line in text.split("\n"):
        if PHONE_RUN.search(line):
            yield offset, line
        offset += len(line) + 1


def _result(offset: int, match: PhoneNumberMatch, score: float) -> RecognizerResult:
    return RecognizerResult("PHONE_NUMBER", offset + match.start, offset + match.end, score)


def _score(
    number: str, region: str, is_grouped: Callable[[str, str], bool] = whole_is_grouped
) -> float:
    if number.isdecimal() or SOMETHING_ELSE.fullmatch(number):
        return _BARE
    if number.lstrip("(").startswith("+"):
        return _WRITTEN
    return _WRITTEN if is_grouped(number, region) else _BARE


def _plainly_grouped(number: str, region: str) -> bool:
    """What `whole_is_grouped` says, as the library says it."""
    grouped = PhoneNumberMatcher(number, region, Leniency.STRICT_GROUPING)
    return any(m.start == 0 and m.end == len(number) for m in grouped)
