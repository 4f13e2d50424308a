"""The store: a PostgreSQL pool whose schema is this program's. What is kept in it, others know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg
import asyncpg.pool

from policies.errors import BackendUnavailable, ConfigError
from recordings.schema import bring_up, check, migrations

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
AnyConnection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

STORE_ERRORS: Final = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Whatever the driver raises when the store can't do what it was asked."""

_CONNECT_WITHIN: Final = 2.0  # seconds
_SETTINGS: Final = {
    "application_name": "ostiary",
    "timezone": "UTC",
    "synchronous_commit": "on",  # a role's own default may be less
    "idle_session_timeout": "0",
    # The locks of a gateway whose machine vanished are free after some 25 s.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


@dataclass(frozen=True, slots=True)
class Store:
    """Connections to the store. `dsn` may carry a password."""

    dsn: str = field(repr=False)
    pool: Pool = field(repr=False)

    @classmethod
    async def open(cls, dsn: str, *, connections: int = 8) -> Store:
        """Connect, and bring the schema up to this program's.

        Raises `BackendUnavailable`, and `ConfigError` where the schema is of a program too new.
        """
        try:
            await _migrate(dsn)
            return cls(dsn, await _pool(dsn, connections, _SETTINGS))
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached; see store.url") from error

    @classmethod
    async def open_to_read(cls, dsn: str) -> Store:
        """Connect to read only, as an auditor's role may; the schema stays as it is.

        Raises `BackendUnavailable`, and `ConfigError` where the schema is another program's.
        """
        settings = {**_SETTINGS, "default_transaction_read_only": "on"}
        try:
            store = cls(dsn, await _pool(dsn, 1, settings))
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached") from error
        try:
            await _check_version(store.pool)
        except BaseException:
            await store.close()
            raise
        return store

    async def connect(self) -> Connection:
        """A connection of one's own. Raises one of `STORE_ERRORS`."""
        return await asyncpg.connect(
            self.dsn, timeout=_CONNECT_WITHIN, server_settings=_SETTINGS, command_timeout=None
        )

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` with what is notified on a channel, on a connection for that alone.

        Begins with an empty notice: nobody knows what was missed before. Ends with the connection.
        Raises one of `STORE_ERRORS`.
        """
        gone = asyncio.Event()
        connection = await self.connect()
        try:
            connection.add_termination_listener(lambda _connection: gone.set())
            await connection.add_listener(channel, lambda *notice: heard(str(notice[3])))
            heard("")
            await gone.wait()
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Give back every connection of the pool, by force after 5 s."""
        try:
            async with asyncio.timeout(5.0):
                await self.pool.close()
        except STORE_ERRORS:
            self.pool.terminate()


async def _pool(dsn: str, connections: int, settings: Mapping[str, str]) -> Pool:
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=connections,
        timeout=_CONNECT_WITHIN,
        command_timeout=30.0,
        server_settings=dict(settings),
    )


async def _check_version(pool: Pool) -> None:
    """What is read is read with this program's columns: a schema older than it has not got them."""
    try:
        newest = await pool.fetchval("SELECT max(number) FROM schema_migrations")
        known = migrations()
        if newest is None or newest < known[-1].number:
            raise ConfigError(
                f"the store's schema has version {newest}, this program reads"
                f" {known[-1].number}: use the gateway's own version"
            )
        async with pool.acquire() as connection:
            await check(connection, known)
    except STORE_ERRORS as error:
        raise BackendUnavailable("the store can't be read") from error


async def _migrate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_WITHIN, server_settings=_SETTINGS)
    try:
        if connection.get_server_version() < (14,):  # the oldest that its makers still support
            raise ConfigError("store.url: the store needs PostgreSQL 14 or newer")
        if await connection.fetchval("SHOW server_encoding") != "UTF8":
            raise ConfigError("store.url: the store's database must have the encoding UTF8")
        await bring_up(connection, migrations())
    finally:
        await connection.close(timeout=_CONNECT_WITHIN)
