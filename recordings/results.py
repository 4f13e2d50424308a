"""The queue of results: bounded, gathered for a moment, kept until it is written."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from recordings.chain import Entry
from recordings.errors import JournalUnavailable
from recordings.outlet import DOWN, Outlet

ATTEMPT_WITHIN: Final = 3.5  # seconds: opening a stream and one write
ROOM_WITHIN: Final = 5.0  # seconds that a record waits for room
GATHER: Final = 0.2  # seconds, far inside the 1 s in which results are durable
GATHERED: Final = 1 << 20  # bytes that are written at once
BATCH_BYTES: Final = 4 << 20
BATCH_RECORDS: Final = 2000
QUEUE_BYTES: Final = 16 << 20
QUEUE_RECORDS: Final = 20_000


@dataclass(slots=True)
class ResultQueue:
    """Records of what was delivered: accepted into a bounded queue, durable within 1 s.

    What was accepted is kept until it is written. While a write has failed, nothing is accepted.
    """

    outlet: Outlet
    stamp: Callable[[], int]
    _queue: deque[Entry] = field(default_factory=deque)
    _size: int = 0
    _failure: JournalUnavailable | None = None
    _begun: int = 0
    _ended: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self, entry: Entry) -> None:
        """Take a record, waiting for room; its time is when it is taken, so that times rise.

        Raises `JournalUnavailable`.
        """
        if entry.size > QUEUE_BYTES:
            raise JournalUnavailable("one record is larger than the journal takes")
        if self._failure is not None:
            await self.retry()
        if not self._has_room(entry):
            await self._wait_for_room(entry)
        self._queue.append(replace(entry, at=self.stamp()))
        self._size += entry.size
        self.outlet.wake.set()
        if self._size >= GATHERED:
            self._hurry.set()

    async def retry(self) -> None:
        """Wait for one attempt to write what is queued. Raises `JournalUnavailable`."""
        awaited = self._begun + 1  # one that is under way may have met the store as it was before
        self._now()
        await self._until(lambda: self._ended >= awaited, ATTEMPT_WITHIN)

    async def flush(self) -> None:
        """Wait until everything accepted so far is durable. Raises `JournalUnavailable`."""
        last = self._queue[-1] if self._queue else None
        if last is None:
            return
        awaited = self._begun + 1
        self._now()
        await self._until(
            lambda: not self._queue or self._queue[0].at > last.at or self._ended >= awaited,
            ROOM_WITHIN,
        )

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
            self._failure = error
        self._ended = self._begun
        await self._tell()

    async def _write_all(self) -> None:
        self._drop(await self.outlet.ready())
        while batch := self._batch():
            await self.outlet.write(batch)
            self._drop(len(batch))
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _batch(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        for entry in self._queue:
            if size >= BATCH_BYTES or len(batch) >= BATCH_RECORDS:
                break
            batch.append(entry)
            size += entry.size
        return batch

    def _drop(self, count: int) -> None:
        """These are in the store."""
        for _ in range(count):
            self._size -= self._queue.popleft().size

    def _has_room(self, entry: Entry) -> bool:
        return self._size + entry.size <= QUEUE_BYTES and len(self._queue) < QUEUE_RECORDS

    async def _wait_for_room(self, entry: Entry) -> None:
        self._now()
        await self._until(lambda: self._failure is not None or self._has_room(entry), ROOM_WITHIN)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for the condition; raises what the writer failed with, or that it is too slow."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise JournalUnavailable("the journal is too slow; try again") from None
        if self._failure is not None:
            raise JournalUnavailable(DOWN) from self._failure
