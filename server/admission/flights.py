"""Sessions in flight: each counts against its principal's limits, and ends when it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from policies.model import Principal


class Tower(Protocol):
    """Who counts the flights, and may end them."""

    def take_off(self, flight: Flight) -> None:
        """Raises `Denied`, or `BackendUnavailable` where nobody knows who is blocked."""
        ...

    def land(self, flight: Flight) -> None: ...

    def cut_off(self, flight: Flight, reason: Exception) -> None:
        """It was ended from outside."""
        ...


@dataclass(slots=True, eq=False)
class Flight:
    """One session of one principal. Entered and left by one task, which `end` cancels.

    What was under way then ends as on any cancellation: the statement is cancelled at the target
    and the recording closed. The caller gets `end`'s reason instead of a `CancelledError`.
    """

    principal: Principal
    tower: Tower
    _reason: Exception | None = None
    _scope: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))

    def end(self, reason: Exception) -> None:
        """Cancel what runs in it; the first reason counts."""
        if self._reason is None:
            self._reason = reason
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> None:
        """Raises `Denied`, or `BackendUnavailable` where nobody knows who is blocked."""
        self.tower.take_off(self)
        await self._scope.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.tower.land(self)
        ended = False
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:  # only ever `end`: the scope has no deadline of its own
            ended = True
        # Somebody else's cancellation goes on; cleaning up after ours may have failed in any way.
        others = isinstance(error, asyncio.CancelledError)
        if self._reason is not None and (ended or (self._scope.expired() and not others)):
            self.tower.cut_off(self, self._reason)
            raise self._reason from None
