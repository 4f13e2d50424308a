"""Statements whose true effect was found by running them: none that acts is taken for a read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from tests.fixtures.corpus import CORPORA
from tests.fixtures.postgres import PostgresDatabase
from tests.policies.catalogs import catalog, statements
from tests.policies.live_catalog import read_catalog

ROWS: Final = statements()
READS: Final = [row for row in ROWS if row["effect"] == "read"]
LARGEST_SHARE_REFUSED: Final = 0.06
_LINE: Final = re.compile(r"(pg-\d+) +([A-Z_]+) +\S.+")


def golden() -> dict[str, str]:
    """The true reads that may be refused, by id, with the code of the refusal."""
    text = (CORPORA / "refused_reads_postgres.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [_LINE.fullmatch(line) for line in lines]
    return {match[1]: match[2] for match in found if match is not None}


def rows(effect: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in ROWS if row["effect"] == effect]


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["id"]) for row in ROWS if row["effect"] != "read"]
)
def test_a_statement_that_is_no_read_is_never_taken_for_one(row: Mapping[str, Any]) -> None:
    assert analyse(row["sql"], catalog()).effect is not SqlEffect.READ


@pytest.mark.parametrize("row", rows("read"))
def test_a_read_is_understood_with_every_table_that_it_reads(row: Mapping[str, Any]) -> None:
    facts = analyse(row["sql"], catalog())
    if facts.opaque is not None:
        assert golden().get(row["id"]) == facts.opaque.code
        return
    assert facts.effect is SqlEffect.READ
    assert set(row["tables_read"]) <= {str(use.table) for use in facts.tables}


def test_few_true_reads_are_refused_and_each_is_listed_with_its_reason() -> None:
    refused = {row["id"] for row in READS if analyse(row["sql"], catalog()).opaque is not None}
    assert refused == golden().keys()
    assert len(refused) <= LARGEST_SHARE_REFUSED * len(READS)


@pytest.mark.anyio
async def test_the_corpus_is_judged_alike_by_the_catalog_of_a_real_server(
    corpus_database: PostgresDatabase,
) -> None:
    read = await read_catalog(corpus_database)
    refused = set()
    for row in ROWS:
        found = analyse(row["sql"].replace("tmpl.", f"{corpus_database.name}."), read)
        if row["effect"] != "read":
            assert found.effect is not SqlEffect.READ, row["id"]
        elif found.opaque is not None:
            refused.add(row["id"])
    assert refused == golden().keys()


@pytest.mark.parametrize("row", rows("write"))
def test_a_write_that_is_understood_names_what_it_writes(row: Mapping[str, Any]) -> None:
    facts = analyse(row["sql"], catalog())
    if facts.opaque is None:
        assert facts.effect is SqlEffect.WRITE
        written = {str(use.table) for use in facts.tables if use.verb != "select"}
        assert set(row["tables_written"]) <= written


@pytest.mark.parametrize("row", rows("danger"))
def test_what_reaches_past_the_database_is_opaque(row: Mapping[str, Any]) -> None:
    assert analyse(row["sql"], catalog()).effect is SqlEffect.OPAQUE
