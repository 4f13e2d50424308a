"""Cursors go on with the read they were made for, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.errors import Denied
from policies.model import Parameter, Principal
from tools.cursor import LIFETIME, Cursors, Scope

ALICE = Principal("corp:alice", "Alice", "claude")
SCOPE = Scope(ALICE, "shop", "SELECT 1", (Parameter(b"1"), Parameter(None)))
CURSORS = Cursors((b"k" * 32,))
NOW = 1_000_000.0
TOKEN = CURSORS.seal(SCOPE, skip=200, now=NOW)

FOREIGN = [
    replace(SCOPE, principal=replace(ALICE, id="corp:bob")),
    replace(SCOPE, principal=replace(ALICE, agent="cursor")),
    replace(SCOPE, target="shop2"),
    replace(SCOPE, sql="SELECT 2"),
    replace(SCOPE, parameters=(Parameter(b"2"), Parameter(None))),
    replace(SCOPE, parameters=(Parameter(b"1"), Parameter(b""))),
    replace(SCOPE, parameters=(Parameter(b"1"),)),
    replace(SCOPE, target="shopS", sql="ELECT 1"),
]


def refused(cursors: Cursors, token: str, scope: Scope, *, now: float) -> str:
    with pytest.raises(Denied) as caught:
        cursors.open(token, scope, now=now)
    return caught.value.refusal.code


def test_a_cursor_says_where_its_read_goes_on() -> None:
    assert CURSORS.open(TOKEN, SCOPE, now=NOW + LIFETIME - 1) == 200


@pytest.mark.parametrize("scope", FOREIGN)
def test_a_cursor_of_another_caller_target_or_statement_is_refused(scope: Scope) -> None:
    assert refused(CURSORS, TOKEN, scope, now=NOW) == "CURSOR_INVALID"


def test_a_cursor_runs_out() -> None:
    assert refused(CURSORS, TOKEN, SCOPE, now=NOW + LIFETIME) == "CURSOR_INVALID"


@pytest.mark.parametrize("token", ["x", "AAAA", TOKEN + "A", TOKEN[:-4], TOKEN + "=", "é", "\n"])
def test_a_malformed_cursor_is_refused(token: str) -> None:
    assert refused(CURSORS, token, SCOPE, now=NOW) == "CURSOR_INVALID"


@pytest.mark.parametrize("position", range(len(TOKEN) - 1))
def test_a_cursor_with_one_character_changed_is_refused(position: int) -> None:
    other = "B" if TOKEN[position] == "A" else "A"
    token = TOKEN[:position] + other + TOKEN[position + 1 :]
    assert refused(CURSORS, token, SCOPE, now=NOW) == "CURSOR_INVALID"


def test_a_cursor_of_an_older_key_still_opens() -> None:
    rotated = Cursors((b"n" * 32, b"k" * 32))
    assert rotated.open(TOKEN, SCOPE, now=NOW) == 200


def test_a_cursor_of_a_foreign_key_is_refused() -> None:
    assert refused(Cursors((b"n" * 32,)), TOKEN, SCOPE, now=NOW) == "CURSOR_INVALID"
