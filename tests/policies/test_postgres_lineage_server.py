"""A real PostgreSQL as the oracle of lineage: nothing labelled flows into what is called clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg
import pytest

from policies.sql.catalog import Catalog
from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.postgres import analyse
from server.credentials import Credentials, Login
from server.protocols.postgres.connector import PostgresConnector
from server.protocols.postgres.target import PostgresTarget
from tests.fixtures.postgres import PostgresDatabase, PostgresServer, execute
from tests.policies import catalogs
from tests.policies.lineage.generated import Generator
from tests.policies.lineage.schema import CYRILLIC, GEORGIAN, LABELS, SCHEMA, rows
from tests.policies.lineage.views import (
    ThrowAwayViews,
    Unresolved,
    outputs_of,
    select_of,
)
from tests.server.protocols import grants

pytestmark = pytest.mark.anyio

SLICE: Final = 250
FULL: Final = 8000
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Twins:
    """Two databases that differ in labelled values alone, and the catalog of both."""

    one: Connection
    other: Connection
    catalog: Catalog


STEADY: Final = """DO $$ DECLARE t regclass; BEGIN
    FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t); END LOOP;
END $$"""
"""Plans, and with them the order of rows, stay the same while a test runs."""


@pytest.fixture
async def twins(postgres: PostgresServer, database: PostgresDatabase) -> AsyncIterator[Twins]:
    twin = f"{database.name}_twin"
    await execute(postgres.dsn("postgres"), f"CREATE DATABASE {twin}")
    dsn = postgres.dsn(twin)
    await execute(database.dsn, SCHEMA, rows(CYRILLIC), STEADY, "ANALYZE")
    await execute(dsn, SCHEMA, rows(GEORGIAN), STEADY, "ANALYZE")
    one, other = await asyncpg.connect(database.dsn), await asyncpg.connect(dsn)
    for connection in (one, other):
        await connection.execute("SET statement_timeout = '20s'")
    try:
        yield Twins(one, other, await catalog_of(database, LABELS))
    finally:
        await one.close()
        await other.close()
        await execute(postgres.dsn("postgres"), f"DROP DATABASE {twin} WITH (FORCE)")


async def catalog_of(
    database: PostgresDatabase, labels: Mapping[tuple[str, str, str], str]
) -> Catalog:
    """The catalog as the gateway reads it, by a superuser."""
    place = f"unix:{database.socket_directory}:{database.port}"
    if not database.socket_directory.startswith("/"):
        place = f"{database.socket_directory}:{database.port}"
    target = PostgresTarget("shop", place, database.name, tls="disable", labels=labels)
    login = Login(database.superuser, grants.Secret(database.password))
    connector = PostgresConnector(target, Credentials("shop", {"reader": login, "writer": login}))
    try:
        return await connector.catalog(grants.catalog())
    finally:
        await connector.close()


async def fetched(connection: Connection, sql: str) -> list[tuple[str, ...]] | None:
    """The rows of a query as text, or None for what the server refuses."""
    try:
        prepared = await connection.prepare(sql)
        names = [f"c{i}" for i in range(len(prepared.get_attributes()))]
        shown = ", ".join(f"{name}::text" for name in names)
        asked = f"SELECT {shown} FROM ({sql}\n) AS q({', '.join(names)})"
        return [tuple(map(repr, row)) for row in await connection.fetch(asked)]
    except asyncpg.PostgresError:
        return None


async def plan(connection: Connection, sql: str) -> list[str]:
    return [row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {sql}")]


def columns(found: Sequence[tuple[str, ...]], positions: Iterable[int]) -> list[list[str]]:
    return [[row[i] for row in found] for i in sorted(positions)]


def decides(found: SqlFacts) -> bool:
    """Whether labelled values may say which rows there are."""
    return bool(found.labels_filtered | found.labels_matched | found.labels_compared)


async def compare(twins: Twins, sql: str, seen: Counter[str]) -> None:
    """Runs one query on both databases: what is clean holds nothing, and hangs on nothing."""
    first = await fetched(twins.one, sql)
    if not first:
        return
    found = analyse(sql, twins.catalog)
    if found.opaque is not None:
        seen["valid, but refused"] += 1
        return
    assert found.effect is SqlEffect.READ, sql
    clean = [i for i in range(len(first[0])) if i in found.clean_outputs]
    seen["compared"] += 1
    seen["outputs"] += len(first[0])
    seen["clean outputs"] += len(clean)
    shown = "".join("".join(column) for column in columns(first, clean))
    assert not set(shown.lower()) & set(CYRILLIC), sql
    second = await fetched(twins.other, sql)
    if second is None or decides(found):
        seen["rows hang on labels"] += decides(found)
        return
    seen["with labelled values"] += first != second
    same = len(first) == len(second) and columns(first, clean) == columns(second, clean)
    if not same and await plan(twins.one, sql) != await plan(twins.other, sql):
        # Where nothing sorts rows, their order is the plan's matter.
        seen["planned otherwise"] += 1
        return
    assert same, (sql, first, second)


@pytest.mark.parametrize("deciding", [False, True])
async def test_no_output_that_is_called_clean_hangs_on_a_labelled_value(
    twins: Twins, deciding: bool
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(SLICE):
        await compare(twins, Generator(seed, deciding).statement(), seen)
    assert seen["compared"] > SLICE / 4
    assert seen["with labelled values"] > SLICE / 40


@pytest.mark.full
@pytest.mark.parametrize("deciding", [False, True])
async def test_no_output_that_is_called_clean_does_at_full_count(
    twins: Twins, deciding: bool
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(FULL):
        await compare(twins, Generator(seed, deciding).statement(), seen)
    assert seen["compared"] > FULL / 4
    assert seen["planned otherwise"] < FULL / 200


def labelled(catalog: Catalog, places: Iterable[tuple[int, int]]) -> set[tuple[str, str]]:
    """Those of these columns that have a label, as relation and column."""
    found = ((catalog.by_oid.get(oid), number) for oid, number in places)
    return {
        (str(relation.name), column.name)
        for relation, number in found
        if relation is not None
        for column in relation.columns
        if column.number == number and column.labels
    }


def touched(found: SqlFacts, place: tuple[str, str]) -> bool:
    relation, column = place
    uses = (use for use in found.tables if str(use.table) == relation)
    return any(column in use.columns or "*" in use.columns for use in uses)


async def check_dependencies(
    connection: Connection, catalog: Catalog, sql: str, seen: Counter[str]
) -> None:
    """Every labelled column that a view depends on is touched; none flows into a clean output."""
    found = analyse(sql, catalog)
    if found.opaque is not None or found.effect is not SqlEffect.READ:
        return
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _check(ThrowAwayViews(connection), catalog, sql, found, seen)
    finally:
        await transaction.rollback()


async def _check(
    views: ThrowAwayViews, catalog: Catalog, sql: str, found: SqlFacts, seen: Counter[str]
) -> None:
    try:
        select = select_of(sql)
        described = await views.connection.prepare(sql)
        width = len(described.get_attributes())
        places = await views.mentioned(sql, width)
    except (Unresolved, asyncpg.PostgresError):
        seen["no view"] += 1
        return
    seen["statements"] += 1
    missing = {p for p in labelled(catalog, places) if not touched(found, p)}
    assert not missing, (sql, missing)
    select = await views.taken_apart(select)
    for position in range(outputs_of(select) or 0):
        if position in found.clean_outputs:
            try:
                flowing = labelled(catalog, await views.flows(select, position))
            except Unresolved:
                seen["unresolved"] += 1
                continue
            seen["clean outputs"] += 1
            assert not flowing, (sql, position, flowing)


async def flowing_anywhere(connection: Connection, catalog: Catalog, sql: str) -> set[int]:
    """The outputs of a query that the oracle finds labelled columns to flow into."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        views = ThrowAwayViews(connection)
        select = await views.taken_apart(select_of(sql))
        flows = [await views.flows(select, i) for i in range(outputs_of(select) or 0)]
        return {i for i, places in enumerate(flows) if labelled(catalog, places)}
    finally:
        await transaction.rollback()


@pytest.mark.parametrize(
    ("sql", "outputs"),
    [
        ("SELECT id, ssn, lower(email) FROM users", {1, 2}),
        ("SELECT a, b FROM (SELECT id, ssn FROM users) s(b, a)", {0}),
        ("WITH c(x, y) AS (SELECT ssn, id FROM users) SELECT y, x FROM c", {1}),
        ("SELECT name FROM departments UNION SELECT ssn FROM users", {0}),
        ("SELECT id, contact FROM v_users WHERE contact LIKE 'a%'", {1}),
        ("SELECT s.x FROM (SELECT q.ssn AS x FROM (SELECT ssn FROM users) q) s", {0}),
        ("VALUES (1, (SELECT max(ssn) FROM users))", {1}),
        ("SELECT mv.code, v.address, p.ssn FROM mv_users mv, visits v, staff p", {0, 1, 2}),
    ],
)
async def test_the_oracle_finds_what_flows(twins: Twins, sql: str, outputs: set[int]) -> None:
    assert await flowing_anywhere(twins.one, twins.catalog, sql) == outputs


async def test_a_view_of_each_clean_output_depends_on_no_labelled_column(twins: Twins) -> None:
    seen: Counter[str] = Counter()
    for seed in range(SLICE):
        sql = Generator(seed, seed % 2 == 0).statement()
        await check_dependencies(twins.one, twins.catalog, sql, seen)
    assert seen["statements"] > SLICE / 4
    assert seen["clean outputs"] > SLICE / 10


@pytest.mark.full
async def test_a_view_of_each_clean_output_does_not_at_full_count(twins: Twins) -> None:
    seen: Counter[str] = Counter()
    for seed in range(FULL):
        sql = Generator(seed, seed % 2 == 0).statement()
        await check_dependencies(twins.one, twins.catalog, sql, seen)
    assert seen["statements"] > FULL / 4


# Roles are the server's, not the database's.
_OF_SERVER: Final = ("CREATE ROLE", "GRANT")


async def test_every_read_of_the_corpus_depends_on_no_more_than_its_facts_say(
    database: PostgresDatabase,
) -> None:
    fixture = (catalogs.CORPORA / "postgres_fixture.sql").read_text().splitlines()
    script = "\n".join(line for line in fixture if not line.startswith(_OF_SERVER))
    await execute(database.dsn, script)
    stored = {place: min(labels) for place, labels in catalogs.LABELS.items() if place[1][0] != "v"}
    catalog = await catalog_of(database, stored)
    seen: Counter[str] = Counter()
    connection = await asyncpg.connect(database.dsn)
    try:
        for row in catalogs.statements():
            await check_dependencies(connection, catalog, row["sql"], seen)
    finally:
        await connection.close()
    assert seen["statements"] > 60
    assert seen["clean outputs"] > 40
