"""The file that anchors are appended to: outside the store, append-only, fsynced, its owner's.

Several processes of one machine may share a file: each appends under its lock, after whatever the
others have written. Blocking: to be called in a thread.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from recordings.anchors import (
    AnchorKey,
    BadAnchor,
    Head,
    Log,
    PublicKeys,
    Tip,
    first,
    read_line,
    read_log,
    tip_of,
    tip_of_torn,
)

LOCK_WITHIN: Final = 10.0  # seconds
_LOOK_AGAIN: Final = 0.01  # seconds
_TAIL: Final = 64 * 1024  # bytes; a line has less than one KiB
_NEWEST: Final = 4 << 20  # bytes: some 8,000 lines


class AnchorsUnusable(OSError):
    """The file can't be appended to as it is; the words say why, and name the file."""


@dataclass(slots=True)
class AnchorFile:
    """One process's side of a file of anchors. Made by `AnchorFile.open`."""

    path: Path
    key: AnchorKey
    keys: PublicKeys
    _descriptor: int
    _tip: Tip | None = None
    _end: int = 0
    _begin: bytes = b""  # a line feed where a crash left none
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, path: Path, key: AnchorKey, keys: PublicKeys) -> AnchorFile:
        """Open the file, or make it. Raises `OSError` where that can't be.

        `keys` are those of older lines, too: a new line is put after one that verifies.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        opened = cls(path, key, keys, os.open(path, flags, 0o600))
        try:
            opened._check_private()
            _sync_directory(path.parent)
            with opened._locked():
                opened._catch_up()
        except BaseException:
            opened.close()
            raise
        return opened

    def append(self, heads: Sequence[Head]) -> Tip:
        """One line for each head, on disk on return; the last line. Raises `OSError`."""
        with self._one_at_a_time, self._locked():
            self._check_in_place()
            self._catch_up()
            now, tip, lines = datetime.now(UTC), self._tip or first(secrets.token_hex(8)), []
            for head in heads:
                lines.append(self.key.line(head, tip, now))
                tip = tip_of(lines[-1].removesuffix(b"\n"), log=tip.log, number=tip.line + 1)
            self._write(self._begin + b"".join(lines))
            self._tip = tip
            return tip

    def ends(self) -> set[tuple[int, str]]:
        """Streams, by number and id, whose end one of the newest lines says. Raises `OSError`.

        Not checked: a line that nobody signed is for `verify` to find.
        """
        start = max(0, os.fstat(self._descriptor).st_size - _NEWEST)
        newest = os.pread(self._descriptor, _NEWEST, start)
        return {found for line in newest.split(b"\n") if (found := _end_in(line)) is not None}

    def close(self) -> None:
        """Give the file back once nobody appends any more; its lock goes with it."""
        with self._one_at_a_time:
            os.close(self._descriptor)

    def _check_private(self) -> None:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise AnchorsUnusable(f"{self.path} is not a file")
        if stat.S_IMODE(status.st_mode) & 0o022:
            raise AnchorsUnusable(f"others may write to {self.path}: chmod 600 {self.path}")

    def _check_in_place(self) -> None:
        """Lines in a file that was moved or removed are anchors that nobody looks at."""
        own = os.fstat(self._descriptor)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino):
            raise AnchorsUnusable(f"{self.path} was moved or removed while the gateway runs")

    def _catch_up(self) -> None:
        """Read the tip where others have written, or a write of ours has failed."""
        size = os.fstat(self._descriptor).st_size
        if size < self._end:
            raise AnchorsUnusable(f"{self.path} was cut while the gateway runs")
        if size == self._end:
            return
        start = max(0, size - _TAIL)
        tail = os.pread(self._descriptor, size - start, start)
        lines = tail.removesuffix(b"\n").split(b"\n")
        nothing = None if start else first(secrets.token_hex(8))
        self._tip = self._last(lines[1:] if start else lines, nothing)
        self._end, self._begin = size, b"" if tail.endswith(b"\n") else b"\n"

    def _last(self, lines: Sequence[bytes], nothing: Tip | None) -> Tip:
        """The tip after the last whole line, or after `nothing`, and what a crash left there."""
        torn: list[bytes] = []
        for line in reversed(lines):
            try:
                anchor, _ = read_line(line, self.keys)
            except BadAnchor as error:
                if line.endswith(b"}"):
                    why = f"the last line of {self.path} is none of this gateway's: {error}"
                    raise AnchorsUnusable(why) from None
                torn.append(line)
            else:
                return _after(torn, tip_of(line, log=anchor.log, number=anchor.line))
        if nothing is None:
            raise AnchorsUnusable(f"{self.path} ends in no line of this gateway's")
        return _after(torn, nothing)

    def _write(self, lines: bytes) -> None:
        written = os.write(self._descriptor, lines)
        if written < len(lines):
            raise AnchorsUnusable(f"{self.path} takes no more: the disk is full")
        os.fsync(self._descriptor)
        self._end, self._begin = self._end + written, b""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The file's lock, which a stopped process might hold for ever. Raises `OSError`."""
        deadline = time.monotonic() + LOCK_WITHIN
        while not _try_lock(self._descriptor):
            if time.monotonic() > deadline:
                raise AnchorsUnusable(f"another process holds on to {self.path}")
            time.sleep(_LOOK_AGAIN)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def read_files(path: Path, keys: PublicKeys) -> list[Log]:
    """A file and what was moved aside to `<name>.<anything>`, checked line by line.

    The file itself comes first, also where it is not there. Raises `OSError`.
    """
    aside = sorted(p for p in path.parent.glob(f"{escape(path.name)}.*") if p.is_file())
    return [_read(p, keys) for p in (path, *aside)]


def _read(path: Path, keys: PublicKeys) -> Log:
    """What was whole when it was opened: lines that come now are another time's."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            size = os.fstat(file.fileno()).st_size
            fcntl.flock(file, fcntl.LOCK_UN)
            return read_log(str(path), _lines(file.fileno(), size), keys)
    except FileNotFoundError:
        return Log(str(path))


def _lines(descriptor: int, size: int) -> Iterator[bytes]:
    rest, position = b"", 0
    while position < size:
        block = os.pread(descriptor, min(_TAIL, size - position), position)
        if not block:
            break
        position += len(block)
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def public_keys(keys: Sequence[AnchorKey]) -> PublicKeys:
    """The public keys of a key ring's anchor keys."""
    held: dict[str, Ed25519PublicKey] = {key.id: key.public for key in keys}
    return held.get


def _end_in(line: bytes) -> tuple[int, str] | None:
    try:
        document = orjson.loads(line)
    except ValueError:
        return None
    match document:
        case {"closed": True, "stream": int(stream), "id": str(stream_id)}:
            return stream, stream_id
        case _:
            return None


def _after(torn: Sequence[bytes], tip: Tip) -> Tip:
    for fragment in reversed(torn):
        tip = tip_of_torn(fragment, tip)
    return tip


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
