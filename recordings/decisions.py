"""The queue of decisions: everything queued since the last commit is one commit, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from recordings.chain import Entry
from recordings.errors import SESSION_LOST, JournalUnavailable
from recordings.outlet import DOWN, Outlet

COMMIT_WITHIN: Final = 2.0  # seconds that a caller waits
BATCH_BYTES: Final = 4 << 20
BATCH_RECORDS: Final = 2000
QUEUE_BYTES: Final = 16 << 20


@dataclass(slots=True)
class Group:
    """Records of one commit: durable together, or refused together."""

    entries: Sequence[Entry]
    done: asyncio.Future[None]
    size: int


@dataclass(slots=True)
class Decisions:
    """Records that somebody waits for. What can't be written now is refused, never kept."""

    outlet: Outlet
    lost: Callable[[str], bool]
    _queue: deque[Group] = field(default_factory=deque)
    _size: int = 0

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Durable on return. Raises `JournalUnavailable` within `COMMIT_WITHIN`."""
        size = sum(e.size for e in entries)
        if self._size + size > QUEUE_BYTES:
            raise JournalUnavailable("too much waits to be recorded; try again")
        loop = asyncio.get_running_loop()
        group = Group(entries, loop.create_future(), size)
        self._queue.append(group)
        self._size += size
        self.outlet.wake.set()
        late = loop.call_later(COMMIT_WITHIN, self._refuse, [group], JournalUnavailable(DOWN))
        try:
            await group.done
        finally:
            late.cancel()

    async def run(self) -> None:
        """The writer task; ends by being cancelled."""
        while True:
            await self.outlet.woken()
            await self._write_all()

    async def _write_all(self) -> None:
        """A failure is told to those that it concerns; who came later has the next attempt."""
        waiting = len(self._queue)
        try:
            await self.outlet.ready()
        except JournalUnavailable as error:
            self._refuse([self._pop() for _ in range(waiting)], error)
            self._again_if_any()
            return
        while (batch := self._take()) and await self._written(batch):
            pass
        self._again_if_any()

    async def _written(self, batch: list[Group]) -> bool:
        try:
            await self.outlet.write([e for group in batch for e in group.entries])
        except JournalUnavailable as error:
            self._refuse(batch, error)
            return False
        for group in batch:
            if not group.done.done():
                group.done.set_result(None)
        return True

    def _again_if_any(self) -> None:
        if self._queue:
            self.outlet.wake.set()

    def _take(self) -> list[Group]:
        """The next batch, without those whose callers have gone: nothing will come of them."""
        batch: list[Group] = []
        size = records = 0
        while self._queue and size < BATCH_BYTES and records < BATCH_RECORDS:
            group = self._pop()
            if group.done.done():
                continue
            if any(self.lost(e.session) for e in group.entries):
                self._refuse([group], JournalUnavailable(SESSION_LOST))
                continue
            batch.append(group)
            size += group.size
            records += len(group.entries)
        return batch

    def _pop(self) -> Group:
        group = self._queue.popleft()
        self._size -= group.size
        return group

    def _refuse(self, groups: Sequence[Group], error: JournalUnavailable) -> None:
        for group in groups:
            if not group.done.done():
                group.done.set_exception(error)
