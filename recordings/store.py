"""The store: a PostgreSQL pool whose schema is this program's. What is kept in it, others know."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, TypeAlias

import asyncpg
import asyncpg.pool

from policies.errors import BackendUnavailable, ConfigError

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
_MIGRATION_LOCK: Final = 0x4F53_5449_4152_5901  # "OSTIARY", 1
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

        Raises `BackendUnavailable`, and `ConfigError` where the schema is a newer program's.
        """
        try:
            await _migrate(dsn)
            pool = await asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=connections,
                timeout=_CONNECT_WITHIN,
                command_timeout=30.0,
                server_settings=_SETTINGS,
            )
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached; see store.url") from error
        return cls(dsn, pool)

    async def connect(self) -> Connection:
        """A connection of one's own. Raises one of `STORE_ERRORS`."""
        return await asyncpg.connect(
            self.dsn, timeout=_CONNECT_WITHIN, server_settings=_SETTINGS, command_timeout=None
        )

    async def close(self) -> None:
        """Give back every connection of the pool, by force after 5 s."""
        try:
            async with asyncio.timeout(5.0):
                await self.pool.close()
        except STORE_ERRORS:
            self.pool.terminate()


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; they are applied in the order of their numbers, each once."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """The steps that this program knows, from `migrations/<number>_<name>.sql`."""
    found = (f for f in files("recordings").joinpath("migrations").iterdir())
    return sorted(
        (_migration(f.name, f.read_text("utf-8")) for f in found if f.name.endswith(".sql")),
        key=lambda m: m.number,
    )


def _migration(file: str, sql: str) -> Migration:
    number, _, name = file.removesuffix(".sql").partition("_")
    return Migration(int(number), name, sql)


async def _migrate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_WITHIN, server_settings=_SETTINGS)
    try:
        if connection.get_server_version() < (14,):  # the oldest that its makers still support
            raise ConfigError("store.url: the store needs PostgreSQL 14 or newer")
        if await connection.fetchval("SHOW server_encoding") != "UTF8":
            raise ConfigError("store.url: the store's database must have the encoding UTF8")
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await _apply(connection)
    finally:
        await connection.close(timeout=_CONNECT_WITHIN)


async def _apply(connection: Connection) -> None:
    known = migrations()
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number int PRIMARY KEY, name text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    applied = {r["number"] for r in await connection.fetch("SELECT number FROM schema_migrations")}
    if applied and max(applied) > known[-1].number:
        raise ConfigError(
            f"store.url: the store's schema has version {max(applied)}, this program knows only"
            f" {known[-1].number}: start the newer program"
        )
    for step in known:
        if step.number not in applied:
            await _apply_one(connection, step)


async def _apply_one(connection: Connection, step: Migration) -> None:
    async with connection.transaction():
        await connection.execute(step.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (number, name) VALUES ($1, $2)", step.number, step.name
        )


async def delete_bodies(store: Store, *, before: int) -> int:
    """Delete the bodies of records older than `before` (microseconds since 1970): how many.

    The records and their digests stay, so the chain still verifies. Raises `BackendUnavailable`.
    """
    try:
        status = await store.pool.execute(
            "UPDATE bodies b SET body = NULL, deleted_at = clock_timestamp() FROM records r"
            " WHERE r.stream = b.stream AND r.sequence = b.sequence AND r.at < $1"
            " AND b.body IS NOT NULL",
            before,
        )
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be reached now; try again") from error
    return int(status.rpartition(" ")[2])
