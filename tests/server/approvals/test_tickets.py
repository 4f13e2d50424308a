"""What an approval is bound to, and who may decide on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from policies.model import (
    AccessRequest,
    Channel,
    Parameter,
    Principal,
    RequireApproval,
    SqlStatement,
    Target,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from server.approvals.tickets import Ticket, TicketDecision, bind
from server.connections import Surroundings

RITA = Principal("corp:rita", "rita", "agent-1", frozenset({"developers"}))
VICTOR = Principal("corp:victor", "victor", "cli", frozenset({"dba"}))
ORDERS = TableName("public", "orders")
UPDATE = "UPDATE orders SET status = $1 WHERE id = 1"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
DBA = RequireApproval("changes-need-approval", frozenset({"dba"}))
SELF = RequireApproval("confirm", frozenset(), self_confirmation=True)

REQUEST = AccessRequest(
    principal=RITA,
    target=Target("shop", "postgres", "production"),
    action=SqlStatement("UPDATE orders SET status = $1 WHERE id = 1", (Parameter(b"paid"),)),
    channel=Channel.MCP,
    now=NOW,
    session="s1",
    facts=SqlFacts(
        SqlEffect.WRITE,
        frozenset({"update"}),
        (TableUse(ORDERS, "update"),),
        objects=((ORDERS, 16400),),
    ),
)
AROUND = Surroundings("writer", "shop", ("public",), {"TimeZone": "UTC"})


def statement(text: str = UPDATE, *values: bytes | None) -> SqlStatement:
    return SqlStatement(text, tuple(Parameter(v) for v in values or (b"paid",)))


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, principal=replace(RITA, id="corp:ritA")),
        replace(REQUEST, principal=replace(RITA, agent="agent-2")),
        replace(REQUEST, target=Target("shop2", "postgres", "production")),
        replace(REQUEST, action=statement("UPDATE orders SET status = $1 WHERE id = 1 ")),
        replace(REQUEST, action=statement("UPDATE orders SET status = $1 WHERE id = 2")),
        replace(REQUEST, action=statement(statement().text, b"Paid")),
        replace(REQUEST, action=statement(statement().text, None)),
        replace(REQUEST, action=statement(statement().text, b"paid", b"paid")),
        replace(REQUEST, action=SqlStatement(statement().text, (Parameter(b"paid", binary=True),))),
        replace(REQUEST, facts=replace(REQUEST.facts, objects=((ORDERS, 16401),))),  # type: ignore[type-var]
    ],
)
def test_any_change_of_the_request_is_another_approval(changed: AccessRequest) -> None:
    assert bind(changed, AROUND).digest != bind(REQUEST, AROUND).digest


@pytest.mark.parametrize(
    "around",
    [
        replace(AROUND, role="reader"),
        replace(AROUND, database="shop2"),
        replace(AROUND, search_path=("evil", "public")),
        replace(AROUND, settings={"TimeZone": "CET"}),
    ],
)
def test_any_change_of_the_surroundings_is_another_approval(around: Surroundings) -> None:
    assert bind(REQUEST, around).digest != bind(REQUEST, AROUND).digest


def test_the_session_the_time_and_the_reason_are_shown_and_not_bound() -> None:
    later = replace(REQUEST, session="s2", now=NOW + timedelta(hours=1), reason="please")
    assert bind(later, AROUND).digest == bind(REQUEST, AROUND).digest
    assert bind(later, AROUND).document["reason"] == "please"


def ticket(*requirements: RequireApproval, decisions: tuple[TicketDecision, ...] = ()) -> Ticket:
    return Ticket(
        id="ap_1",
        state="pending",
        principal=RITA.id,
        principal_name=RITA.name,
        agent=RITA.agent,
        target="shop",
        digest=b"",
        document={},
        requirements=requirements,
        asked_at=NOW,
        expires_at=NOW,
        decisions=decisions,
    )


def approved(by: Principal, *policies: str) -> TicketDecision:
    return TicketDecision(by.id, by.name, True, "", "api", frozenset(policies), NOW)


def test_nobody_decides_on_their_own_request_even_from_an_approving_group() -> None:
    rita_too = replace(RITA, groups=frozenset({"dba"}))
    assert ticket(DBA).decidable_by(rita_too) == ()
    assert ticket(DBA).decidable_by(VICTOR) == (DBA,)


def test_self_confirmation_is_for_the_requester_alone_and_only_where_the_gate_says_so() -> None:
    assert ticket(SELF).decidable_by(RITA) == (SELF,)
    assert ticket(SELF).decidable_by(VICTOR) == ()
    both = ticket(SELF, DBA)
    assert both.decidable_by(RITA) == (SELF,)
    assert not both.self_confirmation


def test_what_was_approved_does_not_cover_what_policy_has_come_to_ask_for() -> None:
    done = ticket(DBA, decisions=(approved(VICTOR, DBA.policy),))
    assert done.covers((DBA,))
    assert done.covers(())
    assert not done.covers((DBA, SELF))
    assert not done.covers((replace(DBA, groups=frozenset({"security"})),))
    assert not ticket(DBA).covers((DBA,))
