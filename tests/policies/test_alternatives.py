"""What would pass in place of a refused statement: asked of real packs, never guessed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from policies.alternatives import MOST_QUESTIONS, Passing, passing
from policies.cedar import CedarDecisionPoint, load
from policies.model import AccessRequest, Channel, Decision, Effect, SqlStatement
from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog
from tests.policies.requests import NOON, SHOP, person


@cache
def pack(name: str) -> CedarDecisionPoint:
    return load(name, targets={"shop"}, labels={"pii", "secret"})


def asked(text: str, *groups: str, reason: str = "", known: Catalog | None = None) -> AccessRequest:
    facts = analyse(text, known or catalog())
    statement = SqlStatement(text)
    return AccessRequest(
        person(*groups), SHOP, statement, Channel.MCP, NOON, "session", facts, reason
    )


def told(name: str, request: AccessRequest, known: Catalog | None = None) -> Passing:
    point = pack(name)
    assert point.decide(request).effect is Effect.DENY
    return passing(request, point.decide, known or catalog())


def test_a_missing_where_is_named_with_the_approval_that_it_then_needs() -> None:
    found = told("starter", asked("UPDATE users SET name = 'x'", "developers"))
    assert found.words[0] == ("add a WHERE that names the rows (it then waits for approval by dba)")


def test_an_analyst_who_writes_is_told_that_reading_passes() -> None:
    found = told("starter", asked("DELETE FROM users WHERE id = 1", "analysts"))
    assert found.words == ("only read public.users, with a SELECT",)


def test_a_missing_reason_is_named() -> None:
    found = told("compliance", asked("SELECT id FROM users", "operators"))
    assert found.words == ("give a reason",)


def test_a_door_that_takes_no_reason_is_told_nothing_of_reasons() -> None:
    request = replace(asked("SELECT id FROM users", "operators"), channel=Channel.POSTGRES)
    assert told("compliance", request).words == ()


def test_the_column_that_stands_in_the_way_is_named() -> None:
    text = "SELECT id, password_hash FROM users"
    found = told("compliance", asked(text, "operators", reason="OPS-1"))
    assert found.words == ("leave out the column password_hash of public.users",)
    assert found.column == (TableName("public", "users"), "password_hash")


def test_a_star_is_resolved_to_the_column_that_stands_in_the_way() -> None:
    found = told("compliance", asked("SELECT * FROM users", "operators", reason="OPS-1"))
    assert found.words[0] == (
        "leave out the column password_hash of public.users (it then waits for approval by owners)"
    )


def test_changes_that_pass_only_together_are_named_together_and_no_more_of_them() -> None:
    found = told("compliance", asked("SELECT id, password_hash FROM users", "operators"))
    assert found.words == ("give a reason, and leave out the column password_hash of public.users",)


def test_who_may_do_nothing_is_told_nothing() -> None:
    assert told("starter", asked("SELECT id FROM users", "strangers")) == Passing()


def test_what_is_not_understood_has_no_alternatives() -> None:
    request = asked("SELECT pg_sleep(1)", "developers")
    assert told("starter", request) == Passing()


def test_the_number_of_questions_is_bounded() -> None:
    questions: list[AccessRequest] = []

    def decide(request: AccessRequest) -> Decision:
        questions.append(request)
        return pack("compliance").decide(request)

    text = "UPDATE users SET name = h.amount FROM hr.salaries h, v_users, v_star"
    passing(asked(text, "strangers"), decide, catalog())
    assert 0 < len(questions) <= MOST_QUESTIONS


ONLY_USERS_PUBLIC = """
@id("connect")
permit (principal, action in [Action::"connect", Action::"sql.query"], resource);
@id("public-users")
permit (principal, action == Action::"sql.select", resource == Table::"shop/public/users_public");
@id("masks")
@mask("pii, secret, salary")
forbid (principal, action == Action::"sql.select", resource);
"""


@pytest.fixture
def narrow(tmp_path: Path) -> CedarDecisionPoint:
    (tmp_path / "only.cedar").write_text(ONLY_USERS_PUBLIC)
    return load(tmp_path, targets={"shop"}, labels={"pii", "secret"})


def with_public(kept: frozenset[str]) -> Catalog:
    """The tests' catalog with users_public and users_private, which have these columns."""
    base = catalog()
    users = base.relations[TableName("public", "users")]
    columns = tuple(c for c in users.columns if c.name in kept)
    more = {
        name: Relation(name, 900000 + number, "v", columns)
        for number, name in enumerate(
            (TableName("public", "users_private"), TableName("public", "users_public"))
        )
    }
    return replace(base, relations={**base.relations, **more})


def test_a_relation_with_the_same_columns_is_named_where_it_may_be_read(
    narrow: CedarDecisionPoint,
) -> None:
    known = with_public(frozenset({"id", "name"}))
    request = asked("SELECT id, name FROM users", "developers", known=known)
    assert narrow.decide(request).effect is Effect.DENY
    assert passing(request, narrow.decide, known).words == (
        "read public.users_public in place of public.users",
    )


def test_a_relation_that_lacks_a_column_is_not_named(narrow: CedarDecisionPoint) -> None:
    known = with_public(frozenset({"id"}))
    request = asked("SELECT id, name FROM users", "developers", known=known)
    assert passing(request, narrow.decide, known) == Passing()
