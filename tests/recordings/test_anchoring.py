"""Heads are anchored in time, and what a store alone can't show, anchors do."""

from __future__ import annotations

from pathlib import Path

import pytest

from recordings.anchor_file import AnchorFile, public_keys
from recordings.anchoring import Anchoring
from recordings.anchors import AnchorKey, Log
from recordings.chain import Entry, genesis, record_hash, record_prefix
from recordings.checks import AnchorFiles
from recordings.errors import JournalUnavailable
from recordings.journal import Journal, Record
from recordings.store import Store
from recordings.verify import Verdict, verify
from tests.recordings.conftest import OpenJournal, key_lookup

pytestmark = pytest.mark.anyio

KEY = AnchorKey.of("anchor-1", b"an anchor key of thirty-two byte")
KEYS = public_keys([KEY])
PLACE = "here:/anchors.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "anchors.jsonl"


def anchoring(journal: Journal, path: Path, *, place: str = PLACE) -> Anchoring:
    return Anchoring(journal, AnchorFile.open(path, KEY, KEYS), place, every=60.0)


async def verdict(store: Store, path: Path, *, place: str = PLACE) -> Verdict:
    return await verify(store, key_lookup, AnchorFiles((path,), KEYS, place))


async def write(journal: Journal, count: int) -> None:
    for n in range(count):
        await journal.commit(Record("s-1", "intent", {"n": n}, b"SELECT %d" % n))


@pytest.fixture
async def anchored(journal: Journal, path: Path) -> Anchoring:
    """Begun, five records, a look, two records more."""
    anchors = anchoring(journal, path)
    await anchors.begin()
    await write(journal, 5)
    await anchors.look()
    await write(journal, 2)
    return anchors


async def number(store: Store) -> int:
    found = await store.pool.fetchval("SELECT number FROM streams WHERE role = 'decisions'")
    return int(found)


def lines(path: Path) -> int:
    return content(path).count(b"\n")


def content(path: Path) -> bytes:
    return path.read_bytes()


def replace(path: Path, lines: bytes) -> None:
    path.write_bytes(lines)


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


async def test_what_was_anchored_verifies(anchored: Anchoring, store: Store, path: Path) -> None:
    found = await verdict(store, path)
    assert (found.good, found.anchors, found.elsewhere) == (True, 3, ())


async def test_nothing_is_anchored_where_nothing_moved(
    anchored: Anchoring, journal: Journal, path: Path
) -> None:
    await anchored.look()
    before = lines(path)
    await anchored.look()
    await anchored.look()
    assert lines(path) == before
    await write(journal, 1)
    await anchored.look()
    assert lines(path) == before + 1


async def test_the_end_is_anchored_after_a_clean_stop(
    anchored: Anchoring, journal: Journal, store: Store, path: Path
) -> None:
    await journal.close()
    await anchored.end()
    assert (await verdict(store, path)).good
    last = await store.pool.fetchval("SELECT max(sequence) FROM records")
    await cut(store, await number(store), last)
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.sequence, "missing" in flaw.why) == (last, True)


async def cut(store: Store, stream: int, first: int) -> None:
    """Cut a tail together with the stream's own end."""
    await store.pool.execute(
        "DELETE FROM bodies WHERE sequence >= $1 AND stream = $2", first, stream
    )
    await store.pool.execute(
        "DELETE FROM records WHERE sequence >= $1 AND stream = $2", first, stream
    )
    await store.pool.execute(
        "UPDATE streams SET last_sequence = $1 - 1, last_hash ="
        " (SELECT hash FROM records WHERE stream = $2 AND sequence = $1 - 1)"
        " WHERE number = $2 AND closed_at IS NOT NULL",
        first,
        stream,
    )


async def test_a_tail_cut_before_the_anchor_is_named_at_its_first_record(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    await cut(store, await number(store), 4)
    assert (await verify(store, key_lookup)).good  # the chain alone does not show it
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (await number(store), 4)
    assert f"of {path} anchors record 6" in flaw.why


async def test_a_stream_that_was_written_anew_without_the_key_is_found(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    await rechain(store, await number(store), changed=3)
    assert (await verify(store, key_lookup)).good  # as good a chain as the old one
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (await number(store), 6)
    assert "written anew after record 0" in flaw.why


async def rechain(store: Store, stream: int, *, changed: int) -> None:
    """Change a document, and compute every hash after it again: no key is needed for that."""
    row = await store.pool.fetchrow(
        "SELECT s.*, w.gateway FROM streams s JOIN writers w ON w.number = writer"
        " WHERE s.number = $1",
        stream,
    )
    assert row is not None
    prefix = record_prefix(row["id"].bytes)
    head = genesis(
        row["id"].bytes,
        gateway=row["gateway"],
        role=row["role"],
        digest_key=row["digest_key"],
        opened_at=row["opened_at"],
    )
    for each in await store.pool.fetch(
        "SELECT * FROM records WHERE stream = $1 ORDER BY sequence", stream
    ):
        document = each["document"].encode()
        if each["sequence"] == changed:
            document = b'{"n":99}'
        at, session, kind = each["at"], each["session"], each["kind"]
        entry = Entry(at, session, kind, document, b"", each["digest"])
        head = record_hash(prefix, each["sequence"], entry, head)
        await store.pool.execute(
            "UPDATE records SET document = $3, hash = $4 WHERE stream = $1 AND sequence = $2",
            stream,
            each["sequence"],
            document.decode(),
            head,
        )


async def test_a_removed_stream_is_found_with_nothing_left_of_it(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    stream = await number(store)
    for table in ("bodies", "records"):
        await store.pool.execute(f"DELETE FROM {table} WHERE stream = $1", stream)
    await store.pool.execute("DELETE FROM streams WHERE number = $1", stream)
    assert (await verify(store, key_lookup)).good
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (stream, 1)
    assert "the stream is missing" in flaw.why


async def test_a_store_that_was_emptied_is_found(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    await store.pool.execute("TRUNCATE bodies, records, streams, writers RESTART IDENTITY")
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (1, 1)


async def test_another_store_s_stream_of_the_same_number_is_found(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    stream = await number(store)
    await store.pool.execute("UPDATE streams SET id = gen_random_uuid() WHERE number = $1", stream)
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (stream, 1)


async def test_records_after_the_anchored_end_of_a_stream_are_found(
    anchored: Anchoring, journal: Journal, store: Store, path: Path
) -> None:
    await journal.close()
    await anchored.end()
    stream = await number(store)
    last = await store.pool.fetchrow(
        "SELECT * FROM records WHERE stream = $1 ORDER BY sequence DESC LIMIT 1", stream
    )
    assert last is not None
    identifier = await store.pool.fetchval("SELECT id FROM streams WHERE number = $1", stream)
    entry = Entry(last["at"], "s-9", "intent", b"{}", b"", b"")
    own = record_hash(record_prefix(identifier.bytes), last["sequence"] + 1, entry, last["hash"])
    await store.pool.execute(
        "INSERT INTO records VALUES ($1, $2, $3, 's-9', 'intent', '{}', '', $4)",
        stream,
        last["sequence"] + 1,
        last["at"],
        own,
    )
    await store.pool.execute(
        "UPDATE streams SET last_sequence = $2, last_hash = $3 WHERE number = $1",
        stream,
        last["sequence"] + 1,
        own,
    )
    assert (await verify(store, key_lookup)).good
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.sequence, "the stream's end" in flaw.why) == (last["sequence"] + 1, True)


async def test_a_stream_that_a_dead_process_left_is_anchored_by_the_living(
    open_journal: OpenJournal, store: Store, path: Path
) -> None:
    dead = await open_journal("gw-1")
    await write(dead, 3)
    await dead.close()  # nobody anchored its end
    living = anchoring(await open_journal("gw-2"), path)
    await living.begin()
    stream = await number_of(store, "gw-1")
    await cut(store, stream, 3)
    flaw = (await verdict(store, path)).flaw
    assert flaw is not None
    assert (flaw.stream, flaw.sequence) == (stream, 3)


async def number_of(store: Store, gateway: str) -> int:
    found = await store.pool.fetchval(
        "SELECT s.number FROM streams s JOIN writers w ON w.number = writer"
        " WHERE gateway = $1 AND role = 'decisions'",
        gateway,
    )
    return int(found)


async def test_a_cut_file_is_missed_by_the_chain(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    whole = content(path).splitlines(keepends=True)
    replace(path, b"".join(whole[:-1]))
    found = await verdict(store, path)
    assert found.anchor_flaw is not None
    assert (found.anchor_flaw.file, found.anchor_flaw.line) == (str(path), len(whole))
    assert "missing" in found.anchor_flaw.why


async def test_a_removed_file_is_missed_by_the_chain(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    remove(path)
    found = await verdict(store, path)
    assert (found.flaw, found.good) == (None, False)
    assert found.anchor_flaw is not None
    assert found.anchor_flaw.file == PLACE


async def test_a_file_that_was_begun_anew_is_another(
    anchored: Anchoring, journal: Journal, store: Store, path: Path
) -> None:
    remove(path)
    await anchoring(journal, path).begin()
    found = await verdict(store, path)
    assert found.anchor_flaw is not None
    assert "another than that of record 1 of stream" in found.anchor_flaw.why


async def test_an_edited_file_is_named_by_line(
    anchored: Anchoring, store: Store, path: Path
) -> None:
    replace(path, content(path).replace(b'"sequence":6', b'"sequence":5'))
    found = await verdict(store, path)
    assert found.anchor_flaw is not None
    assert found.anchor_flaw.line == 3


async def test_a_file_that_was_moved_aside_still_counts(
    anchored: Anchoring, journal: Journal, store: Store, path: Path
) -> None:
    move(path, "anchors.jsonl.2026")
    await anchoring(journal, path).begin()
    found = await verdict(store, path)
    assert found.good
    assert found.anchors >= 5


async def test_another_gateway_s_file_is_named_as_not_looked_at(
    anchored: Anchoring, open_journal: OpenJournal, store: Store, path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    await anchoring(await open_journal("gw-2"), other, place="there:/other.jsonl").begin()
    own = await verdict(store, path)
    assert (own.good, own.elsewhere) == (True, ("there:/other.jsonl",))
    both = await verify(store, None, AnchorFiles((path, other), KEYS))
    assert (both.good, both.elsewhere) == (True, ())


async def test_a_copy_may_end_early_and_the_file_may_not(
    anchored: Anchoring, journal: Journal, store: Store, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    replace(copy, content(path))
    await anchored.look()
    own = await verify(store, key_lookup, AnchorFiles((path, copy), KEYS, PLACE))
    assert (own.good, own.behind) == (True, ())
    auditor = await verify(store, None, AnchorFiles((copy,), KEYS))
    assert (auditor.good, auditor.anchors) == (True, 3)
    assert auditor.behind == (f"{copy} has 3 lines of 4 and more",)
    replace(path, content(copy))
    cut_file = await verify(store, key_lookup, AnchorFiles((path,), KEYS, PLACE))
    assert cut_file.anchor_flaw is not None
    assert cut_file.anchor_flaw.line == 4


async def test_a_file_that_was_cut_and_gone_on_with_differs_from_its_copy(
    anchored: Anchoring, journal: Journal, store: Store, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    await anchored.look()
    whole = content(path)
    replace(copy, whole)
    replace(path, b"".join(whole.splitlines(keepends=True)[:2]))
    await write(journal, 1)
    await anchoring(journal, path).begin()
    found = await verify(store, key_lookup, AnchorFiles((path, copy), KEYS, PLACE))
    assert found.anchor_flaw is not None
    assert (found.anchor_flaw.file, found.anchor_flaw.line) == (str(copy), 3)


async def test_lines_that_are_written_while_verify_reads_are_no_flaw(
    anchored: Anchoring, journal: Journal, store: Store, path: Path
) -> None:
    early = content(path)
    await anchored.look()
    late = content(path)
    assert len(late) > len(early)
    reads = iter((early, late))

    class Witness:
        def read(self) -> list[Log]:
            replace(path, next(reads))
            return AnchorFiles((path,), KEYS, PLACE).read()

        def answers_for(self, place: str) -> bool:
            return place == PLACE

    assert (await verify(store, key_lookup, Witness())).good


async def test_a_file_that_can_t_be_written_for_long_refuses_intents_and_no_results(
    journal: Journal, path: Path
) -> None:
    now = 100.0
    anchors = anchoring(journal, path)
    anchors.monotonic = lambda: now
    await anchors.begin()
    gone = move(path, "gone")
    await write(journal, 1)
    await anchors.look()
    await write(journal, 1)
    now += anchors.refuse_after
    await anchors.look()
    with pytest.raises(JournalUnavailable, match="anchored"):
        await write(journal, 1)
    await journal.accept(Record("s-1", "outcome", {}))
    move(gone, path.name)
    await anchors.look()
    await write(journal, 1)


async def test_a_file_that_can_t_be_written_is_no_reason_to_refuse_when_nothing_moved(
    journal: Journal, path: Path
) -> None:
    anchors = anchoring(journal, path)
    await anchors.begin()
    await anchors.look()
    move(path, "gone")
    anchors.refuse_after = 0
    await anchors.look()
    await write(journal, 1)
