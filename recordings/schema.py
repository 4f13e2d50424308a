"""The store's schema: numbered steps, each applied once, and which older programs it serves.

While gateways are replaced one by one, the old program must go on on the new program's schema. So
each step says on its first line which program it still serves: `-- compatible with: 2` means one
whose own newest step is 2. Steps are additive; a test compares the schema before and after each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import asyncpg

from policies.errors import ConfigError

if TYPE_CHECKING:
    from recordings.store import AnyConnection, Connection

_LOCK: Final = 0x4F53_5449_4152_5901  # "OSTIARY", 1
_COMPATIBLE: Final = re.compile(r"-- compatible with: ([0-9]+)\n")
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    compatible_with int
)
"""
_LACKS_COLUMN: Final = """
SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass
    AND attname = 'compatible_with' AND NOT attisdropped)
"""
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, or told to end
    asyncpg.InsufficientResourcesError,
)
"""Errors that say nothing about a step: the store is away, and the next start tries again."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. With it in place a program still works whose newest step is `compatible_with`."""

    number: int
    name: str
    sql: str
    compatible_with: int


def migrations() -> list[Migration]:
    """The steps that this program knows, from `migrations/<number>_<name>.sql`, in order."""
    found = (f for f in files("recordings").joinpath("migrations").iterdir())
    return sorted(
        (_migration(f.name, f.read_text("utf-8")) for f in found if f.name.endswith(".sql")),
        key=lambda m: m.number,
    )


def _migration(file: str, sql: str) -> Migration:
    number, _, name = file.removesuffix(".sql").partition("_")
    said = _COMPATIBLE.match(sql)
    if said is None:
        raise ValueError(f"{file} does not begin with `-- compatible with: <number>`")
    return Migration(int(number), name, sql, int(said[1]))


async def bring_up(connection: Connection, known: Sequence[Migration]) -> None:
    """Apply the steps that are missing, one process at a time.

    A newer program's schema stays as it is, where that still serves this one. Raises `ConfigError`
    where it does not, or a step fails, which is then undone; and what asyncpg raises.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await _bring_up(connection, known)
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _bring_up(connection: Connection, known: Sequence[Migration]) -> None:
    await connection.execute(_TABLE)
    if await connection.fetchval(_LACKS_COLUMN):  # made by a program that did not say it yet
        await connection.execute("ALTER TABLE schema_migrations ADD COLUMN compatible_with int")
    applied = {step.number for step in known} & await _applied(connection)
    await check(connection, known)
    for step in known:
        if step.number not in applied:
            await _apply(connection, step)
    await _say_compatible(connection, known)


async def check(connection: AnyConnection, known: Sequence[Migration]) -> None:
    """Raise `ConfigError` where the schema is of a program too new for this one."""
    newest, oldest = await connection.fetchrow(
        "SELECT max(number), max(coalesce(compatible_with, number)) FILTER (WHERE number > $1)"
        " FROM schema_migrations",
        known[-1].number,
    ) or (None, None)
    if oldest is not None and oldest > known[-1].number:
        raise ConfigError(
            f"store.url: the store's schema has version {newest}, which serves programs from"
            f" version {oldest} on; this one knows {known[-1].number}: start the newer program"
        )


async def _applied(connection: Connection) -> set[int]:
    return {r["number"] for r in await connection.fetch("SELECT number FROM schema_migrations")}


async def _apply(connection: Connection, step: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(step.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, compatible_with) VALUES ($1, $2, $3)",
                step.number,
                step.name,
                step.compatible_with,
            )
    except _AWAY:
        raise
    except asyncpg.PostgresError as error:
        raise ConfigError(
            f"store.url: step {step.number} ({step.name}) of the store's schema failed with"
            f" SQLSTATE {error.sqlstate}, and was undone; the role must own the store's tables"
        ) from error


async def _say_compatible(connection: Connection, known: Sequence[Migration]) -> None:
    """For steps that a program applied which did not say it yet."""
    await connection.executemany(
        "UPDATE schema_migrations SET compatible_with = $2"
        " WHERE number = $1 AND compatible_with IS NULL",
        [(step.number, step.compatible_with) for step in known],
    )
