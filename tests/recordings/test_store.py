"""The schema is brought up once, by one process at a time, and never by an older program."""

from __future__ import annotations

import asyncio

import pytest

from policies.errors import BackendUnavailable, ConfigError
from recordings.store import Store, migrations
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
