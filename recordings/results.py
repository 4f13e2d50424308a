"""The queue of results: bounded, gathered for a moment, kept until it is written."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from recordings.chain import Entry
from recordings.errors import JournalUnavailable
from recordings.outlet import DOWN, Outlet

ATTEMPT_WITHIN: Final = 3.5  # seconds: opening a stream and one write
STALL_WITHIN: Final = 10.0  # seconds that records wait for a store that takes none
ROOM_WITHIN: Final = 10.0  # seconds that a record waits for a store that lags
FLUSH_WITHIN: Final = 5.0  # seconds
GATHER: Final = 0.2  # seconds, far inside the 1 s in which results are durable
GATHERED: Final = 1 << 20  # bytes that are written at once
BATCH_BYTES: Final = 4 << 20
LEAST_BATCH_BYTES: Final = 64 << 10  # what a slow store is asked to write in one go
BATCH_RECORDS: Final = 2000
QUEUE_BYTES: Final = 16 << 20
QUEUE_RECORDS: Final = 20_000
ENDS: Final = frozenset({"outcome", "session_closed"})
"""Kinds of records after which nothing is delivered: they are kept also while the store fails."""
RESERVE_BYTES: Final = 4 << 20  # room for ends, when there is none for anything else


@dataclass(slots=True)
class ResultQueue:
    """Records of what was delivered: accepted into a bounded queue, durable within 1 s.

    What was accepted is kept until it is written. A store that lags, or takes nothing, slows who
    has something to record; `stall_within` seconds later it is refused.
    """

    outlet: Outlet
    stamp: Callable[[], int]
    stall_within: float = STALL_WITHIN
    _queue: deque[Entry] = field(default_factory=deque)
    _size: int = 0
    _failure: JournalUnavailable | None = None
    _failing_since: float = 0.0
    _batch_bytes: int = BATCH_BYTES
    _begun: int = 0
    _ended: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self, entry: Entry) -> None:
        """Take a record, waiting for room; its time is when it is taken, so that times rise.

        Raises `JournalUnavailable` for a store that has failed for `stall_within` seconds and
        fails once more, or has made no room for as long.
        """
        size = entry.size
        if size > QUEUE_BYTES:
            raise JournalUnavailable("one record is larger than the journal takes")
        if not self._keeps_as_end(entry.kind, size):
            await self._can_take(size)
        self._take(entry._replace(at=self.stamp()), size)

    def takes(self, entry: Entry) -> bool:
        """Take a record if there is room for it now, and nothing has failed; whether it was.

        It was stamped just now.
        """
        size = entry.size
        if self._failure is not None or not self._has_room(size):
            return False
        self._take(entry, size)
        return True

    def _keeps_as_end(self, kind: str, size: int) -> bool:
        return kind in ENDS and self._size + size <= QUEUE_BYTES + RESERVE_BYTES

    def _take(self, entry: Entry, size: int) -> None:
        self._queue.append(entry)
        self._size += size
        self.outlet.wake.set()
        if self._size >= GATHERED:
            self._hurry.set()

    async def _can_take(self, size: int) -> None:
        while self._failure is not None or not self._has_room(size):
            if self._failure is not None:
                await self._recovered()
            else:
                await self._wait_for_room(size)

    async def _recovered(self) -> None:
        """Wait for an attempt that succeeds. Raises `JournalUnavailable`."""
        awaited = self._begun + 1  # one that is under way may have met the store as it was before
        self._now()
        patience = self._failing_since + self.stall_within - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(patience, ATTEMPT_WITHIN)), self._changed:
                await self._changed.wait_for(
                    lambda: (
                        self._ended >= awaited and (self._failure is None or self._has_stalled())
                    )
                )
        if self._failure is not None:
            raise JournalUnavailable(DOWN) from self._failure

    def _has_stalled(self) -> bool:
        return time.monotonic() >= self._failing_since + self.stall_within

    async def flush(self) -> None:
        """Wait until everything accepted so far is durable. Raises `JournalUnavailable`."""
        last = self._queue[-1] if self._queue else None
        if last is None:
            return
        awaited = self._begun + 1
        self._now()
        await self._until(
            lambda: not self._queue or self._queue[0].at > last.at or self._ended >= awaited,
            FLUSH_WITHIN,
        )
        if self._failure is not None:
            raise JournalUnavailable(DOWN) from self._failure

    async def run(self) -> None:
        """The writer task; ends by being cancelled."""
        while True:
            await self.outlet.woken()
            await self._gather()
            await self._attempt()

    def _now(self) -> None:
        self._hurry.set()
        self.outlet.wake.set()

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                await self._hurry.wait()
        self._hurry.clear()

    async def _attempt(self) -> None:
        self._begun += 1
        try:
            await self._write_all()
            self._failure = None
        except JournalUnavailable as error:
            if self._failure is None:
                self._failing_since = time.monotonic()
            self._failure = error
            self._batch_bytes = max(self._batch_bytes // 2, LEAST_BATCH_BYTES)
        self._ended = self._begun
        await self._tell()

    async def _write_all(self) -> None:
        self._drop(await self.outlet.ready())
        while batch := self._batch():
            await self.outlet.write(batch)
            self._drop(len(batch))
            self._failure = None
            self._batch_bytes = min(self._batch_bytes * 2, BATCH_BYTES)
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _batch(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        for entry in self._queue:
            if size >= self._batch_bytes or len(batch) >= BATCH_RECORDS:
                break
            batch.append(entry)
            size += entry.size
        return batch

    def _drop(self, count: int) -> None:
        """These are in the store."""
        for _ in range(count):
            self._size -= self._queue.popleft().size

    def _has_room(self, size: int) -> bool:
        return self._size + size <= QUEUE_BYTES and len(self._queue) < QUEUE_RECORDS

    async def _wait_for_room(self, size: int) -> None:
        self._now()
        await self._until(lambda: self._failure is not None or self._has_room(size), ROOM_WITHIN)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for the condition. Raises `JournalUnavailable`: the journal is too slow."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise JournalUnavailable("the journal is too slow; try again") from None
