"""Verifying: every stream's chain and every body, to the first record that is not as written.

A chain alone does not show that the newest records of an open stream were cut off, or that it was
written anew from some point on: for that, compare `heads` with heads that were kept elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from policies.errors import BackendUnavailable
from recordings.chain import DigestKey, Entry, genesis, record_hash, record_prefix
from recordings.store import STORE_ERRORS, AnyConnection, Store

KeyLookup = Callable[[str], bytes | None]
"""The digest key of an id, `None` if the key ring has none such."""

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
class Flaw:
    """The first record, in the order of streams, that is not what was written."""

    stream: int
    sequence: int
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was checked. Counts are of what was found good before the flaw, if there is one."""

    streams: int
    records: int
    bodies: int
    bodies_deleted: int
    flaw: Flaw | None = None

    @property
    def good(self) -> bool:
        return self.flaw is None


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record of a stream: what to keep elsewhere; the genesis of an empty one."""

    stream: int
    sequence: int
    hash: bytes


class _Flawed(Exception):
    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.why)
        self.flaw = flaw


@dataclass(slots=True)
class _Tally:
    streams: int = 0
    records: int = 0
    bodies: int = 0
    bodies_deleted: int = 0

    def verdict(self, flaw: Flaw | None) -> Verdict:
        return Verdict(self.streams, self.records, self.bodies, self.bodies_deleted, flaw)


async def verify(store: Store, key_lookup: KeyLookup) -> Verdict:
    """Check every record of one moment of the store. Raises `BackendUnavailable`."""
    tally = _Tally()
    try:
        async with _snapshot(store) as connection:
            await _check_all(connection, key_lookup, tally)
    except _Flawed as flawed:
        return tally.verdict(flawed.flaw)
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be read now; try again") from error
    return tally.verdict(None)


async def heads(store: Store) -> list[Head]:
    """The newest hash of every stream. Raises `BackendUnavailable`."""
    try:
        async with _snapshot(store) as connection:
            return [await _head(connection, s) for s in await _streams(connection)]
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be read now; try again") from error


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


async def _head(connection: AnyConnection, stream: asyncpg.Record) -> Head:
    last = await connection.fetchrow(
        "SELECT sequence, hash FROM records WHERE stream = $1 ORDER BY sequence DESC LIMIT 1",
        stream["number"],
    )
    if last is None:
        return Head(stream["number"], 0, _genesis(stream))
    return Head(stream["number"], last["sequence"], last["hash"])


async def _check_all(connection: AnyConnection, key_lookup: KeyLookup, tally: _Tally) -> None:
    for stream in await _streams(connection):
        secret = key_lookup(stream["digest_key"])
        key = None if secret is None else DigestKey(stream["digest_key"], secret)
        await _check_stream(connection, stream, key, tally)
    stray = await connection.fetchrow(_STRAY)
    if stray is not None:
        raise _Flawed(Flaw(stray["stream"], stray["sequence"], stray["why"]))


@dataclass(slots=True)
class _Walk:
    """Where the check of one stream has come to."""

    stream: int
    prefix: bytes
    head: bytes
    key: DigestKey | None
    tally: _Tally
    sequence: int = 0
    at: int = 0

    def step(self, row: asyncpg.Record) -> None:
        """The next record, in the order of sequences. Raises `_Flawed`."""
        self.sequence += 1
        if row["sequence"] != self.sequence:
            raise self._flawed("the record is missing")
        if row["at"] < self.at:
            raise self._flawed("the record is older than the one before it")
        if row["hash"] != record_hash(self.prefix, self.sequence, _entry(row), self.head):
            raise self._flawed("the record, or the one before it, is not what was written")
        self._check_body(row)
        self.at, self.head = row["at"], row["hash"]
        self.tally.records += 1

    def end(self, stream: asyncpg.Record) -> None:
        """After the last record. Raises `_Flawed`."""
        if stream["closed_at"] is not None:
            if self.sequence < (stream["last_sequence"] or 0):
                self.sequence += 1
                raise self._flawed("the record is missing: the stream was closed after it")
            if self.sequence != stream["last_sequence"]:
                raise self._flawed("the record was written after the stream was closed")
            if self.sequence and stream["last_hash"] != self.head:
                raise self._flawed("the record is not the one that the stream was closed with")
        self.tally.streams += 1

    def _check_body(self, row: asyncpg.Record) -> None:
        match bool(row["digest"]), row["kept"], row["body"]:
            case False, False, _:
                pass
            case False, True, _:
                raise self._flawed("the record has a body that was not written with it")
            case True, False, _:
                raise self._flawed("the body is missing")
            case True, True, None:
                self.tally.bodies_deleted += 1
            case True, True, body:
                self._check_digest(row["digest"], body)

    def _check_digest(self, digest: bytes, body: bytes) -> None:
        if self.key is None:
            raise self._flawed("the key that its body is digested under is not in the key ring")
        if not hmac.compare_digest(digest, self.key.digest(body)):
            raise self._flawed("the body is not what was written")
        self.tally.bodies += 1

    def _flawed(self, why: str) -> _Flawed:
        return _Flawed(Flaw(self.stream, self.sequence, why))


async def _check_stream(
    connection: AnyConnection, stream: asyncpg.Record, key: DigestKey | None, tally: _Tally
) -> None:
    prefix = record_prefix(stream["id"].bytes)
    walk = _Walk(stream["number"], prefix, _genesis(stream), key, tally)
    async for row in connection.cursor(_RECORDS, stream["number"], prefetch=_AT_ONCE):
        walk.step(row)
    walk.end(stream)


def _entry(row: asyncpg.Record) -> Entry:
    document = row["document"].encode()
    return Entry(row["at"], row["session"], row["kind"], document, b"", row["digest"])


def _genesis(stream: asyncpg.Record) -> bytes:
    return genesis(
        stream["id"].bytes,
        gateway=stream["gateway"],
        role=stream["role"],
        digest_key=stream["digest_key"],
        opened_at=stream["opened_at"],
    )
