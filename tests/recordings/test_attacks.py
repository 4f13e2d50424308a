"""Whoever has the store and no key: a verdict comes all the same, and not that all is good."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from recordings.anchor_file import AnchorFile, public_keys, read_files
from recordings.anchoring import Anchoring
from recordings.anchors import AnchorKey, Head
from recordings.chain import Entry, canonical, genesis, record_hash, record_prefix
from recordings.journal import Journal, Record
from recordings.retention import delete_bodies
from recordings.store import Store
from recordings.verify import Flaw, verify
from tests.recordings.conftest import OpenJournal, key_lookup

pytestmark = pytest.mark.anyio

KEY = AnchorKey.of("anchor-1", b"an anchor key of thirty-two byte")
KEYS = public_keys([KEY])
LATER = 1 << 52


@pytest.fixture
async def written(journal: Journal) -> Journal:
    for n in range(4):
        await journal.commit(Record("s-1", "intent", {"n": n}, b"SELECT %d" % n))
    return journal


async def flaw(store: Store) -> Flaw | None:
    return (await verify(store, key_lookup)).flaw


async def invent(store: Store, kind: str, document: bytes) -> int:
    """A stream of one's own making, of one record, closed in order: no key is needed for that."""
    writer = await store.pool.fetchrow("SELECT number, gateway FROM writers ORDER BY 1 LIMIT 1")
    assert writer is not None
    row = await store.pool.fetchrow(
        "INSERT INTO streams (id, writer, role, digest_key, opened_at, closed_at)"
        " VALUES (gen_random_uuid(), $1, 'decisions', 'digest-1', 1, now()) RETURNING number, id",
        writer["number"],
    )
    assert row is not None
    start = genesis(
        row["id"].bytes,
        gateway=writer["gateway"],
        role="decisions",
        digest_key="digest-1",
        opened_at=1,
    )
    entry = Entry(2, "", kind, document, b"", b"")
    own = record_hash(record_prefix(row["id"].bytes), 1, entry, start)
    await store.pool.execute(
        "INSERT INTO records VALUES ($1, 1, 2, '', $2, $3, '', $4)",
        row["number"],
        kind,
        document.decode(),
        own,
    )
    await store.pool.execute(
        "UPDATE streams SET last_sequence = 1, last_hash = $2 WHERE number = $1",
        row["number"],
        own,
    )
    return int(row["number"])


@pytest.mark.parametrize("kind", ["anchored", "bodies_deleted"])
@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"7", b'{"ranges":7,"line":true}'])
async def test_a_document_that_nobody_here_wrote_ends_no_verification(
    written: Journal, store: Store, kind: str, document: bytes
) -> None:
    await invent(store, kind, document)
    assert (await verify(store, key_lookup)).records == 5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE streams SET opened_at = -1",
        "UPDATE records SET at = -1",
        "UPDATE streams SET last_sequence = NULL, closed_at = now()",
        "INSERT INTO records VALUES (99, 1, 0, '', 'bodies_deleted', 'x', '', '')",
    ],
)
async def test_a_value_that_can_t_be_is_a_flaw(
    written: Journal, store: Store, statement: str
) -> None:
    await store.pool.execute(statement)
    assert await flaw(store) is not None


async def test_nobody_without_the_key_says_that_retention_deleted_a_body(
    written: Journal, store: Store
) -> None:
    stream = await store.pool.fetchval("SELECT max(stream) FROM bodies")
    await store.pool.execute("UPDATE bodies SET body = NULL, deleted_at = now()")
    ranges = [{"stream": stream, "from": 1, "to": 4, "bodies": 4}]
    await invent(store, "bodies_deleted", canonical({"bodies": 4, "ranges": ranges}))
    found = await flaw(store)
    assert found is not None
    assert found.why == "the body was deleted, and not by retention"
    assert (found.stream, found.sequence) == (stream, 1)


async def test_what_retention_said_once_covers_nothing_else(written: Journal, store: Store) -> None:
    stream = await store.pool.fetchval("SELECT max(stream) FROM bodies")
    at = await store.pool.fetchval(
        "SELECT at FROM records WHERE stream = $1 AND sequence = 3", stream
    )
    assert await delete_bodies(written, before=at) == 2
    assert (await verify(store, key_lookup)).bodies_deleted == 2
    said = await store.pool.fetchval("SELECT document FROM records WHERE kind = 'bodies_deleted'")
    await store.pool.execute("UPDATE bodies SET body = NULL, deleted_at = now() WHERE sequence = 3")
    await invent(store, "bodies_deleted", said.replace('"to":2', '"to":3').encode())
    found = await flaw(store)
    assert found is not None
    assert (found.stream, found.sequence) == (stream, 3)


async def test_a_mark_of_how_far_retention_came_keeps_it_from_nothing_for_long(
    written: Journal, store: Store
) -> None:
    await store.pool.execute("UPDATE streams SET bodies_deleted_to = -1000000000000")
    assert await delete_bodies(written, before=LATER) == 4


def test_a_disk_that_is_full_twice_leaves_a_file_that_verifies(tmp_path: Path) -> None:
    """Two beginnings of lines in a row, each left by a write that found no more room."""
    path = tmp_path / "anchors.jsonl"
    with closing(AnchorFile.open(path, KEY, KEYS)) as file:
        file.append([head(1)])
        whole = path.read_bytes()
        for left in (whole[:40], b"\n" + whole[:20]):
            path.write_bytes(path.read_bytes() + left)
        file.append([head(3)])
    with closing(AnchorFile.open(path, KEY, KEYS)) as again:
        again.append([head(4)])
    (log,) = read_files(path, KEYS)
    assert log.flaw is None
    assert [anchor.head.sequence for anchor in log.anchors] == [1, 3, 4]


def head(sequence: int) -> Head:
    return Head(1, "a", sequence, bytes(32))


async def test_a_file_that_has_taken_nothing_since_it_failed_keeps_the_gateway_refusing(
    journal: Journal, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "anchors.jsonl"
    with closing(AnchorFile.open(path, KEY, KEYS)) as file:
        anchors = Anchoring(journal, file, "here:/a", every=60.0, refuse_after=0.0)
        await anchors.begin()
        await journal.commit(Record("s-1", "intent", {}))
        gone = path.rename(tmp_path / "gone")
        await anchors.look()
        assert journal.refusing
        anchors._anchored = {h.stream: h.sequence for h in journal.heads()}  # nothing is due
        await anchors.look()
        assert journal.refusing
        anchors._anchored = {}
        gone.rename(path)
        await anchors.look()
    assert not journal.refusing


async def test_what_was_anchored_closed_is_not_anchored_again_by_every_process(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    """A gateway on standard input and output is a process a session: hundreds a day."""
    path, counts = tmp_path / "anchors.jsonl", list[int]()
    for n in range(4):
        journal = await open_journal(f"gw-{n}")
        with closing(AnchorFile.open(path, KEY, KEYS)) as file:
            anchors = Anchoring(journal, file, "here:/a", every=60.0)
            await anchors.begin()
            await journal.close()
            await anchors.end()
        counts.append(path.read_bytes().count(b"\n"))
    assert counts[3] - counts[2] == counts[1] - counts[0]
