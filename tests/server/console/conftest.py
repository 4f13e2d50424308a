"""An issuer on a real port, and a store for a module, without sessions at each test's start."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from recordings.store import Store
from tests.fixtures.postgres import PostgresDatabase, PostgresServer, execute
from tests.server.identity.conftest import issuer, issuer_key, stage, tls

__all__ = ["issuer", "issuer_key", "stage", "store", "tls"]


@pytest.fixture(scope="module")
def store_database(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    name = f"console_{secrets.token_hex(6)}"
    asyncio.run(execute(postgres.dsn("postgres"), f"CREATE DATABASE {name}"))
    yield postgres.database(name)
    asyncio.run(execute(postgres.dsn("postgres"), f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
async def opened_store(store_database: PostgresDatabase) -> AsyncIterator[Store]:
    opened = await Store.open(store_database.dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def store(opened_store: Store) -> Store:
    await opened_store.pool.execute("DELETE FROM console_sessions")
    return opened_store
