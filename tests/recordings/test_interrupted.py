"""Sessions of processes that died are closed by the next one, and only those."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from recordings.chain import Json
from recordings.errors import JournalUnavailable
from recordings.journal import Journal, Record
from recordings.sessions import StoredRecord, read_session
from recordings.store import Store
from recordings.verify import verify
from tests.recordings.conftest import KEY, OpenJournal, Outage, key_lookup, own_server

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]

WRITER = """
import asyncio, sys
from recordings.journal import DigestKey, Journal, Record
from recordings.store import Store

def action(kind): return {"action": {"kind": kind}}

async def main():
    store = await Store.open(sys.argv[1])
    key = DigestKey("digest-1", b"a digest key of thirty-two bytes")
    journal = await Journal.open(store, gateway="doomed", digest_key=key)
    await journal.commit(Record("ended", "session_opened", {}))
    await journal.commit(Record("ended", "session_closed", {"end": "closed"}))
    await journal.commit(
        Record("cut", "session_opened", {}), Record("cut", "intent", action("Connect"))
    )
    await journal.commit(Record("cut", "intent", action("SqlStatement"), b"SELECT 1"))
    await journal.accept(Record("cut", "outcome", {}))
    await journal.flush()
    await journal.commit(Record("cut", "intent", action("SqlStatement"), b"SELECT 2"))
    print("between intent and outcome", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def doomed_writer(store: Store) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has sent a second statement and has no answer yet."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, store.dsn, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"between intent and outcome\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def kill(process: asyncio.subprocess.Process, store: Store) -> None:
    """`kill -9`, and wait until the store has noticed, as it does within moments."""
    process.kill()
    await process.wait()
    async with asyncio.timeout(30):
        while await store.pool.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            " AND classid = x'4f535452'::int::oid"
        ):
            pass


async def records(store: Store, session: str) -> list[StoredRecord]:
    return [r async for r in read_session(store, session)]


async def ends(store: Store, session: str) -> list[Mapping[str, Json]]:
    return [r.document for r in await records(store, session) if r.kind == "session_closed"]


async def test_a_killed_process_s_session_ends_as_interrupted_with_its_open_intent(
    open_journal: OpenJournal, store: Store
) -> None:
    async with doomed_writer(store) as process:
        await kill(process, store)
        await open_journal("next")
    cut = await records(store, "cut")
    second = [r for r in cut if r.kind == "intent"][-1]
    assert second.body == b"SELECT 2"
    unanswered = {
        "stream": second.stream,
        "sequence": second.sequence,
        "action": "SqlStatement",
    }
    assert (cut[-1].kind, cut[-1].document) == (
        "session_closed",
        {"end": "interrupted", "intents_without_outcome": [unanswered]},
    )
    assert cut[-1].stream not in {r.stream for r in cut[:-1]}


async def test_a_session_that_had_ended_is_left_as_it_is(
    open_journal: OpenJournal, store: Store
) -> None:
    async with doomed_writer(store) as process:
        await kill(process, store)
        await open_journal("next")
    assert await ends(store, "ended") == [{"end": "closed"}]


async def test_what_a_killed_process_left_is_closed_and_verifies(
    open_journal: OpenJournal, store: Store
) -> None:
    async with doomed_writer(store) as process:
        await kill(process, store)
        await open_journal("next")
    closed = await store.pool.fetchval(
        "SELECT bool_and(closed_at IS NOT NULL AND ended_by <> writer)"
        " FROM streams JOIN writers ON writers.number = writer WHERE gateway = 'doomed'"
    )
    assert closed
    assert (await verify(store, key_lookup)).good


async def test_the_dead_are_closed_once(open_journal: OpenJournal, store: Store) -> None:
    async with doomed_writer(store) as process:
        await kill(process, store)
        journals = [await open_journal("next"), await open_journal("after")]
    assert [await journal.reap() for journal in journals] == [0, 0]
    assert len(await ends(store, "cut")) == 1


async def test_a_process_that_died_later_is_found_by_the_timer(
    open_journal: OpenJournal, store: Store
) -> None:
    journal = await open_journal("living")
    async with doomed_writer(store) as process:
        await journal.commit(Record("own", "session_opened", {}))
        assert await journal.reap() == 0
        await terminate_and_reap(process, journal)
    assert await ends(store, "cut") != []
    assert await ends(store, "own") == []


async def terminate_and_reap(process: asyncio.subprocess.Process, journal: Journal) -> None:
    process.kill()
    await process.wait()
    async with asyncio.timeout(30):
        while await journal.reap() == 0:
            pass


async def test_two_living_journals_have_streams_of_their_own_and_leave_each_other_alone(
    open_journal: OpenJournal, store: Store
) -> None:
    one, other = await open_journal("gw-1"), await open_journal("gw-2")
    await one.commit(Record("s-1", "session_opened", {}))
    await other.commit(Record("s-2", "session_opened", {}))
    assert (await one.reap(), await other.reap()) == (0, 0)
    await one.commit(Record("s-1", "intent", {}))
    assert len({(await records(store, s))[0].stream for s in ("s-1", "s-2")}) == 2
    assert (await ends(store, "s-1"), await ends(store, "s-2")) == ([], [])


async def test_a_journal_that_lost_one_of_its_streams_is_alive(
    open_journal: OpenJournal, store: Store
) -> None:
    one, other = await open_journal("gw-1"), await open_journal("gw-2")
    await one.commit(Record("s-1", "session_opened", {}))
    await cut_off(store, "gw-1", "decisions")
    assert await other.reap() == 0
    assert await ends(store, "s-1") == []


async def test_just_after_a_restart_of_the_store_a_free_lock_is_no_proof_of_death() -> None:
    async with own_server() as server:
        store = server.store
        async with doomed_writer(store) as process:
            await kill(process, store)
        await server.restart()
        journal = await Journal.open(store, gateway="next", digest_key=KEY)
        assert await journal.reap() == 0
        assert await ends(store, "cut") == []
        await journal.close()


async def test_a_journal_that_was_taken_for_dead_refuses_its_old_sessions_and_serves_new_ones(
    open_journal: OpenJournal, store: Store, outage: Outage
) -> None:
    one, other = await open_journal("gw-1"), await open_journal("gw-2")
    await one.commit(Record("s-1", "session_opened", {}))
    await outage.let_nobody_in()
    await cut_off(store, "gw-1", "decisions", "results")
    assert await other.reap() == 1
    await outage.end()
    with pytest.raises(JournalUnavailable, match="interrupted"):
        await until_reconnected(one, Record("s-1", "intent", {}))
    with pytest.raises(JournalUnavailable, match="interrupted"):
        await one.accept(Record("s-1", "rows", {}))
    await one.commit(Record("s-3", "session_opened", {}))
    assert [r.kind for r in await records(store, "s-1")] == ["session_opened", "session_closed"]
    assert (await verify(store, key_lookup)).good


async def until_reconnected(journal: Journal, record: Record) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await journal.commit(record)
            except JournalUnavailable as error:
                if "interrupted" in str(error):
                    raise
            await asyncio.sleep(0)


async def cut_off(store: Store, gateway: str, *roles: str) -> None:
    """End the connections of a gateway's streams at the server."""
    await store.pool.execute(
        "SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l JOIN streams s"
        " ON l.locktype = 'advisory' AND l.objid = s.number::oid AND s.closed_at IS NULL"
        " JOIN writers w ON w.number = s.writer WHERE w.gateway = $1 AND s.role = ANY($2)"
        " AND l.classid = x'4f535452'::int::oid",
        gateway,
        list(roles),
    )


async def test_an_answer_of_one_record_is_its_intents_outcome(
    open_journal: OpenJournal, store: Store
) -> None:
    journal = await open_journal("gw-1")
    intents = [Record("s-1", "intent", {"action": {"kind": kind}}) for kind in ("A", "B")]
    await journal.commit(Record("s-1", "session_opened", {}), *intents)
    await journal.accept(Record("s-1", "answer", {"status": "completed"}))
    await journal.close()
    ((ending,),) = (await ends(store, "s-1"),)
    assert [intent["action"] for intent in ending["intents_without_outcome"]] == ["B"]


async def test_closing_a_journal_ends_the_sessions_that_are_still_open(
    open_journal: OpenJournal, store: Store
) -> None:
    journal = await open_journal("gw-1")
    await journal.commit(Record("s-1", "session_opened", {}))
    await journal.close()
    assert await ends(store, "s-1") == [{"end": "interrupted", "intents_without_outcome": []}]
