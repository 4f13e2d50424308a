"""One stream's records in the order of their sequences, each checked against the one before it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from recordings.anchors import Anchor
from recordings.chain import DigestKey, Entry, record_hash
from recordings.checks import ANCHORED, Anchored, Deletions


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first record, in the order of streams, that is not what was written."""

    stream: int
    sequence: int
    why: str


class Flawed(Exception):
    """Ends the walk: nothing after a record that is not as written proves anything."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.why)
        self.flaw = flaw


@dataclass(slots=True)
class Tally:
    """What was found good before the flaw, if there is one."""

    streams: int = 0
    records: int = 0
    bodies: int = 0
    bodies_deleted: int = 0
    bodies_unchecked: int = 0
    anchors: int = 0
    flaw: Flaw | None = None


@dataclass(slots=True)
class Walk:
    """Where the check of one stream has come to."""

    stream: int
    id: str
    prefix: bytes
    head: bytes
    key: DigestKey | None
    without_keys: bool
    anchors: Sequence[tuple[str, Anchor]]
    notes: list[Anchored]
    deletions: Deletions
    tally: Tally
    sequence: int = 0
    at: int = 0
    _anchored: int = 0
    _good: int = 0

    def begin(self) -> None:
        """Before the first record. Raises `Flawed`."""
        self._check_anchors(self.head)

    def step(self, row: asyncpg.Record) -> None:
        """The next record, in the order of sequences. Raises `Flawed`."""
        self.sequence += 1
        if row["sequence"] != self.sequence:
            raise self._flawed("the record is missing")
        if row["at"] < self.at:
            raise self._flawed("the record is older than the one before it")
        if row["hash"] != record_hash(self.prefix, self.sequence, _entry(row), self.head):
            raise self._flawed("the record, or the one before it, is not what was written")
        self._check_anchors(row["hash"])
        self._check_body(row)
        if row["kind"] == ANCHORED:
            document = row["document"].encode()
            self.notes.append(Anchored.read(self.stream, self.sequence, document))
        self.at, self.head = row["at"], row["hash"]
        self.tally.records += 1

    def end(self, stream: asyncpg.Record) -> None:
        """After the last record. Raises `Flawed`."""
        if stream["closed_at"] is not None:
            if self.sequence < (stream["last_sequence"] or 0):
                self.sequence += 1
                raise self._flawed("the record is missing: the stream was closed after it")
            if self.sequence != stream["last_sequence"]:
                raise self._flawed("the record was written after the stream was closed")
            if self.sequence and stream["last_hash"] != self.head:
                raise self._flawed("the record is not the one that the stream was closed with")
        self._check_tail()
        self.tally.streams += 1

    def _check_anchors(self, own: bytes) -> None:
        """Every anchor of this record. A chain that was written anew is as good as the old one."""
        while self._anchored < len(self.anchors):
            file, anchor = self.anchors[self._anchored]
            if anchor.head.sequence != self.sequence:
                return
            if (anchor.head.id, anchor.head.hash) != (self.id, own):
                self.sequence = max(self.sequence, 1)
                raise self._flawed(
                    f"the record is not the one that line {anchor.line} of {file} anchors:"
                    f" the stream was written anew after record {self._good}"
                )
            self._anchored, self._good = self._anchored + 1, self.sequence
            self.tally.anchors += 1

    def _check_tail(self) -> None:
        if self._anchored < len(self.anchors):
            file, anchor = self.anchors[self._anchored]
            self.sequence += 1
            raise self._flawed(
                f"the record is missing: line {anchor.line} of {file} anchors record"
                f" {anchor.head.sequence}"
            )
        for file, anchor in self.anchors:
            if anchor.head.closed and anchor.head.sequence < self.sequence:
                self.sequence = anchor.head.sequence + 1
                raise self._flawed(
                    f"the record was written after line {anchor.line} of {file} anchored the"
                    " stream's end"
                )

    def _check_body(self, row: asyncpg.Record) -> None:
        match bool(row["digest"]), row["kept"], row["body"]:
            case False, False, _:
                pass
            case False, True, _:
                raise self._flawed("the record has a body that was not written with it")
            case True, False, _:
                raise self._flawed("the body is missing")
            case True, True, None:
                if not self.deletions.cover(self.stream, self.sequence):
                    raise self._flawed("the body was deleted, and not by retention")
                self.tally.bodies_deleted += 1
            case True, True, body:
                self._check_digest(row["digest"], body)

    def _check_digest(self, digest: bytes, body: bytes) -> None:
        if self.without_keys:
            self.tally.bodies_unchecked += 1
            return
        if self.key is None:
            raise self._flawed("the key that its body is digested under is not in the key ring")
        if not hmac.compare_digest(digest, self.key.digest(body)):
            raise self._flawed("the body is not what was written")
        self.tally.bodies += 1

    def _flawed(self, why: str) -> Flawed:
        return Flawed(Flaw(self.stream, self.sequence, why))


def _entry(row: asyncpg.Record) -> Entry:
    document = row["document"].encode()
    return Entry(row["at"], row["session"], row["kind"], document, b"", row["digest"])
