"""Retention: bodies older than a time are deleted, in batches, and the chain says so first.

Records, their digests and their hashes stay. Of several gateways on one store, one deletes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from policies.errors import BackendUnavailable
from recordings.chain import Json
from recordings.checks import BODIES_DELETED, seal_of
from recordings.journal import Journal, Record
from recordings.store import STORE_ERRORS, AnyConnection

_log = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 3600.0  # seconds between looks
SHORTEST_PAUSE: Final = 1.0  # seconds
BATCH: Final = 1000  # records, most with a body of 64 KiB at most
RANGES_AT_ONCE: Final = 500  # in one record
_LOCK: Final = 0x4F53_5449_4152_5902  # "OSTIARY", 2

_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_UNFINISHED: Final = """
SELECT number, greatest(bodies_deleted_to, 0) AS bodies_deleted_to FROM streams
WHERE closed_at IS NULL OR bodies_deleted_to < last_sequence
ORDER BY number
"""
_NEXT: Final = (
    "SELECT sequence, at FROM records WHERE stream = $1 AND sequence >= $2 ORDER BY 1 LIMIT 1"
)
_NEWEST: Final = "SELECT coalesce(max(sequence), 0) FROM records WHERE stream = $1"
_KEPT: Final = """
SELECT count(*) FROM bodies
WHERE stream = $1 AND sequence BETWEEN $2 AND $3 AND body IS NOT NULL
"""
_DELETE: Final = """
UPDATE bodies SET body = NULL, deleted_at = clock_timestamp()
WHERE stream = $1 AND sequence BETWEEN $2 AND $3 AND body IS NOT NULL
"""

# What approvers were shown of rows stands with the ticket too.
_FORGET: Final = """
UPDATE previews SET sample = NULL, sample_deleted_at = clock_timestamp()
WHERE sample IS NOT NULL AND extract(epoch FROM begun_at) * 1000000 < $1
"""


@dataclass(frozen=True, slots=True)
class Range:
    """Records of one stream, and how many of them still have a body."""

    stream: int
    first: int
    last: int
    bodies: int

    @property
    def document(self) -> dict[str, Json]:
        return {
            "stream": self.stream,
            "from": self.first,
            "to": self.last,
            "bodies": self.bodies,
        }


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletes bodies that are older than `seconds`, now and then."""

    journal: Journal
    seconds: float

    async def run(self) -> None:
        """The timer; ends by being cancelled."""
        while True:
            try:
                await self.look()
            except BackendUnavailable as error:
                _log.warning("old bodies were not deleted: %s", error)
            await asyncio.sleep(min(max(self.seconds / 24, SHORTEST_PAUSE), LONGEST_PAUSE))

    async def look(self) -> int:
        """Delete what is too old by the store's clock. Raises `BackendUnavailable`."""
        try:
            now = await self.journal.store.pool.fetchval(_NOW, timeout=2.0)
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached now") from error
        return await delete_bodies(self.journal, before=now - round(self.seconds * 1_000_000))


async def delete_bodies(journal: Journal, *, before: int) -> int:
    """Delete the bodies of records older than `before` (microseconds since 1970): how many.

    None where another process is at it. Raises `BackendUnavailable`; what was said to be deleted
    and was not yet, the next run deletes.
    """
    try:
        async with journal.store.pool.acquire(timeout=2.0) as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                return 0
            try:
                await connection.execute(_FORGET, before)
                return await _delete_older(connection, journal, before)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be reached now; try again") from error


async def _delete_older(connection: AnyConnection, journal: Journal, before: int) -> int:
    rows = await connection.fetch(_UNFINISHED)
    found = [await _range(connection, r["number"], r["bodies_deleted_to"], before) for r in rows]
    ranges = [each for each in found if each.first <= each.last]
    for start in range(0, len(ranges), RANGES_AT_ONCE):
        some = ranges[start : start + RANGES_AT_ONCE]
        if any(each.bodies for each in some):
            await journal.commit(_record(some, before, journal.seal))
        for each in some:
            await _delete(connection, each)
    return sum(each.bodies for each in ranges)


def _record(ranges: Sequence[Range], before: int, seal: Callable[[bytes], bytes]) -> Record:
    deleted = [each for each in ranges if each.bodies]
    document: dict[str, Json] = {
        "before": before,
        "bodies": sum(each.bodies for each in deleted),
        "ranges": [each.document for each in deleted],
        "seal": seal_of([(each.stream, each.first, each.last) for each in deleted], seal),
    }
    return Record("", BODIES_DELETED, document)


async def _range(connection: AnyConnection, stream: int, done: int, before: int) -> Range:
    last = await _last_older(connection, stream, done, before)
    bodies = await connection.fetchval(_KEPT, stream, done + 1, last) if last > done else 0
    return Range(stream, done + 1, last, bodies)


async def _last_older(connection: AnyConnection, stream: int, done: int, before: int) -> int:
    """The last record older than `before`, by bisection: times rise with sequences."""
    low, high = done, await connection.fetchval(_NEWEST, stream)
    while low < high:
        middle = (low + high + 1) // 2
        row = await connection.fetchrow(_NEXT, stream, middle)
        if row is not None and row["at"] < before:
            low = max(middle, row["sequence"])
        else:
            high = middle - 1
    return int(low)


async def _delete(connection: AnyConnection, deleted: Range) -> None:
    for first in range(deleted.first, deleted.last + 1, BATCH):
        last = min(first + BATCH - 1, deleted.last)
        await connection.execute(_DELETE, deleted.stream, first, last)
    await connection.execute(
        "UPDATE streams SET bodies_deleted_to = $2 WHERE number = $1", deleted.stream, deleted.last
    )
