"""Pseudonyms: equal within a domain, unlinkable across, and one for each value."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking.pseudonyms import LONGEST, SHORTEST, PseudonymKey

KEY, OTHER = PseudonymKey(b"k" * 32), PseudonymKey(b"o" * 32)
MAIL = KEY.domain("mail")


def test_spellings_of_one_text_share_a_pseudonym() -> None:
    spellings = ["bob@example.com", "Bob@Example.com ", "BOB@EXAMPLE.COM"]
    assert len({MAIL.token(s) for s in spellings}) == 1


def test_pseudonyms_differ_by_value_domain_and_key() -> None:
    domains = [MAIL, KEY.domain("name"), OTHER.domain("mail")]
    assert len({d.token(text) for d in domains for text in ("bob", "eve")}) == 6
    assert len({d.uuid(uuid.UUID(int=n)) for d in domains for n in (1, 2)}) == 6
    assert len({d.permuted(7, 10**12, "") for d in domains}) == 3
    assert len({d.digest(b"bytes", b"bob") for d in domains}) == 3


def test_a_pseudonym_says_nothing_of_the_value() -> None:
    token = MAIL.token("bob@example.com")
    assert token.startswith("p_")
    assert len(token) == LONGEST
    assert "bob" not in token
    assert "example" not in token


@pytest.mark.parametrize("room", range(SHORTEST, LONGEST + 3))
def test_a_pseudonym_is_made_for_the_room_there_is(room: int) -> None:
    tokens = {MAIL.token(str(n), room) for n in range(500)}
    assert {len(t) for t in tokens} == {min(room, LONGEST)}
    assert len(tokens) == 500


def test_a_uuid_pseudonym_is_a_valid_uuid_of_a_custom_kind() -> None:
    pseudonym = MAIL.uuid(uuid.uuid4())
    assert pseudonym.variant == uuid.RFC_4122
    assert pseudonym.bytes[6] >> 4 == 8


@pytest.mark.parametrize("count", [2, 3, 9, 10, 28, 90, 255, 256, 257, 1000])
def test_a_permutation_takes_every_number_once_and_leaves_none_in_its_place(count: int) -> None:
    permuted = [MAIL.permuted(n, count, "space") for n in range(count)]
    assert sorted(permuted) == list(range(count))
    assert all(n != p for n, p in enumerate(permuted))


@given(st.integers(0, 2**128 - 1))
def test_large_spaces_are_permuted_too(value: int) -> None:
    assert 0 <= MAIL.permuted(value, 2**128, "wide") != value
    assert 0 <= MAIL.permuted(value, 10**180, "wider") < 10**180


@pytest.mark.parametrize(("value", "count"), [(0, 1), (0, 0), (5, 5), (-1, 5)])
def test_what_can_not_be_permuted_is_an_error(value: int, count: int) -> None:
    with pytest.raises(ValueError, match="no permutation"):
        MAIL.permuted(value, count, "")


def test_the_key_is_not_shown() -> None:
    assert "kkkk" not in repr(KEY)
