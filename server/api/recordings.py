"""The recordings behind the HTTP API: the store, and the key ring that its chains verify with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from policies.errors import BackendUnavailable
from recordings.checks import Witness
from recordings.export import ndjson_line
from recordings.sessions import (
    SessionSummary,
    StoredRecord,
    list_sessions,
    read_requests,
    read_session,
)
from recordings.store import Store
from recordings.verify import Verdict, verify
from server.evidence import digest_keys
from server.keys import KeyRing


@dataclass(frozen=True, slots=True)
class StoredRecordings:
    """Reads; who may read has been asked of the gate before."""

    store: Store
    keys: KeyRing
    anchors: Witness
    _verifying: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def sessions(self) -> Sequence[SessionSummary]:
        """The newest sessions. Raises `BackendUnavailable`, as all of these do."""
        return await list_sessions(self.store)

    async def opening(self, session: str) -> StoredRecord | None:
        """A session's first record, or `None` where nothing is recorded under this id."""
        async for record in read_session(self.store, session):
            return record
        return None

    @asynccontextmanager
    async def records(self, session: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Everything recorded of a session, in order, as NDJSON."""
        async with aclosing(self._lines(session)) as lines:
            yield lines

    @asynccontextmanager
    async def requests(self, last: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The newest requests with who asked, as NDJSON."""
        async with aclosing(self._requests(last)) as lines:
            yield lines

    async def verify(self) -> Verdict:
        """Whether every chain and body is as written, and as this gateway has anchored it.

        One at a time: each takes a connection for minutes, and the gateway has eight.
        """
        if self._verifying.locked():
            raise BackendUnavailable("somebody is verifying the recording; try again in a minute")
        async with self._verifying:
            return await verify(self.store, digest_keys(self.keys), self.anchors)

    async def _requests(self, last: int) -> AsyncGenerator[bytes]:
        async for record in read_requests(self.store, last):
            yield ndjson_line(record)

    async def _lines(self, session: str) -> AsyncGenerator[bytes]:
        async for record in read_session(self.store, session):
            yield ndjson_line(record)
