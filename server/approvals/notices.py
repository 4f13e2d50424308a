"""Who waits for which ticket, and how they are woken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

from recordings.store import STORE_ERRORS, Store

CHANNEL: Final = "ostiary_tickets"
LOOK_AGAIN: Final = 5.0  # seconds: a waiter looks again even when no notice reaches it


class Notices:
    """Wakes waiters of a ticket when the store says that it changed."""

    def __init__(self) -> None:
        self._interest: dict[str, set[asyncio.Event]] = {}

    @contextlib.contextmanager
    def interest(self, ticket: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._interest.setdefault(ticket, set()).add(event)
        try:
            yield event
        finally:
            self._interest[ticket].discard(event)
            if not self._interest[ticket]:
                del self._interest[ticket]

    def heard(self, _connection: object, _pid: int, _channel: str, ticket: object) -> None:
        """asyncpg's listener callback."""
        for event in self._interest.get(str(ticket), ()):
            event.set()

    @contextlib.asynccontextmanager
    async def listening(self, store: Store) -> AsyncIterator[None]:
        """While open, hear what any gateway on this store did to a ticket."""
        task = asyncio.create_task(self._listen(store))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen(self, store: Store) -> None:
        while True:
            with contextlib.suppress(*STORE_ERRORS):
                await self._listen_once(store)
            await asyncio.sleep(LOOK_AGAIN)

    async def _listen_once(self, store: Store) -> None:
        """Listen for as long as the connection lasts."""
        gone = asyncio.Event()
        async with store.pool.acquire() as connection:
            connection.add_termination_listener(lambda _connection: gone.set())
            await connection.add_listener(CHANNEL, self.heard)
            try:
                await gone.wait()
            finally:
                await connection.remove_listener(CHANNEL, self.heard)
