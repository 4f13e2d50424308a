"""One time limit over many waits: one timer for all, where `asyncio.timeout` needs one for each."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


class Passed(TimeoutError):
    """What was waited for did not come by the deadline."""


class Deadline:
    """Begins with its making; to be closed. One task at a time waits under it.

    Infinitely many seconds never pass.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Task[object] | None = None
        self._passed = self._cancels = False
        self._timer: asyncio.Handle | None = None
        if seconds < math.inf:
            self._timer = self._loop.call_later(seconds, self._pass)

    async def bound(self, items: AsyncIterator[T]) -> T | None:
        """The next item, or None at the end. Raises `Passed` where it isn't there in time.

        Only waiting is cut off, never what is done with an item in between.
        """
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can wait")
        if self._passed:
            self._timer = self._loop.call_soon(self._pass)
        before, self._waiting = task.cancelling(), task
        try:
            item = await anext(items, None)
        except asyncio.CancelledError as cancelled:
            if self._retracts(task, before):
                raise Passed from cancelled
            raise
        except BaseException:
            self._retracts(task, before)
            raise
        finally:
            self._waiting = None
        self._retracts(task, before)
        return item

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _pass(self) -> None:
        self._passed = True
        if self._waiting is not None and not self._cancels:
            self._cancels = True
            self._waiting.cancel()

    def _retracts(self, task: asyncio.Task[object], before: int) -> bool:
        """Take our own cancellation back; whether there was one, and nobody else's."""
        if not self._cancels:
            return False
        self._cancels = False
        return task.uncancel() <= before
