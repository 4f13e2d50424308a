"""What `verify` compares the store's records with: the anchors, and the notes of retention.

Not in here: the walk over the records themselves (`recordings.verify`).
"""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import orjson

from recordings.anchor_file import read_files
from recordings.anchors import Anchor, AnchorFlaw, Log, PublicKeys
from recordings.chain import DigestKey, Json

ANCHORED: Final = "anchored"
"""The kind of the record that says which line of which file the heads were anchored in."""

BODIES_DELETED: Final = "bodies_deleted"
"""The kind of the record that says which bodies retention was about to delete."""

_SEALED: Final = b"ostiary.retention\0"  # no other content that is sealed begins with it

Range = tuple[int, int, int]
"""A stream, and the first and the last sequence of its records."""


class Witness(Protocol):
    """Where anchors are, for one verification."""

    def read(self) -> list[Log]:
        """Every file of anchors that is at hand. Blocking. Raises `OSError`."""
        ...

    def answers_for(self, place: str) -> bool:
        """Whether a file that a record says was at this place must be at hand, and whole."""
        ...


@dataclass(frozen=True, slots=True)
class AnchorFiles:
    """Files of anchors, with what was moved aside next to them.

    The first is the gateway's own, at `place`; all others, and all where it is empty, are copies.
    """

    paths: Sequence[Path]
    keys: PublicKeys
    place: str = ""

    def read(self) -> list[Log]:
        return [log for path in self.paths for log in read_files(path, self.keys)]

    def answers_for(self, place: str) -> bool:
        return self.place == place


@dataclass(frozen=True, slots=True)
class NoAnchors:
    """A witness that has seen nothing, and is asked about nothing."""

    def read(self) -> list[Log]:
        return []

    def answers_for(self, place: str) -> bool:
        del place
        return False


@dataclass(frozen=True, slots=True)
class Anchored:
    """What an `anchored` record says: this line, with this hash, is in the file of this log."""

    stream: int
    sequence: int
    log: str
    place: str
    line: int
    hash: str

    @classmethod
    def read(cls, stream: int, sequence: int, document: bytes) -> Anchored:
        """Any document will do: what is not there matches no line."""
        match _read(document):
            case {"log": str(log), "place": str(place), "line": int(line), "hash": str(own)}:
                return cls(stream, sequence, log, place, line, own)
            case _:
                return cls(stream, sequence, "", "", 0, "")

    def __str__(self) -> str:
        return f"record {self.sequence} of stream {self.stream}"


@dataclass(slots=True)
class Anchors:
    """All anchors at hand, by stream; and the notes that the walk finds about them."""

    witness: Witness
    logs: list[Log]
    by_stream: dict[int, list[tuple[str, Anchor]]] = field(default_factory=dict)
    notes: list[Anchored] = field(default_factory=list)

    @classmethod
    def of(cls, witness: Witness) -> Anchors:
        """Read the witness's files. Blocking. Raises `OSError`."""
        anchors = cls(witness, witness.read())
        for log in anchors.logs:
            for anchor in log.anchors:
                anchors.by_stream.setdefault(anchor.head.stream, []).append((log.file, anchor))
        for found in anchors.by_stream.values():
            found.sort(key=lambda each: each[1].head.sequence)
        return anchors

    def flaw(self) -> AnchorFlaw | None:
        """The first bad line of the files, or else one that a record names and is not there."""
        bad = next((log.flaw for log in self.logs if log.flaw is not None), None)
        if bad is None and any(self._is_late(note) for note in self.notes):
            self.logs = self.witness.read()
        found = (bad, self._forked(), *map(self._unmet, self.notes))
        return next((flaw for flaw in found if flaw is not None), None)

    def behind(self) -> tuple[str, ...]:
        """Copies that end before lines that records name: what came later was not looked at."""
        ends: dict[str, str] = {}
        for note in self.notes:
            log = self._log(note)
            if log is not None and self._is_late(note):
                ends[log.file] = f"{log.file} has {len(log.hashes)} lines of {note.line} and more"
        return tuple(ends.values())

    def elsewhere(self) -> tuple[str, ...]:
        """Places of files that are other gateways', and were not looked at."""
        known = {log.id for log in self.logs}
        return tuple(sorted({n.place for n in self.notes if n.log not in known}))

    def _forked(self) -> AnchorFlaw | None:
        """Where a file and a copy of it go apart."""
        for n, log in enumerate(self.logs):
            for other in self.logs[:n]:
                if not log.id or log.id != other.id:
                    continue
                pairs = enumerate(zip(log.hashes, other.hashes, strict=False), 1)
                for line, (one, another) in pairs:
                    if one != another:
                        return AnchorFlaw(log.file, line, f"the line is not that of {other.file}")
        return None

    def _log(self, note: Anchored) -> Log | None:
        """The gateway's own file, or the longest copy."""
        logs = [log for log in self.logs if log.id == note.log]
        if self.witness.answers_for(note.place):
            return logs[0] if logs else None
        return max(logs, key=lambda log: len(log.hashes), default=None)

    def _is_late(self, note: Anchored) -> bool:
        """Whether it names a line that was written after the files were read."""
        log = self._log(note)
        return log is None or len(log.hashes) < note.line

    def _unmet(self, note: Anchored) -> AnchorFlaw | None:
        log = self._log(note)
        if log is None:
            if not self.witness.answers_for(note.place):
                return None
            why = f"the file is not there, or is another than that of {note}"
            return AnchorFlaw(note.place, 1, why)
        found = log.hash_of(note.line)
        if found is None and not self.witness.answers_for(note.place):
            return None
        if found is None:
            why = f"the line is missing: {note} was written after line {note.line}"
            return AnchorFlaw(log.file, len(log.hashes) + 1, why)
        if found.hex() != note.hash:
            return AnchorFlaw(log.file, note.line, f"the line is not the one that {note} names")
        return None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a `bodies_deleted` record says, and the seal that only a gateway could put to it."""

    ranges: tuple[Range, ...]
    seal: str

    @classmethod
    def read(cls, document: bytes) -> Deletion:
        """Any document will do: what is not there covers nothing."""
        said = _read(document)
        return cls(tuple(_ranges(said)), str(said.get("seal", ""))[:64])

    def holds(self, key: DigestKey | None) -> bool:
        """Whether this key sealed it. A chain alone can be made by whoever has the store."""
        return key is not None and hmac.compare_digest(
            self.seal.encode("utf-8", "replace"), seal_of(self.ranges, key.seal).encode()
        )


def seal_of(ranges: Sequence[Range], seal: Callable[[bytes], bytes]) -> str:
    """The seal of what retention is about to delete, as hexadecimal."""
    written = ",".join(f"{stream}:{first}-{last}" for stream, first, last in ranges)
    return seal(_SEALED + written.encode()).hex()


@dataclass(slots=True)
class Deletions:
    """Which bodies were deleted by retention, by stream: ranges of sequences, in order."""

    _begins: dict[int, list[int]] = field(default_factory=dict)
    _ends: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Iterable[Deletion]) -> Deletions:
        """From what `bodies_deleted` records say."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for deletion in said:
            for stream, begin, end in deletion.ranges:
                ranges.setdefault(stream, []).append((begin, end))
        deletions = cls()
        for stream, found in ranges.items():
            deletions._add(stream, sorted(found))
        return deletions

    def cover(self, stream: int, sequence: int) -> bool:
        """Whether retention has said that it deletes this record's body."""
        index = bisect_right(self._begins.get(stream, []), sequence) - 1
        return index >= 0 and sequence <= self._ends[stream][index]

    def _add(self, stream: int, ranges: Sequence[tuple[int, int]]) -> None:
        begins, ends = self._begins.setdefault(stream, []), self._ends.setdefault(stream, [])
        for begin, end in ranges:
            if ends and begin <= ends[-1] + 1:
                ends[-1] = max(ends[-1], end)
            else:
                begins.append(begin)
                ends.append(end)


def _read(document: bytes) -> Mapping[str, Json]:
    """Empty for what is no JSON object: a record that nobody here wrote may hold anything."""
    try:
        read = orjson.loads(document)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _ranges(document: Mapping[str, Json]) -> Iterable[Range]:
    ranges = document.get("ranges")
    for each in ranges if isinstance(ranges, list) else []:
        match each:
            case {"stream": int(stream), "from": int(begin), "to": int(end)}:
                yield stream, begin, end
            case _:
                pass
