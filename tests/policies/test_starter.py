"""The starter policies: what each group may do, and how refusals read."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from policies.cedar import CedarDecisionPoint, load
from policies.errors import ConfigError, Refusal
from policies.model import (
    Action,
    Channel,
    Connect,
    DecideApproval,
    Decision,
    Effect,
    ExplainPolicy,
    ReadCatalog,
    ReadRecording,
    Requested,
    RequireApproval,
    RevokeApproval,
    ScanTarget,
    SqlStatement,
    WithdrawApproval,
)
from tests.policies.requests import LABORATORY, SHOP, Asker, person


@cache
def starter() -> CedarDecisionPoint:
    return load("starter", targets={"shop", "laboratory"}, labels={"pii", "secret"})


def developer() -> Asker:
    return Asker(starter(), person("developers"))


def refusal(decision: Decision) -> Refusal:
    assert decision.effect is Effect.DENY
    assert decision.obligations == ()
    assert decision.refusal is not None
    return decision.refusal


def test_developers_read_with_labels_masked_and_bounds() -> None:
    decision = developer().run("SELECT id, ssn FROM users")
    assert decision.effect is Effect.PERMIT
    assert {"pii", "secret"} <= decision.masked_labels
    assert decision.row_limit == 1000
    assert decision.time_limit == 15.0
    assert decision.approvals == ()


def test_changes_in_production_need_a_dba() -> None:
    decision = developer().run("UPDATE users SET name = 'x' WHERE id = 1")
    assert decision.effect is Effect.PERMIT
    [approval] = decision.approvals
    assert approval == RequireApproval(
        "changes-need-approval",
        frozenset({"dba"}),
        "Changes outside development are approved by a DBA.",
    )


def test_changes_in_development_need_nobody() -> None:
    asker = Asker(starter(), person("developers"), LABORATORY)
    assert asker.run("DELETE FROM orders WHERE id = 1").approvals == ()


def test_preparing_a_change_asks_nobody_since_running_it_does() -> None:
    decision = developer().prepare("UPDATE users SET name = 'x' WHERE id = 1")
    assert decision.effect is Effect.PERMIT
    assert decision.approvals == ()


def test_preparing_what_is_forbidden_is_refused() -> None:
    assert refusal(developer().prepare("DROP TABLE users")).policy == "no-schema-changes"


def test_an_update_without_where_is_refused_with_what_to_do() -> None:
    found = refusal(developer().run("UPDATE users SET name = 'x'"))
    assert found.code == "FORBIDDEN"
    assert found.policy == "no-whole-table-changes"
    assert "WHERE" in found.next_step
    assert found.subject == "sql.update on shop public.users"
    assert found.span == (7, 12)


@pytest.mark.parametrize("text", ["DROP TABLE users", "CREATE SCHEMA x", "TRUNCATE orders"])
def test_schema_changes_are_refused_even_to_a_dba(text: str) -> None:
    found = refusal(Asker(starter(), person("dba")).run(text))
    assert found.policy == "no-schema-changes"
    assert found.reason
    assert "migration" in found.next_step


def test_copies_of_labelled_values_are_refused() -> None:
    found = refusal(developer().run("INSERT INTO departments SELECT id, ssn FROM users"))
    assert found.policy == "no-copies-of-labelled-values"


def test_what_is_not_understood_is_refused_with_the_reason_of_the_analysis() -> None:
    found = refusal(developer().run("SELECT pg_sleep(1)"))
    assert found.code == "FUNCTION_NOT_ALLOWED"
    assert "pg_sleep" in found.reason
    assert found.span == (7, 15)
    assert found.policy == "no-statements-that-are-not-understood"


def test_analysts_do_not_change() -> None:
    found = refusal(Asker(starter(), person("analysts")).run("DELETE FROM orders WHERE id = 1"))
    assert found.code == "NOT_PERMITTED"
    assert found.policy == "built-in"
    assert found.reason == "sql.delete on shop public.orders is not permitted for you."


def test_without_a_group_nothing_is_permitted() -> None:
    nobody = Asker(starter(), person())
    assert refusal(nobody.ask(Connect())).code == "NOT_PERMITTED"
    assert refusal(nobody.run("SELECT 1")).code == "NOT_PERMITTED"


def requested(*, own: bool = False, destroys: bool = False, approved: bool = False) -> Requested:
    return Requested(person("developers"), frozenset({"update"}), destroys, own, approved)


def decide(**about: bool) -> DecideApproval:
    return DecideApproval("ticket", approve=True, requested=requested(**about))


def permits(action: Action, *groups: str, channel: Channel, agent: str = "claude") -> bool:
    asker = Asker(starter(), person(*groups, name="victor", agent=agent), channel=channel)
    return asker.ask(action).effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("channel", "may"), [(Channel.API, True), (Channel.WEB, True), (Channel.MCP, False)]
)
def test_a_dba_decides_on_the_page_and_over_the_api_but_not_by_a_tool_call(
    channel: Channel, may: bool
) -> None:
    assert permits(decide(), "dba", channel=channel) is may
    assert not permits(decide(), "developers", channel=channel)


def test_a_form_decides_only_in_a_listed_client_of_reviewers() -> None:
    form = Channel.ELICITATION
    assert permits(decide(), "dba", channel=form, agent="demo-reviewer")
    assert not permits(decide(), "dba", channel=form, agent="claude")
    assert not permits(decide(), "developers", channel=form, agent="demo-reviewer")


def test_no_form_approves_what_destroys_and_any_denies_it() -> None:
    form, action = Channel.ELICITATION, decide(destroys=True)
    dba = Asker(starter(), person("dba", agent="demo-reviewer"), channel=form)
    assert refusal(dba.ask(action)).policy == "no-form-approves-what-destroys"
    assert dba.ask(replace(action, approve=False)).effect is Effect.PERMIT
    assert permits(action, "dba", channel=Channel.WEB)


def test_requesters_confirm_and_withdraw_their_own_and_nobody_elses() -> None:
    for channel in (Channel.ELICITATION, Channel.API, Channel.WEB):
        assert permits(decide(own=True), channel=channel)
    assert not permits(decide(own=True), channel=Channel.MCP)
    assert not permits(decide(own=True, destroys=True), channel=Channel.ELICITATION)
    assert permits(WithdrawApproval("ticket", requested(own=True)), channel=Channel.API)
    assert not permits(WithdrawApproval("ticket", requested()), "dba", channel=Channel.API)


def test_a_dba_revokes_and_so_does_who_approved_but_not_by_a_tool_call() -> None:
    revoke = RevokeApproval("ticket", requested())
    assert permits(revoke, "dba", channel=Channel.API)
    assert not permits(revoke, "dba", channel=Channel.MCP)
    assert not permits(revoke, "developers", channel=Channel.API)
    assert permits(RevokeApproval("ticket", requested(approved=True)), channel=Channel.WEB)


@pytest.mark.parametrize("session", [None, "a-session"])
def test_auditors_and_only_they_read_recordings(session: str | None) -> None:
    action = ReadRecording(session)
    assert Asker(starter(), person("auditors"), None).ask(action).effect is Effect.PERMIT
    assert refusal(Asker(starter(), person("dba"), None).ask(action)).code == "NOT_PERMITTED"


def test_everyone_explains_their_own_and_dba_everybodys() -> None:
    anybody = Asker(starter(), person(), None)
    assert anybody.ask(ExplainPolicy("SELECT 1", "corp:alice")).effect is Effect.PERMIT
    assert anybody.ask(ExplainPolicy("SELECT 1", "alice")).effect is Effect.PERMIT
    assert refusal(anybody.ask(ExplainPolicy("SELECT 1", "corp:bob"))).code == "NOT_PERMITTED"
    dba = Asker(starter(), person("dba"), None)
    assert dba.ask(ExplainPolicy("SELECT 1", "corp:bob")).effect is Effect.PERMIT


@pytest.mark.parametrize(
    "text", ["SELECT id FROM users ORDER BY ssn", "SELECT DISTINCT ssn FROM users"]
)
def test_filtering_and_sorting_by_labels_needs_a_dba_everywhere(text: str) -> None:
    for target in (SHOP, LABORATORY):
        [approval] = Asker(starter(), person("developers"), target).run(text).approvals
        assert approval.policy == "filtering-by-labels-needs-approval"
    assert developer().run("SELECT id, ssn FROM users WHERE ssn = $1").approvals == ()


@pytest.mark.parametrize("group", ["dba", "security"])
def test_administrators_scan_targets_on_the_command_line_only(group: str) -> None:
    assert permits(ScanTarget(()), group, channel=Channel.API)
    assert not permits(ScanTarget(()), group, channel=Channel.MCP)
    assert not permits(ScanTarget(()), "developers", channel=Channel.API)


def test_only_the_gateway_reads_a_catalog() -> None:
    gateway = Asker(starter(), person(), channel=Channel.GATEWAY)
    assert gateway.ask(ReadCatalog()).effect is Effect.PERMIT
    assert refusal(Asker(starter(), person("dba")).ask(ReadCatalog())).code == "NOT_PERMITTED"


def test_a_statement_without_facts_is_refused() -> None:
    assert refusal(developer().ask(SqlStatement("SELECT 1"))).code == "POLICY_ERROR"


def test_a_decision_tells_every_question_and_the_policies_behind_its_answer() -> None:
    decision = developer().run("SELECT id FROM users")
    assert [(q.action, q.resource, q.allowed) for q in decision.questions] == [
        ("sql.query", 'Target::"shop"', True),
        ("sql.select", 'Table::"shop/public/users"', True),
    ]
    assert "mask-sensitive-columns" in decision.questions[1].policies
    assert starter().location("mask-sensitive-columns").rpartition(":")[0].endswith("gates.cedar")
    assert starter().location("no-such-policy") == ""


def test_a_label_that_the_starter_does_not_mask_is_named() -> None:
    with pytest.raises(ConfigError, match="'genome'"):
        load("starter", targets=set(), labels={"genome"})
