"""What a column rule may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking.operators import (
    EXPLAINED,
    OPERATORS,
    Bucket,
    Constant,
    Digits,
    Email,
    KeepLast,
    Null,
    Partial,
    Pseudonym,
    Redact,
    Truncate,
    Unit,
    WithKeys,
    parse_operator,
)


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("null", Null()),
        ("constant(a (b))", Constant("a (b)")),
        ("constant()", Constant("")),
        ("redact", Redact()),
        ("keep_last(4)", KeepLast(4)),
        ("partial(2,4)", Partial(2, 4)),
        ("partial(0, 4, #)", Partial(0, 4, "#")),
        ("email", Email()),
        ("digits", Digits()),
        ("digits(phones)", Digits("phones")),
        ("year", Truncate(Unit.YEAR)),
        ("month", Truncate(Unit.MONTH)),
        ("day", Truncate(Unit.DAY)),
        ("bucket(10)", Bucket(10)),
        (" pseudonym(customers) ", Pseudonym("customers")),
        ("pseudonym( customers )", Pseudonym("customers")),
        ("with_keys(pseudonym(customers))", WithKeys(Pseudonym("customers"))),
        ("with_keys(keep_last(2))", WithKeys(KeepLast(2))),
    ],
)
def test_a_configured_mask_is_read(text: str, operator: object) -> None:
    assert parse_operator(text) == operator


NONE = [
    "", "nul", "null()", "redact(x)", "constant", "keep_last", "keep_last(0)", "keep_last(x)",
    "keep_last(-1)", "pseudonym", "pseudonym( )", "pseudonym(a b)", "year(2)", "Null",
    "keep_last(4", "partial", "partial(4)", "partial(0,0)", "partial(1,2,ab)", "partial(1,2,a)",
    "bucket", "bucket(0)", "bucket(1)", "bucket(-5)", "bucket(1.5)", "digits()", "digits(a b)",
    "with_keys", "with_keys(null)", "with_keys(redact)", "with_keys(constant(x))",
    "with_keys(with_keys(email))", "constant(a\0b)",
]  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_any_other_mask_is_refused_with_the_list_of_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"^write null, redact, .*keep_last\(4\), partial"):
        parse_operator(text)


def test_a_wrong_argument_is_answered_with_what_the_operator_takes() -> None:
    with pytest.raises(ValueError, match="keep_last\\(4\\) is the last 1 to 99 letters"):
        parse_operator("keep_last(many)")


@given(st.text(alphabet="abcdefgh_(),*0123456789", min_size=1, max_size=20))
def test_what_is_wrong_is_never_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^write null") as refused:
        parse_operator(f"{text}?secret?")
    assert "?secret?" not in str(refused.value)


def test_every_operator_is_explained_and_written_as_it_is_read() -> None:
    for written in OPERATORS:
        parse_operator(written)
        assert f"{written}: " in EXPLAINED
