"""The export: one line a record, nothing lost, and the hashes can be computed again from it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from recordings.chain import Entry, canonical, record_hash, record_prefix
from recordings.export import ndjson
from recordings.journal import Journal, Record
from recordings.rows import ROW_CODECS
from recordings.sessions import StoredRecord, read_session
from recordings.store import Store
from tests.recordings.conftest import KEY
from tests.recordings.samples import INTENT, replayed, rows, stored

pytestmark = pytest.mark.anyio

GOLDEN = (
    b'{"at":1700000000000000,"body":"A\\u0000","body_encoding":"utf-8",'
    b'"digest":"0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d",'
    b'"document":{"a":1.5},"format":"ostiary.recording",'
    b'"hash":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",'
    b'"kind":"intent","sequence":1,"session":"s-1","stream":7,'
    b'"time":"2023-11-14T22:13:20.000000+00:00","version":1}\n'
)


async def exported(*records: StoredRecord) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in ndjson(replayed(*records))]


async def test_a_line_has_the_golden_form_of_version_1() -> None:
    record = stored("intent", {"a": 1.5}, b"A\0")
    assert [line async for line in ndjson(replayed(record))] == [GOLDEN]


async def test_a_body_that_is_no_text_is_exported_in_base64() -> None:
    (line,) = await exported(stored("intent", {}, b"\xff\0"))
    assert line["body_encoding"] == "base64"
    assert base64.b64decode(line["body"]) == b"\xff\0"


async def test_no_body_and_a_missing_one_are_told_apart() -> None:
    lines = await exported(stored("intent", {}), stored("intent", {}, None))
    assert [(line["body_encoding"], line["body"]) for line in lines] == [
        ("none", None),
        ("missing", None),
    ]


async def test_rows_are_exported_decoded_too() -> None:
    (line,) = await exported(rows([b"a", None, b"", b"\xff"]))
    assert line["rows"] == [["a", None, "", {"base64": "/w=="}]]


async def test_only_rows_are_decoded() -> None:
    (line,) = await exported(INTENT)
    assert "rows" not in line


async def test_hostile_text_stays_in_its_line() -> None:
    record = stored("intent", {"a": "x\n{}\u2028\x1b"}, b"y\n{}")
    lines = [line async for line in ndjson(replayed(record))]
    assert len(lines) == 1
    assert lines[0].count(b"\n") == 1
    assert json.loads(lines[0])["document"] == {"a": "x\n{}\u2028\x1b"}


async def test_digests_and_hashes_can_be_computed_again_from_the_export(
    journal: Journal, store: Store
) -> None:
    frames = ROW_CODECS["postgres"].encode([[b"\xff", None]])
    genesis = journal.heads()[0].hash
    await journal.commit(Record("s-1", "intent", {"é": [1, 2.5, None]}, b"SELECT '\xc3\xa9'"))
    await journal.commit(Record("s-1", "rows", {"codec": "postgres"}, frames))
    stream = await store.pool.fetchval("SELECT id FROM streams WHERE role = 'decisions'")
    previous = genesis
    for line in [json.loads(line) async for line in ndjson(read_session(store, "s-1"))]:
        body = decoded_body(line)
        digest = KEY.digest(body)
        document = canonical(line["document"])
        entry = Entry(line["at"], line["session"], line["kind"], document, body, digest)
        previous = record_hash(record_prefix(stream.bytes), line["sequence"], entry, previous)
        assert (line["digest"], line["hash"]) == (digest.hex(), previous.hex())


def decoded_body(line: dict[str, Any]) -> bytes:
    if line["body_encoding"] == "base64":
        return base64.b64decode(line["body"])
    return str(line["body"]).encode()
