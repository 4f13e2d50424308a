"""Verifying: every stream's chain and every body, to the first record that is not as written.

A chain alone does not show that its newest records were cut off, or that it was written anew from
some record on. Anchors, which are kept outside the store, do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from policies.errors import BackendUnavailable
from recordings.anchors import AnchorFlaw
from recordings.chain import DigestKey, genesis, record_prefix
from recordings.checks import (
    BODIES_DELETED,
    Anchors,
    Deletion,
    Deletions,
    NoAnchors,
    Witness,
)
from recordings.store import STORE_ERRORS, AnyConnection, Store
from recordings.walk import Flaw, Flawed, Tally, Walk

__all__ = ["Flaw", "KeyLookup", "Verdict", "verify"]

KeyLookup = Callable[[str], bytes | None]
"""The digest key of an id, `None` if the key ring has none such."""

SCAN_WITHIN: Final = 1800.0  # seconds for a look at every record
_AT_ONCE: Final = 64  # rows; a body can have 64 KiB and more

_RECORDS: Final = """
SELECT r.*, b.stream IS NOT NULL AS kept, b.body
FROM records r LEFT JOIN bodies b ON b.stream = r.stream AND b.sequence = r.sequence
WHERE r.stream = $1
ORDER BY r.sequence
"""

_STRAY: Final = """
SELECT stream, sequence, why FROM (
    SELECT stream, sequence, 'a record of no stream' AS why FROM records r
    WHERE NOT EXISTS (SELECT FROM streams s WHERE s.number = r.stream)
    UNION ALL
    SELECT stream, sequence, 'a body of no record' FROM bodies b
    WHERE NOT EXISTS (
        SELECT FROM records r WHERE r.stream = b.stream AND r.sequence = b.sequence
    )
) AS stray
ORDER BY stream, sequence LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was checked. Counts are of what was found good before the flaw, if there is one."""

    streams: int
    records: int
    bodies: int
    bodies_deleted: int
    flaw: Flaw | None = None
    anchor_flaw: AnchorFlaw | None = None
    anchors: int = 0
    bodies_unchecked: int = 0
    elsewhere: tuple[str, ...] = ()
    """Files of anchors, each as host:path, that records name and nobody looked at here."""
    behind: tuple[str, ...] = ()
    """Copies of files of anchors that end before lines that records name."""

    @property
    def good(self) -> bool:
        return self.flaw is None and self.anchor_flaw is None


_NO_ANCHORS: Final = NoAnchors()


async def verify(
    store: Store, key_lookup: KeyLookup | None, witness: Witness = _NO_ANCHORS
) -> Verdict:
    """Check every record of one moment of the store, and the anchors against it.

    Without `key_lookup`, as an auditor has it, bodies are counted and not checked. Raises
    `BackendUnavailable`.
    """
    tally = Tally()
    try:
        # Before the store: what is anchored by then is in every later snapshot.
        anchors = await asyncio.to_thread(Anchors.of, witness)
        async with _snapshot(store) as connection:
            await _check_all(connection, key_lookup, anchors, tally)
    except Flawed as flawed:
        tally.flaw = flawed.flaw
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be read now; try again") from error
    return await asyncio.to_thread(_verdict, tally, anchors)


def _verdict(tally: Tally, anchors: Anchors) -> Verdict:
    return Verdict(
        streams=tally.streams,
        records=tally.records,
        bodies=tally.bodies,
        bodies_deleted=tally.bodies_deleted,
        flaw=tally.flaw,
        anchor_flaw=anchors.flaw(),
        anchors=tally.anchors,
        bodies_unchecked=tally.bodies_unchecked,
        elsewhere=anchors.elsewhere(),
        behind=anchors.behind(),
    )


@asynccontextmanager
async def _snapshot(store: Store) -> AsyncIterator[AnyConnection]:
    async with (
        store.pool.acquire(timeout=2.0) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def _streams(connection: AnyConnection) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT s.*, w.gateway FROM streams s JOIN writers w ON w.number = s.writer"
        " ORDER BY s.number"
    )


async def _check_all(
    connection: AnyConnection, key_lookup: KeyLookup | None, anchors: Anchors, tally: Tally
) -> None:
    streams = {row["number"]: row for row in await _streams(connection)}
    deletions = await _deletions(connection, streams, key_lookup)
    for number in sorted(streams.keys() | anchors.by_stream.keys()):
        if number not in streams:
            raise Flawed(_without_stream(number, anchors))
        walk = _walk(streams[number], key_lookup, anchors, deletions, tally)
        walk.begin()
        records = connection.cursor(_RECORDS, number, prefetch=_AT_ONCE, timeout=SCAN_WITHIN)
        async for row in records:
            walk.step(row)
        walk.end(streams[number])
    stray = await connection.fetchrow(_STRAY, timeout=SCAN_WITHIN)
    if stray is not None:
        raise Flawed(Flaw(stray["stream"], stray["sequence"], stray["why"]))


async def _deletions(
    connection: AnyConnection,
    streams: Mapping[int, asyncpg.Record],
    key_lookup: KeyLookup | None,
) -> Deletions:
    """What retention has said. Without the keys, its word is as good as the chain's."""
    query = "SELECT stream, document FROM records WHERE kind = $1"
    notes = await connection.fetch(query, BODIES_DELETED, timeout=SCAN_WITHIN)
    said = [(row["stream"], Deletion.read(row["document"].encode())) for row in notes]
    if key_lookup is None:
        return Deletions.of(deletion for _, deletion in said)
    keys = {number: _key(streams[number], key_lookup) for number in streams}
    return Deletions.of(each for stream, each in said if each.holds(keys.get(stream)))


def _key(stream: asyncpg.Record, key_lookup: KeyLookup) -> DigestKey | None:
    secret = key_lookup(stream["digest_key"])
    return None if secret is None else DigestKey(stream["digest_key"], secret)


def _without_stream(number: int, anchors: Anchors) -> Flaw:
    file, anchor = anchors.by_stream[number][0]
    why = f"the stream is missing: line {anchor.line} of {file} anchors it"
    return Flaw(number, 1, why)


def _walk(
    stream: asyncpg.Record,
    key_lookup: KeyLookup | None,
    anchors: Anchors,
    deletions: Deletions,
    tally: Tally,
) -> Walk:
    return Walk(
        stream=stream["number"],
        id=str(stream["id"]),
        prefix=record_prefix(stream["id"].bytes),
        head=_genesis(stream),
        key=_key(stream, key_lookup) if key_lookup else None,
        without_keys=key_lookup is None,
        anchors=anchors.by_stream.get(stream["number"], []),
        notes=anchors.notes,
        deletions=deletions,
        tally=tally,
    )


def _genesis(stream: asyncpg.Record) -> bytes:
    if stream["opened_at"] < 0:
        raise Flawed(Flaw(stream["number"], 1, "the stream is not what was opened"))
    return genesis(
        stream["id"].bytes,
        gateway=stream["gateway"],
        role=stream["role"],
        digest_key=stream["digest_key"],
        opened_at=stream["opened_at"],
    )
