"""The API's recordings on a real store: what was committed is read back, exported and verified."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from policies.errors import BackendUnavailable
from recordings.anchors import Log
from recordings.checks import NoAnchors
from recordings.journal import DigestKey, Journal, Record
from recordings.store import Store
from server.api.recordings import StoredRecordings
from server.keys import KeyRing, Purpose
from tests.fixtures.postgres import PostgresDatabase

pytestmark = pytest.mark.anyio

WHO = {"id": "corp:ann", "name": "Ann", "agent": "claude", "groups": []}
OPENED = Record("s-1", "session_opened", {"principal": WHO, "target": "shop", "channel": "mcp"})
INTENT = Record("s-1", "intent", {"action": {"kind": "SqlStatement"}}, b"SELECT 1")
CLOSED = Record("s-1", "session_closed", {"end": "done"})


@pytest.fixture
async def recordings(database: PostgresDatabase, tmp_path: Path) -> AsyncIterator[StoredRecordings]:
    keys = KeyRing.create(tmp_path / "keys.json")
    key = keys.current(Purpose.BODY_DIGEST)
    async with AsyncExitStack() as lifetime:
        store = await Store.open(database.dsn)
        lifetime.push_async_callback(store.close)
        digest_key = DigestKey(key.id, key.secret)
        journal = await Journal.open(store, gateway="test", digest_key=digest_key)
        lifetime.push_async_callback(journal.close)
        await journal.commit(OPENED, INTENT)
        await journal.commit(CLOSED)
        await journal.flush()
        yield StoredRecordings(store, keys, NoAnchors())


async def test_a_session_is_listed_and_opened(recordings: StoredRecordings) -> None:
    (summary,) = await recordings.sessions()
    opening = await recordings.opening("s-1")
    assert (summary.id, summary.principal, summary.end) == ("s-1", "corp:ann", "done")
    assert opening is not None
    assert opening.document["target"] == "shop"


async def test_there_is_nothing_under_an_unknown_id(recordings: StoredRecordings) -> None:
    assert await recordings.opening("s-2") is None


async def test_its_records_come_in_order_with_their_bodies(recordings: StoredRecordings) -> None:
    async with recordings.records("s-1") as lines:
        records = [json.loads(line) async for line in lines]
    assert [record["kind"] for record in records] == ["session_opened", "intent", "session_closed"]
    assert records[1]["body"] == "SELECT 1"


async def test_the_chain_verifies_until_somebody_changes_a_body(
    recordings: StoredRecordings, database: PostgresDatabase
) -> None:
    good = await recordings.verify()
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("UPDATE bodies SET body = 'SELECT 2'::bytea WHERE body = 'SELECT 1'")
    await connection.close()
    bad = await recordings.verify()
    assert good.good
    assert good.bodies == 1
    assert not bad.good


async def test_one_verification_runs_at_a_time(recordings: StoredRecordings) -> None:
    """Each takes a connection of the gateway's few for as long as it runs."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    class Slow(NoAnchors):
        def read(self) -> list[Log]:
            loop.call_soon_threadsafe(begun.set)
            assert go_on.wait(timeout=30)
            return []

    slow = replace(recordings, anchors=Slow())
    first = asyncio.create_task(slow.verify())
    await begun.wait()
    with pytest.raises(BackendUnavailable, match="verifying"):
        await slow.verify()
    go_on.set()
    assert (await first).good
    assert (await slow.verify()).good
