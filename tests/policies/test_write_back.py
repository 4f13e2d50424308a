"""Who sees a column masked does not write it, unless a policy permits that by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import cedar
from policies.model import Decision, Effect, SqlPlan, SqlStatement
from policies.sql import mysql
from policies.sql.postgres import analyse
from tests.e2e.policy_sets import rewrite, starter_copy
from tests.policies.catalogs import catalog
from tests.policies.mysql.catalogs import catalog as mysql_catalog
from tests.policies.requests import LABORATORY, Asker, person

PERMIT = """
@id("support-writes-what-it-sees-masked")
permit (
  principal in Group::"support",
  action == Action::"sql.write_masked",
  resource == Table::"laboratory/public/users"
)
when { ["email"].containsAll(context.sql.columns) };
"""
MASKED = [
    "UPDATE users SET ssn = '000-00-0000' WHERE id = 1",
    "UPDATE users SET name = 'x', ssn = NULL WHERE id = 1",
    "UPDATE users SET (name, ssn) = ('x', 'y') WHERE id = 1",
    "UPDATE users SET ssn = lower(ssn) WHERE id = 1",
    "INSERT INTO users (id, ssn) VALUES (1, 'x')",
    "INSERT INTO users VALUES (1)",
    "INSERT INTO users (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET ssn = 'x'",
    "WITH w AS (UPDATE users SET ssn = 'x' WHERE id = 1 RETURNING id) SELECT id FROM w",
    "COPY users FROM STDIN",
    "COPY users (id, ssn) FROM STDIN",
]
PLAIN = [
    "UPDATE users SET name = 'x' WHERE id = 1",
    "UPDATE users SET name = 'x' WHERE ssn = '000-00-0000'",
    "INSERT INTO users (id, name) VALUES (1, 'x')",
    "INSERT INTO users (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'x'",
    "DELETE FROM users WHERE ssn = '000-00-0000'",
    "COPY users (id, name) FROM STDIN",
    "EXPLAIN UPDATE users SET ssn = 'x' WHERE id = 1",
    "SELECT ssn FROM users",
]


def starter(*groups: str) -> Asker:
    return Asker(cedar.load("starter"), person(*groups or ("developers",)), LABORATORY)


def code(decision: Decision) -> str:
    return decision.refusal.code if decision.refusal else ""


@pytest.mark.parametrize("text", MASKED)
def test_a_column_that_is_seen_masked_is_not_written(text: str) -> None:
    assert code(starter().run(text)) == "WRITE_BACK"
    assert code(starter().prepare(text)) == "WRITE_BACK"
    assert code(starter().ask(SqlPlan(text), analyse(text, catalog()))) == "WRITE_BACK"


@pytest.mark.parametrize("text", PLAIN)
def test_what_writes_no_such_column_is_decided_as_before(text: str) -> None:
    assert code(starter().run(text)) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UPDATE users SET ssn = 'x' WHERE id = 1", "WRITE_BACK"),
        ("INSERT INTO users (id, ssn) VALUES (1, 'x')", "WRITE_BACK"),
        ("INSERT INTO users SET id = 1, ssn = 'x'", "WRITE_BACK"),
        ("REPLACE INTO users (id, ssn) VALUES (1, 'x')", "WRITE_BACK"),
        (
            "INSERT INTO users (id, name) VALUES (1, 'x') ON DUPLICATE KEY UPDATE ssn = 'x'",
            "WRITE_BACK",
        ),
        ("INSERT INTO users (id, name) VALUES (1, 'x')", ""),
        ("UPDATE users SET name = 'x' WHERE id = 1", ""),
    ],
)
def test_mysql_has_the_same_rule(text: str, expected: str) -> None:
    asker = starter()
    facts = mysql.analyse(text, mysql_catalog())
    assert code(asker.ask(SqlStatement(text), facts)) == expected


def test_the_refusal_names_the_columns_the_policy_and_what_passes() -> None:
    text = "UPDATE users SET name = 'x', ssn = 'y' WHERE id = 1"
    refusal = starter().run(text).refusal
    assert refusal is not None
    assert "ssn of public.users masked (pii)" in refusal.reason
    assert "sql.write_masked" in refusal.next_step
    assert refusal.span == (7, 12)
    (asked,) = [q for q in starter().run(text).questions if q.action == "sql.write_masked"]
    assert (asked.resource, asked.allowed) == ('Table::"laboratory/public/users"', False)


def test_a_policy_permits_it_for_some_columns(tmp_path: Path) -> None:
    directory = starter_copy(tmp_path / "policies")
    permits = directory / "permits.cedar"
    permits.write_text(permits.read_text() + PERMIT)
    point = cedar.load(directory)
    support = Asker(point, person("support", "developers"), LABORATORY)
    assert support.run("UPDATE users SET email = 'x' WHERE id = 1").effect is Effect.PERMIT
    assert code(support.run("UPDATE users SET email = 'x', ssn = 'y' WHERE id = 1")) == "WRITE_BACK"
    other = Asker(point, person("developers"), LABORATORY)
    assert code(other.run("UPDATE users SET email = 'x' WHERE id = 1")) == "WRITE_BACK"


def test_a_gate_on_it_asks_for_approval_and_a_forbid_has_its_own_words(tmp_path: Path) -> None:
    directory = starter_copy(tmp_path / "policies")
    permits, gates = directory / "permits.cedar", directory / "gates.cedar"
    permits.write_text(permits.read_text() + PERMIT.replace('"email"', '"email", "ssn"'))
    gates.write_text(
        gates.read_text() + '@id("a-dba-agrees") @approve("dba")\n'
        'forbid (principal, action == Action::"sql.write_masked", resource);\n'
        '@id("never-the-number") @reason("Nobody writes it.")\n'
        'forbid (principal, action == Action::"sql.write_masked", resource)\n'
        'when { context.sql.columns.contains("ssn") };\n'
    )
    support = Asker(cedar.load(directory), person("support", "developers"), LABORATORY)
    asked = support.run("UPDATE users SET email = 'x' WHERE id = 1")
    assert [approval.policy for approval in asked.approvals] == ["a-dba-agrees"]
    refused = support.run("UPDATE users SET ssn = 'x' WHERE id = 1").refusal
    assert refused is not None
    assert (refused.code, refused.policy) == ("FORBIDDEN", "never-the-number")


def test_who_reads_a_column_in_clear_writes_it_and_who_may_not_read_it_does_not(
    tmp_path: Path,
) -> None:
    directory = starter_copy(tmp_path / "policies")
    rewrite(
        directory / "gates.cedar",
        '@reason("Personal and secret values are masked.")\n'
        'forbid (\n  principal,\n  action == Action::"sql.select",\n  resource\n)',
        '@reason("Personal and secret values are masked.")\n'
        'forbid (\n  principal,\n  action == Action::"sql.select",\n  resource\n)\n'
        'unless { principal in Group::"stewards" }',
    )
    permits = directory / "permits.cedar"
    permits.write_text(
        permits.read_text() + '@id("intake") permit (principal in Group::"intake",'
        ' action in [Action::"connect", Action::"sql.query", Action::"sql.insert"], resource);\n'
    )
    point, text = cedar.load(directory), "INSERT INTO users (id, ssn) VALUES (1, 'x')"
    stewards = Asker(point, person("stewards", "developers"), LABORATORY)
    assert stewards.run(text).effect is Effect.PERMIT
    assert code(Asker(point, person("intake"), LABORATORY).run(text)) == "WRITE_BACK"
