"""The scanner in a process of its own, where Presidio can neither block nor crash the gateway.

One worker; batches one after another, each with a deadline. A worker that is late or dies is
replaced, and what it had in hand counts as not scanned, which masks it as a whole.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Final, Protocol, Self

from masking.errors import MaskingFailed
from masking.prefilter import may_hold_in
from masking.spans import Span, whole

_LOG: Final = logging.getLogger("ostiary.masking")

DEADLINE: Final = 5.0
"""Seconds for one batch."""

START_DEADLINE: Final = 60.0
"""Seconds for a worker to import Presidio and say that it is ready, on a busy machine too."""

BATCH: Final = 16 * 1024
"""Characters of one batch, so that one costly text takes few others with it. A longer text is a
batch of its own. Presidio's worst case is about a second for 10,000 characters."""


@dataclass(frozen=True, slots=True)
class ScanText:
    """A text, and the name of the column that it stands in."""

    text: str
    context: str = ""


class SpanFinder(Protocol):
    """Finds disjoint spans in texts without blocking the event loop."""

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        """Spans of each text, in order. Raises `MaskingFailed`."""
        ...


class _WorkerLost(Exception):
    """The worker ended, was late, or failed on this batch; it says nothing of the texts."""


class ScanWorker:
    """A `SpanFinder` over a spawned process, which starts with `warm` or with the first text.

    Texts that the prefilter clears never leave this process.
    """

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._lane = ThreadPoolExecutor(1, thread_name_prefix="scan-worker")
        self._process: _WorkerProcess | None = None

    async def __aenter__(self) -> Self:
        return self

    def warm(self) -> None:
        """Start the process in the background, so that the first text does not wait for it."""
        self._lane.submit(self._warm)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.get_running_loop().run_in_executor(self._lane, self._stop)
        self._lane.shutdown(wait=False)

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        wanted = [t for t in dict.fromkeys(texts) if may_hold_in(t.context, t.text)]
        found: dict[ScanText, list[Span]] = {}
        for batch in _batches(wanted):
            found.update(zip(batch, await self._exchange(batch), strict=True))
        return [found.get(t, []) for t in texts]

    async def _exchange(self, batch: list[ScanText]) -> list[list[Span]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lane, partial(self._scan, batch))

    # What follows runs in the lane, one call at a time: a caller that is cancelled leaves its
    # exchange to end by itself, and the next one waits for that.

    def _scan(self, batch: list[ScanText]) -> list[list[Span]]:
        process = self._ready()
        try:
            return process.exchange(batch, self._deadline)
        except _WorkerLost as lost:
            _LOG.warning("scan worker replaced: %s; %d texts masked whole", lost, len(batch))
            self._stop()
            self._lane.submit(self._warm)
            return [whole(t.text) for t in batch]

    def _ready(self) -> _WorkerProcess:
        if self._process is not None and not self._process.alive:
            self._stop()
        if self._process is None:
            self._process = _WorkerProcess()
        try:
            self._process.wait_until_ready(START_DEADLINE)
        except _WorkerLost as lost:
            self._stop()
            raise MaskingFailed("the scan worker does not start") from lost
        return self._process

    def _warm(self) -> None:
        try:
            self._ready()
        except MaskingFailed:
            _LOG.warning("the scan worker does not start; the next scan tries again")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


def _batches(texts: Sequence[ScanText]) -> Iterator[list[ScanText]]:
    batch: list[ScanText] = []
    size = 0
    for text in texts:
        if batch and size + len(text.text) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text.text)
    if batch:
        yield batch


class _WorkerProcess:
    """One worker and the pipe to it. Spawned: a fork would copy locks that threads hold."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._connection: Connection = ours
        self._process: SpawnProcess = context.Process(
            target=_run, args=(theirs,), name="ostiary-scan-worker", daemon=True
        )
        self._process.start()
        theirs.close()
        self._greeted = False

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def wait_until_ready(self, deadline: float) -> None:
        if not self._greeted:
            self._receive(deadline)
            self._greeted = True

    def exchange(self, batch: list[ScanText], deadline: float) -> list[list[Span]]:
        try:
            self._connection.send(batch)
        except OSError as error:
            raise _WorkerLost("it ended") from error
        answer = self._receive(deadline)
        if not isinstance(answer, list) or len(answer) != len(batch):
            raise _WorkerLost("it failed")
        return answer

    def _receive(self, deadline: float) -> object:
        try:
            if not self._connection.poll(deadline):
                raise _WorkerLost("it was late")
            answer: object = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _WorkerLost("it ended") from error
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


def _run(connection: Connection) -> None:
    """The worker's entry. By name, because loading Presidio is what this process is spared."""
    import_module("masking.worker").serve(connection)
