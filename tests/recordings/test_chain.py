"""The bytes that are hashed: against openssl, and where two meanings could share one hash."""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from recordings.chain import DigestKey, Entry, canonical, genesis, record_hash, record_prefix

STREAM = bytes(range(16))
KEY = DigestKey("digest-1", b"a digest key of thirty-two bytes")

# Made with `printf` and `openssl dgst -sha256` from the format in `recordings/chain.py`.
GENESIS = "c83a4aac88e24d1a27d19bc63b4f3e41ade027275be962b6b0f242398f0fe50e"
DIGEST = "093cb128b695e9961f13baa4598a091419d749ca299c5a50936742c78168494f"
FIRST = "d78e3c4aa0146ab13d38e483d740c21c4d6c1e0864b0d23585a13c63afcf63cd"
SECOND = "fc84229857e662871960fc678609fea990a8f3d93345edc3d95e01c451da795b"


def start() -> bytes:
    return genesis(
        STREAM,
        gateway="gw-1",
        role="decisions",
        digest_key="digest-1",
        opened_at=1_700_000_000_000_000,
    )


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "at": 1_700_000_000_000_001,
        "session": "s-1",
        "kind": "intent",
        "document": canonical({"target": "Füße", "a": 1}),
        "body": b"SELECT 1",
        "digest": KEY.digest(b"SELECT 1"),
    }
    return Entry(**{**fields, **changes})


def one_hash(of: Entry) -> bytes:
    return record_hash(record_prefix(STREAM), 1, of, start())


def test_the_genesis_is_the_golden_one() -> None:
    assert start().hex() == GENESIS


def test_the_digest_of_a_body_is_the_golden_one() -> None:
    assert KEY.digest(b"SELECT 1").hex() == DIGEST


def test_two_records_have_the_golden_hashes() -> None:
    prefix = record_prefix(STREAM)
    first = record_hash(prefix, 1, entry(), start())
    after = entry(
        at=1_700_000_000_000_002, kind="outcome", document=b"{}", body=b"", digest=KEY.digest(b"")
    )
    assert first.hex() == FIRST
    assert record_hash(prefix, 2, after, first).hex() == SECOND


def test_the_hash_agrees_with_the_format_written_down_again() -> None:
    def field(value: bytes) -> bytes:
        return len(value).to_bytes(4, "big") + value

    def number(value: int) -> bytes:
        return field(value.to_bytes(8, "big"))

    given = entry(session="é\n", kind="rows", document=b'{"\xc3\xa9":null}', body=b"\0\xff")
    given = Entry(given.at, given.session, given.kind, given.document, given.body, b"d" * 32)
    expected = hashlib.sha256(
        field(b"ostiary.journal.record")
        + number(1)
        + field(STREAM)
        + number(1)
        + number(given.at)
        + field(given.session.encode())
        + field(b"rows")
        + field(given.document)
        + field(b"d" * 32)
        + field(start())
    )
    assert one_hash(given) == expected.digest()


def test_a_digest_needs_the_key() -> None:
    assert KEY.digest(b"x") == hmac.new(KEY.secret, b"x", "sha256").digest()
    assert KEY.digest(b"x") != DigestKey("digest-1", b"another").digest(b"x")


def test_the_key_is_in_no_representation() -> None:
    assert "thirty" not in repr(KEY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (entry(session="ab", kind="c"), entry(session="a", kind="bc")),
        (entry(session="", kind="sc"), entry(session="sc", kind="")),
        (entry(document=b"{}", digest=b""), entry(document=b"", digest=b"{}")),
        (entry(at=1), entry(at=1 << 8)),
        (entry(document=canonical({"a": None})), entry(document=canonical({"a": ""}))),
        (entry(document=canonical({"a": 1})), entry(document=canonical({"a": 1.0}))),
        (entry(document=canonical({"a": 1})), entry(document=canonical({"a": "1"}))),
        (entry(document=canonical({"a": 1})), entry(document=canonical({"a": True}))),
        (entry(document=canonical({"a": {}})), entry(document=canonical({"a": []}))),
        (entry(document=canonical({"a": "\xe9"})), entry(document=canonical({"a": "e\u0301"}))),
        (entry(document=canonical({})), entry(document=canonical({"a": None}))),
    ],
)
def test_two_meanings_never_share_a_hash(one: Entry, other: Entry) -> None:
    assert one_hash(one) != one_hash(other)


def test_a_stream_s_hashes_are_no_other_stream_s() -> None:
    other = record_prefix(bytes(16))
    assert record_hash(other, 1, entry(), start()) != one_hash(entry())


def test_the_order_of_keys_does_not_matter() -> None:
    assert canonical({"b": {"d": 1, "c": 2}, "a": 3}) == b'{"a":3,"b":{"c":2,"d":1}}'


def test_a_read_only_mapping_and_a_tuple_are_written_as_their_plain_forms() -> None:
    assert canonical(MappingProxyType({"a": (1, 2)})) == b'{"a":[1,2]}'


def test_text_is_kept_as_it_came() -> None:
    assert canonical({"a": 'é"\n\x1b\0'}) == b'{"a":"\xc3\xa9\\"\\n\\u001b\\u0000"}'


def test_half_a_surrogate_pair_becomes_its_escape() -> None:
    assert canonical({"a": ["\ud800"]}) == b'{"a":["\\\\ud800"]}'


class Word(StrEnum):
    ONE = "one"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [float("-inf")],
        {"b": (float("nan"),)},
        MappingProxyType({"b": float("nan")}),
        1 << 53,
        -(1 << 53),
        1 << 70,
        b"bytes",
        {1: "a key that is no text"},
        {"a set"},
        object(),
    ],
)
def test_what_has_no_single_meaning_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="document"):
        canonical({"a": value})


def test_the_largest_safe_integer_is_written_exactly() -> None:
    assert canonical({"a": (1 << 53) - 1}) == b'{"a":9007199254740991}'


def test_an_enumeration_is_written_as_its_value() -> None:
    assert canonical({"a": Word.ONE}) == b'{"a":"one"}'
