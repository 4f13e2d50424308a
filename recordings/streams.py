"""Streams in the store: opened under a lock, appended to, closed. No queue and no retry in here.

A stream belongs to the connection that holds its advisory lock: whoever gets that lock knows that
the owner is gone, and that no write of its is still under way. The store is therefore spoken to
directly, or through a pooler in session mode.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from recordings.chain import DigestKey, Entry, genesis, record_hash, record_prefix
from recordings.clock import StoreClock
from recordings.errors import JournalUnavailable
from recordings.store import AnyConnection, Connection, Store

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.prepared_stmt import PreparedStatement

LOCK_CLASS: Final = 0x4F53_5452  # "OSTR": the first key of every stream's advisory lock

# One statement is one round trip and one transaction. It writes nothing once the stream is closed.
_APPEND: Final = """
WITH owned AS (
    SELECT FROM streams WHERE number = $1 AND closed_at IS NULL
), written AS (
    INSERT INTO records (stream, sequence, at, session, kind, document, digest, hash)
    SELECT $1, r.sequence, r.at, r.session, r.kind, r.document, decode(r.digest, 'hex'),
        decode(r.hash, 'hex')
    FROM owned, json_to_recordset($2::json) AS r (
        sequence bigint, at bigint, session text, kind text, document text, digest text, hash text
    )
    RETURNING 1
), kept AS (
    INSERT INTO bodies (stream, sequence, body)
    SELECT $1, b.* FROM owned, unnest($3::bigint[], $4::bytea[]) AS b
)
SELECT (SELECT count(*) FROM written) AS written,
    (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS now
"""

_LATEST: Final = """
SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS now,
    coalesce((
        SELECT max(latest.at)
        FROM (SELECT number FROM streams ORDER BY number DESC LIMIT 256) AS s,
        LATERAL (SELECT at FROM records WHERE stream = s.number ORDER BY sequence DESC LIMIT 1)
            AS latest
    ), 0) AS latest
"""

_CLOSE: Final = """
UPDATE streams SET closed_at = clock_timestamp(),
    last_sequence = coalesce(h.sequence, 0), last_hash = h.hash
FROM (SELECT $1::bigint AS number) AS s LEFT JOIN LATERAL (
    SELECT sequence, hash FROM records WHERE stream = s.number ORDER BY sequence DESC LIMIT 1
) AS h ON true
WHERE streams.number = s.number AND closed_at IS NULL
"""


@dataclass(slots=True)
class Stream:
    """An open stream and the head of its chain. Only one append at a time."""

    number: int
    id: str
    connection: Connection
    prefix: bytes
    head: bytes
    clock: StoreClock
    append_statement: PreparedStatement[asyncpg.Record]
    sequence: int = 0

    async def append(self, entries: Sequence[Entry]) -> None:
        """Chain the entries and commit them, all or none. Raises one of `STORE_ERRORS`.

        Raises `JournalUnavailable` where the stream isn't ours any more. After any exception it is
        unknown whether they were committed, and the stream must be given up.
        """
        links = self._links(entries)
        arguments = _arguments(links)
        asked_at = self.clock.monotonic()
        row = await self.append_statement.fetchrow(self.number, *arguments)
        if row is None or row["written"] != len(entries):
            raise JournalUnavailable("another process has closed this journal's stream")
        self.clock.follow(row["now"], asked_at=asked_at)
        self.sequence, self.head, _ = links[-1]

    def _links(self, entries: Sequence[Entry]) -> list[tuple[int, bytes, Entry]]:
        links, head = [], self.head
        for sequence, entry in enumerate(entries, self.sequence + 1):
            head = record_hash(self.prefix, sequence, entry, head)
            links.append((sequence, head, entry))
        return links

    async def close(self) -> None:
        """Mark the stream as ended in order, and free its lock. Raises one of `STORE_ERRORS`."""
        try:
            await close_stream(self.connection, self.number)
        finally:
            await self.connection.close(timeout=1.0)


def _arguments(links: Sequence[tuple[int, bytes, Entry]]) -> tuple[object, ...]:
    """Records as one JSON text, which costs a tenth of the driver's arrays; bodies as they are."""
    records = [
        {
            "sequence": sequence,
            "at": e.at,
            "session": e.session,
            "kind": e.kind,
            "document": e.document.decode(),
            "digest": e.digest.hex(),
            "hash": head.hex(),
        }
        for sequence, head, e in links
    ]
    bodies = [(sequence, e.body) for sequence, _, e in links if e.body]
    return (
        orjson.dumps(records).decode(),
        [sequence for sequence, _ in bodies],
        [body for _, body in bodies],
    )


async def close_stream(connection: AnyConnection, number: int) -> None:
    """Mark a stream as closed at the last record that it has."""
    await connection.execute(_CLOSE, number)


async def try_lock_dead(connection: AnyConnection, number: int) -> bool:
    """Take a stream's lock until the transaction ends: true if nobody owns the stream."""
    return bool(
        await connection.fetchval(
            "SELECT pg_try_advisory_xact_lock($1::int, $2::int)", LOCK_CLASS, number
        )
    )


@dataclass(slots=True)
class Writer:
    """This process in the store: the row in `writers` under which its streams are opened.

    Where others have taken the process for dead, it goes on as a new writer, and `on_lost` is
    told, because its open sessions were closed as interrupted.
    """

    store: Store
    gateway: str
    key: DigestKey
    clock: StoreClock
    on_lost: Callable[[], None]
    number: int = 0
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open_stream(self, role: str, *, after: Stream | None) -> tuple[Stream, int]:
        """A new stream, and how many records of the unfinished append to `after` were written.

        Raises one of `STORE_ERRORS`, and `JournalUnavailable` where the clock is behind or the
        store still serves the lost connection.
        """
        async with self._opening:
            connection = await self.store.connect()
            try:
                await self._look_at_clock(connection)
                stream, written = await self._open(connection, role, after)
            except BaseException:
                connection.terminate()
                raise
            return stream, written

    async def end(self) -> None:
        """Say that this process has left in order. Raises one of `STORE_ERRORS`."""
        await self.store.pool.execute(
            "UPDATE writers SET ended_at = clock_timestamp(), ended_by = number"
            " WHERE number = $1 AND ended_at IS NULL",
            self.number,
        )

    async def _look_at_clock(self, connection: Connection) -> None:
        asked_at = self.clock.monotonic()
        row = await connection.fetchrow(_LATEST)
        if row is not None:
            self.clock.follow(row["now"], asked_at=asked_at)
            self.clock.later_than(row["latest"])

    async def _open(
        self, connection: Connection, role: str, after: Stream | None
    ) -> tuple[Stream, int]:
        async with connection.transaction():
            number = await self._register(connection)
            written = await _settle(connection, after)
            stream = await self._insert(connection, role, number)
        if self.number not in (0, number):
            self.on_lost()
        self.number = number
        return stream, written

    async def _register(self, connection: Connection) -> int:
        """Our row, locked against whoever takes us for dead now; a new one if somebody has."""
        alive = await connection.fetchval(
            "SELECT number FROM writers WHERE number = $1 AND ended_at IS NULL FOR UPDATE",
            self.number,
        )
        if alive is not None:
            return self.number
        number = await connection.fetchval(
            "INSERT INTO writers (gateway) VALUES ($1) RETURNING number", self.gateway
        )
        return int(number)

    async def _insert(self, connection: Connection, role: str, writer: int) -> Stream:
        """The lock is taken before the row can be seen, so a stream never looks ownerless."""
        stream_id, opened_at = uuid.uuid4(), self.clock.stamp()
        number = await connection.fetchval(
            "INSERT INTO streams (id, writer, role, digest_key, opened_at)"
            " VALUES ($1, $2, $3, $4, $5) RETURNING number",
            stream_id,
            writer,
            role,
            self.key.id,
            opened_at,
        )
        await connection.execute("SELECT pg_advisory_lock($1::int, $2::int)", LOCK_CLASS, number)
        start = genesis(
            stream_id.bytes,
            gateway=self.gateway,
            role=role,
            digest_key=self.key.id,
            opened_at=opened_at,
        )
        return Stream(
            number=number,
            id=str(stream_id),
            connection=connection,
            prefix=record_prefix(stream_id.bytes),
            head=start,
            clock=self.clock,
            append_statement=await connection.prepare(_APPEND),
        )


async def _settle(connection: Connection, lost: Stream | None) -> int:
    """Close the stream that we lost: how many records past its known head it has after all."""
    if lost is None:
        return 0
    if not await try_lock_dead(connection, lost.number):
        raise JournalUnavailable("the store has not let go of the lost connection yet; try again")
    await close_stream(connection, lost.number)
    last = await connection.fetchval(
        "SELECT max(sequence) FROM records WHERE stream = $1", lost.number
    )
    return int(last or 0) - lost.sequence
