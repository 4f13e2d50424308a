"""Statements whose true effect was found by running them: none that acts is taken for a read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, statements, uses

ROWS = statements()
# Each true read that is refused, with its reason. Everything else that reads is understood.
REFUSED = {
    "my-047": "SQL_NOT_UNDERSTOOD",  # SHOW GRANTS, which shows the account's password hash
    "my-050": "SQL_NOT_UNDERSTOOD",  # SHOW … WHERE, which runs functions and subqueries
    "my-065": "SQL_MULTIPLE_STATEMENTS",
    "my-081": "SQL_CHARACTER",  # a comment that begins with a control character
    "my-087": "SQL_COMMENT",  # comments that the server runs, up to my-103
    "my-088": "SQL_COMMENT",
    "my-090": "SQL_COMMENT",
    "my-091": "SQL_COMMENT",
    "my-092": "SQL_COMMENT",
    "my-093": "SQL_COMMENT",
    "my-100": "SQL_COMMENT",
    "my-101": "SQL_COMMENT",
    "my-103": "SQL_COMMENT",
    "my-110": "SQL_NUL",
    "my-181": "SQL_MULTIPLE_STATEMENTS",  # HANDLER
    "my-187": "FUNCTION_NOT_ALLOWED",  # EXTRACTVALUE, whose errors tell values
}
MOST_REFUSED = 0.25


def rows(*effects: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in ROWS if row["effect"] in effects]


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["id"]) for row in ROWS if row["effect"] != "read"]
)
def test_a_statement_that_is_no_read_is_never_taken_for_one(row: Mapping[str, Any]) -> None:
    assert facts(row["sql"]).effect is not SqlEffect.READ


@pytest.mark.parametrize("row", rows("read"))
def test_a_read_is_understood_with_every_table_that_it_reads(row: Mapping[str, Any]) -> None:
    found = facts(row["sql"])
    if row["id"] in REFUSED:
        assert found.opaque is not None
        assert found.opaque.code == REFUSED[row["id"]]
        return
    assert found.effect is SqlEffect.READ, found.opaque
    assert set(row["tables_read"]) <= set(uses(found))


def test_at_most_a_quarter_of_the_true_reads_is_refused() -> None:
    assert len(REFUSED) <= MOST_REFUSED * len(rows("read"))


@pytest.mark.parametrize("row", rows("write"))
def test_a_write_that_is_understood_names_what_it_writes(row: Mapping[str, Any]) -> None:
    found = facts(row["sql"])
    if found.opaque is None:
        assert found.effect is SqlEffect.WRITE
        written = {name for name, verbs in uses(found).items() if verbs - {"select"}}
        assert set(row["tables_written"]) <= written


@pytest.mark.parametrize("row", rows("ddl"))
def test_a_definition_that_is_understood_names_what_it_defines(row: Mapping[str, Any]) -> None:
    found = facts(row["sql"])
    if found.opaque is None:
        assert found.effect is SqlEffect.DDL
        assert set(row["tables_written"]) <= set(uses(found))


@pytest.mark.parametrize("row", rows("danger", "admin", "unparseable"))
def test_what_is_dangerous_administrative_or_wrong_is_opaque(row: Mapping[str, Any]) -> None:
    assert facts(row["sql"]).effect is SqlEffect.OPAQUE
