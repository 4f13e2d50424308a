"""A store on a real PostgreSQL, and journals on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from recordings.chain import DigestKey
from recordings.journal import Journal
from recordings.store import Store
from server import embedded
from server.embedded import EmbeddedServer
from tests.fixtures.postgres import FAST, PostgresDatabase, PostgresServer

KEY = DigestKey("digest-1", b"a digest key of thirty-two bytes")

STALL_WITHIN = 0.0
"""Seconds: most tests want to be refused at once."""

OpenJournal = Callable[[str], Awaitable[Journal]]


def key_lookup(key: str) -> bytes | None:
    return KEY.secret if key == KEY.id else None


class Outage:
    """The store, away: it lets nobody in, and everybody out."""

    def __init__(self, postgres: PostgresServer, database: PostgresDatabase) -> None:
        self._dsn, self._name = postgres.dsn("postgres"), database.name

    async def begin(self) -> None:
        await self.let_nobody_in()
        await self._run(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE datname = '{self._name}'",
        )

    async def let_nobody_in(self) -> None:
        """Who is in may stay."""
        await self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")

    async def end(self) -> None:
        await self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def _run(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()


@pytest.fixture
def outage(postgres: PostgresServer, database: PostgresDatabase) -> Outage:
    return Outage(postgres, database)


class OwnServer:
    """A store on a server of its own, which a test may restart and reconfigure."""

    def __init__(self, home: Path, running: EmbeddedServer, store: Store) -> None:
        self.store, self._home, self._running = store, home, running

    async def restart(self) -> None:
        await self._running.stop()
        self._running = await embedded.start(self._home, FAST)
        await self.store.pool.expire_connections()

    async def stop(self) -> None:
        await self.store.close()
        await self._running.stop()


@asynccontextmanager
async def own_server() -> AsyncIterator[OwnServer]:
    with TemporaryDirectory(prefix="ostiary-test-", dir="/tmp", ignore_cleanup_errors=True) as home:
        running = await embedded.start(Path(home), FAST)
        server = OwnServer(Path(home), running, await Store.open(running.dsn("postgres")))
        try:
            yield server
        finally:
            await server.stop()


@pytest.fixture
async def store(database: PostgresDatabase) -> AsyncIterator[Store]:
    opened = await Store.open(database.dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def open_journal(store: Store) -> AsyncIterator[OpenJournal]:
    async with AsyncExitStack() as lifetime:

        async def make(gateway: str) -> Journal:
            journal = await Journal.open(
                store, gateway=gateway, digest_key=KEY, stall_within=STALL_WITHIN
            )
            lifetime.push_async_callback(journal.close)
            return journal

        yield make


@pytest.fixture
async def journal(open_journal: OpenJournal) -> Journal:
    return await open_journal("gw-1")
