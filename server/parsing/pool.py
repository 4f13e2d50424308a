"""The workers of a gateway, and who of them gets which statement.

What one caller asks for holds up that caller alone. Two workers are for everybody, with one
statement of a caller's at a time; the third takes what callers ask for beside it, and all that
those ask for who had a statement that harmed a worker some minutes ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from math import inf
from typing import Final

from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from server.parsing.alike import form
from server.parsing.analyst import BUSY, DIED, LATE, MISSING, refused_at_sight
from server.parsing.link import LOADING, Job, State, Understood, Worker
from server.parsing.names import Shipped, Shipping
from server.parsing.patience import Patience
from server.parsing.remembered import FactsCache, Key, Suspicions
from server.parsing.start import NURSERY, Nursery

_LOG: Final = getLogger("ostiary.parsing")

FOR_EVERYBODY: Final = 2

WAITING: Final = 0.4
"""Seconds for which a statement waits for workers that answer nobody."""

LONGEST_WAITING: Final = 4.0
"""Seconds for which it waits while they do: many have come at once, or the machine is slow."""

FIRST_WAITING: Final = 30.0
"""Seconds for which the first statements wait until there are workers at all."""

QUEUE: Final = 1024
QUEUE_OF_ONE: Final = 128
"""Statements of all callers that wait, and of one."""

BACK_OFF: Final = 0.05
LONGEST_BACK_OFF: Final = 5.0
"""Seconds before a worker is replaced that did nothing useful; twice as long each time."""


@dataclass(slots=True)
class _Lane:
    """A place for a worker, and how many in a row did nothing useful there."""

    worker: Worker | None = None
    failures: int = 0
    after: float = 0.0


class ParserPool:
    """An `Analyst` over worker processes. One a gateway; see `parsing`."""

    def __init__(self, dialects: Sequence[str], program: str = NURSERY) -> None:
        self._dialects = dialects
        self._program = program
        self._loop = asyncio.get_running_loop()
        self._shipping = Shipping()
        self._cache = FactsCache()
        self.suspicions = Suspicions()
        self._flying: dict[Key, Job] = {}
        self._waiting: list[Job] = []
        self._lanes = [_Lane() for _ in range(FOR_EVERYBODY + 1)]
        self._nursery: Nursery | None = None
        self._nurseries = _Lane()
        self.warm = False
        self._answered = -inf
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()

    async def facts(
        self, dialect: str, text: str, catalog: Catalog, *, asker: str = ""
    ) -> SqlFacts:
        """What a statement does by a catalog; opaque where no worker can say it in time."""
        text = form(text)
        shipped = self._shipping.known(catalog)
        if shipped is not None:
            known = self._cache.get((dialect, *shipped.key, text))
            if known is not None:
                return known
        refused = refused_at_sight(dialect, text) or self.suspicions.of_statement(dialect, text)
        if refused is not None:
            return refused
        shipped = shipped or await self._shipping.ready(catalog)
        job = self._job(dialect, text, shipped, asker)
        # Others may wait for the same answer: who leaves does not take it along.
        return await asyncio.shield(job.answer)

    def begin(self) -> None:
        """Start the processes, if no statement has had them started before."""
        self._begun.set()

    @property
    def processes(self) -> Sequence[int]:
        """Ids of the nursery and of the workers that are ready."""
        nursery = [] if self._nursery is None else [self._nursery.pid]
        return nursery + [worker.pid for worker in self._ready()]

    # Workers call what follows.

    def free(self, worker: Worker) -> None:
        self.warm = True
        self._dispatch()

    def understood(self, worker: Worker, job: Job, understood: Understood) -> None:
        self._answered = self._loop.time()
        self._cache.put(job.key, understood.facts, understood.size)
        self.suspicions.spent(job.asker, understood.spent)
        self._nurseries.failures = 0
        for lane in self._lanes:
            if lane.worker is worker:
                lane.failures = 0
        self._settle(job, understood.facts)

    def late(self, worker: Worker, *, by_itself: bool) -> None:
        if worker.state in (State.STARTING, State.ENDING):
            self._give_up_nursery("does not start" if worker.pid == 0 else "does not end")
            return
        if not by_itself:
            self._forgive(worker)
        self._end(worker, LATE)

    def broken(self, worker: Worker) -> None:
        self._end(worker, DIED)

    def ended(self, worker: Worker) -> None:
        self._blame(worker, DIED)
        for lane in self._lanes:
            if lane.worker is worker:
                lane.worker = None
                self._later(lane)
        if self._nursery is not None and worker.pid:
            self._nursery.kill_worker(worker.pid)  # it is dead: its process id is given back
        self._changed.set()

    # Statements

    def _job(self, dialect: str, text: str, shipped: Shipped, asker: str) -> Job:
        key = (dialect, *shipped.key, text)
        job = self._flying.get(key)
        if job is None:
            answer = self._loop.create_future()
            job = Job(key, asker, shipped, answer, since=self._loop.time())
            self._take(job)
        return job

    def _take(self, job: Job) -> None:
        own = sum(other.asker == job.asker for other in self._waiting)
        if len(self._waiting) >= QUEUE or own >= QUEUE_OF_ONE:
            job.settle(BUSY)
            return
        self.begin()
        self._flying[job.key] = job
        self._waiting.append(job)
        self._dispatch()
        if job in self._waiting:
            patience = self._patience_for(job)
            job.patience = Patience(patience, partial(self._waited_enough, job))

    def _patience_for(self, job: Job) -> float:
        ready = self._ready()
        if ready and not any(worker.knows(job.shipped.names) for worker in ready):
            return LOADING
        return WAITING if self.warm else FIRST_WAITING

    def _ready(self) -> list[Worker]:
        return [w for lane in self._lanes if (w := lane.worker) is not None and w.pid]

    def _waited_enough(self, job: Job) -> None:
        now = self._loop.time()
        if job not in self._waiting:
            return
        if now - self._answered < WAITING and now - job.since < LONGEST_WAITING:
            job.patience = Patience(WAITING, partial(self._waited_enough, job))
        else:
            self._waiting.remove(job)
            self._settle(job, BUSY if self._ready() else MISSING)

    def _dispatch(self) -> None:
        """Give workers that are free what waits longest for one like them."""
        for job in tuple(self._waiting):
            if not any(_is_free(lane) for lane in self._lanes):
                return
            worker = self._worker_for(job)
            if worker is not None:
                self._waiting.remove(job)
                if job.patience is not None:
                    job.patience.cancel()
                worker.analyse(job)

    def _worker_for(self, job: Job) -> Worker | None:
        """A free worker that this statement may have, and that knows its names."""
        free = [
            lane.worker
            for lane in self._lanes_for(job.asker)
            if lane.worker is not None and lane.worker.state is State.IDLE
        ]
        for worker in free:
            if worker.knows(job.shipped.names):
                return worker
        for worker in free:
            worker.load(job.shipped.names)
        return None

    def _lanes_for(self, asker: str) -> Sequence[_Lane]:
        everybodys, last = self._lanes[:FOR_EVERYBODY], self._lanes[FOR_EVERYBODY:]
        running = (lane.worker.job for lane in everybodys if lane.worker is not None)
        has_one = any(job is not None and job.asker == asker for job in running)
        return last if has_one or self.suspicions.of_asker(asker) else self._lanes

    def _settle(self, job: Job, facts: SqlFacts) -> None:
        self._flying.pop(job.key, None)
        job.settle(facts)

    # Processes

    def _end(self, worker: Worker, facts: SqlFacts) -> None:
        """Kill a worker that is of no more use, and answer the statement it had."""
        self._blame(worker, facts)
        worker.ending()
        if self._nursery is not None:
            self._nursery.kill_worker(worker.pid)

    def _forgive(self, worker: Worker) -> None:
        """Answer the statement that a worker had, and hold nothing against it."""
        job, worker.job = worker.job, None
        if job is not None:
            self._settle(job, LATE)

    def _blame(self, worker: Worker, facts: SqlFacts) -> None:
        job = worker.job
        if job is None:
            return
        worker.job = None
        if self._nursery is None or not self._nursery.alive:
            self._settle(job, MISSING)  # nothing that the statement did
            return
        dialect, _, _, text = job.key
        _LOG.warning("a parser process was lost: %s", facts.opaque and facts.opaque.code)
        self.suspicions.note(dialect, text, job.asker, facts)
        self._settle(job, facts)

    def _give_up_nursery(self, why: str) -> None:
        _LOG.warning("a parser process %s; all are started anew", why)
        if self._nursery is not None:
            self._nursery.kill()

    def _nursery_ended(self) -> None:
        _LOG.warning("the parser processes ended; they are started anew")
        self.warm = True  # who comes now does not wait as the first ones did
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
        self._later(self._nurseries)
        self._changed.set()

    def _later(self, lane: _Lane) -> None:
        delay = min(BACK_OFF * 2**lane.failures - BACK_OFF, LONGEST_BACK_OFF)
        lane.failures = min(lane.failures + 1, 10)
        lane.after = self._loop.time() + delay

    async def supervise(self) -> None:
        """Keep a nursery, and a worker in each lane, from `begin` until cancelled."""
        try:
            await self._begun.wait()
            while True:
                self._changed.clear()
                due = await self._repair()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._changed.wait()
        finally:
            self._close()

    async def _repair(self) -> float | None:
        """Start what is missing and may be; the time at which more may be."""
        now = self._loop.time()
        if self._nursery is None and self._nurseries.after <= now:
            self._start_nursery()
        if (nursery := self._nursery) is None:
            return self._nurseries.after
        missing = [lane for lane in self._lanes if lane.worker is None]
        for lane in missing:
            if lane.after <= now:
                lane.worker = Worker(self)
                made = partial(_same, lane.worker)
                await self._loop.create_unix_connection(made, sock=nursery.fork())
        return min((lane.after for lane in missing if lane.after > now), default=None)

    def _start_nursery(self) -> None:
        try:
            self._nursery = Nursery(self._program, self._dialects, self._nursery_ended)
        except OSError as error:
            _LOG.warning("the parser processes do not start: %s", error.strerror)
            self.warm = True
            self._later(self._nurseries)

    def _close(self) -> None:
        for job in tuple(self._flying.values()):
            self._settle(job, MISSING)
        self._waiting.clear()
        for lane in self._lanes:
            if lane.worker is not None:
                lane.worker.close()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None


def _same(worker: Worker) -> Worker:
    return worker


def _is_free(lane: _Lane) -> bool:
    return lane.worker is not None and lane.worker.state is State.IDLE


@asynccontextmanager
async def parsing(dialects: Sequence[str], program: str = NURSERY) -> AsyncIterator[ParserPool]:
    """A pool whose processes begin with the first statement, if not before, and are gone after."""
    pool = ParserPool(dialects, program)
    supervising = asyncio.create_task(pool.supervise())
    try:
        yield pool
    finally:
        supervising.cancel()
        with suppress(asyncio.CancelledError):
            await supervising
