"""Which agents came lately, and for whom: what there is to block. Noted here, kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from policies.errors import BackendUnavailable
from policies.model import Blockable, Principal
from recordings.store import STORE_ERRORS, AnyConnection, Store

AGAIN_AFTER: Final = 60.0  # seconds
MOST_PAIRS: Final = 10_000
SHOWN: Final = 500

_UPSERT: Final = (
    "INSERT INTO agents_seen (agent, principal, principal_name, seen_at)"
    " VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (agent, principal)"
    " DO UPDATE SET principal_name = excluded.principal_name, seen_at = excluded.seen_at"
)
_FORGET: Final = "DELETE FROM agents_seen WHERE seen_at < clock_timestamp() - interval '90 days'"


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """One agent that acted for one person."""

    agent: str
    principal: str
    principal_name: str
    seen_at: datetime


@dataclass(slots=True)
class Seen:
    """Notes who is let in; each pair goes to the store once a minute at most."""

    _noted: dict[tuple[str, str], float] = field(default_factory=dict)
    _unwritten: dict[tuple[str, str], str] = field(default_factory=dict)

    def note(self, principal: Principal, now: float) -> None:
        """`now` in seconds."""
        pair = principal.agent, principal.id
        noted = self._noted.get(pair)
        if noted is not None and now - noted < AGAIN_AFTER:
            return
        if len(self._noted) >= MOST_PAIRS:
            self._noted.clear()
        self._noted[pair] = now
        if len(self._unwritten) < MOST_PAIRS:
            self._unwritten[pair] = principal.name

    async def write(self, connection: AnyConnection) -> None:
        """Write what was noted since; sorted, so that two gateways never wait in a circle."""
        if not self._unwritten:
            return
        noted, self._unwritten = self._unwritten, {}
        await connection.executemany(_UPSERT, [(*pair, noted[pair]) for pair in sorted(noted)])
        await connection.execute(_FORGET)


async def is_known(store: Store, kind: Blockable, name: str) -> bool:
    """Whether they came in the last 90 days. Raises `BackendUnavailable`."""
    column = "agent" if kind is Blockable.AGENT else "principal"
    query = f"SELECT EXISTS (SELECT FROM agents_seen WHERE {column} = $1)"  # noqa: S608 -- ours
    try:
        return await store.pool.fetchval(query, name) is True
    except STORE_ERRORS as error:
        raise BackendUnavailable("the agents can't be read now; try again") from error


async def seen_lately(store: Store) -> Sequence[SeenAgent]:
    """The newest pairs, at any gateway on this store. Raises `BackendUnavailable`."""
    try:
        rows = await store.pool.fetch(
            "SELECT agent, principal, principal_name, seen_at FROM agents_seen"
            " ORDER BY seen_at DESC LIMIT $1",
            SHOWN,
        )
    except STORE_ERRORS as error:
        raise BackendUnavailable("the agents can't be read now; try again") from error
    return [SeenAgent(*row.values()) for row in rows]
