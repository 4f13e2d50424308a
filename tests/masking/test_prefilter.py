"""The prefilter must clear nothing that Presidio would report. It is argued in its module; here
the argument meets generated text, with the plain engine as the judge."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import phonenumbermatcher

from masking.engine import Scanner
from masking.prefilter import PHONE_RUN, may_hold, may_hold_in
from masking.recognizers import email, secrets
from tests.masking.test_recognizers import CARDS, FOUND, HARMLESS

COLUMNS = ["", "note", "phone", "ssn", "order_number", "card_no"]

_digits = st.text("0123456789", min_size=1, max_size=16)
_separators = st.sampled_from(
    ["", " ", "-", ".", "/", " - ", ") ", "x", " ext ", "~", "\n", "\u2011"]
)
_numbers = st.lists(st.tuples(_digits, _separators), min_size=1, max_size=6).map(
    lambda parts: "".join(d + s for d, s in parts)
)
_pieces = st.one_of(
    st.sampled_from([text for text, _ in FOUND] + HARMLESS + CARDS),
    st.builds("{}{}".format, st.sampled_from(["", "+", "00", "(", "tel ", "a", "#"]), _numbers),
    st.text(max_size=12),
    st.sampled_from(["@", "%40", "://", "=", ":", "$", "\u212a", "\u017f", "\u0660\u0661"]),
)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    """A text that is nearly an entity: one character of it is another, or the case is."""
    text = draw(st.sampled_from([text for text, _ in FOUND]))
    place = draw(st.integers(0, len(text)))
    changed = text[:place] + draw(st.text(max_size=1)) + text[place + draw(st.integers(0, 1)) :]
    return draw(st.sampled_from([changed, changed.upper(), changed.lower(), changed.swapcase()]))


cells = st.one_of(_mutated(), st.lists(_pieces, min_size=1, max_size=4).map("".join), _numbers)


def _agrees(scanner: Scanner, text: str, column: str) -> bool:
    """Both ways find the same, also where the recognizers don't ask the prefilter themselves."""
    found = scanner.spans([text], column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "may_hold_secret", lambda text: True)
        patch.setattr(email, "may_hold_email", lambda text: True)
        return found == [scanner.analyze(text, column)]


@settings(max_examples=600, deadline=None)
@given(text=cells, column=st.sampled_from(COLUMNS))
def test_scanning_finds_what_the_plain_engine_finds(
    scanner: Scanner, text: str, column: str
) -> None:
    assert _agrees(scanner, text, column), text


@pytest.mark.full
@settings(max_examples=20_000, deadline=None)
@given(text=cells, column=st.sampled_from(COLUMNS))
def test_scanning_finds_what_the_plain_engine_finds_at_length(
    scanner: Scanner, text: str, column: str
) -> None:
    assert _agrees(scanner, text, column), text


@given(before=cells, text=cells, after=cells)
@settings(max_examples=200, deadline=None)
def test_what_may_be_in_a_part_may_be_in_the_whole(before: str, text: str, after: str) -> None:
    assert may_hold("\n".join([before, text, after])) or not may_hold(text)


@pytest.mark.parametrize(
    "text", ["", "active", "Ana García", "42", "19.99", "2024-11", "Oslo, Norway", "a/b_c-d"]
)
def test_ordinary_cells_are_cleared(text: str) -> None:
    assert not may_hold_in("status", text)


@pytest.mark.parametrize("text", ["1234567", "4155550134", "1712345678"])
def test_short_numbers_are_cleared_unless_the_column_says_phone(text: str) -> None:
    assert not may_hold_in("order_number", text)
    assert may_hold_in("phone", text)


def test_the_phone_run_knows_all_punctuation_of_phone_numbers() -> None:
    between = [
        chr(c) for c in range(0x10000) if re.fullmatch(phonenumbermatcher._PUNCTUATION, chr(c))
    ]
    assert [c for c in between if not PHONE_RUN.fullmatch(f"1{c}234567")] == []


def test_no_phone_number_contains_a_line_break() -> None:
    pattern = phonenumbermatcher._PATTERN
    matches = pattern.finditer("415 555\n0134 ext\n12 (415)\n555-0134 x \n 9")
    assert not any("\n" in m[0] for m in matches)
    assert r"\s" not in pattern.pattern
    assert "\n" not in pattern.pattern
