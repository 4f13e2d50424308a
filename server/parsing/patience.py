"""A deadline that does not blame others for time in which this process could not run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

HELD_UP: Final = 0.2
"""Seconds by which a timer may be late before the process counts as held up, or stopped."""

AGAIN: Final = 0.4
"""Seconds that are waited once more then."""


class Patience:
    """Calls `end` when so many seconds have passed. For one use; `cancel` when it came in time."""

    __slots__ = ("_due", "_end", "_loop", "_timer")

    def __init__(self, seconds: float, end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = end
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._over)

    def cancel(self) -> None:
        self._timer.cancel()

    def _over(self) -> None:
        if self._loop.time() - self._due > HELD_UP:
            self._due = float("inf")
            self._timer = self._loop.call_later(AGAIN, self._end)
        else:
            self._end()
