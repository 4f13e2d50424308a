"""Retention deletes old bodies in batches, says so in the chain first, and the chain holds."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from policies.errors import BackendUnavailable
from recordings import retention
from recordings.export import ndjson_line
from recordings.journal import Journal, Record
from recordings.replay import Replay
from recordings.retention import Retention, delete_bodies
from recordings.sessions import StoredRecord, read_session
from recordings.store import Store
from recordings.verify import verify
from tests.recordings.conftest import KEY, OpenJournal, key_lookup

pytestmark = pytest.mark.anyio

ALL = 4 * 10**15  # microseconds: later than any record


async def write(journal: Journal, *bodies: bytes, session: str = "s-1") -> None:
    for body in bodies:
        await journal.commit(Record(session, "intent", {}, body))
    await journal.accept(Record(session, "rows", {"count": 0}, b"x"))
    await journal.flush()


async def bodies(store: Store) -> list[bytes]:
    rows = await store.pool.fetch("SELECT body FROM bodies WHERE body IS NOT NULL ORDER BY 1")
    return [row["body"] for row in rows]


async def at(store: Store, body: bytes) -> int:
    found = await store.pool.fetchval(
        "SELECT at FROM records JOIN bodies USING (stream, sequence) WHERE body = $1", body
    )
    return int(found)


async def notes(store: Store) -> list[dict[str, object]]:
    rows = await store.pool.fetch(
        "SELECT document FROM records WHERE kind = 'bodies_deleted' ORDER BY at"
    )
    return [json.loads(row["document"]) for row in rows]


async def test_older_bodies_go_and_newer_ones_stay(journal: Journal, store: Store) -> None:
    await write(journal, b"a", b"b", b"c", b"d")
    assert await delete_bodies(journal, before=await at(store, b"c")) == 2
    assert await bodies(store) == [b"c", b"d", b"x"]


async def test_what_goes_is_said_in_the_chain(journal: Journal, store: Store) -> None:
    await write(journal, b"a", b"b", b"c")
    before = await at(store, b"c")
    await delete_bodies(journal, before=before)
    stream = await store.pool.fetchval("SELECT number FROM streams WHERE role = 'decisions'")
    sealed = hmac.digest(KEY.secret, b"ostiary.retention\0%d:1-2" % stream, "sha512")
    assert await notes(store) == [
        {
            "before": before,
            "bodies": 2,
            "ranges": [{"stream": stream, "from": 1, "to": 2, "bodies": 2}],
            "seal": sealed[:32].hex(),
        }
    ]


async def test_all_streams_are_looked_at_in_many_batches(
    journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    await write(journal, *(b"%d" % n for n in range(20)))
    assert await delete_bodies(journal, before=ALL) == 21
    assert await bodies(store) == []
    verdict = await verify(store, key_lookup)
    assert (verdict.flaw, verdict.bodies_deleted) == (None, 21)


async def test_a_run_with_nothing_to_delete_says_nothing(journal: Journal, store: Store) -> None:
    await write(journal, b"a")
    assert await delete_bodies(journal, before=1) == 0
    await delete_bodies(journal, before=ALL)
    assert await delete_bodies(journal, before=ALL) == 0
    assert len(await notes(store)) == 1


async def test_later_runs_go_on_where_the_last_one_ended(journal: Journal, store: Store) -> None:
    await write(journal, b"a", b"b")
    await delete_bodies(journal, before=await at(store, b"b"))
    await write(journal, b"c")
    assert await delete_bodies(journal, before=ALL) == 4
    assert (await verify(store, key_lookup)).good


async def test_a_run_that_was_cut_short_is_finished_by_the_next(
    journal: Journal, store: Store
) -> None:
    """It had said what it would delete, and then the store went away."""
    await write(journal, b"a", b"b", b"c")
    async with refusing(store, "bodies"):
        with pytest.raises(BackendUnavailable):
            await delete_bodies(journal, before=ALL)
    assert await bodies(store) == [b"a", b"b", b"c", b"x"]
    assert (await verify(store, key_lookup)).bodies == 4
    assert await delete_bodies(journal, before=ALL) == 4
    assert (await verify(store, key_lookup)).bodies_deleted == 4


@asynccontextmanager
async def refusing(store: Store, table: str) -> AsyncIterator[None]:
    await store.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$;"
        f"CREATE TRIGGER refuse BEFORE UPDATE ON {table} EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        await store.pool.execute(f"DROP TRIGGER refuse ON {table}; DROP FUNCTION refuse")


async def test_nothing_is_deleted_that_the_chain_could_not_say(
    journal: Journal, store: Store
) -> None:
    await write(journal, b"a")
    await journal.close()
    with pytest.raises(BackendUnavailable):
        await delete_bodies(journal, before=ALL)
    assert await bodies(store) == [b"a", b"x"]


async def test_of_two_gateways_one_deletes(open_journal: OpenJournal, store: Store) -> None:
    one, other = await open_journal("gw-1"), await open_journal("gw-2")
    await write(one, *(b"%d" % n for n in range(9)))
    deleted = await asyncio.gather(delete_bodies(one, before=ALL), delete_bodies(other, before=ALL))
    assert sum(deleted) == 10
    assert (await verify(store, key_lookup)).good


async def test_age_is_by_the_store_s_clock(journal: Journal, store: Store) -> None:
    await write(journal, b"a")
    assert await Retention(journal, 3600).look() == 0
    await store.pool.execute("UPDATE records SET at = at - 3600 * 1000000::bigint")
    assert await Retention(journal, 3600).look() == 2


async def test_rows_that_approvers_were_shown_go_too_and_their_number_stays(
    journal: Journal, store: Store
) -> None:
    await store.pool.execute(
        "INSERT INTO tickets (id, principal, principal_name, agent, target, binding, document,"
        " requirements, expires_at) VALUES ('ap_1', '', '', '', '', '', '{}', '[]', now())"
    )
    await store.pool.execute(
        "INSERT INTO previews (ticket, state, changed, sample) VALUES ('ap_1', 'done', 3, '{}')"
    )
    await delete_bodies(journal, before=0)
    kept = "SELECT changed, sample IS NULL AND sample_deleted_at IS NOT NULL FROM previews"
    assert tuple(await store.pool.fetchrow(kept)) == (3, False)
    await delete_bodies(journal, before=ALL)
    assert tuple(await store.pool.fetchrow(kept)) == (3, True)


async def test_replay_and_export_say_that_retention_has_deleted_it(
    journal: Journal, store: Store
) -> None:
    await write(journal, b"SELECT 1")
    await delete_bodies(journal, before=ALL)
    records: list[StoredRecord] = [r async for r in read_session(store, "s-1")]
    told = Replay()
    lines = [line for record in records for line in told.lines(record)]
    assert sum("deleted by retention" in line for line in lines) == 2
    exported = [json.loads(ndjson_line(record)) for record in records]
    assert [(e["body_encoding"], e["body"]) for e in exported] == [("deleted", None)] * 2
