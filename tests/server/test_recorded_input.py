"""What is kept of an action: marks for secrets, a note of them, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Decision,
    Effect,
    ExplainPolicy,
    Parameter,
    Principal,
    SqlPrepare,
    SqlStatement,
)
from recordings.chain import DigestKey
from server import records
from server.approvals.tickets import bind
from server.connections import Surroundings
from server.recorded_input import kept

CHANGE = "UPDATE t SET a = 'https://u:{}@h/' WHERE b = $1"
AROUND = Surroundings("writer", "shop", ("public",), {})


def request_for(action: Action, reason: str = "") -> AccessRequest:
    who = Principal("corp:rita", "rita", "agent-1")
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return AccessRequest(who, None, action, Channel.MCP, now, "s1", reason=reason)


@pytest.mark.parametrize(
    "action",
    [
        SqlStatement("SELECT 1 WHERE 'token' = $1", (Parameter(b"plain"), Parameter(None))),
        SqlStatement("SELECT $1", (Parameter(b"\xff\xfe", binary=True),)),
        SqlPrepare("SELECT password FROM users"),
    ],
)
def test_an_action_without_secrets_is_kept_as_it_is(action: Action) -> None:
    shown = kept(action)
    assert shown.action is action
    assert not shown.removed


def test_places_of_marks_and_numbers_of_parameters_are_noted() -> None:
    sql = "SELECT set_config('a.token', $2, true), 'pwd=x'"
    values = (Parameter(b"password=x", binary=True), Parameter(b"x"), Parameter(b"x"))
    shown = kept(SqlStatement(sql, values))
    assert shown.removed == {"count": 3, "places": [sql.index("x'")], "parameters": [1, 2]}
    assert isinstance(shown.action, SqlStatement)
    assert [p.value for p in shown.action.parameters] == [b"password=[removed]", b"[removed]", b"x"]
    assert shown.action.parameters[0].binary


def test_many_long_parameters_are_kept_as_far_as_they_can_be_searched() -> None:
    """Together: a thousand of them would hold up everybody else."""
    plain, suspect = Parameter(b"x" * 700_000), Parameter(b"token " + b"x" * 700_000)
    shown = kept(SqlStatement("SELECT $1, $2, $3", (plain, suspect, suspect)))
    assert isinstance(shown.action, SqlStatement)
    assert shown.action.parameters[:2] == (plain, suspect)
    assert shown.removed["parameters"] == [3]
    assert (shown.action.parameters[2].value or b"").endswith(b" characters left out]")


@pytest.mark.parametrize(
    "action",
    [
        SqlStatement("ALTER USER x PASSWORD 'c4n4ry'"),
        SqlPrepare("ALTER USER x PASSWORD 'c4n4ry'"),
        ExplainPolicy("ALTER USER x PASSWORD 'c4n4ry'", "corp:rita"),
    ],
)
def test_intents_and_refusals_hold_marks_and_say_how_many(action: Action) -> None:
    asked = request_for(action, reason="password=c4n4ry")
    for effect, record in (
        (Effect.PERMIT, records.intent(asked, Decision(Effect.PERMIT, "v1"))),
        (Effect.DENY, records.decided(asked, Decision(Effect.DENY, "v1"))),
    ):
        assert record.document["effect"] == effect.value
        assert record.document["removed"] == {"count": 1, "places": [22], "parameters": []}
        assert "c4n4ry" not in str(record.document)
        assert record.body == b"ALTER USER x PASSWORD '[removed]'"


def test_what_holds_no_secret_is_recorded_to_the_byte_and_without_a_note() -> None:
    asked = request_for(SqlStatement("SELECT 'a\ud800' -- token"))
    record = records.intent(asked, Decision(Effect.PERMIT, "v1"))
    assert "removed" not in record.document
    assert record.body == "SELECT 'a\ud800' -- token".encode("utf-8", "surrogatepass")


def test_an_approval_binds_the_exact_secret_by_a_key() -> None:
    """The same everywhere under one key, another for another secret; not in what is shown."""
    key, other_key = DigestKey("1", b"a" * 32), DigestKey("1", b"b" * 32)
    asked = request_for(SqlStatement(CHANGE.format("one"), (Parameter(b"1"),)))
    bound = bind(asked, AROUND, seal=key.seal)
    again = bind(replace(asked, session="s2"), AROUND, seal=key.seal)
    another = request_for(SqlStatement(CHANGE.format("two"), (Parameter(b"1"),)))
    assert bound.digest == again.digest
    assert bound.digest != bind(another, AROUND, seal=key.seal).digest
    assert bound.digest != bind(asked, AROUND, seal=other_key.seal).digest
    assert "one@" not in str(bound.document)


def test_a_seal_is_no_digest_of_a_body() -> None:
    """Else whoever may have bodies recorded could have seals computed, and guess."""
    key = DigestKey("1", b"a" * 32)
    assert key.seal(b"content") != key.digest(b"content")
    assert len(key.seal(b"content")) == 32
