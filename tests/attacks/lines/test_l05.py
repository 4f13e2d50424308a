"""Line L05: one meaning has one form, and what is chained is what the description says."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from recordings.chain import DigestKey, Entry, Json, canonical, genesis, record_hash, record_prefix
from tests.attacks.lines.chain import chained, number, sha, text

STREAM = bytes(range(16))
SECRET = b"k" * 32


@pytest.mark.parametrize(
    ("session", "kind", "document", "body"),
    [
        ("s-1", "intent", {}, b""),
        ("s-1", "intent", {"b": 1, "a": [None, "", 0.5, 2**53 - 1]}, b"SELECT 1"),
        ("é", "rows", {"text": "\0\x1b\n\u2028\U0001f600"}, bytes(range(256)) * 300),
    ],
)
def test_l05_the_chain_is_what_its_description_says(
    session: str, kind: str, document: Mapping[str, Json], body: bytes
) -> None:
    start = genesis(STREAM, gateway="gw", role="results", digest_key="k1", opened_at=7)
    assert start == sha(
        text(b"ostiary.journal.stream"),
        number(1),
        text(STREAM),
        text(b"gw"),
        text(b"results"),
        text(b"k1"),
        number(7),
    )
    digest = hmac.new(SECRET, body, "sha256").digest() if body else b""
    assert DigestKey("k1", SECRET).digest(body) == digest
    written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(canonical(document)) == document
    at = 1_700_000_000_000_000
    row = {"sequence": 9, "at": at, "session": session, "kind": kind}
    entry = Entry(at, session, kind, canonical(document), body, digest)
    own = record_hash(record_prefix(STREAM), 9, entry, start)
    assert own == chained(STREAM, row, canonical(document), digest, start)
    if written.isprintable():
        assert canonical(document) == written.encode()


ENTRY = Entry(5, "ab", "c", b"{}", b"", b"")


@pytest.mark.parametrize(
    "other",
    [
        ENTRY._replace(session="a", kind="bc"),
        ENTRY._replace(session="abc", kind=""),
        ENTRY._replace(session="", kind="abc"),
        ENTRY._replace(kind="c{}", document=b""),
        ENTRY._replace(document=b"", digest=b"{}"),
        ENTRY._replace(at=6),
    ],
)
def test_l05_what_moves_from_one_field_to_the_next_is_another_record(other: Entry) -> None:
    start = bytes(32)
    prefix = record_prefix(STREAM)
    assert record_hash(prefix, 1, ENTRY, start) != record_hash(prefix, 1, other, start)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": None}, {"a": ""}),
        ({"a": None}, {}),
        ({"a": "é"}, {"a": "e\u0301"}),
        ({"a": 1}, {"a": 1.5}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": [[], []]}, {"a": [[[]]]}),
        ({"a": "\ud800"}, {"a": "\ud801"}),
    ],
)
def test_l05_what_means_something_else_is_written_in_another_way(
    one: Mapping[str, Json], other: Mapping[str, Json]
) -> None:
    assert canonical(one) != canonical(other)


def test_l05_the_order_of_keys_means_nothing() -> None:
    assert canonical({"b": 1, "a": {"d": 2, "c": 3}}) == b'{"a":{"c":3,"d":2},"b":1}'
    assert canonical({"a": {"c": 3, "d": 2}, "b": 1}) == b'{"a":{"c":3,"d":2},"b":1}'


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), b"bytes"])
def test_l05_what_readers_of_json_would_disagree_on_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical({"a": [value]})
