"""Anchors: heads of streams in a file outside the store, each line chained to the last and signed.

Format version 1. A line is canonical JSON (`recordings.chain.canonical`) and a line feed:

    previous   SHA-256 of the line before, as hexadecimal; of nothing for the first
    signature  Ed25519 over "ostiary.anchor", a zero byte, and the line without its signature

Ed25519 and not a MAC, so that an auditor needs only the public key, and can't make anchors with it.
Its seed is HKDF-SHA-256 of the key ring's `anchor` key, with the info "ostiary.anchor.ed25519".
What a crash left of a line stays. The next line says `torn`, and its `previous` is SHA-256 of the
`previous` that stood before and what was left.

Not in here: when heads are anchored (`recordings.anchoring`), what the store holds
(`recordings.verify`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recordings.chain import Json, canonical

FORMAT: Final = "ostiary.anchor"
VERSION: Final = 1
_DOMAIN: Final = b"ostiary.anchor\0"
_INFO: Final = b"ostiary.anchor.ed25519"

PublicKeys = Callable[[str], Ed25519PublicKey | None]
"""The public key of an id, `None` if there is none such."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record of a stream, or, where it was closed, its last one.

    Before the first, the sequence is 0 and the hash is the genesis.
    """

    stream: int
    id: str
    sequence: int
    hash: bytes
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Tip:
    """The last line of a log: what the next one is chained to. `log` is random, made with it."""

    log: str
    line: int
    hash: bytes
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Anchor:
    """One line, read back."""

    log: str
    line: int
    head: Head
    time: datetime


@dataclass(frozen=True, slots=True)
class AnchorFlaw:
    """The first line of a file that is not what was written, or is not there."""

    file: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class AnchorKey:
    """Signs anchors; `id` names the key of the ring that it is derived from."""

    id: str
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, id: str, secret: bytes) -> AnchorKey:  # noqa: A002 - the field's word
        """The signing key that follows from a key of the ring."""
        seed = HKDF(SHA256(), 32, salt=None, info=_INFO).derive(secret)
        return cls(id, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public(self) -> Ed25519PublicKey:
        """What an auditor checks signatures with."""
        return self._private.public_key()

    def line(self, head: Head, after: Tip, now: datetime) -> bytes:
        """The line that anchors a head after another line, line feed included."""
        unsigned = _document(head, after, self.id, now)
        signature = self._private.sign(_DOMAIN + canonical(unsigned))
        signed = {**unsigned, "signature": base64.b64encode(signature).decode()}
        return canonical(signed) + b"\n"


class BadAnchor(ValueError):
    """A line that the gateway did not write, or not there."""


def tip_of(line: bytes, *, log: str, number: int) -> Tip:
    """The tip after a line; its line feed is not hashed."""
    return Tip(log, number, hashlib.sha256(line).digest())


def first(log: str) -> Tip:
    """The tip of an empty log."""
    return tip_of(b"", log=log, number=0)


def tip_of_torn(fragment: bytes, before: Tip) -> Tip:
    """The tip after what a crash left of a line."""
    covered = hashlib.sha256(before.hash + fragment).digest()
    return Tip(before.log, before.line + 1, covered, torn=True)


def read_line(line: bytes, keys: PublicKeys) -> tuple[Anchor, Tip]:
    """An anchor, and the tip that it says it comes after. Raises `BadAnchor`."""
    try:
        document = orjson.loads(line)
        anchor, after = _read(document)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadAnchor("the line is not an anchor") from None
    key = keys(str(document["key"]))
    if key is None:
        raise BadAnchor("the key that the line is signed with is not at hand")
    _check_signature(document, line, key)
    return anchor, after


@dataclass(slots=True)
class Log:
    """A file of anchors as it was read: all up to the first bad line."""

    file: str
    id: str = ""
    hashes: list[bytes] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    flaw: AnchorFlaw | None = None

    def hash_of(self, line: int) -> bytes | None:
        """The hash of a line, `None` where the log has no such line."""
        return self.hashes[line - 1] if 0 < line <= len(self.hashes) else None


def read_log(file: str, lines: Iterable[bytes], keys: PublicKeys) -> Log:
    """Check each line against the one before. `file` is a name for people."""
    log = Log(file)
    before, good = first(""), 0
    for number, line in enumerate(lines, 1):
        content = line.removesuffix(b"\n")
        try:
            anchor, after = read_line(content, keys)
            log.id = log.id or anchor.log
            _check_place(after, before, log.id)
        except BadAnchor as error:
            if content.endswith(b"}"):  # a crash, or a full disk, never leaves a line's end
                log.flaw = AnchorFlaw(file, good + 1, str(error))
                return log
            before = tip_of_torn(content, before)
        else:
            log.anchors.append(anchor)
            before, good = tip_of(content, log=log.id, number=number), number
        log.hashes.append(before.hash)
    return log


def _check_place(after: Tip, before: Tip, log: str) -> None:
    if after.log != log:
        raise BadAnchor("the line belongs to another file of anchors")
    if (after.line, after.hash, after.torn) != (before.line, before.hash, before.torn):
        raise BadAnchor("the line does not follow the one before it")


def _document(head: Head, after: Tip, key: str, now: datetime) -> dict[str, Json]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "log": after.log,
        "line": after.line + 1,
        "time": now.astimezone(UTC).isoformat(timespec="microseconds"),
        "stream": head.stream,
        "id": head.id,
        "sequence": head.sequence,
        "hash": head.hash.hex(),
        "closed": head.closed,
        "previous": after.hash.hex(),
        "torn": after.torn,
        "key": key,
    }


def _read(document: dict[str, Json]) -> tuple[Anchor, Tip]:
    match document:
        case {
            "format": "ostiary.anchor",
            "version": 1,
            "log": str(log),
            "line": int(line),
            "time": str(time),
            "stream": int(stream),
            "id": str(stream_id),
            "sequence": int(sequence),
            "hash": str(own),
            "closed": bool(closed),
            "previous": str(previous),
            "torn": bool(torn),
            "key": str(_),
            "signature": str(_),
        }:
            head = Head(stream, stream_id, sequence, bytes.fromhex(own), closed)
            anchor = Anchor(log, line, head, datetime.fromisoformat(time))
            return anchor, Tip(log, line - 1, bytes.fromhex(previous), torn)
        case _:
            raise ValueError("not an anchor of a version that is known here")


def _check_signature(document: dict[str, Json], line: bytes, key: Ed25519PublicKey) -> None:
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    if canonical(document) != line:
        raise BadAnchor("the line is not as it was written")
    try:
        signature = base64.b64decode(str(document["signature"]), validate=True)
        key.verify(signature, _DOMAIN + canonical(unsigned))
    except (InvalidSignature, ValueError):
        raise BadAnchor("the line's signature does not hold") from None
