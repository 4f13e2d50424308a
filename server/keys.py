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
from collections.abc import Mapping
from dataclasses import dataclass, field
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
        keys = [_new_key(purpose) for purpose in Purpose]
        write_private(path, json.dumps({"version": 1, "keys": keys}, indent=2) + "\n")
        return cls.load(path)

    @classmethod
    def load(cls, reference: Path | Secret) -> KeyRing:
        """Read a ring. Raises `ConfigError` where it is missing, open to others or not a ring."""
        secret = reference if isinstance(reference, Secret) else Secret("file", str(reference))
        if secret.path is not None:
            _check_private(secret.path)
        return cls(_parse(secret.resolve(), str(secret)))

    def current(self, purpose: Purpose | str) -> Key:
        """The key to use now."""
        return self.keys[Purpose(purpose)][0]

    def get(self, purpose: Purpose | str, id: str) -> Key | None:  # noqa: A002 - the field's word
        """The key that was used then, `None` if the ring does not hold it any more."""
        return next((key for key in self.keys[Purpose(purpose)] if key.id == id), None)


def _new_key(purpose: Purpose) -> dict[str, str]:
    secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return {"id": secrets.token_hex(4), "purpose": purpose.value, "secret": secret}


def _check_private(path: Path) -> None:
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
    try:
        entries = json.loads(text)["keys"]
        keys = [(Purpose(entry["purpose"]), _key(entry)) for entry in entries]
    except (KeyError, TypeError, ValueError):
        # The cause is not named: it could carry key material.
        raise ConfigError(f"{name} is not a key ring; {_MADE_BY}") from None
    ring = {purpose: tuple(k for p, k in keys if p is purpose) for purpose in Purpose}
    if missing := [purpose.value for purpose, held in ring.items() if not held]:
        raise ConfigError(f"the key ring {name} has no key for {', '.join(missing)}; {_MADE_BY}")
    if len({(purpose, key.id) for purpose, key in keys}) < len(keys):
        raise ConfigError(f"the key ring {name} has two keys of one purpose with the same id")
    return MappingProxyType(ring)


def _key(entry: Mapping[str, str]) -> Key:
    secret = base64.b64decode(entry["secret"], validate=True)
    if len(secret) != KEY_BYTES or not isinstance(entry["id"], str):
        raise binascii.Error("a key has 32 bytes")
    return Key(entry["id"], secret)
