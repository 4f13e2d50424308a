"""Statements whose true effect was found by running them: none that acts is taken for a read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, statements, uses
from tests.policies.mysql.samples import golden

ROWS = statements()
REFUSED = golden("refused_reads_mysql.txt")
MOST_REFUSED = 0.15


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


def test_few_true_reads_are_refused_and_each_is_listed_with_its_reason() -> None:
    reads = [row for row in ROWS if row["effect"] == "read"]
    assert {row["id"] for row in reads if facts(row["sql"]).opaque} == REFUSED.keys()
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
