"""The sample that a scan takes of a table: bounded, read-only, as the reader."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from policies.model import ScanTarget
from policies.sql.facts import TableName
from server.protocols.postgres import sample
from server.protocols.postgres.connector import PostgresConnector
from server.sampling import NotSampled
from tests.fixtures.postgres import SampleDatabase, execute
from tests.server.protocols.grants import credentials, granted, read, shop

pytestmark = pytest.mark.anyio

TABLE = TableName("public", 'odd "name" of a table')
QUOTED = 'public."odd ""name"" of a table"'


@pytest.fixture
async def connector(sample_database: SampleDatabase) -> AsyncIterator[PostgresConnector]:
    await execute(
        sample_database.dsn,
        f'CREATE TABLE {QUOTED} (id integer, "te""xt" text);'
        f"INSERT INTO {QUOTED} SELECT n, repeat('x', 5000) FROM generate_series(1, 300) n;"
        f"GRANT SELECT ON {QUOTED} TO {sample_database.reader.user}",
    )
    made = PostgresConnector(shop(sample_database), credentials(sample_database))
    yield made
    await made.close()


def scan(*tables: TableName, rows: int = 10) -> ScanTarget:
    return ScanTarget(tables, (), rows)


async def test_as_many_rows_as_were_granted_each_value_cut_short(
    connector: PostgresConnector,
) -> None:
    rows = await connector.sample(granted(scan(TABLE)), TABLE, ["id", 'te"xt'])
    assert len(rows) == 10
    assert {len(row[1] or b"") for row in rows} == {sample.LONGEST}
    assert rows == await connector.sample(granted(scan(TABLE)), TABLE, ["id", 'te"xt'])


async def test_what_the_reader_may_not_read_is_not_sampled(
    connector: PostgresConnector, sample_database: SampleDatabase
) -> None:
    await execute(
        sample_database.dsn, f"REVOKE SELECT ON {QUOTED} FROM {sample_database.reader.user}"
    )
    with pytest.raises(NotSampled, match="may not read it"):
        await connector.sample(granted(scan(TABLE)), TABLE, ["id"])


@pytest.mark.parametrize(
    ("table", "column", "why"),
    [("gone", "id", "not there"), (TABLE.name, "gone", "columns is not")],
)
async def test_what_is_gone_is_not_sampled(
    connector: PostgresConnector, table: str, column: str, why: str
) -> None:
    name = TableName("public", table)
    with pytest.raises(NotSampled, match=why):
        await connector.sample(granted(scan(name)), name, [column])


async def test_a_lock_holds_a_scan_up_for_a_second_and_no_longer(
    connector: PostgresConnector, sample_database: SampleDatabase
) -> None:
    holder = await asyncpg.connect(sample_database.dsn)
    try:
        async with holder.transaction():
            await holder.execute(f"LOCK TABLE {QUOTED} IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(NotSampled, match="locked"):
                await connector.sample(granted(scan(TABLE)), TABLE, ["id"])
    finally:
        await holder.close()
    assert await connector.sample(granted(scan(TABLE)), TABLE, ["id"])


async def test_a_column_whose_values_run_code_that_writes_changes_nothing(
    connector: PostgresConnector, sample_database: SampleDatabase
) -> None:
    """Reading runs in a read-only transaction, whatever a view calls."""
    await execute(
        sample_database.dsn,
        "CREATE TABLE written (id integer);"
        "CREATE FUNCTION writes() RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER"
        " AS $$ INSERT INTO written VALUES (1) RETURNING 'x' $$;"
        "CREATE VIEW calls AS SELECT writes() AS x;"
        f"GRANT SELECT ON calls TO {sample_database.reader.user}",
    )
    name = TableName("public", "calls")
    with pytest.raises(NotSampled, match="25006"):
        await connector.sample(granted(scan(name)), name, ["x"])


async def test_only_the_tables_of_the_grant_are_sampled(connector: PostgresConnector) -> None:
    other = TableName("public", "customers")
    for grant in (granted(scan(TABLE)), read("SELECT 1")):
        with pytest.raises(TypeError):
            await connector.sample(grant, other, ["id"])
