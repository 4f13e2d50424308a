"""TPC-H and Pagila on a real server: every query is understood, permitted, and runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import asyncpg
import pytest

from policies.cedar import load
from policies.model import Effect, SqlStatement
from policies.sql.postgres import analyse
from tests.fixtures.corpus import CORPORA
from tests.fixtures.postgres import PostgresDatabase, execute
from tests.policies.live_catalog import Labels, read_catalog
from tests.policies.requests import Asker, person

_NAME: Final = "-- name: "
LABELS: Final[Mapping[str, Labels]] = {
    "tpch": {},
    "pagila": {
        ("public", "customer", "email"): "pii",
        ("public", "address", "phone"): "pii",
        ("public", "staff", "password"): "secret",
    },
}
# What Pagila's owner lets reads call: its views use the aggregate.
FUNCTIONS: Final = frozenset(
    f"public.{name}"
    for name in (
        *("_group_concat", "group_concat", "last_day", "inventory_in_stock", "film_in_stock"),
        "get_customer_balance",
    )
)


def queries(name: str) -> Mapping[str, str]:
    """The queries of a file by name."""
    text = (CORPORA / f"postgres_{name}_queries.sql").read_text(encoding="utf-8")
    named = (part.partition("\n") for part in text.split(_NAME)[1:])
    return {title: body.strip().removesuffix(";") for title, _, body in named}


@pytest.fixture(params=["tpch", "pagila"])
def sample(
    request: pytest.FixtureRequest, database: PostgresDatabase
) -> tuple[str, PostgresDatabase]:
    name: str = request.param
    script = (CORPORA / f"postgres_{name}.sql").read_text(encoding="utf-8")
    asyncio.run(execute(database.dsn, script))
    return name, database


def test_there_are_the_22_queries_of_tpch_and_every_view_of_pagila() -> None:
    assert list(queries("tpch")) == [f"Q{number}" for number in range(1, 23)]
    assert len(queries("pagila")) == 68


@pytest.mark.anyio
async def test_no_query_is_refused_under_the_analytics_pack(
    sample: tuple[str, PostgresDatabase],
) -> None:
    name, database = sample
    read = await read_catalog(database, LABELS[name], functions=FUNCTIONS)
    labels = set(LABELS[name].values())
    analyst = Asker(load("analytics", labels=labels), person("analysts"))
    refused = {}
    for title, text in queries(name).items():
        facts = analyse(text, read)
        decision = analyst.ask(SqlStatement(text), facts)
        if decision.effect is not Effect.PERMIT or decision.approvals or not facts.read_only:
            refused[title] = facts.opaque or decision.refusal or decision.approvals
    assert refused == {}


@pytest.mark.anyio
async def test_every_query_runs_in_a_read_only_transaction(
    sample: tuple[str, PostgresDatabase],
) -> None:
    name, database = sample
    connection = await asyncpg.connect(database.dsn)
    try:
        for text in queries(name).values():
            async with connection.transaction(readonly=True):
                await connection.execute(text)
    finally:
        await connection.close()
