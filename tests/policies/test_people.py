"""Who counts as one person."""

from __future__ import annotations

import pytest

from policies.model import Principal
from policies.people import Person, address, distinct

RITA = Person("corp:rita", "rita@example.com")


@pytest.mark.parametrize(
    "email",
    [
        "RITA@Example.COM",
        "rita+approver@example.com",
        " rita@example.com ",
        "\uff52ita@example.com",  # full width
    ],
)
def test_one_mailbox_is_one_person_under_any_principal(email: str) -> None:
    other = Person.of(Principal("partner:r.ross", "R. Ross", "cli", email=email))
    assert RITA.may_be(other)
    assert other.may_be(RITA)


@pytest.mark.parametrize(
    ("other", "may_be"),
    [
        (Person("corp:rita", ""), True),
        (Person("corp:rita", "renamed@example.com"), True),
        (Person("corp:victor", "rita@example.com"), True),
        (Person("corp:victor", "victor@example.com"), False),
        (Person("corp:victor", ""), False),
        (Person("partner:victor", "victor@example.com"), False),
        (Person("partner:victor", ""), True),
    ],
)
def test_accounts_of_two_issuers_are_two_people_only_where_both_have_an_address(
    other: Person, may_be: bool
) -> None:
    assert RITA.may_be(other) is may_be
    assert other.may_be(RITA) is may_be


def test_each_person_is_counted_once_and_one_of_them_never() -> None:
    victor, vera = Person("corp:victor", "v@example.com"), Person("corp:vera", "vera@example.com")
    again = Person("partner:victor", "V+2@example.com".casefold().replace("+2", ""))
    nobody_knows = Person("partner:unknown", "")
    people = [victor, again, RITA, vera, victor, nobody_knows]
    assert distinct(people, but=RITA) == [victor, vera]


@pytest.mark.parametrize("text", [None, "", "rita", "@"])
def test_what_is_no_address_tells_nobody_apart(text: str | None) -> None:
    assert address(text) == ""
