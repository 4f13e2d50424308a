"""Scan workers from the gateway's side: a process, a pipe, and what happens when it is late.

A lane has one worker and does one batch after another, each with a deadline. A worker that is late
or dies is replaced, and what it had in hand counts as not scanned, which masks it as a whole.

A worker that starts slowly is not late: it goes on starting while texts that can't wait any longer
count as not scanned. Killed as often as it is slow, it would never be ready on a busy machine.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Event
from time import monotonic
from typing import Final

from masking.beginnings import Beginning
from masking.entities import Recognition
from masking.errors import MaskingFailed
from masking.fast.database import Prefilter
from masking.spans import Span, whole

_LOG: Final = logging.getLogger("ostiary.masking")

START_DEADLINE: Final = 60.0
"""Seconds that texts wait for a worker to import Presidio and say that it is ready."""

PATIENCE: Final = 1.0
"""Seconds that they wait for one that has been starting for longer."""

GIVEN_UP: Final = 900.0
"""Seconds after which a worker that is not ready yet is taken for hung, and replaced."""

RETRY: Final = 5.0
"""Seconds after a worker died while it started in which no other one is."""


@dataclass(frozen=True, slots=True)
class ScanText:
    """A text, and the name of the column that it stands in."""

    text: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts for a worker; those at `rechecked` it searches again with plain Presidio."""

    texts: Sequence[ScanText]
    rechecked: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Spans by a text's place in the batch, where there are any, and how many rechecks differed."""

    spans: dict[int, list[Span]]
    differences: int = 0


@dataclass(frozen=True, slots=True)
class Greeting:
    """A worker is ready. Without Hyperscan it has no prefilter to hand over.

    `beginnings`: patterns of what the configuration adds to the curated recognizers.
    """

    prefilter: Prefilter | None
    beginnings: Sequence[Beginning] = ()


class _WorkerLost(Exception):
    """The worker ended, was late, or failed on this batch; it says nothing of the texts."""


class _NotReady(_WorkerLost):
    """The worker is still starting."""


class Lane:
    """One worker, started with the first batch or by `warm`. `greeted` hears of each new one."""

    def __init__(
        self, deadline: float, recognition: Recognition, greeted: Callable[[Greeting], None]
    ) -> None:
        self._deadline = deadline
        self._recognition = recognition
        self._greeted = greeted
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scan-worker")
        self._process: _WorkerProcess | None = None
        self._not_before = 0.0
        self._closed = Event()
        self.waiting = 0
        """Batches that are under way or wait here."""

    @property
    def started(self) -> bool:
        return self._process is not None

    def warm(self) -> None:
        """Start the worker in the background, so that the first text does not wait for it."""
        self._thread.submit(self._warm)

    async def ready(self) -> None:
        """Once the worker has started. Raises `MaskingFailed` where it does not, for now."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._ready)

    async def close(self) -> None:
        """End the worker at once: one that still starts, or searches, is not waited for."""
        self._closed.set()
        if (process := self._process) is not None:
            process.end()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._stop)
        self._thread.shutdown(wait=False)

    async def exchange(self, batch: Batch) -> Answer:
        """The worker's answer, or every text as not scanned."""
        self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, partial(self._scan, batch))
        finally:
            self.waiting -= 1

    # What follows runs in the lane's thread, one call at a time: a caller that is cancelled
    # leaves its exchange to end by itself, and the next one waits for that.

    def _scan(self, batch: Batch) -> Answer:
        try:
            process = self._ready()
        except MaskingFailed as failed:
            _LOG.warning("%s; %d texts masked whole", failed, len(batch.texts))
            return _unsearched(batch)
        try:
            return process.exchange(batch, self._deadline)
        except _WorkerLost as lost:
            _LOG.warning("scan worker replaced: %s; %d texts masked whole", lost, len(batch.texts))
            self._stop()
            self._thread.submit(self._warm)
            return _unsearched(batch)

    def _ready(self) -> _WorkerProcess:
        """The worker, once it is ready. Raises `MaskingFailed`."""
        if self._process is not None and not self._process.alive:
            self._stop()
        if self._closed.is_set():
            raise MaskingFailed("the scan worker was stopped")
        if self._process is None:
            if monotonic() < self._not_before:
                raise MaskingFailed("the scan worker died while it started")
            self._process = _WorkerProcess(self._recognition)
        if self._closed.is_set():  # while it was made
            self._process.end()
        try:
            greeting = self._process.greeting()
        except _NotReady as late:
            raise MaskingFailed("the scan worker is still starting") from late
        except _WorkerLost as lost:
            self._stop()
            self._not_before = monotonic() + RETRY
            raise MaskingFailed("the scan worker does not start") from lost
        if greeting is not None:
            self._greeted(greeting)
        return self._process

    def _warm(self) -> None:
        try:
            self._ready()
        except MaskingFailed as failed:
            if not self._closed.is_set():
                _LOG.warning("%s; the next scan tries again", failed)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


class _WorkerProcess:
    """One worker and the pipe to it. Spawned: a fork would copy locks that threads hold."""

    def __init__(self, recognition: Recognition) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._connection: Connection = ours
        self._process: SpawnProcess = context.Process(
            target=_run,
            args=(theirs, recognition),
            name="ostiary-scan-worker",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._greeted = False
        self._begun = monotonic()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def greeting(self) -> Greeting | None:
        """The worker's greeting, once; None after that.

        Raises `_NotReady` where it is still starting, until it must have hung.
        """
        if self._greeted:
            return None
        age = monotonic() - self._begun
        try:
            if age < GIVEN_UP and not self._connection.poll(max(START_DEADLINE - age, PATIENCE)):
                raise _NotReady("it is starting")
        except OSError as error:
            raise _WorkerLost("it ended") from error
        greeting = self._receive(0.0)
        if not isinstance(greeting, Greeting):
            raise _WorkerLost("it failed")
        self._greeted = True
        return greeting

    def exchange(self, batch: Batch, deadline: float) -> Answer:
        try:
            self._connection.send(batch)
        except OSError as error:
            raise _WorkerLost("it ended") from error
        answer = self._receive(deadline)
        if not isinstance(answer, Answer):
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

    def end(self) -> None:
        """Kill it without waiting; from any thread."""
        self._process.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


def _unsearched(batch: Batch) -> Answer:
    return Answer({index: whole(text.text) for index, text in enumerate(batch.texts)})


def _run(connection: Connection, recognition: Recognition) -> None:
    """The worker's entry. By name, because loading Presidio is what this process is spared."""
    import_module("masking.worker").serve(connection, recognition)
