"""`@mode("audit")`: reported, and never decisive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.cedar import CedarDecisionPoint, load
from policies.errors import ConfigError
from policies.model import Audit, Effect, LimitRows, MaskLabels, RequireApproval
from tests.policies.requests import Asker, person

Write = Callable[[str], CedarDecisionPoint]

PERMIT = '@id("all") permit (principal in Group::"staff", action, resource);\n'
SELECTS = 'forbid (principal, action == Action::"sql.select", resource);'


@pytest.fixture
def policies(tmp_path: Path) -> Write:
    def write(text: str) -> CedarDecisionPoint:
        (tmp_path / "test.cedar").write_text(PERMIT + text, encoding="utf-8")
        return load(tmp_path, targets={"shop"}, labels=())

    return write


def staff(point: CedarDecisionPoint) -> Asker:
    return Asker(point, person("staff"))


def test_a_forbid_in_audit_mode_refuses_nothing_and_is_reported(policies: Write) -> None:
    decision = staff(policies(f'@id("watched") @mode("audit") {SELECTS}')).run(
        "SELECT id FROM users"
    )
    assert decision.effect is Effect.PERMIT
    assert decision.audits == (Audit("watched"),)
    assert all("watched" not in question.policies for question in decision.questions)


@pytest.mark.parametrize(
    ("annotation", "obligation"),
    [
        ('@approve("dba")', RequireApproval("watched", frozenset({"dba"}))),
        ('@mask("pii")', MaskLabels(frozenset({"pii"}), "watched")),
        ('@row_limit("5")', LimitRows(5, "watched")),
    ],
)
def test_a_gate_in_audit_mode_asks_for_nothing_and_says_what_it_would_have(
    policies: Write, annotation: str, obligation: object
) -> None:
    decision = staff(policies(f'@id("watched") @mode("audit") {annotation} {SELECTS}')).run(
        "SELECT id FROM users"
    )
    assert decision.obligations == ()
    assert [audit.obligations for audit in decision.audits] == [(obligation,)]


def test_what_is_refused_is_audited_as_well(policies: Write) -> None:
    point = policies(
        '@id("never") forbid (principal, action == Action::"sql.query", resource);'
        f'@id("watched") @mode("audit") {SELECTS}'
    )
    decision = staff(point).run("SELECT id FROM users")
    assert decision.refusal is not None
    assert decision.refusal.policy == "never"
    assert [audit.policy for audit in decision.audits] == ["watched"]


def test_a_policy_in_audit_mode_that_does_not_apply_is_not_reported(policies: Write) -> None:
    point = policies(f'@id("watched") @mode("audit") {SELECTS}')
    assert staff(point).run("SHOW search_path").audits == ()


def test_an_error_in_audit_mode_is_reported_and_denies_nothing(policies: Write) -> None:
    point = policies(
        '@id("overflow") @mode("audit")'
        'forbid (principal, action == Action::"sql.query", resource)'
        "when { 9223372036854775807 + 1 == 0 };"
    )
    decision = staff(point).run("SELECT 1")
    assert decision.effect is Effect.PERMIT
    assert decision.audits == (Audit("overflow", failed=True),)


def test_an_approval_in_audit_mode_is_not_reported_for_a_statement_that_is_only_parsed(
    policies: Write,
) -> None:
    point = policies(f'@id("watched") @mode("audit") @approve("dba") {SELECTS}')
    assert staff(point).prepare("SELECT id FROM users").audits == ()


def test_mode_enforce_is_what_no_mode_is(policies: Write) -> None:
    decision = staff(policies(f'@id("never") @mode("enforce") {SELECTS}')).run(
        "SELECT id FROM users"
    )
    assert decision.effect is Effect.DENY
    assert decision.audits == ()


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ('@id("x") @mode("audit") permit (principal in Group::"a", action, resource);', "permit"),
        (f'@id("x") @mode("log") {SELECTS}', '@mode("log") is no mode'),
    ],
)
def test_a_mode_that_would_mean_nothing_does_not_load(
    policies: Write, policy: str, says: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        policies(policy)
    assert says in str(raised.value)


def test_a_mask_in_audit_mode_does_not_count_for_a_label(tmp_path: Path) -> None:
    (tmp_path / "a.cedar").write_text(f'@id("x") @mode("audit") @mask("pii") {SELECTS}')
    with pytest.raises(ConfigError, match="no policy masks it"):
        load(tmp_path, labels={"pii"})


def test_another_mode_is_another_version(policies: Write) -> None:
    enforced = policies(f'@id("x") @row_limit("5") {SELECTS}').version
    assert policies(f'@id("x") @mode("audit") @row_limit("5") {SELECTS}').version != enforced
