"""Calls that are being answered: each is cancelled once, and a gateway that stops ends them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import mcp.types as t

from server.mcp.results import STOPPING, result

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class InFlight:
    """One a process: both doors' calls, so that none is left without an answer at the end."""

    calls: set[asyncio.Task[Any]] = field(default_factory=set)
    stopping: bool = False

    async def answered(self, work: Coroutine[Any, Any, T]) -> T | t.CallToolResult:
        """Await the work; a cancellation reaches it once, and it is given the time to clean up.

        The SDK cancels again and again at every await, clean-up included: a connection could not
        even tell its target to stop.
        """
        if self.stopping:
            work.close()
            return result(STOPPING)
        task = asyncio.create_task(work)
        self.calls.add(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._has_ended(task):
                return result(STOPPING)
            await _cleaned_up(task)
            raise
        finally:
            self.calls.discard(task)

    def _has_ended(self, task: asyncio.Task[Any]) -> bool:
        """Whether the call was ended by `stop`, and its own caller is still there to be told."""
        current = asyncio.current_task()
        leaving = current is not None and current.cancelling() > 0
        return self.stopping and task.cancelled() and not leaving

    async def stop(self, grace: float) -> None:
        """Let what is under way end within `grace` seconds, then cancel it; `answered` words it."""
        self.stopping = True
        if not self.calls:
            return
        await asyncio.wait(set(self.calls), timeout=grace)
        for task in self.calls:
            task.cancel()
        if self.calls:
            await asyncio.wait(set(self.calls), timeout=grace)


async def _cleaned_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a cancelled call failed to clean up", exc_info=error)
