"""Changes behind the journal's back are found, with the first record that shows them."""

from __future__ import annotations

import pytest

from recordings.journal import Journal, Record
from recordings.retention import delete_bodies
from recordings.store import Store
from recordings.verify import Flaw, verify
from tests.recordings.conftest import OpenJournal, key_lookup

pytestmark = pytest.mark.anyio

THIRD = "stream = (SELECT number FROM streams WHERE role = 'decisions') AND sequence = 3"
LAST = THIRD.replace("3", "5")


@pytest.fixture
async def written(journal: Journal) -> Journal:
    """Five decisions and two results, each with a body."""
    for n in range(5):
        await journal.commit(Record("s-1", "intent", {"n": n}, b"SELECT %d" % n))
    for n in range(2):
        await journal.accept(Record("s-1", "rows", {"n": n}, b"rows %d" % n))
    await journal.flush()
    return journal


async def flaw_after(store: Store, *tampering: str) -> Flaw | None:
    for statement in tampering:
        await store.pool.execute(statement)
    return (await verify(store, key_lookup)).flaw


async def decisions(store: Store) -> int:
    return int(await store.pool.fetchval("SELECT number FROM streams WHERE role = 'decisions'"))


async def test_what_was_written_verifies_with_its_counts(written: Journal, store: Store) -> None:
    verdict = await verify(store, key_lookup)
    assert verdict.good
    assert (verdict.streams, verdict.records, verdict.bodies) == (2, 7, 7)
    assert verdict.bodies_deleted == 0


async def test_an_empty_store_verifies(store: Store) -> None:
    assert (await verify(store, key_lookup)).good


FLIP_HASH = f"UPDATE records SET hash = set_bit(hash, 3, 1 - get_bit(hash, 3)) WHERE {THIRD}"
FLIP_DIGEST = (
    f"UPDATE records SET digest = set_bit(digest, 3, 1 - get_bit(digest, 3)) WHERE {THIRD}"
)
FLIP_BODY = f"UPDATE bodies SET body = set_bit(body, 3, 1 - get_bit(body, 3)) WHERE {THIRD}"


@pytest.mark.parametrize(
    "tampering",
    [
        FLIP_HASH,
        FLIP_DIGEST,
        FLIP_BODY,
        f"UPDATE records SET document = replace(document, '2', '9') WHERE {THIRD}",
        f"UPDATE records SET document = document || ' ' WHERE {THIRD}",
        f"UPDATE records SET session = 's-2' WHERE {THIRD}",
        f"UPDATE records SET kind = 'outcome' WHERE {THIRD}",
        f"UPDATE records SET at = at + 1 WHERE {THIRD}",
        f"UPDATE records SET at = 1 WHERE {THIRD}",
        f"DELETE FROM records WHERE {THIRD}",
        f"DELETE FROM bodies WHERE {THIRD}",
        f"UPDATE bodies SET body = '' WHERE {THIRD}",
        f"UPDATE records SET digest = '' WHERE {THIRD}",
    ],
)
async def test_tampering_with_a_record_is_found_at_that_record(
    written: Journal, store: Store, tampering: str
) -> None:
    flaw = await flaw_after(store, tampering)
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (await decisions(store), 3)


async def test_a_missing_record_is_called_missing(written: Journal, store: Store) -> None:
    flaw = await flaw_after(store, f"DELETE FROM records WHERE {THIRD}")
    assert flaw is not None
    assert "record is missing" in flaw.why


async def test_a_missing_body_is_called_missing(written: Journal, store: Store) -> None:
    flaw = await flaw_after(store, f"DELETE FROM bodies WHERE {THIRD}")
    assert flaw is not None
    assert "body is missing" in flaw.why


async def test_the_first_record_is_missed_too(written: Journal, store: Store) -> None:
    first = THIRD.replace("3", "1")
    flaw = await flaw_after(store, f"DELETE FROM records WHERE {first}")
    assert flaw is not None
    assert flaw.sequence == 1


async def test_two_swapped_records_are_found_at_the_first(written: Journal, store: Store) -> None:
    number = await decisions(store)
    flaw = await flaw_after(
        store,
        f"UPDATE records SET sequence = 7 - sequence + 100 WHERE stream = {number}"
        " AND sequence IN (3, 4)",
        f"UPDATE records SET sequence = sequence - 100 WHERE stream = {number} AND sequence > 100",
    )
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (number, 3)


async def test_an_inserted_record_is_found(written: Journal, store: Store) -> None:
    number = await decisions(store)
    flaw = await flaw_after(
        store,
        f"UPDATE records SET sequence = sequence + 100 WHERE stream = {number} AND sequence > 3",
        f"UPDATE records SET sequence = sequence - 99 WHERE stream = {number} AND sequence > 100",
        f"INSERT INTO records SELECT stream, 4, at, session, kind, document, '', hash"
        f" FROM records WHERE {THIRD}",
    )
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (number, 4)


async def test_a_record_moved_to_another_stream_is_found(written: Journal, store: Store) -> None:
    results = await store.pool.fetchval("SELECT number FROM streams WHERE role = 'results'")
    flaw = await flaw_after(
        store,
        f"INSERT INTO records SELECT {results}, 3, at, session, kind, document, '', hash"
        f" FROM records WHERE {THIRD}",
    )
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (results, 3)


@pytest.mark.parametrize("column", ["digest_key = 'other'", "role = 'results'", "opened_at = 1"])
async def test_a_changed_stream_is_found_at_its_first_record(
    written: Journal, store: Store, column: str
) -> None:
    number = await decisions(store)
    flaw = await flaw_after(store, f"UPDATE streams SET {column} WHERE number = {number}")
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (number, 1)


async def test_a_removed_stream_leaves_records_of_none(written: Journal, store: Store) -> None:
    number = await decisions(store)
    flaw = await flaw_after(store, f"DELETE FROM streams WHERE number = {number}")
    assert flaw == Flaw(number, 1, "a record of no stream")


async def test_a_body_of_no_record_is_found(written: Journal, store: Store) -> None:
    number = await decisions(store)
    flaw = await flaw_after(store, f"INSERT INTO bodies VALUES ({number}, 6, 'x')")
    assert flaw == Flaw(number, 6, "a body of no record")


async def test_the_cut_tail_of_a_closed_stream_is_found(
    open_journal: OpenJournal, store: Store
) -> None:
    journal = await open_journal("gw-1")
    for n in range(5):
        await journal.commit(Record("", "policy_loaded", {"n": n}))
    await journal.close()
    flaw = await flaw_after(store, f"DELETE FROM records WHERE {LAST}")
    assert flaw is not None
    assert (flaw.sequence, "missing" in flaw.why) == (5, True)


async def test_bodies_that_retention_deleted_are_counted_and_verify(
    written: Journal, store: Store
) -> None:
    third = await store.pool.fetchval(f"SELECT at FROM records WHERE {THIRD}")
    assert await delete_bodies(written, before=third) == 2
    verdict = await verify(store, key_lookup)
    assert (verdict.flaw, verdict.bodies, verdict.bodies_deleted) == (None, 5, 2)


DELETE_BODY = "UPDATE bodies SET body = NULL, deleted_at = now() WHERE "


async def test_a_body_that_was_deleted_by_hand_is_found(written: Journal, store: Store) -> None:
    flaw = await flaw_after(store, DELETE_BODY + THIRD)
    assert flaw == Flaw(await decisions(store), 3, "the body was deleted, and not by retention")


async def test_a_body_that_was_deleted_by_hand_next_to_retention_s_is_found(
    written: Journal, store: Store
) -> None:
    third = await store.pool.fetchval(f"SELECT at FROM records WHERE {THIRD}")
    await delete_bodies(written, before=third)
    flaw = await flaw_after(store, DELETE_BODY + THIRD)
    assert flaw is not None
    assert flaw.sequence == 3


async def test_without_the_digest_keys_bodies_are_counted_and_chains_checked(
    written: Journal, store: Store
) -> None:
    verdict = await verify(store, None)
    assert (verdict.good, verdict.bodies, verdict.bodies_unchecked) == (True, 0, 7)
    await store.pool.execute(FLIP_HASH)
    assert not (await verify(store, None)).good


async def test_a_key_that_is_not_in_the_ring_is_said(written: Journal, store: Store) -> None:
    verdict = await verify(store, lambda _: None)
    assert verdict.flaw is not None
    assert "key ring" in verdict.flaw.why


async def test_another_key_under_the_same_id_does_not_verify(
    written: Journal, store: Store
) -> None:
    assert not (await verify(store, lambda _: b"another key")).good
