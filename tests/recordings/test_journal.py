"""The journal on a real store: durable on return, in batches, refused while the store is away."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

import pytest

from recordings.chain import Json
from recordings.errors import JournalUnavailable
from recordings.journal import Journal, Record
from recordings.sessions import read_session
from recordings.store import Store
from recordings.verify import verify
from tests.recordings.conftest import KEY, OpenJournal, Outage, key_lookup, own_server

pytestmark = pytest.mark.anyio

EMPTY: Mapping[str, Json] = {}


def record(kind: str, session: str = "s-1", body: bytes = b"") -> Record:
    return Record(session, kind, EMPTY, body)


async def kinds(store: Store, session: str = "s-1") -> list[str]:
    return [r.kind async for r in read_session(store, session)]


async def test_a_committed_record_is_in_the_store_on_return(journal: Journal, store: Store) -> None:
    await journal.commit(Record("s-1", "intent", {"a": 1}, b"SELECT 1"))
    found = await store.pool.fetchrow(
        "SELECT document, body, length(digest) AS digest FROM records"
        " JOIN bodies USING (stream, sequence) WHERE session = 's-1'"
    )
    assert found is not None
    assert (found["document"], found["body"], found["digest"]) == ('{"a":1}', b"SELECT 1", 32)


async def test_results_are_in_the_store_after_a_flush(journal: Journal, store: Store) -> None:
    for _ in range(3):
        await journal.accept(record("rows", body=b"x" * 70_000))
    await journal.flush()
    assert await kinds(store) == ["rows"] * 3


async def test_results_are_written_without_a_flush(journal: Journal, store: Store) -> None:
    await journal.accept(record("rows"))
    async with asyncio.timeout(10):
        while await kinds(store) != ["rows"]:
            pass


async def test_records_of_both_streams_are_read_in_the_order_they_were_made(
    journal: Journal, store: Store
) -> None:
    await journal.accept(record("rows"))
    await journal.commit(record("intent"), record("decision"))
    await journal.accept(record("outcome"))
    await journal.flush()
    assert await kinds(store) == ["rows", "intent", "decision", "outcome"]


async def test_many_concurrent_commits_share_transactions(journal: Journal, store: Store) -> None:
    await asyncio.gather(*(journal.commit(record("intent", f"s-{n}")) for n in range(400)))
    counted = await store.pool.fetchrow(
        "SELECT count(*) AS records, count(DISTINCT xmin::text) AS transactions FROM records"
    )
    assert counted is not None
    assert counted["records"] == 400
    assert counted["transactions"] <= 10


async def test_the_sequence_has_no_gaps_and_verifies(journal: Journal, store: Store) -> None:
    for size in (1, 3, 50):
        await asyncio.gather(*(journal.commit(record("intent", body=b"x")) for _ in range(size)))
        await journal.accept(record("rows", body=b"y"))
    await journal.flush()
    verdict = await verify(store, key_lookup)
    assert verdict.flaw is None
    assert (verdict.streams, verdict.records, verdict.bodies) == (2, 57, 57)


async def test_commits_are_refused_while_the_store_is_away_and_go_on_when_it_is_back(
    journal: Journal, store: Store, outage: Outage
) -> None:
    await journal.commit(record("before"))
    await outage.begin()
    for _ in range(3):
        with pytest.raises(JournalUnavailable):
            await journal.commit(record("during"))
    await outage.end()
    await journal.commit(record("after"))
    assert await kinds(store) == ["before", "after"]
    verdict = await verify(store, key_lookup)
    assert (verdict.flaw, verdict.records) == (None, 2)


async def test_accepted_results_outlive_an_outage_and_once_it_shows_none_is_accepted(
    journal: Journal, store: Store, outage: Outage
) -> None:
    await outage.begin()
    accepted = await accept_until_refused(journal)
    with pytest.raises(JournalUnavailable):
        await journal.accept(record("during"))
    await outage.end()
    await journal.accept(record("after"))
    await journal.flush()
    assert await kinds(store) == ["rows"] * accepted + ["after"]
    assert (await verify(store, key_lookup)).good


async def accept_until_refused(journal: Journal) -> int:
    async with asyncio.timeout(10):
        for accepted in itertools.count():
            try:
                await journal.accept(record("rows"))
            except JournalUnavailable:
                return accepted
            await asyncio.sleep(0)
    raise AssertionError


async def test_results_whose_commit_got_no_answer_are_written_once() -> None:
    """The server commits, and waits for a standby that never says that it has, too."""
    async with own_server() as server:
        journal = await Journal.open(server.store, gateway="gw-1", digest_key=KEY)
        await wait_for_standby(server.store, "nobody")
        await journal.accept(record("unanswered"))
        with pytest.raises(JournalUnavailable):
            await journal.flush()
        await wait_for_standby(server.store, "")
        await accept_when_back(journal, record("after"))
        await journal.flush()
        assert await kinds(server.store) == ["unanswered", "after"]
        streams = [r.stream async for r in read_session(server.store, "s-1")]
        assert streams[0] < streams[1]  # the first was in the store, and was not written again
        assert (await verify(server.store, key_lookup)).good
        await journal.close()


async def wait_for_standby(store: Store, name: str) -> None:
    await store.pool.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await store.pool.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(20):
        while await commits_hang(store) != bool(name):
            pass


async def commits_hang(store: Store) -> bool:
    try:
        await store.pool.execute("COMMENT ON TABLE records IS 'probe'", timeout=0.3)
    except TimeoutError:
        return True
    return False


async def accept_when_back(journal: Journal, wanted: Record) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                return await journal.accept(wanted)
            except JournalUnavailable:
                continue


async def test_results_whose_write_failed_are_written_once(journal: Journal, store: Store) -> None:
    """The server ends the connection in the middle of the transaction."""
    await store.pool.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid = (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid ="
        "   (SELECT max(number) FROM streams WHERE role = 'results') LIMIT 1);"
        " RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON records DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.kind = 'fatal') EXECUTE FUNCTION die()"
    )
    await journal.accept(record("fatal"))
    with pytest.raises(JournalUnavailable):
        await journal.flush()
    await store.pool.execute("DROP TRIGGER die ON records")
    await journal.accept(record("after"))
    await journal.flush()
    assert await kinds(store) == ["fatal", "after"]
    assert (await verify(store, key_lookup)).good


async def test_an_outage_ends_a_stream_and_begins_another(
    journal: Journal, store: Store, outage: Outage
) -> None:
    await journal.commit(record("before"))
    await outage.begin()
    await outage.end()
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while not await committed(journal, record("after")):
            pass
    streams = await store.pool.fetch(
        "SELECT closed_at IS NULL AS open, last_sequence FROM streams WHERE role = 'decisions'"
        " ORDER BY number"
    )
    assert [(s["open"], s["last_sequence"]) for s in streams] == [(False, 1), (True, None)]


async def committed(journal: Journal, wanted: Record) -> bool:
    try:
        await journal.commit(wanted)
    except JournalUnavailable:
        return False
    return True


async def test_a_store_that_hangs_is_refused_in_time_and_nothing_is_doubled(
    journal: Journal, store: Store
) -> None:
    await journal.accept(record("rows"))
    async with store.pool.acquire() as blocker, blocker.transaction():
        await blocker.execute("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(10):
            with pytest.raises(JournalUnavailable):
                await journal.commit(record("hung"))
            with pytest.raises(JournalUnavailable):
                await journal.flush()
    async with asyncio.timeout(20):
        while not await committed(journal, record("after")):
            pass
        while await kinds(store) not in (["rows", "after"], ["rows", "hung", "after"]):
            pass
    assert (await verify(store, key_lookup)).good


async def test_a_stream_that_another_process_closed_takes_nothing_more(
    journal: Journal, store: Store
) -> None:
    await store.pool.execute("UPDATE streams SET closed_at = clock_timestamp(), last_sequence = 0")
    with pytest.raises(JournalUnavailable):
        await journal.commit(record("fenced"))
    assert await kinds(store) == []


async def test_a_journal_that_was_closed_takes_nothing(open_journal: OpenJournal) -> None:
    journal = await open_journal("gw-1")
    await journal.close()
    with pytest.raises(JournalUnavailable):
        await journal.commit(record("late"))
    with pytest.raises(JournalUnavailable):
        await journal.accept(record("late"))


async def test_closing_writes_what_was_accepted_and_ends_the_streams(
    open_journal: OpenJournal, store: Store
) -> None:
    journal = await open_journal("gw-1")
    await journal.accept(record("rows"))
    await journal.close()
    assert await kinds(store) == ["rows"]
    assert await store.pool.fetchval("SELECT count(*) FROM streams WHERE closed_at IS NULL") == 0
    assert await store.pool.fetchval("SELECT count(*) FROM writers WHERE ended_at IS NULL") == 0
    assert (await verify(store, key_lookup)).good


async def test_a_caller_that_leaves_does_not_stop_the_others(
    journal: Journal, store: Store
) -> None:
    leaving = asyncio.create_task(journal.commit(record("left", "s-2")))
    await asyncio.sleep(0)
    leaving.cancel()
    await journal.commit(record("stayed"))
    assert await kinds(store) == ["stayed"]


async def test_accepting_waits_for_room_and_loses_nothing(journal: Journal, store: Store) -> None:
    big = b"x" * (4 << 20)
    for _ in range(6):  # more than the queue holds
        await journal.accept(record("rows", body=big))
    await journal.flush()
    assert await kinds(store) == ["rows"] * 6


async def test_who_waits_for_room_together_is_still_recorded_in_rising_time(
    journal: Journal, store: Store
) -> None:
    sizes = [4 << 20, 1, 3 << 20, 100] * 3
    await asyncio.gather(*(journal.accept(record("rows", body=b"x" * n)) for n in sizes))
    await journal.flush()
    verdict = await verify(store, key_lookup)
    assert (verdict.flaw, verdict.records) == (None, len(sizes))


async def test_a_record_that_is_larger_than_the_queue_is_refused(journal: Journal) -> None:
    with pytest.raises(JournalUnavailable, match="larger"):
        await journal.accept(record("rows", body=b"x" * (17 << 20)))


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\ud800"])
async def test_a_name_that_would_spoil_everybody_s_commit_is_refused_alone(
    journal: Journal, store: Store, name: str
) -> None:
    with pytest.raises(ValueError, match="stored"):
        await journal.commit(record("intent", name))
    await journal.commit(record("intent"))
    assert await kinds(store) == ["intent"]


async def test_nul_and_escapes_in_a_document_are_kept(journal: Journal, store: Store) -> None:
    document: dict[str, Json] = {"text": "\0\x1b[31m\n‮"}
    await journal.commit(Record("s-1", "intent", document))
    assert [r.document async for r in read_session(store, "s-1")] == [document]


async def test_nothing_is_recorded_when_the_store_s_clock_is_behind_the_last_record(
    open_journal: OpenJournal, store: Store
) -> None:
    first = await open_journal("gw-1")
    await first.commit(record("intent"))
    await store.pool.execute("UPDATE records SET at = at + 60000000")
    with pytest.raises(JournalUnavailable, match="clock"):
        await open_journal("gw-2")


async def test_the_journal_goes_on_after_the_time_of_another_s_last_record(
    open_journal: OpenJournal, store: Store
) -> None:
    first = await open_journal("gw-1")
    await first.commit(record("intent"))
    ahead = await store.pool.fetchval("UPDATE records SET at = at + 3000000 RETURNING at")
    second = await open_journal("gw-2")
    await second.commit(record("later", "s-2"))
    at = await store.pool.fetchval("SELECT at FROM records WHERE kind = 'later'")
    assert at > ahead
