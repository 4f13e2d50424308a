"""The schema is brought up once, by one process at a time, and never by an older program."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from policies.errors import BackendUnavailable, ConfigError
from recordings.schema import migrations
from recordings.store import Store
from tests.fixtures.postgres import PostgresDatabase

pytestmark = pytest.mark.anyio


async def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [m.number for m in migrations()] == list(range(1, len(migrations()) + 1))


async def test_processes_that_start_at_once_migrate_once(database: PostgresDatabase) -> None:
    stores = await asyncio.gather(*(Store.open(database.dsn, connections=1) for _ in range(4)))
    applied = await stores[0].pool.fetch("SELECT number FROM schema_migrations ORDER BY number")
    assert [row["number"] for row in applied] == [m.number for m in migrations()]
    await asyncio.gather(*(s.close() for s in stores))


async def test_a_newer_schema_refuses_to_start_an_older_program(store: Store) -> None:
    await store.pool.execute("INSERT INTO schema_migrations (number, name) VALUES (9999, 'later')")
    with pytest.raises(ConfigError, match="9999"):
        await Store.open(store.dsn)


async def test_a_database_in_another_encoding_is_refused(database: PostgresDatabase) -> None:
    store = await Store.open(database.dsn, connections=1)
    name = f"{database.name}_latin"
    await store.pool.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc"
        " LOCALE 'C'"
    )
    try:
        with pytest.raises(ConfigError, match="UTF8"):
            await Store.open(database.dsn.replace(database.name, name))
    finally:
        await store.pool.execute(f"DROP DATABASE {name}")
        await store.close()


async def test_a_store_out_of_reach_is_unavailable_and_names_no_secret(
    database: PostgresDatabase,
) -> None:
    wrong = database.dsn.replace(database.password, "another-secret")
    with pytest.raises(BackendUnavailable) as raised:
        await Store.open(wrong)
    assert "another-secret" not in str(raised.value)
    assert database.socket_directory not in str(raised.value)


async def test_a_store_s_representation_holds_no_password(store: Store) -> None:
    assert store.dsn not in repr(store)


async def test_a_store_that_is_opened_to_read_can_t_be_written(store: Store) -> None:
    reading = await Store.open_to_read(store.dsn)
    assert await reading.pool.fetchval("SELECT count(*) FROM records") == 0
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reading.pool.execute("DELETE FROM records")
    await reading.close()


async def test_a_store_of_another_version_is_not_read(store: Store) -> None:
    await store.pool.execute("DELETE FROM schema_migrations WHERE number > 1")
    with pytest.raises(ConfigError, match="version 1"):
        await Store.open_to_read(store.dsn)


async def test_what_is_no_store_is_not_read(database: PostgresDatabase) -> None:
    with pytest.raises(BackendUnavailable):
        await Store.open_to_read(database.dsn)
