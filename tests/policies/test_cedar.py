"""The decision point: gates, merging, errors, and names that must not run into each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.cedar import CedarDecisionPoint, load
from policies.model import (
    DecideApproval,
    Effect,
    LimitRows,
    LimitTime,
    MaskLabels,
    Obligation,
    Principal,
    Requested,
    RequireApproval,
    SqlStatement,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from tests.policies.requests import Asker, person

Write = Callable[[str], CedarDecisionPoint]

PERMIT = '@id("all") permit (principal in Group::"staff", action, resource);\n'


@pytest.fixture
def policies(tmp_path: Path) -> Write:
    def write(text: str) -> CedarDecisionPoint:
        (tmp_path / "test.cedar").write_text(PERMIT + text, encoding="utf-8")
        return load(tmp_path, targets={"shop"}, labels=())

    return write


def staff(point: CedarDecisionPoint) -> Asker:
    return Asker(point, person("staff"))


@pytest.mark.parametrize(
    ("annotation", "obligation"),
    [
        ('@approve("dba, oncall")', RequireApproval("gate", frozenset({"dba", "oncall"}), "Why.")),
        (
            '@approve("self")',
            RequireApproval("gate", frozenset(), "Why.", self_confirmation=True),
        ),
        (
            '@approve("self, dba")',
            RequireApproval("gate", frozenset({"dba"}), "Why.", self_confirmation=True),
        ),
        (
            '@approve("dba") @approvals("2")',
            RequireApproval("gate", frozenset({"dba"}), "Why.", people=2),
        ),
        ('@mask("pii, secret")', MaskLabels(frozenset({"pii", "secret"}), "gate")),
        ('@row_limit("10")', LimitRows(10, "gate")),
        ('@timeout("500ms")', LimitTime(0.5, "gate")),
        ('@timeout("15s")', LimitTime(15.0, "gate")),
        ('@timeout("2m")', LimitTime(120.0, "gate")),
    ],
)
def test_a_gate_becomes_an_obligation(
    policies: Write, annotation: str, obligation: Obligation
) -> None:
    point = policies(
        f'@id("gate") {annotation} @reason("Why.")'
        'forbid (principal, action == Action::"sql.select", resource);'
    )
    assert staff(point).run("SELECT id FROM users").obligations == (obligation,)


def test_a_gate_permits_nothing_by_itself(policies: Write) -> None:
    point = policies('@id("gate") @row_limit("1") forbid (principal, action, resource);')
    decision = Asker(point, person("others")).run("SELECT id FROM users")
    assert decision.effect is Effect.DENY


def test_every_gate_counts_once_and_the_strictest_limit_holds(policies: Write) -> None:
    point = policies(
        '@id("one") @row_limit("10") @timeout("3s") forbid (principal, action, resource);'
        '@id("two") @row_limit("5") @timeout("9s") forbid (principal, action, resource);'
    )
    decision = staff(point).run("SELECT u.id FROM users u, orders o")
    assert len(decision.obligations) == 4
    assert decision.row_limit == 5
    assert decision.time_limit == 3.0


def test_approvals_of_several_tables_are_all_asked_for(policies: Write) -> None:
    point = policies(
        '@id("a") @approve("dba")'
        'forbid (principal, action, resource == Table::"shop/hr/salaries");'
        '@id("b") @approve("hr") forbid (principal, action, resource in Schema::"shop/hr");'
    )
    decision = staff(point).run("SELECT s.user_id FROM hr.salaries s JOIN users ON id = user_id")
    assert [approval.policy for approval in decision.approvals] == ["a", "b"]


def test_one_forbidden_table_forbids_the_statement_and_is_named(policies: Write) -> None:
    point = policies(
        '@id("hr-only") @reason("HR only.") @next_step("Ask HR.")'
        'forbid (principal, action, resource in Schema::"shop/hr");'
        '@id("gate") @approve("dba") forbid (principal, action, resource);'
    )
    text = "SELECT 1 FROM users, hr.salaries"
    decision = staff(point).run(text)
    assert decision.effect is Effect.DENY
    refusal = decision.refusal
    assert refusal is not None
    assert (refusal.policy, refusal.reason, refusal.next_step) == ("hr-only", "HR only.", "Ask HR.")
    assert refusal.subject == "sql.select on shop hr.salaries"
    assert refusal.span == (text.index("hr."), len(text))


@pytest.mark.parametrize(
    "condition",
    [
        "context.sql.labels.contains(\"pii\")",
        'context.sql.columns.contains("ssn")',
        'context.sql.labels_read.contains("pii")',
        'context.sql.kinds.contains("select")',
        'context.sql.functions.contains("pg_catalog.lower")',
        "context.sql.read_only",
        'context.request.channel == "mcp"',
        'context.request.agent == Agent::"claude"',
        'context.request has reason && context.request.reason like "*ticket*"',
        'context.request.now > datetime("2026-11-22T11:59:59Z")',
        'principal.name == "alice" && principal has email',
        'resource.name == "users" && resource.target == Target::"shop"',
        'resource in Environment::"production"',
    ],
)  # fmt: skip
def test_policies_see_the_request_and_the_facts(policies: Write, condition: str) -> None:
    point = policies(
        '@id("seen") forbid (principal, action == Action::"sql.select", resource)'
        f"when {{ {condition} }};"
    )
    asker = Asker(point, person("staff"), reason="for ticket 7")
    refusal = asker.run("SELECT lower(ssn) FROM users").refusal
    assert refusal is not None
    assert refusal.policy == "seen"


@pytest.mark.parametrize(
    "condition",
    [
        'resource in Environment::"production"',
        'resource in Target::"shop" && resource.target == Target::"shop"',
        'resource.requester == User::"corp:rita" && resource.requester in Group::"juniors"',
        'resource.requester.name == "rita" && resource.requester has email',
        'resource.agent == Agent::"claude-code" && context.request.agent == Agent::"claude"',
        'context.approval.verbs == ["delete", "update"] && context.approval.destroys',
        "!context.approval.self && context.approval.approved && context.approves",
    ],
)  # fmt: skip
def test_policies_see_whose_ticket_is_decided_and_what_it_is_for(
    policies: Write, condition: str
) -> None:
    point = policies(
        '@id("seen") forbid (principal, action == Action::"approval.decide", resource)'
        f"when {{ {condition} }};"
    )
    rita = person("juniors", name="rita", agent="claude-code")
    verbs = frozenset({"update", "delete"})
    requested = Requested(rita, verbs, destroys=True, own=False, approved=True)
    refusal = staff(point).ask(DecideApproval("ap_1", approve=True, requested=requested)).refusal
    assert refusal is not None
    assert (refusal.policy, refusal.subject) == ("seen", "approval.decide of ap_1")


def test_an_error_in_a_policy_is_a_deny(policies: Write) -> None:
    # Cedar skips a forbid whose evaluation fails, and would allow.
    point = policies(
        '@id("overflow") forbid (principal, action == Action::"sql.query", resource)'
        "when { 9223372036854775807 + 1 == 0 };"
    )
    refusal = staff(point).run("SELECT 1").refusal
    assert refusal is not None
    assert refusal.code == "POLICY_ERROR"


def test_an_error_in_a_gate_is_a_deny(policies: Write) -> None:
    point = policies(
        '@id("overflow") @row_limit("1")'
        'forbid (principal, action == Action::"sql.query", resource)'
        "when { 9223372036854775807 + 1 == 0 };"
    )
    assert staff(point).run("SELECT 1").effect is Effect.DENY


def test_names_with_slashes_are_other_tables(policies: Write) -> None:
    point = policies(
        '@id("guard") forbid (principal, action, resource == Table::"shop/a/b/c");'
        '@id("escaped") forbid (principal, action, resource == Table::"shop/a/b%2Fc");'
    )
    for table, policy in (
        (TableName("a/b", "c"), None),
        (TableName("a", "b/c"), "escaped"),
        (TableName("a", "b%2Fc"), None),
    ):
        facts = SqlFacts(SqlEffect.READ, tables=(TableUse(table, "select"),))
        refusal = staff(point).ask(SqlStatement("-"), facts).refusal
        assert (refusal.policy if refusal else None) == policy


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "é", "", "Group::x", "\ud800"])
def test_odd_names_of_people_and_agents_are_decided_or_denied(policies: Write, name: str) -> None:
    odd = Principal(name, name, name, frozenset({"staff", name}), name)
    decision = Asker(policies(""), odd).run("SELECT 1")
    assert decision.effect is (Effect.DENY if name == "\ud800" else Effect.PERMIT)


def test_a_change_whose_facts_name_no_table_is_a_deny(policies: Write) -> None:
    refusal = staff(policies("")).ask(SqlStatement("-"), SqlFacts(SqlEffect.WRITE)).refusal
    assert refusal is not None
    assert refusal.code == "POLICY_ERROR"


def test_an_opaque_statement_is_refused_whatever_permits_it(policies: Write) -> None:
    decision = staff(policies("")).run("VACUUM")
    assert decision.effect is Effect.DENY
    assert decision.questions[0].allowed
    assert decision.refusal is not None
    assert decision.refusal.policy == "built-in"


def test_the_version_changes_with_the_text_and_only_with_it(policies: Write) -> None:
    one = policies("").version
    assert policies("").version == one
    assert policies("// a comment\n").version != one


def test_every_answer_carries_the_version(policies: Write) -> None:
    point = policies("")
    assert staff(point).run("SELECT 1").policy_version == point.version
    assert Asker(point, person()).run("SELECT 1").policy_version == point.version
