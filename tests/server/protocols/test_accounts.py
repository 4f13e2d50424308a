"""What a session's recording says of its statements, were its gateway to die now."""

from __future__ import annotations

import pytest

from recordings.interrupted import interrupted_sessions
from server.protocols.postgres import frontend as f
from tests.server.protocols.gateway import Door
from tests.server.protocols.test_listener import SLEEP, until_running

pytestmark = pytest.mark.anyio

SAYS = "SELECT kind, body FROM records JOIN bodies USING (stream, sequence) WHERE stream = $1"


async def test_what_was_not_asked_of_policy_answers_no_intent(door: Door) -> None:
    """Drivers close what they prepared, and say Sync, all the time."""
    client = await door.client()
    client.send(f.Sync(), f.Parse("s", "SELECT 1"), f.Describe("S", "s"), f.Sync())
    client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
    client.send(f.Close("S", "s"), f.Sync(), f.Describe("S", "gone"), f.Sync())
    await client.until_ready(5)
    client.send(f.Query(SLEEP))
    await until_running(door, SLEEP, 1)
    pool = door.store.pool
    await door.gate.journal.flush()
    writer = await pool.fetchval("SELECT max(number) FROM writers")
    (session,) = await interrupted_sessions(pool, writer)
    (unknown,) = session.intents
    said = await pool.fetchrow(f"{SAYS} AND sequence = $2", unknown.stream, unknown.sequence)
    assert (said["kind"], said["body"]) == ("intent", SLEEP.encode())
    client.writer.transport.abort()
    await until_running(door, SLEEP, 0)
