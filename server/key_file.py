"""The file of a key ring, as administrators change it: each change is whole, private and durable.

What a running gateway holds is read when it starts: `server.keys`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from policies.errors import ConfigError
from server.keys import KeyEntry, Purpose, check_private, new_entry, read_entries
from server.references import Secret

CONSEQUENCES: Final[Mapping[Purpose, str]] = {
    Purpose.BODY_DIGEST: (
        "what was recorded while it was current can no longer be verified: "
        "`ostiary sessions verify` will say so of each record"
    ),
    Purpose.REQUEST_STATE: "calls that wait with a state it sealed must be made again",
    Purpose.CURSOR: "cursors that it signed are refused: the read must be made again",
    Purpose.PSEUDONYM: (
        "its pseudonyms can't be made again, values masked with it can't be compared with others, "
        "and they are no longer refused where somebody writes them back"
    ),
    Purpose.TOKEN_HASH: "what it hashed is not found any more: people sign in again",
    Purpose.ANCHOR: "heads of the journal that it signed can no longer be checked",
}
"""What is lost with an old key of each purpose."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A ring in a file. Every method raises `ConfigError`."""

    path: Path

    @classmethod
    def of(cls, reference: Secret) -> KeyFile:
        """The file that the reference leads to, links followed: only a file can be changed."""
        if reference.path is None:
            raise ConfigError(
                f"the key ring comes from {reference}: Ostiary changes only rings in files; "
                "change it in a file, and put that where the variable is set"
            )
        return cls(reference.path.resolve())

    def entries(self) -> Sequence[KeyEntry]:
        """Every key in the file, the current one of each purpose first."""
        check_private(self.path)
        return read_entries(self._text(), f"file:{self.path}")

    def rotate(self, purpose: Purpose) -> KeyEntry:
        """Put a new key before the old ones."""
        with self._alone():
            made = new_entry(purpose, datetime.now(UTC))
            self._write([made, *self.entries()])
        return made

    def add_missing(self) -> Sequence[KeyEntry]:
        """Make a key for each purpose that has none: which."""
        with self._alone():
            held = self.entries()
            lacking = missing(held)
            made = [new_entry(purpose, datetime.now(UTC)) for purpose in lacking]
            if made:
                self._write([*held, *made])
        return made

    def drop(self, purpose: Purpose, key: str) -> None:
        """Remove an old key for good; the current one is refused."""
        with self._alone():
            held = self.entries()
            require_droppable(held, purpose, key)
            self._write([e for e in held if (e.purpose, e.id) != (purpose.value, key)])

    def _text(self) -> str:
        try:
            return self.path.read_text()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"the key ring {self.path} can't be read") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two changes at once would lose one of them."""
        directory = self._opened_directory()
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)

    def _opened_directory(self) -> int:
        try:
            return os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigError(f"{self.path.parent} can't be opened: {error.strerror}") from None

    def _write(self, entries: Sequence[KeyEntry]) -> None:
        """The whole ring beside the old one, on the disk, and then in its place."""
        document = {"version": 1, "keys": [entry.document for entry in entries]}
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            self._write_beside(beside, json.dumps(document, indent=2) + "\n")
            os.replace(beside, self.path)
            self._flush_directory()
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise ConfigError(f"{self.path} can't be replaced: {error.strerror}") from None

    def _write_beside(self, beside: Path, text: str) -> None:
        owner = self.path.stat()
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            if os.geteuid() == 0:  # the gateway's account must be able to read it as before
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())

    def _flush_directory(self) -> None:
        directory = self._opened_directory()
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def missing(entries: Sequence[KeyEntry]) -> list[Purpose]:
    """Purposes that this version needs a key for and that have none."""
    held = {entry.purpose for entry in entries}
    return [purpose for purpose in Purpose if purpose.value not in held]


def purpose_named(name: str) -> Purpose:
    """The purpose of this name. Raises `ConfigError` with those that there are."""
    try:
        return Purpose(name)
    except ValueError:
        known = ", ".join(purpose.value for purpose in Purpose)
        raise ConfigError(f"there are no keys for {name!r}; there are: {known}") from None


def require_droppable(entries: Sequence[KeyEntry], purpose: Purpose, key: str) -> None:
    """Raises `ConfigError` for a key that is not there, or that is the current one."""
    of_purpose = [entry.id for entry in entries if entry.purpose == purpose.value]
    if key not in of_purpose:
        raise ConfigError(f"the ring has no key {key!r} for {purpose}; see `ostiary keys list`")
    if of_purpose[0] == key:
        raise ConfigError(
            f"{key} is the current key for {purpose}: "
            f"`ostiary keys rotate {purpose}` first, and restart the gateways"
        )
