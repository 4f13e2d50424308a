"""Gateway tokens, shown as passwords by native clients: opaque, short-lived, kept as digests.

Not in here: who may be given one (`server.native.desk`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from policies.errors import BackendUnavailable
from policies.model import Principal
from recordings.store import STORE_ERRORS, AnyConnection, Store

PREFIX: Final = "ostiary_"
"""What scanners for leaked secrets can look for."""

_TOKEN: Final = re.compile(r"ostiary_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_NOBODYS: Final = bytes(32)
_COLUMNS: Final = (
    "id, digest, principal, principal_name, agent, groups, email, target, protocol,"
    " issued_at, expires_at, used_at, revoked_at,"
    " expires_at <= clock_timestamp() AS expired, extract(epoch FROM expires_at) AS ends"
)
_INSERT: Final = (
    "INSERT INTO gateway_tokens (id, digest, principal, principal_name, agent, groups, email,"
    " target, protocol, expires_at)"
    " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9, clock_timestamp() + $10::interval) RETURNING expires_at"
)
_COUNT: Final = (
    "SELECT count(*) FROM gateway_tokens"
    " WHERE principal = $1 AND expires_at > clock_timestamp() AND revoked_at IS NULL"
)
_FORGET: Final = "DELETE FROM gateway_tokens WHERE expires_at < clock_timestamp() - interval '90 d'"
_REVOKE: Final = (
    "UPDATE gateway_tokens SET revoked_at = clock_timestamp(), revoked_by = $2"
    " WHERE id = $1 AND revoked_at IS NULL"
)
SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class GatewayToken:
    """One that was issued; `refused_from` in seconds since 1970. The secret is not in it."""

    id: str
    digest: bytes = field(repr=False)
    principal: Principal
    target: str
    protocol: str
    issued_at: datetime
    expires_at: datetime
    refused_from: float
    used_at: datetime | None
    revoked_at: datetime | None
    expired: bool

    def opens_with(self, secret: str) -> bool:
        """Whether this is its secret; takes as long either way."""
        return hmac.compare_digest(self.digest, digest_of(secret))


def new_token() -> tuple[str, str]:
    """An id, and the whole token, which holds 256 random bits."""
    name = secrets.token_hex(8)
    return name, f"{PREFIX}{name}_{secrets.token_urlsafe(32)}"


def id_of(secret: str) -> str | None:
    """The id in what may be a token; None where it has not the form of one."""
    found = _TOKEN.fullmatch(secret)
    return found[1] if found else None


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The tokens in the store. All of it raises `BackendUnavailable`."""

    store: Store

    async def presented(self, secret: str) -> GatewayToken | None:
        """The token that this is the secret of, in whatever state; None for nobody's."""
        name = id_of(secret)
        if name is None:
            return None
        found = await self.find(name)
        if found is None:
            hmac.compare_digest(_NOBODYS, digest_of(secret))
            return None
        return found if found.opens_with(secret) else None

    async def find(self, name: str) -> GatewayToken | None:
        async with self._connection() as connection:
            row = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM gateway_tokens WHERE id = $1",  # noqa: S608 -- constants
                name,
            )
        return _token(row) if row else None

    async def listed(self) -> Sequence[GatewayToken]:
        """The newest of those that can be used."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM gateway_tokens"  # noqa: S608 -- constants
                " WHERE revoked_at IS NULL AND expires_at > clock_timestamp()"
                " ORDER BY issued_at DESC LIMIT $1",
                SHOWN,
            )
        return [_token(row) for row in rows]

    async def insert(
        self, name: str, secret: str, whose: Principal, use: tuple[str, str], ttl: timedelta
    ) -> datetime:
        """Keep a new one for a use, which is a target and a protocol; when it ends."""
        values = (whose.id, whose.name, whose.agent, sorted(whose.groups), whose.email)
        async with self._connection() as connection:
            await connection.execute(_FORGET)
            moment = await connection.fetchval(_INSERT, name, digest_of(secret), *values, *use, ttl)
        if not isinstance(moment, datetime):
            raise BackendUnavailable("the store did not keep the token; try again")
        return moment

    async def count(self, principal: str) -> int:
        """How many this principal has that can be used."""
        async with self._connection() as connection:
            return int(await connection.fetchval(_COUNT, principal))

    async def revoke(self, name: str, by: str) -> None:
        async with self._connection() as connection:
            await connection.execute(_REVOKE, name, by)

    async def used(self, name: str) -> None:
        async with self._connection() as connection:
            await connection.execute(
                "UPDATE gateway_tokens SET used_at = clock_timestamp() WHERE id = $1", name
            )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AnyConnection]:
        try:
            async with self.store.pool.acquire(timeout=5.0) as connection:
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached now; try again") from error


def _token(row: object) -> GatewayToken:
    record = dict(row)  # type: ignore[call-overload]  # asyncpg's Record is a mapping to dict()
    principal = Principal(
        record["principal"],
        record["principal_name"],
        record["agent"],
        frozenset(record["groups"]),
        record["email"],
    )
    return GatewayToken(
        record["id"],
        record["digest"],
        principal,
        record["target"],
        record["protocol"],
        record["issued_at"],
        record["expires_at"],
        float(record["ends"]),
        record["used_at"],
        record["revoked_at"],
        record["expired"],
    )
