"""How long a session may stay: to a moment, or until somebody ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from policies.errors import Denied, Refusal


@dataclass(slots=True, eq=False)
class Stay:
    """Entered and left by one task, in which `end` raises its reason."""

    _scope: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    _reason: Exception | None = None

    def end(self, reason: Exception) -> None:
        """End it as soon as may be; the first reason counts."""
        if self._reason is None:
            self._reason = reason
            self._scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def until(self, seconds: float | None, refusal: Refusal) -> AsyncIterator[None]:
        """While open, it may be ended; and it ends with this refusal after so many seconds."""
        timer = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0.0, seconds), self.end, Denied(refusal))
        try:
            async with self._scope:
                yield
        except TimeoutError:
            if self._reason is None:
                raise
            raise self._reason from None
        finally:
            if timer is not None:
                timer.cancel()
