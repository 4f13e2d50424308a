"""One worker process, as the gateway sees it: what it is doing, and what it says. Not who gets it.

Whatever a worker says that it was not asked, or that can't be read, counts as its end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, Final, Protocol, cast

from pydantic import Field, TypeAdapter, ValidationError

from policies.sql.facts import SqlFacts
from server.parsing import wire
from server.parsing.names import Names, Shipped
from server.parsing.patience import Patience
from server.parsing.remembered import Key

ANALYSIS: Final = 1.0
"""Seconds for one statement."""

LEAST_WORK: Final = 0.05
"""Seconds of processor time in the second half of that, below which it was not the statement:
the machine had none to give, or somebody stopped the worker."""

LOADING: Final = 10.0
"""Seconds for taking in the names of a catalog; 5,000 tables are some 50 ms."""

STARTING: Final = 30.0
"""Seconds until a worker says its first word, on a busy machine too."""

ENDING: Final = 2.0
"""Seconds for a worker to be gone after it was killed."""

NAMES_BYTES: Final = 64 * 1024 * 1024
"""Of all names that one worker holds."""


@dataclass(frozen=True, slots=True)
class Said:
    """A worker's word: its process id first, then the number of what it has done.

    `spent`: seconds of processor time; no number that makes sums senseless.
    """

    about: int
    facts: SqlFacts | None
    spent: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Understood:
    """Facts, with the bytes that they came in and the processor time that they took."""

    facts: SqlFacts
    size: int
    spent: float


_SAID: Final = TypeAdapter(Said)


class State(Enum):
    STARTING = auto()
    IDLE = auto()
    LOADING = auto()
    ANALYSING = auto()
    ENDING = auto()
    GONE = auto()


@dataclass(slots=True, eq=False)
class Job:
    """A statement on its way, `since` by the loop's clock; who asked for it waits for `answer`."""

    key: Key
    asker: str
    shipped: Shipped = field(repr=False)
    answer: asyncio.Future[SqlFacts]
    since: float
    patience: Patience | None = None

    def settle(self, facts: SqlFacts) -> None:
        if self.patience is not None:
            self.patience.cancel()
        if not self.answer.done():
            self.answer.set_result(facts)


class Owner(Protocol):
    """Who is told what a worker does."""

    def free(self, worker: Worker) -> None:
        """It waits for a statement."""
        ...

    def understood(self, worker: Worker, job: Job, understood: Understood) -> None:
        """The facts of a statement came. It is free next."""
        ...

    def late(self, worker: Worker, *, by_itself: bool) -> None:
        """It did not do what it should in time, and is of no more use.

        `by_itself`: it was at work all the time.
        """
        ...

    def broken(self, worker: Worker) -> None:
        """It said something else than it should, and is of no more use."""
        ...

    def ended(self, worker: Worker) -> None:
        """Its process is gone."""
        ...


class Worker(asyncio.Protocol):
    """The gateway's end of the connection to one worker."""

    def __init__(self, owner: Owner) -> None:
        self.state = State.STARTING
        self.pid = 0
        self.job: Job | None = None
        self._worked = 0.0
        self._owner = owner
        self._names: OrderedDict[int, int] = OrderedDict()
        self._expected = 0
        self._numbers = 0
        self._heard = b""
        self._patience = Patience(STARTING, self._late)
        self._transport: asyncio.Transport | None = None

    def knows(self, names: Names) -> bool:
        return names.number in self._names

    def load(self, names: Names) -> None:
        """Give it a catalog's names, in place of those that it used longest ago."""
        while self._names and sum(self._names.values()) + len(names.blob) > NAMES_BYTES:
            gone, _ = self._names.popitem(last=False)
            self._write(wire.forget_frame(gone))
        self._names[names.number] = len(names.blob)
        self._expect(State.LOADING, names.number)
        self._patience = Patience(LOADING, self._late)
        self._write(wire.names_frame(names.number, names.blob))

    def analyse(self, job: Job) -> None:
        """Give it a statement on names that it knows."""
        dialect, names, around, text = job.key
        self.job = job
        self._names.move_to_end(names)
        self._numbers += 1
        self._expect(State.ANALYSING, self._numbers)
        self._patience = Patience(ANALYSIS / 2, self._half_late)
        self._write(wire.analyse_frame(self._numbers, dialect, names, around, text))

    def ending(self) -> None:
        """It was killed; what it says from now on counts for nothing."""
        self.state = State.ENDING
        self._patience.cancel()
        self._patience = Patience(ENDING, self._late)

    def close(self) -> None:
        self._patience.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if self.state is State.ENDING:
            return
        if self.state is State.IDLE:  # it was asked nothing
            self._owner.broken(self)
            return
        self._heard += data
        if len(self._heard) < wire.HEADER.size:
            return
        (length,) = wire.HEADER.unpack_from(self._heard)
        whole = wire.HEADER.size + length
        # One answer is owed at a time: more than that is not a worker's.
        if length > wire.LARGEST_ANSWER or len(self._heard) > whole:
            self._owner.broken(self)
        elif len(self._heard) == whole:
            content, self._heard = self._heard[wire.HEADER.size :], b""
            self._hear(content)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        self.state = State.GONE
        self._owner.ended(self)

    def _hear(self, content: bytes) -> None:
        try:
            said = _SAID.validate_json(content, strict=True)
        except ValidationError:
            self._owner.broken(self)
            return
        match self.state:
            case State.STARTING if said.about > 0:
                self.pid = said.about
            case State.LOADING if said.about == self._expected:
                pass
            case State.ANALYSING if said.about == self._expected and said.facts is not None:
                # It can't have been longer, whatever a worker says to have somebody suspected.
                understood = Understood(said.facts, len(content), min(said.spent, ANALYSIS))
                self._owner.understood(self, self._finished(), understood)
            case _:
                self._owner.broken(self)
                return
        self._patience.cancel()
        self.state = State.IDLE
        self._owner.free(self)

    def _finished(self) -> Job:
        assert self.job is not None  # noqa: S101 - set with the state
        job, self.job = self.job, None
        return job

    def _expect(self, state: State, number: int) -> None:
        self.state, self._expected = state, number

    def _half_late(self) -> None:
        self._worked = _processor_seconds(self.pid)
        self._patience = Patience(ANALYSIS / 2, self._late)

    def _late(self) -> None:
        worked = _processor_seconds(self.pid) - self._worked
        self._owner.late(self, by_itself=worked >= LEAST_WORK)

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)


def _processor_seconds(pid: int) -> float:
    """What a process has worked since it began; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
