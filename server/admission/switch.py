"""The kill switch: block an agent or a person at every gateway on this store, and take it back.

Whether somebody may is the gate's to say, before any of these is called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from policies.errors import BackendUnavailable, Denied, Refusal
from policies.model import Blockable, BlockAgent, Channel, Principal, UnblockAgent
from recordings.journal import Journal, Json, Record
from recordings.store import STORE_ERRORS, Store
from server.admission.blocks import CHANNEL, Block, BlockWatch
from server.admission.seen import SeenAgent, is_known, seen_lately

_Connection = asyncpg.pool.PoolConnectionProxy

_BLOCK: Final = (
    "INSERT INTO blocks (kind, name, reason, blocked_by, until) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (kind, name) DO UPDATE SET reason = excluded.reason,"
    " blocked_by = excluded.blocked_by, blocked_at = excluded.blocked_at, until = excluded.until"
)
_HELD: Final = "SELECT true FROM blocks WHERE kind = $1 AND name = $2 FOR UPDATE"
_UNBLOCK: Final = "DELETE FROM blocks WHERE kind = $1 AND name = $2"
_PAST: Final = "SELECT $1::timestamptz <= clock_timestamp()"


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """Each change is in the journal before it takes effect, and in force here on return."""

    store: Store
    journal: Journal
    watch: BlockWatch

    async def block(self, principal: Principal, action: BlockAgent, *, channel: Channel) -> None:
        """Raises `Denied` for oneself, and for a moment that is past."""
        _require_somebody_else(principal, action)
        async with self._transaction() as connection:
            if action.until is not None and await connection.fetchval(_PAST, action.until):
                raise Denied(_PAST_ALREADY)
            until = action.until.isoformat() if action.until else ""
            await self.journal.commit(
                _record("agent_blocked", principal, action, channel, {"until": until})
            )
            await connection.execute(
                _BLOCK, action.kind.value, action.name, action.reason, principal.id, action.until
            )
            await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
        await self.watch.look()

    async def unblock(
        self, principal: Principal, action: UnblockAgent, *, channel: Channel
    ) -> None:
        """Raises `Denied` where there is no such block."""
        async with self._transaction() as connection:
            if not await connection.fetchval(_HELD, action.kind.value, action.name):
                raise Denied(_not_blocked(action))
            await self.journal.commit(_record("agent_unblocked", principal, action, channel, {}))
            await connection.execute(_UNBLOCK, action.kind.value, action.name)
            await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
        await self.watch.look()

    async def blocks(self) -> Sequence[Block]:
        """Those in force, newest first. Raises `BackendUnavailable`."""
        await self.watch.look()
        return self.watch.blocks.current

    async def knows(self, kind: Blockable, name: str) -> bool:
        """Whether they came lately: a name with a typing error stops nobody."""
        return await is_known(self.store, kind, name)

    async def seen(self) -> Sequence[SeenAgent]:
        """Which agents came lately, for whom. Raises `BackendUnavailable`."""
        return await seen_lately(self.store)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Connection]:
        try:
            async with (
                self.store.pool.acquire(timeout=2.0) as connection,
                connection.transaction(),
            ):
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached now; try again") from error


def _record(
    kind: str,
    principal: Principal,
    action: BlockAgent | UnblockAgent,
    channel: Channel,
    more: dict[str, Json],
) -> Record:
    document: dict[str, Json] = {
        "kind": action.kind.value,
        "name": action.name,
        "reason": action.reason,
        "principal": principal.id,
        "agent": principal.agent,
        "channel": channel.value,
        **more,
    }
    return Record("", kind, document)


def _require_somebody_else(principal: Principal, action: BlockAgent) -> None:
    """Whoever blocks must be able to take it back, with the client that they have at hand."""
    own = principal.agent if action.kind is Blockable.AGENT else principal.id
    if action.name == own:
        raise Denied(
            Refusal(
                code="BLOCKS_ITSELF",
                reason="You would block yourself, and could not take it back.",
                subject=action.name,
                next_step="Ask somebody else, or use another client.",
            )
        )


def _not_blocked(action: UnblockAgent) -> Refusal:
    return Refusal(
        code="NOT_BLOCKED",
        reason=f"There is no block of this {action.kind.value}.",
        subject=action.name,
        next_step="See `ostiary agents list` for the names that are blocked.",
    )


_PAST_ALREADY: Final = Refusal(
    code="PAST_ALREADY",
    reason="The block would have ended already, by the store's clock.",
    next_step="Name a moment in the future, or leave it out.",
)
