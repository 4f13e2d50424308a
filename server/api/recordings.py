"""The recordings behind the HTTP API: the store, and the key ring that its chains verify with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from recordings.export import ndjson_line
from recordings.sessions import SessionSummary, StoredRecord, list_sessions, read_session
from recordings.store import Store
from recordings.verify import Verdict, verify
from server.keys import KeyRing, Purpose


@dataclass(frozen=True, slots=True)
class StoredRecordings:
    """Reads; who may read has been asked of the gate before."""

    store: Store
    keys: KeyRing

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

    async def verify(self) -> Verdict:
        """Whether every chain and body is as written."""
        return await verify(self.store, self._digest_key)

    async def _lines(self, session: str) -> AsyncGenerator[bytes]:
        async for record in read_session(self.store, session):
            yield ndjson_line(record)

    def _digest_key(self, key_id: str) -> bytes | None:
        key = self.keys.get(Purpose.BODY_DIGEST, key_id)
        return None if key is None else key.secret
