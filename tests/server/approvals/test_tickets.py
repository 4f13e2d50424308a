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
from policies.people import address
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from server.approvals.tickets import (
    Ticket,
    TicketDecision,
    bind,
    requirement_document,
    requirement_from,
)
from server.approvals.views import Rights, view
from server.connections import Surroundings

RITA = Principal("corp:rita", "rita", "agent-1", frozenset({"developers"}), "rita@example.com")
VICTOR = Principal("corp:victor", "victor", "cli", frozenset({"dba"}), "victor@example.com")
VERA = Principal("corp:vera", "vera", "cli", frozenset({"dba"}), "vera@example.com")
ORDERS = TableName("public", "orders")
UPDATE = "UPDATE orders SET status = $1 WHERE id = 1"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
DBA = RequireApproval("changes-need-approval", frozenset({"dba"}))
SELF = RequireApproval("confirm", frozenset(), self_confirmation=True)
TWO = RequireApproval("two-people", frozenset({"dba", "oncall"}), people=2)
SECURITY = RequireApproval("security-agrees", frozenset({"security"}))

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
        document=bind(REQUEST, AROUND).document,
        requirements=requirements,
        asked_at=NOW,
        expires_at=NOW,
        decisions=decisions,
    )


def approved(by: Principal, *policies: str) -> TicketDecision:
    email = address(by.email)
    return TicketDecision(by.id, by.name, True, "", "api", frozenset(policies), NOW, email)


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


def test_an_approval_by_fewer_people_than_policy_has_come_to_ask_for_does_not_cover() -> None:
    done = ticket(TWO, decisions=(approved(VICTOR, TWO.policy), approved(VERA, TWO.policy)))
    assert done.covers((TWO,))
    assert done.covers((replace(TWO, people=1),))
    assert not done.covers((replace(TWO, people=3),))


def test_a_quorum_is_of_different_people() -> None:
    none, one = ticket(TWO), ticket(TWO, decisions=(approved(VICTOR, TWO.policy),))
    both = ticket(TWO, decisions=(approved(VICTOR, TWO.policy), approved(VERA, TWO.policy)))
    assert [each.missing(TWO) for each in (none, one, both)] == [2, 1, 0]
    assert one.decidable_by(VICTOR) == ()
    assert one.decidable_by(replace(VICTOR, agent="another")) == ()
    assert one.decidable_by(VERA) == (TWO,)


@pytest.mark.parametrize(
    "other",
    [
        Principal("partner:v", "v", "cli", frozenset({"dba"}), "VICTOR+x@example.com"),
        Principal("partner:v", "v", "cli", frozenset({"dba"}), None),
    ],
)
def test_one_person_under_two_principals_is_one_of_a_quorum(other: Principal) -> None:
    one = ticket(TWO, decisions=(approved(VICTOR, TWO.policy),))
    assert one.decidable_by(other) == ()
    forced = ticket(TWO, decisions=(approved(VICTOR, TWO.policy), approved(other, TWO.policy)))
    assert forced.missing(TWO) == 1


@pytest.mark.parametrize("email", ["Rita@Example.com", "rita+dba@example.com", None])
def test_the_requester_under_another_principal_does_not_approve(email: str | None) -> None:
    other = Principal("partner:r", "somebody", "cli", frozenset({"dba"}), email)
    assert ticket(DBA).decidable_by(other) == ()
    assert ticket(DBA, decisions=(approved(other, DBA.policy),)).missing(DBA) == 1
    assert ticket(DBA).requested(other).own


def test_every_gate_must_be_met_and_who_is_in_two_groups_meets_two() -> None:
    both = ticket(DBA, SECURITY)
    assert both.decidable_by(VICTOR) == (DBA,)
    in_both = replace(VICTOR, groups=frozenset({"dba", "security"}))
    assert both.decidable_by(in_both) == (DBA, SECURITY)
    half = ticket(DBA, SECURITY, decisions=(approved(VICTOR, DBA.policy),))
    assert half.open_requirements == (SECURITY,)
    assert half.decidable_by(VERA) == ()


def test_whoever_is_asked_denies_also_where_their_own_gate_is_met_already() -> None:
    half = ticket(DBA, SECURITY, decisions=(approved(VICTOR, DBA.policy),))
    assert half.deniable_by(VERA)
    assert not half.deniable_by(VICTOR)
    assert not half.deniable_by(RITA)
    assert ticket(SELF).deniable_by(RITA)


def test_who_approved_may_revoke_after_leaving_the_group_and_a_requester_never() -> None:
    half = ticket(TWO, decisions=(approved(VICTOR, TWO.policy),))
    assert half.revocable_by(replace(VICTOR, groups=frozenset()))
    assert half.revocable_by(VERA)
    assert not half.revocable_by(replace(RITA, groups=frozenset({"dba"})))
    assert not half.revocable_by(replace(VERA, groups=frozenset()))


@pytest.mark.parametrize(
    ("verb", "destroys"),
    [("update", False), ("insert", False), ("delete", True), ("truncate", True), ("ddl", True)],
)
def test_what_removes_rows_or_changes_the_schema_destroys(verb: str, destroys: bool) -> None:
    facts = SqlFacts(SqlEffect.WRITE, frozenset({verb}), (TableUse(ORDERS, verb),))
    bound = bind(replace(REQUEST, facts=facts), AROUND).document
    requested = replace(ticket(DBA), document=bound).requested(VICTOR)
    assert (requested.destroys, requested.verbs) == (destroys, frozenset({verb}))
    assert requested.requester == RITA
    assert not requested.own


def test_what_was_not_understood_counts_as_destroying() -> None:
    assert replace(ticket(DBA), document={}).requested(VICTOR).destroys


def test_what_is_still_needed_and_who_said_what_are_told_in_a_line_each() -> None:
    half = ticket(TWO, SELF, decisions=(approved(VICTOR, TWO.policy),))
    shown = view(half, "https://gateway.example/approvals/ap_1", Rights(revoke=True))
    assert shown.progress == (
        "two-people: 1 more of dba or oncall",
        "confirm: the requester's own confirmation",
    )
    assert shown.decisions == ("victor approved (api) at 2026-11-01 00:00:00Z",)
    assert (shown.may_revoke, shown.may_decide) == (True, False)


def test_a_requirement_comes_back_from_the_store_as_it_was() -> None:
    for requirement in (DBA, SELF, TWO):
        assert requirement_from(requirement_document(requirement)) == requirement
