"""Who is blocked, as the store said last: read again every 2 s, and at once on a notice.

What is older than 10 s is no answer: then nobody is let in, and what runs ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from policies.errors import BackendUnavailable
from policies.model import Blockable, Principal
from recordings.store import STORE_ERRORS, AnyConnection, Store
from server.admission.seen import Seen

_log = logging.getLogger(__name__)

CHANNEL: Final = "ostiary_blocks"
LOOK_EVERY: Final = 2.0
"""Seconds between two looks; a block is in force everywhere after this, a notice lost or not."""

LOOK_WITHIN: Final = 2.0
STALE: Final = 10.0
UNREADABLE: Final = (
    "who is blocked can't be read from the store now, and nobody is let in unseen; try again"
)

_CURRENT: Final = (
    "SELECT kind, name, reason, blocked_by, blocked_at, until FROM blocks"
    " WHERE until IS NULL OR until > clock_timestamp() ORDER BY blocked_at DESC"
)


@dataclass(frozen=True, slots=True)
class Block:
    """One agent, or one person, that is let in no more; `until` by the store's clock."""

    kind: Blockable
    name: str
    reason: str
    blocked_by: str
    blocked_at: datetime
    until: datetime | None = None


@dataclass(slots=True)
class Blocks:
    """The blocks in force, and how old that knowledge is. `clock` in seconds."""

    clock: Callable[[], float] = time.monotonic
    current: tuple[Block, ...] = ()
    _read_at: float = field(init=False)
    _agents: Mapping[str, Block] = field(default_factory=dict)
    _people: Mapping[str, Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read_at = self.clock()

    @property
    def stale(self) -> bool:
        return self.clock() - self._read_at > STALE

    def of(self, principal: Principal) -> Block | None:
        """What keeps this principal out. Raises `BackendUnavailable` where nobody knows."""
        if self.stale:
            raise BackendUnavailable(UNREADABLE)
        return self._people.get(principal.id) or self._agents.get(principal.agent)

    def replace(self, current: tuple[Block, ...], *, read_at: float) -> None:
        """What the store said to a question asked at `read_at`."""
        self.current, self._read_at = current, read_at
        self._agents = {b.name: b for b in current if b.kind is Blockable.AGENT}
        self._people = {b.name: b for b in current if b.kind is Blockable.PERSON}


@dataclass(slots=True)
class BlockWatch:
    """Keeps `blocks` as the store has it; `changed` is called after each look, and each failure."""

    store: Store
    blocks: Blocks
    seen: Seen
    changed: Callable[[], None]
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Ends by being cancelled."""
        while True:
            try:
                await self._watch()
            except STORE_ERRORS as error:
                _log.warning("blocks can't be read: %s", type(error).__name__)
            self.changed()
            await asyncio.sleep(LOOK_EVERY / 2)

    async def look(self) -> None:
        """Read the blocks now. Raises `BackendUnavailable`."""
        try:
            async with self.store.pool.acquire(timeout=LOOK_WITHIN) as connection:
                await self._look(connection)
        except STORE_ERRORS as error:
            raise BackendUnavailable(UNREADABLE) from error

    async def _watch(self) -> None:
        """On one connection, for as long as it lasts."""
        connection = await self.store.connect()
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                await connection.add_listener(CHANNEL, self._heard)
            while True:
                await self._look(connection)
                async with asyncio.timeout(LOOK_WITHIN):
                    await self.seen.write(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            connection.terminate()

    async def _look(self, connection: AnyConnection) -> None:
        """One at a time: an answer that took long must not replace a newer one."""
        async with self._one_at_a_time, asyncio.timeout(LOOK_WITHIN):
            asked = self.blocks.clock()
            rows = await connection.fetch(_CURRENT)
            found = tuple(Block(Blockable(row["kind"]), *list(row.values())[1:]) for row in rows)
            self.blocks.replace(found, read_at=asked)
        self.changed()

    def _heard(self, *_notice: object) -> None:
        self._wake.set()
