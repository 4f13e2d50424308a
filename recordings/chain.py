"""The hash chain: the exact bytes that are hashed, and nothing else. No input or output.

Format, version 1. `field(x)` is the length of x as 4 bytes, big-endian, then x; `number(n)` is
8 bytes, big-endian, as a field; text is UTF-8; times are microseconds since 1970, UTC.

    genesis = SHA-256( field("ostiary.journal.stream") number(1) field(stream id, 16 bytes)
                       field(gateway) field(role) field(digest key id) number(opened at) )
    hash    = SHA-256( field("ostiary.journal.record") number(1) field(stream id, 16 bytes)
                       number(sequence) number(at) field(session) field(kind)
                       field(document) field(digest) field(previous hash) )

The sequence begins at 1, and the hash before the first record is the genesis. `digest` is
HMAC-SHA-256 of the body under the stream's digest key, and empty for an empty body.

A document is hashed as the bytes that are stored, so verifying never depends on writing JSON the
same way again. It is written as JSON with keys in the order of their bytes, no white space, text as
it came (no Unicode normalisation), finite numbers only, and integers only where every JSON
reader reads the same one (up to 2^53 - 1).
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, cast

import orjson

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

VERSION: Final = 1
_NUMBER: Final = struct.Struct(">IQ")
_LENGTH: Final = struct.Struct(">I")
_NULL: Final = b"null"  # what orjson writes for a number that is not finite
_PLAIN: Final = frozenset({str, int, bool, type(None)})  # nearly all there is, and always finite
_OPTIONS: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


@dataclass(frozen=True, slots=True)
class DigestKey:
    """The key that bodies are digested under; `id` names it in the key ring."""

    id: str
    secret: bytes = field(repr=False)
    _begun: hmac.HMAC = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Begun once and copied: to begin anew costs OpenSSL ten times the digest of a short body.
        object.__setattr__(self, "_begun", hmac.new(self.secret, digestmod="sha256"))

    def digest(self, body: bytes) -> bytes:
        """HMAC-SHA-256 of a body; empty for an empty one."""
        if not body:
            return b""
        digest = self._begun.copy()
        digest.update(body)
        return digest.digest()

    def seal(self, content: bytes) -> bytes:
        """32 bytes that prove what is kept nowhere, and that nobody without the key can guess from.

        Another function than `digest`, so that no body, whose digest is kept, tells a seal.
        """
        return hmac.digest(self.secret, content, "sha512")[:32]


class Entry(NamedTuple):
    """A record as it is chained: stamped, canonical, digested. `at` is in microseconds.

    A tuple: there are some eight to a call, and a frozen dataclass takes four times as long.
    """

    at: int
    session: str
    kind: str
    document: bytes
    body: bytes
    digest: bytes

    @property
    def size(self) -> int:
        return len(self.document) + len(self.body) + len(self.session) + len(self.kind) + 128


def canonical(document: Mapping[str, Json]) -> bytes:
    """The document as canonical JSON. Raises `ValueError` where it has no single meaning.

    Half a surrogate pair, which UTF-8 can't carry, becomes its escape as text.
    """
    try:
        written = orjson.dumps(document, default=_mapping, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return _canonical_without_surrogates(document)
    if _NULL in written:
        _refuse_not_finite(document)
    return written


def written(value: Json) -> Json:
    """A part of many documents as canonical JSON, which none of them writes again.

    Raises `ValueError` like `canonical`.
    """
    content = canonical({"": value}).removeprefix(b'{"":').removesuffix(b"}")
    return cast(Json, orjson.Fragment(content))


def _canonical_without_surrogates(document: Mapping[str, Json]) -> bytes:
    plain = _encodable(document)
    _refuse_not_finite(plain)
    try:
        return orjson.dumps(plain, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"the record's document can't be written as JSON: {error}") from None


def _refuse_not_finite(value: object) -> None:
    """orjson writes them as null. Mappings of other kinds come to `_mapping`."""
    left: list[object] = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left += [inner for inner in item.values() if type(inner) not in _PLAIN]
        elif isinstance(item, list | tuple):
            left += [inner for inner in item if type(inner) not in _PLAIN]
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("a record's document holds a number that is not finite")


def _mapping(value: object) -> dict[str, Json]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} has no place in a record's document")
    plain = dict(value)
    _refuse_not_finite(plain)
    return plain


def _encodable(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list() | tuple():
            return [_encodable(item) for item in value]
        case _:
            return value


def genesis(stream: bytes, *, gateway: str, role: str, digest_key: str, opened_at: int) -> bytes:
    """The hash before a stream's first record."""
    names = (_field(name.encode()) for name in (gateway, role, digest_key))
    start = _field(b"ostiary.journal.stream") + _number(VERSION) + _field(stream)
    return hashlib.sha256(start + b"".join(names) + _number(opened_at)).digest()


def record_prefix(stream: bytes) -> bytes:
    """What every record of a stream is hashed after."""
    return _field(b"ostiary.journal.record") + _number(VERSION) + _field(stream)


def record_hash(prefix: bytes, sequence: int, entry: Entry, previous: bytes) -> bytes:
    """The hash of one record, given the stream's prefix and the hash before it."""
    session, kind = entry.session.encode(), entry.kind.encode()
    length = _LENGTH.pack
    return hashlib.sha256(
        b"".join(
            (
                prefix,
                _NUMBER.pack(8, sequence),
                _NUMBER.pack(8, entry.at),
                length(len(session)),
                session,
                length(len(kind)),
                kind,
                length(len(entry.document)),
                entry.document,
                length(len(entry.digest)),
                entry.digest,
                length(len(previous)),
                previous,
            )
        )
    ).digest()


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _number(value: int) -> bytes:
    return _NUMBER.pack(8, value)
