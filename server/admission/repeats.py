"""Records of refusals that a flood can't fill the store with.

The first of a kind is recorded at once; what follows within a minute is counted, and recorded as
one more record with the number.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from policies.errors import BackendUnavailable
from recordings.journal import Journal, Record

_log = logging.getLogger(__name__)

WINDOW: Final = 60.0  # seconds
MOST_KINDS: Final = 5_000
_THE_REST: Final = "the rest"


@dataclass(slots=True)
class _Kind:
    """The newest of its kind, and how many came since one was recorded."""

    record: Record
    repeated: int = 0


@dataclass(slots=True)
class Repeats:
    """Takes refusals without waiting; a task of its own records them."""

    journal: Journal
    _kinds: dict[Hashable, _Kind] = field(default_factory=dict)
    _queue: deque[Record] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, kind: Hashable, record: Record) -> None:
        """One more of this kind."""
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            kind = _THE_REST
        known = self._kinds.get(kind)
        if known is None:
            self._kinds[kind] = _Kind(record)
            self._queue.append(record)
            self._wake.set()
        else:
            known.record, known.repeated = record, known.repeated + 1

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """While open, what was noted is recorded; at the end, all the rest."""
        task = asyncio.create_task(self._run(), name="refusals")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.close_window()
            await self._write()

    def close_window(self) -> None:
        """Count up what came in the last minute, and begin anew."""
        counted = [kind for kind in self._kinds.values() if kind.repeated]
        self._kinds.clear()
        self._queue.extend(_with_number(kind) for kind in counted)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + WINDOW
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(ends):
                    await self._wake.wait()
            self._wake.clear()
            if loop.time() >= ends:
                self.close_window()
                ends = loop.time() + WINDOW
            await self._write()

    async def _write(self) -> None:
        """While the journal is down nothing runs anyway, and these are refusals already."""
        while self._queue:
            try:
                await self.journal.accept(self._queue.popleft())
            except BackendUnavailable:
                _log.warning("a refusal could not be recorded")


def _with_number(kind: _Kind) -> Record:
    return kind.record._replace(document={**kind.record.document, "repeated": kind.repeated})
