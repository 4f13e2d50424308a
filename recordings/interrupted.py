"""Sessions whose process died: found by its streams' locks, which only the dead let go of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import orjson

from recordings.store import AnyConnection, Pool
from recordings.streams import close_stream, try_lock_dead

WITHOUT_OUTCOME: Final = frozenset({"Connect"})
"""Actions whose intent no outcome follows: the session's own end is theirs."""

OUTCOMES: Final = frozenset({"outcome", "answer"})
"""Kinds of records that an intent is answered by: one alone, or one with the whole answer."""

# A restart of the store frees every lock, so for a minute after one a free lock proves nothing.
_MAYBE_DEAD: Final = """
SELECT number FROM writers w
WHERE ended_at IS NULL AND number <> $1 AND NOT EXISTS (
    SELECT FROM streams s
    WHERE s.writer = w.number AND s.closed_at IS NULL
        AND s.server_started <> pg_postmaster_start_time()
        AND clock_timestamp() < pg_postmaster_start_time() + interval '60 s'
)
ORDER BY number
"""

_OPEN_SESSIONS: Final = """
SELECT DISTINCT o.session
FROM streams s JOIN records o ON o.stream = s.number AND o.kind = 'session_opened'
WHERE s.writer = $1 AND NOT EXISTS (
    SELECT FROM records c WHERE c.session = o.session AND c.kind = 'session_closed'
)
ORDER BY o.session
"""

_INTENTS: Final = """
SELECT stream, sequence, at, kind, document FROM records
WHERE session = $1 AND kind IN ('intent', 'outcome', 'answer')
ORDER BY at, stream, sequence
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """Where an intent is recorded, and of which action; whether it took effect is not known."""

    stream: int
    sequence: int
    action: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A session that nobody closed; `last` is the time of its last record, in microseconds."""

    id: str
    last: int
    intents: tuple[Intent, ...]


async def close_dead_writers(
    pool: Pool, *, own: int, close: Callable[[Sequence[Interrupted]], Awaitable[None]]
) -> int:
    """Hand the sessions of dead processes to `close`, then mark what they left as closed.

    Returns how many sessions. Raises one of `STORE_ERRORS`.
    """
    numbers = [row["number"] for row in await pool.fetch(_MAYBE_DEAD, own)]
    return sum([await _take_over(pool, number, own, close) for number in numbers])


async def interrupted_sessions(pool: Pool, writer: int) -> list[Interrupted]:
    """A writer's sessions that have no end. Raises one of `STORE_ERRORS`."""
    async with pool.acquire(timeout=2.0) as connection:
        return await _interrupted_sessions(connection, writer)


async def _take_over(
    pool: Pool,
    writer: int,
    own: int,
    close: Callable[[Sequence[Interrupted]], Awaitable[None]],
) -> int:
    """`close` commits before this transaction does, so a crash in between leaves work, no gap."""
    async with pool.acquire(timeout=2.0) as connection, connection.transaction():
        streams = await _dead_streams(connection, writer)
        if streams is None:
            return 0
        sessions = await _interrupted_sessions(connection, writer)
        await close(sessions)
        for stream in streams:
            await close_stream(connection, stream)
        await connection.execute(
            "UPDATE writers SET ended_at = clock_timestamp(), ended_by = $2 WHERE number = $1",
            writer,
            own,
        )
        return len(sessions)


async def _dead_streams(connection: AnyConnection, writer: int) -> list[int] | None:
    """The writer's unclosed streams with all their locks taken; `None` while it lives."""
    row = await connection.fetchrow(
        "SELECT FROM writers WHERE number = $1 AND ended_at IS NULL FOR UPDATE SKIP LOCKED", writer
    )
    if row is None:
        return None
    streams = [
        r["number"]
        for r in await connection.fetch(
            "SELECT number FROM streams WHERE writer = $1 AND closed_at IS NULL", writer
        )
    ]
    for stream in streams:
        if not await try_lock_dead(connection, stream):
            return None
    return streams


async def _interrupted_sessions(connection: AnyConnection, writer: int) -> list[Interrupted]:
    rows = await connection.fetch(_OPEN_SESSIONS, writer)
    return [await _interrupted(connection, row["session"]) for row in rows]


async def _interrupted(connection: AnyConnection, session: str) -> Interrupted:
    last = await connection.fetchval("SELECT max(at) FROM records WHERE session = $1", session)
    rows = await connection.fetch(_INTENTS, session)
    return Interrupted(session, last, without_outcome(rows))


def without_outcome(rows: Sequence[asyncpg.Record]) -> tuple[Intent, ...]:
    """The intents that no outcome answers; on one session they are answered first in, first out."""
    intents = [_intent(row) for row in rows if row["kind"] == "intent"]
    expecting = [i for i in intents if i.action not in WITHOUT_OUTCOME]
    return tuple(expecting[sum(row["kind"] in OUTCOMES for row in rows) :])


def _intent(row: asyncpg.Record) -> Intent:
    action = orjson.loads(row["document"]).get("action")
    kind = action.get("kind", "") if isinstance(action, dict) else str(action or "")
    return Intent(row["stream"], row["sequence"], kind)
