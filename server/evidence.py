"""The recording as this gateway keeps it: its journal, the anchors of its heads, retention."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from policies.errors import ConfigError
from recordings.anchor_file import AnchorFile, public_keys
from recordings.anchoring import Anchoring
from recordings.anchors import AnchorKey, PublicKeys
from recordings.checks import AnchorFiles
from recordings.journal import DigestKey, Journal
from recordings.retention import Retention
from recordings.store import Store
from recordings.verify import KeyLookup
from server.keys import KeyRing, Purpose
from server.recordings_settings import Recordings

STORE_DATABASE: Final = "ostiary"
"""The database of an embedded store."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An open journal with what goes on beside it."""

    journal: Journal
    anchoring: Anchoring
    retention: float | None

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """What must run as long as the gateway does."""
        kept = [] if self.retention is None else [Retention(self.journal, self.retention).run()]
        return [self.anchoring.run(), *kept]


@asynccontextmanager
async def recording(settings: Recordings, store: Store, keys: KeyRing) -> AsyncIterator[Evidence]:
    """Open the journal and the file of anchors, anchor what is there, and at the end what is new.

    Raises `ConfigError` where the file can't be used, and `BackendUnavailable` for the store.
    """
    digest_key = keys.current(Purpose.BODY_DIGEST)
    with closing(await _anchor_file(settings.anchors, keys)) as file:
        journal = await Journal.open(
            store,
            gateway=f"{socket.gethostname()}:{os.getpid()}",
            digest_key=DigestKey(digest_key.id, digest_key.secret),
        )
        anchoring = Anchoring(journal, file, place(settings.anchors), settings.every)
        try:
            await _begin(anchoring)
            yield Evidence(journal, anchoring, settings.retention)
        finally:
            journal.refusing = ""  # sessions that are open are closed in order all the same
            await journal.close()
            await anchoring.end()


def anchor_keys(keys: KeyRing) -> list[AnchorKey]:
    """The keys that anchors are and were signed with, the current one first."""
    return [AnchorKey.of(key.id, key.secret) for key in keys.keys[Purpose.ANCHOR]]


def digest_keys(keys: KeyRing) -> KeyLookup:
    """What bodies were digested under."""

    def secret(key_id: str) -> bytes | None:
        key = keys.get(Purpose.BODY_DIGEST, key_id)
        return None if key is None else key.secret

    return secret


def anchor_files(settings: Recordings, keys: KeyRing) -> AnchorFiles:
    """This gateway's own anchors, for `verify`."""
    return AnchorFiles((settings.anchors,), _public(keys), place(settings.anchors))


def place(path: Path) -> str:
    """What tells this machine's file from another's."""
    return f"{socket.gethostname()}:{path.resolve()}"


async def _anchor_file(path: Path, keys: KeyRing) -> AnchorFile:
    try:
        return await asyncio.to_thread(AnchorFile.open, path, anchor_keys(keys)[0], _public(keys))
    except OSError as error:
        raise _unusable(error) from None


async def _begin(anchoring: Anchoring) -> None:
    try:
        await anchoring.begin()
    except OSError as error:
        raise _unusable(error) from None


def _unusable(error: OSError) -> ConfigError:
    return ConfigError(
        f"recordings.anchors: the file of anchors can't be written: {error}; nothing is recorded "
        "that is not anchored outside the store"
    )


def _public(keys: KeyRing) -> PublicKeys:
    return public_keys(anchor_keys(keys))
