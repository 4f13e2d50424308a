"""The extension io.modelcontextprotocol/tasks (SEP-2663): calls that go on while a person decides.

A call becomes a task when it has to wait, and not before. Its work runs in the process that took
it; its row is in the store, so any gateway can tell how it goes, and end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import mcp.types as t
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue

from policies.errors import BackendUnavailable
from policies.model import Principal
from server.mcp.task_rows import Document, Ending, Look, TaskRow
from server.mcp.task_wire import CANCELLED, FAILED, LAPSED, LOST, STOPPED, created

_log = logging.getLogger(__name__)

KEPT: Final = timedelta(minutes=15)
"""How long a result can be read after the last moment at which the ticket may be decided."""

LOOK_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 60.0


class Rows(Protocol):
    """Where tasks are kept; see `StoredTasks`."""

    async def create(
        self, owner: Principal, task: str, ticket: str, message: str, expires_at: datetime
    ) -> TaskRow | None: ...
    async def get(self, owner: Principal, task: str, lost: Ending) -> TaskRow | None: ...
    async def say(self, task: str, ticket: str, message: str, expires_at: datetime) -> None: ...
    async def require(self, task: str, requests: Document) -> None: ...
    async def answer(self, task: str, answers: Document) -> Document: ...
    async def cancel(self, task: str) -> None: ...
    async def finish(self, task: str, ending: Ending) -> None: ...
    async def renew(self, tasks: Sequence[str]) -> Mapping[str, Look]: ...
    async def sweep(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """What a task waits for: its ticket, in words, and until when that can be decided."""

    ticket: str
    message: str
    expires_at: datetime


@dataclass(slots=True)
class Underway:
    """A task as the work in it sees it."""

    id: str
    rows: Rows
    answers: dict[str, JsonValue] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    ending: Ending = CANCELLED
    """How it ends when it is cancelled."""

    async def say(self, opening: Opening) -> None:
        """Wait for something else now."""
        until = opening.expires_at + KEPT
        await self.rows.say(self.id, opening.ticket, opening.message, until)

    async def claim(self) -> None:
        """Before the work takes effect: ends it where the task has been cancelled or lost."""
        look = (await self.rows.renew([self.id])).get(self.id)
        if look is None or look.cancel_asked:
            self.ending = _ending(look)
            raise asyncio.CancelledError

    async def ask(self, requests: Mapping[str, t.ElicitRequest]) -> Mapping[str, JsonValue]:
        """Put requests to the client, and wait for an answer to each."""
        names = {f"{name}-{secrets.token_hex(4)}": name for name in requests}
        wire = {key: _dumped(requests[name]) for key, name in names.items()}
        await self.rows.require(self.id, wire)
        while not names.keys() <= self.answers.keys():
            self.answered.clear()
            await self.answered.wait()
        return {name: self.answers[key] for key, name in names.items()}

    @contextlib.asynccontextmanager
    async def offering(self, requests: Mapping[str, t.ElicitRequest]) -> AsyncIterator[None]:
        """While open, put requests to the client whose answers change nothing."""
        asking = asyncio.create_task(self.ask(requests)) if requests else None
        try:
            yield
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await self.rows.require(self.id, {})

    def take(self, answers: Document) -> None:
        self.answers.update(answers)
        self.answered.set()


Work = Callable[[Underway], Awaitable[Mapping[str, JsonValue]]]
"""Returns the finished tool result as it goes over the wire. `MCPError` fails the task."""


@dataclass(slots=True)
class Job:
    """`over` once its end is being kept: from then on, nothing changes how it ended."""

    underway: Underway
    running: asyncio.Task[None]
    over: bool = False

    def cancel(self, ending: Ending) -> None:
        if not self.over and not self.running.cancelling():
            self.underway.ending = ending
            self.running.cancel()


@dataclass(slots=True)
class Tasks:
    """The tasks whose work is here, and everybody's rows. One a process."""

    rows: Rows
    look_seconds: float = LOOK_SECONDS
    jobs: dict[str, Job] = field(default_factory=dict)

    async def start(
        self, owner: Principal, opening: Opening, work: Work
    ) -> dict[str, JsonValue] | None:
        """Run the work as a task: its CreateTaskResult, or None where its owner has too many.

        The row is durable before its id is told.
        """
        task = "task_" + secrets.token_urlsafe(18)
        until = opening.expires_at + KEPT
        row = await self.rows.create(owner, task, opening.ticket, opening.message, until)
        if row is None:
            return None
        underway = Underway(task, self.rows)
        self.jobs[task] = Job(underway, asyncio.create_task(self._run(underway, work)))
        return created(row)

    async def get(self, owner: Principal, task: str) -> TaskRow | None:
        return await self.rows.get(owner, task, LOST)

    async def update(self, task: str, answers: Document) -> None:
        counted = await self.rows.answer(task, answers)
        if counted and task in self.jobs:
            self.jobs[task].underway.take(counted)

    async def cancel(self, task: str) -> None:
        """End the task: here at once, in another process when that looks."""
        await self.rows.cancel(task)
        if task in self.jobs:
            self.jobs[task].cancel(CANCELLED)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While open, leases are renewed and what is asked elsewhere is done; then all jobs end."""
        looking = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            looking.cancel()
            jobs = list(self.jobs.values())
            for job in jobs:
                job.cancel(STOPPED)
            await asyncio.gather(looking, *(j.running for j in jobs), return_exceptions=True)

    async def _run(self, underway: Underway, work: Work) -> None:
        try:
            ending = await self._ended(underway, work)
            self.jobs[underway.id].over = True
            await self.rows.finish(underway.id, ending)
        except BackendUnavailable:
            _log.warning("the end of %s could not be kept", underway.id)
        finally:
            self.jobs.pop(underway.id, None)

    async def _ended(self, underway: Underway, work: Work) -> Ending:
        try:
            return Ending("completed", result=await work(underway))
        except asyncio.CancelledError:
            return underway.ending
        except MCPError as error:
            return Ending("failed", error=error.error.model_dump(mode="json", exclude_none=True))
        except Exception:  # noqa: BLE001 -- a task's boundary: nobody is left to raise it to
            _log.exception("task %s failed", underway.id)
            return FAILED

    async def _look_on(self) -> None:
        sweep_in = 0.0
        while True:
            with contextlib.suppress(BackendUnavailable):
                await self._look()
                if sweep_in <= 0:
                    await self.rows.sweep()
                    sweep_in = SWEEP_SECONDS
            await asyncio.sleep(self.look_seconds)
            sweep_in -= self.look_seconds

    async def _look(self) -> None:
        if not self.jobs:
            return
        looked = list(self.jobs)
        looks = await self.rows.renew(looked)
        for task in looked:
            if (job := self.jobs.get(task)) is None:
                continue
            look = looks.get(task)
            if look is None or look.cancel_asked:
                job.cancel(_ending(look))
            elif look.answers.keys() - job.underway.answers.keys():
                job.underway.take(look.answers)


def _ending(look: Look | None) -> Ending:
    """Of a task whose caller asked for its end, or that the store has given up."""
    return CANCELLED if look is not None else LAPSED


def _dumped(request: t.ElicitRequest) -> JsonValue:
    dumped: dict[str, JsonValue] = request.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped
