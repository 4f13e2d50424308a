"""A store that lags or is full: results wait, then are refused; ends are kept; nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from recordings import results
from recordings.chain import Json
from recordings.errors import JournalUnavailable
from recordings.journal import Journal, Record
from recordings.sessions import read_session
from recordings.store import Store
from recordings.verify import verify
from tests.recordings.conftest import KEY, Outage, key_lookup, own_server

pytestmark = pytest.mark.anyio

EMPTY: Mapping[str, Json] = {}


@asynccontextmanager
async def patient(store: Store, seconds: float) -> AsyncIterator[Journal]:
    journal = await Journal.open(store, gateway="gw-1", digest_key=KEY, stall_within=seconds)
    try:
        yield journal
    finally:
        await journal.close()


def record(kind: str, body: bytes = b"") -> Record:
    return Record("s-1", kind, EMPTY, body)


async def kinds(store: Store) -> list[str]:
    return [r.kind async for r in read_session(store, "s-1")]


async def until_failing(journal: Journal) -> None:
    """With an end: it is taken also where the journal has noticed the outage before us."""
    await journal.accept(record("outcome"))
    with pytest.raises(JournalUnavailable):
        await journal.flush()


async def test_results_wait_for_a_store_that_comes_back_in_time(
    store: Store, outage: Outage
) -> None:
    async with patient(store, 60.0) as journal:
        await outage.begin()
        await until_failing(journal)
        waiting = asyncio.create_task(journal.accept(record("later")))
        with pytest.raises(JournalUnavailable):
            await journal.commit(record("intent"))
        assert not waiting.done()
        await outage.end()
        async with asyncio.timeout(20):
            await waiting
        await journal.flush()
        assert await kinds(store) == ["outcome", "later"]
        assert (await verify(store, key_lookup)).good


async def test_results_are_refused_once_the_store_has_failed_for_long(
    store: Store, outage: Outage
) -> None:
    async with patient(store, 2.0) as journal:
        await outage.begin()
        await until_failing(journal)
        async with asyncio.timeout(20):
            with pytest.raises(JournalUnavailable, match="try again"):
                await journal.accept(record("never"))
        await outage.end()
    assert await kinds(store) == ["outcome"]


async def test_the_end_of_what_has_happened_is_kept_while_the_store_is_away(
    journal: Journal, store: Store, outage: Outage
) -> None:
    await outage.begin()
    await until_failing(journal)
    await journal.accept(record("outcome"))
    await journal.accept(record("session_closed"))
    await outage.end()
    async with asyncio.timeout(20):
        while await kinds(store) != ["outcome", "outcome", "session_closed"]:
            await asyncio.sleep(0.05)


@pytest.mark.sources
async def test_ends_too_are_refused_when_even_their_reserve_is_used_up(
    journal: Journal, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "QUEUE_BYTES", 500)
    monkeypatch.setattr(results, "RESERVE_BYTES", 300)
    await outage.begin()
    await until_failing(journal)
    with pytest.raises(JournalUnavailable):
        await asyncio.gather(*(journal.accept(record("outcome")) for _ in range(10)))


@pytest.mark.parametrize("code", ["53100", "58030", "53400"])
async def test_a_store_that_is_full_refuses_and_goes_on_when_it_has_room(
    journal: Journal, store: Store, code: str
) -> None:
    await journal.commit(record("before"))
    async with refusing(store, code):
        with pytest.raises(JournalUnavailable):
            await journal.commit(record("intent"))
        await until_failing(journal)
    await until_taken(journal, record("after"))
    assert await kinds(store) in (["before", "outcome", "after"], ["before", "after", "outcome"])
    assert (await verify(store, key_lookup)).good


@asynccontextmanager
async def refusing(store: Store, code: str) -> AsyncIterator[None]:
    """53100 disk full, 58030 an error of input or output, 53400 a configured limit."""
    await store.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON records EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        await store.pool.execute("DROP TRIGGER refuse ON records; DROP FUNCTION refuse")


async def until_taken(journal: Journal, wanted: Record) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await journal.commit(wanted)
                await journal.flush()
            except JournalUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_store_whose_processes_are_stopped_is_waited_for() -> None:
    async with own_server() as server, patient(server.store, 60.0) as journal:
        store = server.store
        await journal.commit(record("before"))
        pids = [row["pid"] for row in await store.pool.fetch(WRITERS)]
        assert len(pids) == 2
        signal_all(pids, signal.SIGSTOP)
        try:
            await until_failing(journal)
            waiting = asyncio.create_task(journal.accept(record("later")))
        finally:
            signal_all(pids, signal.SIGCONT)
        async with asyncio.timeout(30):
            await waiting
        await until_taken(journal, record("after"))
        assert sorted(await kinds(store)) == ["after", "before", "later", "outcome"]
        assert (await verify(store, key_lookup)).good


WRITERS = (
    "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND classid = x'4f535452'::int::oid"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


async def test_a_store_that_is_too_slow_for_big_writes_gets_small_ones(
    journal: Journal, store: Store
) -> None:
    """Each record takes it 20 ms: what is queued takes longer than one write may."""
    await store.pool.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE INSERT ON records FOR EACH ROW WHEN (NEW.kind = 'rows')"
        " EXECUTE FUNCTION slow()"
    )
    for _ in range(120):
        await journal.accept(record("rows", b"x" * 20_000))
    async with asyncio.timeout(60):
        while len(await kinds(store)) < 120:
            await asyncio.sleep(0.05)
    await store.pool.execute("DROP TRIGGER slow ON records")
    verdict = await verify(store, key_lookup)
    assert (verdict.flaw, verdict.records) == (None, 120)
