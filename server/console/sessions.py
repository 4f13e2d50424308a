"""Who is signed in to the approval page: random ids in cookies, their digests in the store.

Every time is the store's clock. What a session may do is asked elsewhere, at each request.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import asyncpg.pool
import orjson

from policies.errors import BackendUnavailable
from policies.model import Principal
from recordings.store import STORE_ERRORS, Store

MOST_SESSIONS: Final = 20
"""Of one principal; the oldest goes when there is one more."""

_ID_BYTES: Final = 32
_Connection = asyncpg.pool.PoolConnectionProxy


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """One signed-in browser. `id` is what its cookie holds."""

    id: str = field(repr=False)
    principal: Principal

    @property
    def form_token(self) -> str:
        """What every form of this session carries; it does not give the id away."""
        return hmac.digest(self.id.encode(), b"ostiary approval page form", "sha256").hex()


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions in the store. `keys` digest the ids, the current one first."""

    store: Store
    keys: Sequence[bytes] = field(repr=False)
    lifetime: timedelta
    idle: timedelta

    async def open(self, principal: Principal) -> BrowserSession:
        """A new session, under an id that nobody knew before. Raises `BackendUnavailable`."""
        opened = BrowserSession(secrets.token_urlsafe(_ID_BYTES), principal)
        async with self._connection() as connection, connection.transaction():
            await self._make_room(connection, principal)
            await connection.execute(
                "INSERT INTO console_sessions (digest, principal, principal_id, expires_at)"
                " VALUES ($1, $2, $3, clock_timestamp() + $4)",
                self._digests(opened.id)[0],
                orjson.dumps(_document(principal)).decode(),
                principal.id,
                self.lifetime,
            )
        return opened

    async def find(self, id: str) -> BrowserSession | None:  # noqa: A002 - the field's word
        """The session of this id, unless it is over; it counts as used now.

        Raises `BackendUnavailable`.
        """
        if not id:
            return None
        async with self._connection() as connection:
            found = await connection.fetchval(
                "UPDATE console_sessions SET seen_at = clock_timestamp()"
                " WHERE digest = ANY($1) AND expires_at > clock_timestamp()"
                " AND opened_at > clock_timestamp() - $2::interval"
                " AND seen_at > clock_timestamp() - $3::interval RETURNING principal",
                self._digests(id),
                self.lifetime,
                self.idle,
            )
        return BrowserSession(id, _principal(found)) if found is not None else None

    async def close(self, id: str) -> None:  # noqa: A002 - the field's word
        """Forget the session of this id. Raises `BackendUnavailable`."""
        async with self._connection() as connection:
            await connection.execute(
                "DELETE FROM console_sessions WHERE digest = ANY($1)", self._digests(id)
            )

    def _digests(self, id: str) -> list[bytes]:  # noqa: A002 - the field's word
        return [hmac.digest(key, id.encode("utf-8", "replace"), "sha256") for key in self.keys]

    async def _make_room(self, connection: _Connection, principal: Principal) -> None:
        """Delete what is over, and the principal's oldest where there are too many."""
        await connection.execute(
            "DELETE FROM console_sessions WHERE expires_at <= clock_timestamp()"
            " OR seen_at <= clock_timestamp() - $1::interval",
            self.idle,
        )
        await connection.execute(
            "DELETE FROM console_sessions WHERE digest IN (SELECT digest FROM console_sessions"
            " WHERE principal_id = $1 ORDER BY opened_at DESC OFFSET $2)",
            principal.id,
            MOST_SESSIONS - 1,
        )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with self.store.pool.acquire(timeout=2.0) as connection:
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached now; try again") from error


def _document(principal: Principal) -> dict[str, object]:
    return {
        "id": principal.id,
        "name": principal.name,
        "agent": principal.agent,
        "groups": sorted(principal.groups),
        "email": principal.email,
    }


def _principal(document: str) -> Principal:
    read = orjson.loads(document)
    return Principal(
        read["id"], read["name"], read["agent"], frozenset(read["groups"]), read["email"]
    )
