"""The store's clock, followed between looks at it: times that are the store's and never go back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from recordings.errors import JournalUnavailable

MAX_BEHIND: Final = 5_000_000
"""Microseconds that the clock may be behind the last record; farther, and nothing is recorded."""


def monotonic() -> int:
    """Microseconds of the machine's monotonic clock."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class StoreClock:
    """Microseconds since 1970 by the store's clock. Every stamp is later than the one before."""

    monotonic: Callable[[], int] = monotonic
    last: int = 0
    _offset: int = 0

    def follow(self, store_time: int, *, asked_at: int) -> None:
        """The store answered `store_time` when asked at `asked_at` of the monotonic clock."""
        self._offset = store_time - asked_at

    def later_than(self, at: int) -> None:
        """Go on after a record that another writer stamped."""
        self.last = max(self.last, at)

    def stamp(self) -> int:
        """The time of a new record. Raises `JournalUnavailable` if the clock is too far behind."""
        now = self.monotonic() + self._offset
        if now < self.last - MAX_BEHIND:
            raise JournalUnavailable(
                "the store's clock is more than 5 s behind the last record; set the clock right"
            )
        self.last = max(self.last + 1, now)
        return self.last
