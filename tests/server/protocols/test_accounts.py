"""What a session's recording says of its statements, were its gateway to die now."""

from __future__ import annotations

import pytest

from recordings.interrupted import interrupted_sessions
from server.protocols.postgres import frontend as f
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import errors, tags
from tests.server.protocols.test_listener import SLEEP, until_running
from tests.server.protocols.test_waiting import decide

pytestmark = pytest.mark.anyio

SAYS = "SELECT kind, body FROM records JOIN bodies USING (stream, sequence)"


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
    where = "WHERE stream = $1 AND sequence = $2"
    said = await pool.fetchrow(f"{SAYS} {where}", unknown.stream, unknown.sequence)
    assert (said["kind"], said["body"]) == ("intent", SLEEP.encode())
    client.writer.transport.abort()
    await until_running(door, SLEEP, 0)


async def test_intents_of_one_batch_stand_in_the_order_of_sending(door: Door) -> None:
    """Answers are counted against them: an approved one among others goes where it is sent."""
    client = await door.client()
    update = "UPDATE orders SET status = 'paid' WHERE id = 1"
    ((_, refused),) = errors(await client.query(update))
    await decide(door, refused.partition("ticket ")[2].split(".")[0])
    texts = ["SELECT 1", "SELECT 2", update, "SELECT 3"]
    client.send(*(m for text in texts for m in (f.Parse("", text), f.Bind("", ""), f.Execute(""))))
    client.send(f.Sync())
    assert tags(await client.until_ready()) == "12DC12DC12C12DCZI"
    intents = (
        f"{SAYS} WHERE session = (SELECT session FROM records"
        " WHERE kind = 'session_opened' ORDER BY at DESC LIMIT 1) AND kind = 'intent' ORDER BY at"
    )
    said = [row["body"].decode() for row in await door.store.pool.fetch(intents)]
    assert said == [text for text in texts for _ in ("parsed", "run")]
