"""A gateway whose recording is attacked: two targets, slow rows, and a store that can be taken."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader
from tests.e2e.evidence import TABLE, until
from tests.e2e.policy_sets import starter_copy
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient

SLOW = (
    "CREATE FUNCTION slow(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 FROM pg_sleep(0.05)'"
)
SHORT = (
    '@id("sandbox-is-short") @timeout("1s") forbid (principal, action == Action::"sql.query",'
    ' resource) when { resource in Environment::"staging" };'
)
WRITERS = (
    "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND classid = x'4f535452'::int::oid"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def prepare(world: World, **settings: Any) -> World:
    """`shop` is production, `sandbox` development, and on `brief` a statement has one second."""
    shop = world.configuration()["targets"]["shop"] | {"functions": ["public.slow"]}
    directory = world.directory / "policies"
    (starter_copy(directory) / "short.cedar").write_text(SHORT)
    world.settings = {
        "targets": {
            "shop": shop,
            "sandbox": copy.deepcopy(shop) | {"environment": "development"},
            "brief": copy.deepcopy(shop) | {"environment": "staging"},
        },
        "policies": str(directory),
        "recordings": {"every": "1s"},
        **settings,
    }
    world.direct_execute(f"{TABLE}; {SLOW}")
    return world


@asynccontextmanager
async def admin(world: World) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """The store's server, through another database than the store's."""
    connection = await asyncpg.connect(world.postgres.dsn("postgres"), timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def away(world: World) -> AsyncIterator[None]:
    """The store lets nobody in, and everybody out."""
    async with admin(world) as server:
        await server.execute(f"ALTER DATABASE {world.store} ALLOW_CONNECTIONS false")
        try:
            await throw_out(server, world)
            yield
        finally:
            await server.execute(f"ALTER DATABASE {world.store} ALLOW_CONNECTIONS true")


async def throw_out(server: asyncpg.Connection[asyncpg.Record], world: World) -> None:
    await server.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
        world.store,
    )


@asynccontextmanager
async def native(world: World, database: str = "shop") -> AsyncIterator[RawClient]:
    """A PostgreSQL client that is logged in as the requester."""
    client = await connected(world)
    try:
        await client.log_in(world.token("rita"), {"user": "rita", "database": database})
        yield client
    finally:
        client.writer.close()


async def connected(world: World) -> RawClient:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    return RawClient(reader, writer, BackendReader())


def query(client: RawClient, text: str) -> None:
    client.send(f.Query(text))


async def documents(world: World, kind: str, part: str = "") -> list[dict[str, Any]]:
    """What records of a kind say, those that hold this text."""
    statement = (
        "SELECT session, document FROM records WHERE kind = $1 AND document LIKE $2"
        " ORDER BY at, stream, sequence"
    )
    async with world.journal() as journal:
        rows = await journal.fetch(statement, kind, f"%{part}%")
    return [{"session": row["session"], **json.loads(row["document"])} for row in rows]


async def recorded(world: World, kind: str, part: str = "") -> list[dict[str, Any]]:
    """The same, once there is one."""
    found = await until(lambda: documents(world, kind, part))
    assert isinstance(found, list)
    return found


async def documents_of(world: World, session: str, kind: str) -> list[dict[str, Any]]:
    """What records of a kind say in one session."""
    return [d for d in await documents(world, kind) if d["session"] == session]
