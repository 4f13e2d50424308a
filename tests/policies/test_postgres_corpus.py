"""Statements whose true effect was found by running them: none that acts is taken for a read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog, statements

ROWS = statements()
# SHOW only reads a setting, and a long cross join of generate_series only burns time, which is the
# timeout's matter.
HARMLESS = {"pg-071", "pg-072", "pg-249"}
# Reads that the narrow subset refuses: sensitive catalogs, JSON_TABLE, XMLTABLE, TABLESAMPLE,
# fields of composites, COPY TO, and texts that are empty, wrong, or several statements.
REFERRED = {
    "pg-022", "pg-046", "pg-058", "pg-059", "pg-065", "pg-066", "pg-084", "pg-106", "pg-112",
    "pg-113", "pg-117", "pg-183", "pg-184", "pg-286", "pg-350", "pg-356", "pg-357",
}  # fmt: skip


def rows(effect: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in ROWS if row["effect"] == effect]


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["id"]) for row in ROWS if row["effect"] != "read"]
)
def test_a_statement_that_is_no_read_is_never_taken_for_one(row: Mapping[str, Any]) -> None:
    if row["id"] not in HARMLESS:
        assert analyse(row["sql"], catalog()).effect is not SqlEffect.READ


@pytest.mark.parametrize("row", rows("read"))
def test_a_read_is_understood_with_every_table_that_it_reads(row: Mapping[str, Any]) -> None:
    facts = analyse(row["sql"], catalog())
    if row["id"] in REFERRED:
        assert facts.opaque is not None
        return
    assert facts.effect is SqlEffect.READ, facts.opaque
    assert set(row["tables_read"]) <= {str(use.table) for use in facts.tables}


@pytest.mark.parametrize("row", rows("write"))
def test_a_write_that_is_understood_names_what_it_writes(row: Mapping[str, Any]) -> None:
    facts = analyse(row["sql"], catalog())
    if facts.opaque is None:
        assert facts.effect is SqlEffect.WRITE
        written = {str(use.table) for use in facts.tables if use.verb != "select"}
        assert set(row["tables_written"]) <= written


@pytest.mark.parametrize("row", rows("danger"))
def test_what_reaches_past_the_database_is_opaque(row: Mapping[str, Any]) -> None:
    if row["id"] not in HARMLESS:
        assert analyse(row["sql"], catalog()).effect is SqlEffect.OPAQUE
