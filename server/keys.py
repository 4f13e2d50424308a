"""The key ring: the gateway's own secret keys, each with an id and for one purpose.

A new key is put before the old ones of its purpose: the first is used, all can still be found.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from policies.errors import ConfigError
from server.references import Secret
from server.system_account import write_private

KEY_BYTES: Final = 32
_MADE_BY: Final = "make one with `ostiary init`"


class Purpose(StrEnum):
    """What a key may be used for, and nothing else."""

    BODY_DIGEST = "body-digest"
    REQUEST_STATE = "request-state"
    CURSOR = "cursor"
    PSEUDONYM = "pseudonym"
    TOKEN_HASH = "token-hash"  # noqa: S105 - the name of a purpose
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every key that the gateway holds, the current one of each purpose first."""

    keys: Mapping[Purpose, tuple[Key, ...]]

    @classmethod
    def create(cls, path: Path) -> KeyRing:
        """Write a new ring that only its owner can read. Raises `ConfigError` if one is there."""
        if path.exists():
            raise ConfigError(f"{path} exists: a new key ring would make its keys unreadable")
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = [new_entry(purpose, datetime.now(UTC)).document for purpose in Purpose]
        write_private(path, json.dumps({"version": 1, "keys": keys}, indent=2) + "\n")
        return cls.load(path)

    @classmethod
    def load(cls, reference: Path | Secret) -> KeyRing:
        """Read a ring. Raises `ConfigError` where it is missing, open to others or not a ring."""
        secret = reference if isinstance(reference, Secret) else Secret("file", str(reference))
        if secret.path is not None:
            check_private(secret.path)
        return cls(_parse(secret.resolve(), str(secret)))

    def current(self, purpose: Purpose | str) -> Key:
        """The key to use now."""
        return self.keys[Purpose(purpose)][0]

    def get(self, purpose: Purpose | str, id: str) -> Key | None:  # noqa: A002 - the field's word
        """The key that was used then, `None` if the ring does not hold it any more."""
        return next((key for key in self.keys[Purpose(purpose)] if key.id == id), None)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as it stands in the ring. `purpose` may be one that only another version knows."""

    purpose: str
    id: str
    document: Mapping[str, object] = field(repr=False)

    @property
    def made_at(self) -> str:
        """When, as it was written down; rings of older versions do not say."""
        return str(self.document.get("made_at", ""))

    @property
    def key(self) -> Key:
        return Key(self.id, base64.b64decode(str(self.document["secret"]), validate=True))


def new_entry(purpose: Purpose, now: datetime) -> KeyEntry:
    """A new random key."""
    identifier = secrets.token_hex(4)
    document = {
        "id": identifier,
        "purpose": purpose.value,
        "secret": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(),
        "made_at": now.isoformat(timespec="seconds"),
    }
    return KeyEntry(purpose.value, identifier, document)


def read_entries(text: str, name: str) -> Sequence[KeyEntry]:
    """Every key of a ring, in order. Raises `ConfigError` for what is no ring."""
    try:
        entries = [_entry(entry) for entry in json.loads(text)["keys"]]
    except (KeyError, TypeError, ValueError):
        # The cause is not named: it could carry key material.
        raise ConfigError(f"{name} is not a key ring; {_MADE_BY}") from None
    if len({(entry.purpose, entry.id) for entry in entries}) < len(entries):
        raise ConfigError(f"the key ring {name} has two keys of one purpose with the same id")
    return entries


def check_private(path: Path) -> None:
    """Raises `ConfigError` for a ring that is not there or that others can open."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(
            f"the key ring {path} can't be read: {error.strerror}; {_MADE_BY}"
        ) from None
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(f"the key ring {path} is open to others: chmod 600 {path}")
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"the key ring {path} belongs to another account: chown it to this one")


def _parse(text: str, name: str) -> Mapping[Purpose, tuple[Key, ...]]:
    """Keys for purposes that this version does not know are another version's, and stay unused."""
    entries = read_entries(text, name)
    ring = {p: tuple(e.key for e in entries if e.purpose == p.value) for p in Purpose}
    if missing := [purpose.value for purpose, held in ring.items() if not held]:
        raise ConfigError(
            f"the key ring {name} has no key for {', '.join(missing)}, which this version needs; "
            "add it with `ostiary keys add-missing`"
        )
    return MappingProxyType(ring)


def _entry(document: Mapping[str, object]) -> KeyEntry:
    match document:
        case {"purpose": str(purpose), "id": str(identifier), "secret": str(secret)}:
            pass
        case _:
            raise TypeError("a key has a purpose, an id and a secret")
    if len(base64.b64decode(secret, validate=True)) != KEY_BYTES:
        raise binascii.Error("a key has 32 bytes")
    return KeyEntry(purpose, identifier, document)
