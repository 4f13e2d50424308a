"""Who waits for which ticket, and how they are woken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


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
