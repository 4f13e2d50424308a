"""A sample database and a listener in front of it, shared by the tests of a module."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fixtures.postgres import (
    SCHEMA,
    PostgresDatabase,
    PostgresServer,
    Role,
    SampleDatabase,
    execute,
)
from tests.server.protocols.gateway import Door, opened


@pytest.fixture(scope="module")
def shop_database(postgres: PostgresServer) -> Iterator[SampleDatabase]:
    """Like `sample_database`; a test that commits changes says what it leaves behind."""
    suffix = secrets.token_hex(6)
    reader = Role(f"reader_{suffix}", secrets.token_urlsafe(12))
    writer = Role(f"writer_{suffix}", secrets.token_urlsafe(12))
    script = SCHEMA.replace("sample_reader", reader.user).replace("sample_writer", writer.user)
    script = script.replace("reader_password", reader.password)
    script = script.replace("writer_password", writer.password)
    server, database = postgres.dsn("postgres"), postgres.database(f"shop_{suffix}")
    asyncio.run(execute(server, f"CREATE DATABASE {database.name}"))
    asyncio.run(execute(database.dsn, script))
    yield SampleDatabase(database, reader, writer)
    asyncio.run(execute(server, f"DROP DATABASE {database.name} WITH (FORCE)"))
    asyncio.run(execute(server, f"DROP ROLE {reader.user}", f"DROP ROLE {writer.user}"))


@pytest.fixture(scope="module")
def store_database(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    name = f"store_{secrets.token_hex(6)}"
    asyncio.run(execute(postgres.dsn("postgres"), f"CREATE DATABASE {name}"))
    yield postgres.database(name)
    asyncio.run(execute(postgres.dsn("postgres"), f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
async def door(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> AsyncIterator[Door]:
    async with opened(shop_database, store_database) as made:
        yield made
