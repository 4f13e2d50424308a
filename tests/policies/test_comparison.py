"""What another policy set would change about decisions, counted and with examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.cedar import CedarDecisionPoint, load
from policies.comparison import EXAMPLES, Changes, compare
from policies.model import AccessRequest, Channel, SqlStatement
from policies.recorded import RecordedRequest, Skipped
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog
from tests.policies.requests import NOON, SHOP, person

PERMIT = '@id("all") permit (principal in Group::"staff", action in Action::"read", resource);\n'
SELECT = 'forbid (principal, action == Action::"sql.select", resource);'
BEFORE = PERMIT + f'@id("rows") @row_limit("100") {SELECT} @id("mask") @mask("pii") {SELECT}'


def policies(directory: Path, text: str) -> CedarDecisionPoint:
    directory.mkdir(exist_ok=True)
    (directory / "rules.cedar").write_text(text)
    return load(directory)


def asked(text: str, *groups: str) -> RecordedRequest:
    who, facts = person(*(groups or ("staff",))), analyse(text, catalog())
    request = AccessRequest(who, SHOP, SqlStatement(text), Channel.MCP, NOON, "s", facts)
    return RecordedRequest(request, "permit")


def changed(tmp_path: Path, after: str, text: str = "SELECT id FROM users") -> Changes:
    return compare(
        [asked(text)],
        before=policies(tmp_path / "before", BEFORE),
        after=policies(tmp_path / "after", after),
    )


@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        (BEFORE, set()),
        (BEFORE + "// a comment", set()),
        (BEFORE + f'@id("x") {SELECT}', {"allow -> deny"}),
        (
            BEFORE + f'@id("x") @approve("dba") {SELECT}',
            {"allow -> approve", "approval added: 1 of dba"},
        ),
        (BEFORE.replace('"100"', '"9"'), {"row limit: 100 -> 9"}),
        (BEFORE + f'@id("x") @timeout("5s") {SELECT}', {"timeout: none -> 5"}),
        (BEFORE + f'@id("x") @mode("audit") {SELECT}', {"report (audit mode) added: x"}),
    ],
)
def test_each_kind_of_change_is_named(tmp_path: Path, after: str, kinds: set[str]) -> None:
    changes = changed(tmp_path, after)
    assert set(changes.counts) == kinds
    assert (changes.decided, changes.changed) == (1, bool(kinds))


def test_a_mask_counts_only_where_the_statement_touches_its_label(tmp_path: Path) -> None:
    after = BEFORE.replace('@mask("pii")', '@mask("other")')
    assert set(changed(tmp_path, after, "SELECT id FROM users").counts) == set()
    assert set(changed(tmp_path, after, "SELECT ssn FROM users").counts) == {"mask removed: pii"}


def test_what_is_refused_by_another_policy_is_a_change(tmp_path: Path) -> None:
    one, two = f'@id("one") {SELECT}', f'@id("two") {SELECT}'
    changes = compare(
        [asked("SELECT id FROM users")],
        before=policies(tmp_path / "a", PERMIT + one),
        after=policies(tmp_path / "b", PERMIT + two),
    )
    assert set(changes.counts) == {"refused by another policy"}


def test_all_are_counted_and_a_few_are_kept_as_examples(tmp_path: Path) -> None:
    requests = [asked(f"SELECT {n} FROM users") for n in range(9)]
    changes = compare(
        [*requests, Skipped("acts on the gateway itself"), asked("SELECT 1", "others")],
        before=policies(tmp_path / "a", BEFORE),
        after=policies(tmp_path / "b", BEFORE + f'@id("x") {SELECT}'),
    )
    assert (changes.decided, changes.changed) == (10, 9)
    assert changes.counts == {"allow -> deny": 9}
    assert len(changes.examples["allow -> deny"]) == EXAMPLES
    assert changes.skipped == {"acts on the gateway itself": 1}
