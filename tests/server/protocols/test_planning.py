"""Which statements have a plan that may be shown, and what of a plan is."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from server.protocols.postgres.planning import _steps, no_plan

USE = TableUse(TableName("public", "t"), "select", frozenset({"id"}))
LABELLED = TableUse(TableName("public", "t"), "select", frozenset({"s"}), frozenset({"pii"}))
SELECT = frozenset({"select"})


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (SqlFacts(SqlEffect.READ, SELECT, (USE,)), ""),
        (SqlFacts(SqlEffect.WRITE, frozenset({"update"}), (USE,)), ""),
        (SqlFacts(SqlEffect.READ, SELECT, (USE,), frozenset({"pg_catalog.lower"})), ""),
        (SqlFacts(SqlEffect.READ, SELECT, (USE,), frozenset({"public.f"})), "functions of users"),
        (SqlFacts(SqlEffect.READ, SELECT, (LABELLED,)), "labelled"),
        (SqlFacts(SqlEffect.READ, SELECT, (USE,), labels_read=frozenset({"pii"})), "labelled"),
        (SqlFacts(SqlEffect.READ, frozenset({"select", "explain"}), (USE,)), "only SELECT"),
        (SqlFacts(SqlEffect.READ, frozenset({"show"})), "only SELECT"),
        (SqlFacts(SqlEffect.SESSION, frozenset({"set"})), "only SELECT"),
        (SqlFacts(SqlEffect.TRANSACTION, frozenset({"begin"})), "only SELECT"),
        (SqlFacts(SqlEffect.DDL, frozenset({"drop_table"})), "only SELECT"),
        (SqlFacts(SqlEffect.WRITE, frozenset({"copy", "insert"})), "only SELECT"),
        (SqlFacts(SqlEffect.OPAQUE), "only SELECT"),
        (None, "only SELECT"),
    ],
)
def test_a_plan_is_shown_or_it_is_said_why_not(facts: SqlFacts | None, why: str) -> None:
    said = no_plan(facts, "SELECT 1")
    assert (why in said) if why else (said == "")


PLAN = b"""[{"Plan": {"Node Type": "Nested Loop", "Plan Rows": 12, "Join Filter": "canary",
  "Plans": [{"Node Type": "Seq Scan", "Relation Name": "t", "Plan Rows": 3, "Filter": "canary"},
            {"Node Type": "Foreign '; canary", "Relation Name": "hidden", "Plan Rows": 4}]}}]"""


def test_of_a_plan_steps_named_relations_and_rows_are_left() -> None:
    assert list(_steps(PLAN, frozenset({"t"}))) == [
        [b"0", b"Nested Loop", b"", b"12"],
        [b"1", b"Seq Scan", b"t", b"3"],
        [b"1", b"Step", b"", b"4"],
    ]


@pytest.mark.parametrize("plan", [b"", b"[]", b"{}", b"[1", b'[{"Plan": 1}]', b"null"])
def test_what_is_no_plan_has_no_steps(plan: bytes) -> None:
    assert list(_steps(plan, frozenset())) == []


def test_a_plan_that_is_nested_deep_has_all_its_steps_in_order() -> None:
    depth = 500
    plan = b'[{"Plan": ' + b'{"Node Type": "Append", "Plans": [' * depth + b"]}" * depth + b"}]"
    found = [int(step[0] or b"") for step in _steps(plan, frozenset())]
    assert found == list(range(depth))
