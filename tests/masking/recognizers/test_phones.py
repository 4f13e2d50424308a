"""The quick ways to phone numbers, held to the recognizer that tries one region after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from random import Random

import phonenumbers
import pytest
from presidio_analyzer import RecognizerResult

from masking.recognizers.phone import REGIONS, WrittenPhoneRecognizer, _plainly_grouped
from masking.recognizers.phone_plans import PLAIN, NumberPlan
from masking.recognizers.phone_shapes import PERHAPS_WRITTEN, WRITTEN
from masking.recognizers.phone_walks import whole_is_grouped

_BETWEEN = (
    " ", "-", ".", "/", ", ", " - ", ":", "x", "(", ") ", "a", "%", "\n", "", "[", "#", "~",
    " ext ", "+", "\u2011", "\u0661", "$", "\u00e9",
)  # fmt: skip
_COUNTS = 0.5


@pytest.fixture(scope="module")
def recognizer() -> WrittenPhoneRecognizer:
    return WrittenPhoneRecognizer()


def _digits(random: Random, most: int) -> str:
    return "".join(random.choices("0123456789", k=random.randint(1, most)))


def _number(random: Random) -> str:
    region, kind = random.choice(REGIONS), random.choice((0, 1, 3, 4))
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        return _digits(random, 10)
    written = phonenumbers.format_number(number, random.choice((0, 1, 2, 3)))
    return random.choice(("", "", "0", "00", "011 ", "(")) + written


def _groups(random: Random) -> str:
    sign = random.choice((" ", "-", ".", "/", ""))
    return sign.join(_digits(random, random.choice((3, 4, 7))) for _ in range(random.randint(1, 6)))


def _other(random: Random) -> str:
    octets = [str(random.randint(0, 255)) for _ in range(4)]
    day = f"20{random.randint(10, 30)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    return random.choice((".".join(octets), day, f"{day} 0{octets[0]}:11", "-".join(octets)))


def texts(seed: int) -> Iterator[str]:
    """Numbers and what is nearly one, side by side."""
    random = Random(seed)
    while True:
        parts = (
            random.choice((_number, _groups, _other))(random) + random.choice(_BETWEEN)
            for _ in range(random.choice((1, 1, 2, 3)))
        )
        text = "".join(parts)
        yield text[: len(text) - random.choice((0, 1))]


def _as_said(results: list[RecognizerResult]) -> set[tuple[int, int, float]]:
    return {(r.start, r.end, r.score) for r in results}


def _differing(recognizer: WrittenPhoneRecognizer, count: int) -> list[str]:
    return [text for text in islice(texts(7), count) if not _agrees(recognizer, text)]


def _agrees(recognizer: WrittenPhoneRecognizer, text: str) -> bool:
    """All ways find the same; a text without the necessary patterns has nothing that counts."""
    plain = _as_said(recognizer.analyze(text, []))
    counting = {result for result in plain if result[2] >= _COUNTS}
    if _as_said(recognizer.quickly(text)) != plain:
        return False
    if re.search(PERHAPS_WRITTEN, text):
        return True
    alone = {r for r in _as_said(recognizer.quickly_alone(text)) if r[2] >= _COUNTS}
    possible = any(re.search(pattern, text, re.M) for pattern in WRITTEN)
    return alone == counting and (possible or not counting)


def test_a_slice_of_numbers_is_found_in_every_way(recognizer: WrittenPhoneRecognizer) -> None:
    assert _differing(recognizer, 300) == []


@pytest.mark.full
def test_numbers_are_found_in_every_way(recognizer: WrittenPhoneRecognizer) -> None:
    assert _differing(recognizer, 50_000) == []


def _signed(random: Random, region: str) -> str:
    """Digits and signs, often a number of the region's with some other digits or signs."""
    number = phonenumbers.example_number_for_type(region, random.choice((0, 1, 3, 4)))
    if number is None or random.random() < 0.3:
        return _groups(random)
    written = phonenumbers.format_number(number, random.choice((0, 1, 2, 2)))
    changed = (random.choice("0123456789") if random.random() < 0.2 else c for c in written)
    signs = (random.choice("  -./()") if c in " -()/" and random.random() < 0.3 else c
             for c in changed)  # fmt: skip
    plain = re.sub(r"[^0-9()\[\]. /-]", "", "".join(signs)).strip(" -./")
    return random.choice(("", "", "", "0", "00", "(")) + plain


def _refused_wrongly(count: int) -> list[tuple[str, str]]:
    """Numbers that are grouped as the library says, and not so by one of the shortcuts."""
    random, wrong, grouped = Random(11), [], 0
    plans = {region: NumberPlan(region) for region in REGIONS}
    for _ in range(count):
        number = _signed(random, random.choice(REGIONS))
        for region, plan in plans.items():
            plainly = _plainly_grouped(number, region)
            grouped += plainly
            if whole_is_grouped(number, region) != plainly:
                wrong.append((number, region))
            if plainly and PLAIN.fullmatch(number) and not plan.may_be_written(number):
                wrong.append((number, region))
    assert grouped > count // 10
    return wrong


def test_a_slice_of_what_is_grouped_may_be_written() -> None:
    assert _refused_wrongly(300) == []


@pytest.mark.full
def test_what_is_grouped_may_be_written() -> None:
    assert _refused_wrongly(100_000) == []


@pytest.mark.parametrize("number", ["536-22-1234", "123-45-6789", "665-99-0000"])
def test_tax_numbers_are_not_shown_to_the_library(
    recognizer: WrittenPhoneRecognizer, number: str
) -> None:
    assert not recognizer.may_hold(number)


@pytest.mark.parametrize("region", REGIONS)
def test_a_plan_knows_valid_numbers_however_they_are_dialled(region: str) -> None:
    plan, random = NumberPlan(region), Random(3)
    for _ in range(2_000):
        digits = _digits(random, 13)
        try:
            valid = phonenumbers.is_valid_number(phonenumbers.parse(digits, region))
        except phonenumbers.NumberParseException:
            continue
        assert plan.may_be(digits) or not valid, digits


_HARMLESS = (
    "2026-01-28 00:00:00", "2026-01-28T12:34:56.789Z", "19.99", "12345.67", "10.20.30.40",
    "1234567",
)  # fmt: skip


@pytest.mark.parametrize("text", _HARMLESS)
def test_dates_decimals_and_addresses_are_not_looked_at(text: str) -> None:
    assert not any(re.search(pattern, text, re.M) for pattern in WRITTEN)
