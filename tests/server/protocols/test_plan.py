"""What a client's messages ask for: grouped under the action that covers them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.errors import ProtocolError
from policies.model import Parameter, SqlPrepare, SqlStatement, Stage
from server.protocols.postgres import frontend as f
from server.protocols.postgres.names import MAX_NAMES
from server.protocols.postgres.plan import MOST_DESCRIBES, Asks, Group, Planner

PARSE = f.Parse("s", "SELECT $1")
BIND = f.Bind("p", "s", (1,), (b"\x01",))
STATEMENT = SqlStatement("SELECT $1", (Parameter(b"\x01", binary=True),))


def planned(planner: Planner, *messages: f.Command) -> list[Group]:
    groups, waiting = planner.plan(messages)
    assert waiting == []
    return groups


def prepared() -> Planner:
    planner = Planner()
    planned(planner, PARSE, f.Sync())
    planner.ready("I")
    return planner


def test_bind_describe_and_execute_are_one_action_with_its_parameters() -> None:
    portal = f.Describe("P", "p")
    groups = planned(Planner(), PARSE, BIND, portal, f.Execute("p", 0), f.Sync())
    assert [(g.asks, g.action) for g in groups] == [
        (Asks.PREPARE, SqlPrepare("SELECT $1")),
        (Asks.EXECUTE, STATEMENT),
    ]
    assert groups[1].messages == [BIND, portal, f.Execute("p", 0), f.Sync()]


def test_a_bind_waits_for_what_follows_it() -> None:
    planner = prepared()
    assert planner.plan([BIND, f.Describe("P", "p")]) == ([], [BIND, f.Describe("P", "p")])
    (group,) = planned(planner, BIND, f.Describe("P", "p"), f.Execute("p"), f.Sync())
    assert group.action == STATEMENT


def test_a_bind_does_not_wait_for_ever() -> None:
    """Else what is described again and again is kept without end."""
    describes = [f.Describe("P", "p")] * (MOST_DESCRIBES + 1)
    assert prepared().plan([BIND, *describes[1:]])[0] == []
    (group,) = planned(prepared(), BIND, *describes)
    assert (group.asks, group.messages) == (Asks.BIND, [BIND, *describes])


def test_a_bind_without_its_execute_is_an_action_too() -> None:
    planner = prepared()
    bound, synced = planned(planner, BIND, f.Close("S", "x"))[0], f.Sync()
    action = replace(STATEMENT, stage=Stage.BIND)
    assert (bound.asks, bound.action, bound.messages) == (Asks.BIND, action, [BIND])
    planned(planner, synced)
    planner.ready("T")
    (group,) = planned(planner, f.Execute("p", 7), synced)
    assert group.action == replace(STATEMENT, max_rows=7, stage=Stage.EXECUTE)


def test_what_asks_for_nothing_goes_under_the_sessions_own_grant() -> None:
    groups = planned(Planner(), f.Describe("S", "s"), f.Close("P", "p"), f.Sync())
    assert [(g.asks, g.action, g.refusal) for g in groups] == [(Asks.NOTHING, None, None)] * 3


def test_names_do_not_outlive_their_portal_or_transaction() -> None:
    planner = prepared()
    planned(planner, BIND, f.Execute("p"), f.Sync())
    planner.ready("I")
    (group,) = planned(planner, f.Execute("p"), f.Sync())
    assert group.refusal is not None


def test_after_a_failure_names_mean_what_they_meant_before() -> None:
    planner = prepared()
    failing, *_ = planned(
        planner, f.Parse("", "SELEKT"), f.Close("S", "s"), f.Parse("s", "DROP TABLE t"), f.Sync()
    )
    planner.failed(failing)
    planner.ready("I")
    (group,) = planned(planner, BIND, f.Execute("p"), f.Sync())
    assert group.action == STATEMENT


def test_what_the_server_skips_is_not_asked_about() -> None:
    planner = prepared()
    (failing,) = planned(planner, f.Parse("", "SELEKT"))
    planner.failed(failing)
    groups = planned(planner, f.Parse("t", "DROP TABLE t"), f.Query("DROP TABLE t"), f.Sync())
    assert [g.messages for g in groups] == [[f.Sync()]]


def test_a_simple_query_ends_the_unnamed_statement() -> None:
    planner = Planner()
    planned(planner, f.Parse("", "SELECT 1"), f.Query("SELECT 2"))
    planner.ready("I")
    (group,) = planned(planner, f.Bind("", ""), f.Execute(""))[:1]
    assert group.refusal is not None


def test_stray_copy_messages_are_dropped() -> None:
    assert planned(Planner(), f.CopyData(b"x"), f.CopyDone(), f.CopyFail("")) == []


def test_a_session_has_a_bounded_number_of_names() -> None:
    planner = Planner()
    planned(planner, *(f.Parse(str(n), "SELECT 1") for n in range(MAX_NAMES)))
    with pytest.raises(ProtocolError):
        planner.plan([f.Parse("one more", "SELECT 1")])
