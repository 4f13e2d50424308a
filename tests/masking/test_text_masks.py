"""What operators leave of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking.anonymizer import Anonymizer
from masking.operators import REDACTED, PseudonymKey, parse_operator
from masking.text_masks import mask_text

KEY = PseudonymKey(b"k" * 32)
OPERATORS = ["null", "redact", "constant(x)", "keep_last(4)", "partial(2,4)", "email", "digits",
             "digits(cards)", "year", "month", "day", "bucket(10)", "pseudonym(d)",
             "with_keys(pseudonym(d))"]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "text", "masked"),
    [
        ("null", "bob", None),
        ("constant(x)", "bob", "x"),
        ("redact", "bob", REDACTED),
        ("keep_last(4)", "123-45-6789", "***-**-6789"),
        ("keep_last(4)", "4111 1111 1111 1234", "**** **** **** 1234"),
        ("keep_last(4)", "12345678", REDACTED),
        ("keep_last(4)", "1234", REDACTED),
        ("keep_last(2)", "", REDACTED),
        ("keep_last(1)", "José!", "***é!"),
        ("keep_last(4)", "\u200b" * 20 + "1234", REDACTED),
        ("keep_last(1)", "a\u200b1\u20ac2", "****2"),
        ("partial(2,4)", "DE89370400440532013000", "DE****************3000"),
        ("partial(1,1)", "Robert", "R****t"),
        ("partial(1,1)", "Bob", REDACTED),
        ("partial(1,1)", "Bo", REDACTED),
        ("partial(0,4,#)", "123-45-6789", "###-##-6789"),
        ("partial(2,2)", "abcd", REDACTED),
        ("email", "bob.smith@example.com", "***@example.com"),
        ("email", "Bob <bob.smith@example.com>", REDACTED),
        ("email", "<bob.smith@example.com>", "***@example.com"),
        ("email", "bob@example.com;name=Bob.Smith", REDACTED),
        ("email", "bob@example.com/219-09-9991.x", REDACTED),
        ("email", "not an address", REDACTED),
        ("email", "bob@x.io, eve@y.io", REDACTED),
        ("year", "1987-05-17", "1987-01-01"),
        ("year", "1987-05-17T10:00:00Z", "1987-01-01"),
        ("year", "17 May 1987", REDACTED),
        ("year", "1987-99-99", REDACTED),
        ("month", "1987-05-17", "1987-05-01"),
        ("day", "1987-05-17 10:00", "1987-05-17"),
        ("day", "1987-05-17", REDACTED),
        ("bucket(10)", "47", "40"),
        ("bucket(10)", "-47.5", "-50"),
        ("bucket(5)", "-0.5", "-5"),
        ("bucket(10)", "forty", REDACTED),
        ("digits", "Bob", REDACTED),
    ],
)
def test_a_text_under_a_mask(operator: str, text: str, masked: str | None) -> None:
    assert mask_text(parse_operator(operator), text, KEY) == masked


def _digits(text: str, operator: str = "digits") -> str:
    return mask_text(parse_operator(operator), text, KEY) or ""


def test_digits_keep_the_format_and_letters_go() -> None:
    masked = _digits("+1 (415) 555-0134 ext. 12")
    assert [c if not c.isdecimal() else "9" for c in masked] == list("+9 (999) 999-9999 ***. 99")


@given(st.from_regex(r"\A[0-9]{4,19}\Z"), st.lists(st.sampled_from(" -./"), min_size=20))
def test_the_same_digits_with_other_separators_get_the_same_digits(
    digits: str, separators: list[str]
) -> None:
    spaced = "".join(d + s for d, s in zip(digits, separators, strict=False))
    plain = _digits(digits)
    assert [c for c in _digits(spaced) if c.isdecimal()] == list(plain)
    assert len(plain) == len(digits)
    assert plain != digits


def test_digits_of_all_numbers_of_a_length_are_a_permutation_without_a_fixed_point() -> None:
    numbers = [f"{n:03}" for n in range(1000)]
    masked = [_digits(n) for n in numbers]
    assert sorted(masked) == numbers
    assert [n for n, m in zip(numbers, masked, strict=True) if n == m] == []


def test_digits_differ_by_domain_and_from_pseudonyms_of_numbers() -> None:
    number = "4111111111111111"
    assert len({_digits(number), _digits(number, "digits(a)"), _digits(number, "digits(b)")}) == 3


@given(st.text(min_size=1, max_size=60), st.integers(0, 9), st.integers(1, 9))
def test_a_partial_mask_never_shows_half_of_the_letters_and_digits(
    text: str, first: int, last: int
) -> None:
    masked = mask_text(parse_operator(f"partial({first},{last})"), text, KEY) or ""
    if masked != REDACTED:
        shown = sum(map(str.isalnum, masked))
        assert shown == first + last
        assert 2 * shown < sum(map(str.isalnum, text))
        assert len(masked) == len(text)


@given(st.from_regex(r"\A[A-Za-z0-9]{8,30}\Z"), st.sampled_from(OPERATORS))
def test_a_value_never_survives_its_mask(text: str, operator: str) -> None:
    masked = mask_text(parse_operator(operator), text, KEY)
    if not (operator == "bucket(10)" and text.endswith("0") and text.isdecimal()):
        assert text not in (masked or "")


@given(st.text(max_size=40), st.sampled_from(OPERATORS))
def test_presidio_anonymizes_with_the_same_operators(text: str, operator: str) -> None:
    masked = mask_text(parse_operator(operator), text, KEY)
    if text:
        assert Anonymizer().mask(text, operator, KEY) == (masked or "")
