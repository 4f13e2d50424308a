from __future__ import annotations

import pytest

from masking.operators import (
    REDACTED,
    Constant,
    Email,
    KeepLast,
    Null,
    Pseudonym,
    PseudonymKey,
    Redact,
    Year,
    mask_text,
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
        ("email", Email()),
        ("year", Year()),
        (" pseudonym(customers) ", Pseudonym("customers")),
    ],
)
def test_a_configured_mask_is_read(text: str, operator: object) -> None:
    assert parse_operator(text) == operator


@pytest.mark.parametrize(
    "text",
    ["", "nul", "null()", "redact(x)", "constant", "keep_last", "keep_last(0)", "keep_last(x)",
     "keep_last(-1)", "pseudonym", "pseudonym( )", "year(2)", "Null", "keep_last(4"],
)  # fmt: skip
def test_any_other_mask_is_refused_with_the_list_of_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"keep_last\(n\)"):
        parse_operator(text)


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
        ("email", "bob.smith@example.com", "***@example.com"),
        ("email", "not an address", REDACTED),
        ("email", "bob@x.io, eve@y.io", REDACTED),
        ("year", "1987-05-17", "1987-01-01"),
        ("year", "1987-05-17T10:00:00Z", "1987-01-01"),
        ("year", "17 May 1987", REDACTED),
    ],
)
def test_a_text_under_a_mask(
    key: PseudonymKey, operator: str, text: str, masked: str | None
) -> None:
    assert mask_text(parse_operator(operator), text, key) == masked


def _pseudonym(key: PseudonymKey, domain: str, text: str) -> str | None:
    return mask_text(Pseudonym(domain), text, key)


def test_spellings_of_one_value_share_a_pseudonym(key: PseudonymKey) -> None:
    spellings = ["bob@example.com", "Bob@Example.com ", "BOB@EXAMPLE.COM"]
    assert len({_pseudonym(key, "mail", s) for s in spellings}) == 1


def test_pseudonyms_differ_by_value_domain_and_key(key: PseudonymKey) -> None:
    other = PseudonymKey(b"o" * 32)
    tokens = [
        _pseudonym(key, "mail", "bob"),
        _pseudonym(key, "mail", "eve"),
        _pseudonym(key, "name", "bob"),
        _pseudonym(other, "mail", "bob"),
    ]
    assert len(set(tokens)) == 4


def test_a_pseudonym_says_nothing_of_the_value(key: PseudonymKey) -> None:
    token = _pseudonym(key, "mail", "bob@example.com") or ""
    assert token.startswith("p_")
    assert "bob" not in token
    assert "example" not in token


def test_the_key_is_not_shown(key: PseudonymKey) -> None:
    assert "kkkk" not in repr(key)
