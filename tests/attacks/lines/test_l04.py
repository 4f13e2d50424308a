"""Lines L04 and, for its fork, L09: whatever is changed is named at its first bad record."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.commands.verify import verify
from tests.attacks.lines.chain import chained, number, sha, text
from tests.attacks.lines.recorded import prepare
from tests.e2e.evidence import call
from tests.e2e.world import World, apart
from tests.fixtures.postgres import execute

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]


@pytest.fixture(scope="module")
def sealed(module_worlds: Callable[..., World]) -> World:
    """A recording of some calls, anchored on the way, whose gateway has stopped."""
    made = prepare(module_worlds())
    made.start()
    apart(record(made))
    made.stop()
    return made


async def record(world: World) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        for n in range(3):
            assert not (await call(http, world, f"SELECT {n}", "sandbox"))["isError"]
            before = lines(world)
            async with asyncio.timeout(30):
                while lines(world) == before:
                    await asyncio.sleep(0.05)


def anchors(world: World) -> Path:
    return world.directory / "state" / "anchors.jsonl"


def lines(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in anchors(world).read_text().splitlines()]


@pytest.fixture
def tampered(sealed: World) -> Iterator[World]:
    """The same, put back after the test."""
    tables = ("bodies", "records", "streams")
    keep = ";".join(f"CREATE TABLE kept_{t} AS TABLE {t}" for t in tables)
    back = ";".join(
        f"DELETE FROM {t}; INSERT INTO {t} OVERRIDING SYSTEM VALUE TABLE kept_{t};"
        f" DROP TABLE kept_{t}"
        for t in tables
    )
    file, whole = anchors(sealed), anchors(sealed).read_bytes()
    apart(execute(sealed.store_dsn, keep))
    yield sealed
    apart(execute(sealed.store_dsn, back))
    file.write_bytes(whole)


def found(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What `ostiary verify` calls not good."""
    for name, value in world.variables.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    code = verify(Namespace(config=str(world.file), store=None, anchors=[], public_key=[]))
    said = capsys.readouterr().out.splitlines()
    bad = [line.removeprefix("NOT GOOD: ") for line in said if line.startswith("NOT GOOD: ")]
    assert code == (1 if bad else 0)
    return bad


FOURTH = "(stream, sequence) = (1, 4)"
FLIP = "set_bit({0}, 5, 1 - get_bit({0}, 5))"
BODY = "SELECT sequence FROM bodies WHERE stream = 1 ORDER BY sequence LIMIT 1"


@pytest.mark.parametrize(
    ("statement", "record"),
    [
        (f"UPDATE records SET hash = {FLIP.format('hash')} WHERE {FOURTH}", 4),
        (f"UPDATE records SET document = document || ' ' WHERE {FOURTH}", 4),
        (f"UPDATE records SET at = at + 1 WHERE {FOURTH}", 4),
        (f"UPDATE records SET session = session || 'x' WHERE {FOURTH}", 4),
        (f"UPDATE records SET kind = 'outcome' WHERE {FOURTH}", 4),
        (f"DELETE FROM records WHERE {FOURTH}", 4),
        (
            "UPDATE records SET sequence = -sequence WHERE stream = 1 AND sequence IN (4, 5);"
            "UPDATE records SET sequence = 9 + sequence WHERE stream = 1 AND sequence < 0",
            4,
        ),
        (
            "UPDATE records SET sequence = -sequence - 1 WHERE stream = 1 AND sequence >= 4;"
            "UPDATE records SET sequence = -sequence WHERE stream = 1 AND sequence < 0;"
            "INSERT INTO records SELECT 1, 4, at, session, kind, document, '', hash FROM records"
            " WHERE (stream, sequence) = (1, 3)",
            4,
        ),
        (
            "DELETE FROM records WHERE (stream, sequence) = (1, 4);"
            "INSERT INTO records SELECT 1, 4, at, session, kind, document, '', hash FROM records"
            " WHERE (stream, sequence) = (2, 1)",
            4,
        ),
        ("UPDATE streams SET opened_at = opened_at + 1 WHERE number = 1", 1),
        ("UPDATE streams SET id = gen_random_uuid() WHERE number = 1", 1),
        ("DELETE FROM streams WHERE number = 1", 1),
        (
            "DELETE FROM bodies WHERE stream = 1; DELETE FROM records WHERE stream = 1;"
            "DELETE FROM streams WHERE number = 1",
            1,
        ),
    ],
    ids=[
        "bit of a hash",
        "document",
        "time",
        "session",
        "kind",
        "deleted",
        "swapped",
        "inserted",
        "replayed from another stream",
        "manifest",
        "another stream",
        "stream without its row",
        "removed stream",
    ],
)
def test_l04_a_changed_recording_is_named_at_its_first_bad_record(
    tampered: World,
    statement: str,
    record: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(tampered, capsys, monkeypatch) == []
    apart(execute(tampered.store_dsn, statement))
    first, *_ = found(tampered, capsys, monkeypatch)
    assert first.startswith(f"stream 1, record {record}: ")


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE bodies SET body = {FLIP.format('body')} WHERE stream = 1 AND sequence = ({BODY})",
        f"DELETE FROM bodies WHERE stream = 1 AND sequence = ({BODY})",
        "UPDATE bodies SET body = NULL, deleted_at = now()"
        f" WHERE stream = 1 AND sequence = ({BODY})",
        f"UPDATE records SET digest = {FLIP.format('digest')}"
        f" WHERE stream = 1 AND sequence = ({BODY})",
    ],
    ids=["bit of a body", "deleted", "deleted as if by retention", "bit of a digest"],
)
async def test_l04_a_changed_body_is_named_at_its_record(
    tampered: World,
    statement: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tampered.journal() as store:
        record = await store.fetchval(BODY)
        await store.execute(statement)
    (first,) = await asyncio.to_thread(found, tampered, capsys, monkeypatch)
    assert first.startswith(f"stream 1, record {record}: ")


@pytest.mark.parametrize("anchored", [False, True], ids=["anywhere", "at an anchor"])
async def test_l04_a_tail_that_was_cut_with_the_stream_s_end_is_named_at_its_first_record(
    tampered: World,
    anchored: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads = [a["sequence"] for a in lines(tampered) if a["stream"] == 1 and a["sequence"] > 3]
    last = heads[0] if anchored else 3
    await cut(tampered, last)
    first, *_ = await asyncio.to_thread(found, tampered, capsys, monkeypatch)
    assert first.startswith(f"stream 1, record {last + 1}: the record is missing")


async def cut(world: World, last: int) -> None:
    async with world.journal() as store:
        for table in ("bodies", "records"):
            await store.execute(f"DELETE FROM {table} WHERE stream = 1 AND sequence > $1", last)
        await store.execute(
            "UPDATE streams SET last_sequence = $1, last_hash ="
            " (SELECT hash FROM records WHERE stream = 1 AND sequence = $1) WHERE number = 1",
            last,
        )


async def test_l04_a_stream_that_was_chained_anew_without_a_key_is_named(
    tampered: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the record on that the first anchor after the change shows to be another."""
    changed = 4
    await chain_anew(tampered, changed)
    first, *_ = await asyncio.to_thread(found, tampered, capsys, monkeypatch)
    shown = min(a["sequence"] for a in lines(tampered) if a["stream"] == 1 and a["sequence"] >= 4)
    assert first.startswith(f"stream 1, record {shown}: the record is not the one that line")


async def chain_anew(world: World, changed: int) -> None:
    """As somebody who has the store would: with the independent chain below."""
    async with world.journal() as store:
        stream = await store.fetchrow(
            "SELECT s.*, w.gateway FROM streams s JOIN writers w ON w.number = writer"
            " WHERE s.number = 1"
        )
        assert stream is not None
        identifier = stream["id"].bytes
        head = sha(
            text(b"ostiary.journal.stream"),
            number(1),
            text(identifier),
            text(stream["gateway"].encode()),
            text(b"decisions"),
            text(stream["digest_key"].encode()),
            number(stream["opened_at"]),
        )
        for row in await store.fetch("SELECT * FROM records WHERE stream = 1 ORDER BY sequence"):
            document = row["document"] if row["sequence"] != changed else "{}"
            head = chained(identifier, dict(row), document.encode(), row["digest"], head)
            await store.execute(
                "UPDATE records SET document = $2, hash = $3 WHERE stream = 1 AND sequence = $1",
                row["sequence"],
                document,
                head,
            )
        await store.execute("UPDATE streams SET last_hash = $1 WHERE number = 1", head)


def without(number: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda all_lines: [*all_lines[: number - 1], *all_lines[number:]]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda all_lines: all_lines[:2], 3),
        (without(2), 2),
        (lambda all_lines: [all_lines[0].replace(b'"sequence":0', b'"sequence":1')], 1),
        (lambda all_lines: [], 1),
    ],
    ids=["cut", "a line deleted", "edited", "emptied"],
)
def test_l04_a_changed_file_of_anchors_is_named_at_its_first_bad_line(
    tampered: World,
    change: Callable[[list[bytes]], list[bytes]],
    line: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = anchors(tampered)
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    (first,) = found(tampered, capsys, monkeypatch)
    assert first.startswith("anchors ")
    assert f"{file}, line {line}: " in first


def test_l04_a_removed_file_of_anchors_is_missed(
    tampered: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors(tampered).unlink()
    (first,) = found(tampered, capsys, monkeypatch)
    assert f"{anchors(tampered)}, line 1: the file is not there" in first


async def test_l09_a_chain_that_was_forked_is_found_by_the_anchors(
    tampered: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store from a backup, and a gateway that went on from there."""
    async with tampered.journal() as store:
        await cut(tampered, 4)
        stream = await store.fetchval("SELECT id FROM streams WHERE number = 1")
        last = await store.fetchrow("SELECT * FROM records WHERE (stream, sequence) = (1, 4)")
        assert last is not None
        own, at = last["hash"], last["at"]
        for sequence in range(5, 60):
            row = {"sequence": sequence, "at": at, "session": "fork", "kind": "intent"}
            own = chained(stream.bytes, row, b"{}", b"", own)
            await store.execute(
                "INSERT INTO records VALUES (1, $1, $2, 'fork', 'intent', '{}', '', $3)",
                sequence,
                at,
                own,
            )
        await store.execute(
            "UPDATE streams SET last_sequence = 59, last_hash = $1 WHERE number = 1", own
        )
    first, *_ = await asyncio.to_thread(found, tampered, capsys, monkeypatch)
    shown = min(a["sequence"] for a in lines(tampered) if a["stream"] == 1 and a["sequence"] > 4)
    assert first.startswith(f"stream 1, record {shown}: ")
