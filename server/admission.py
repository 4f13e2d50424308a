"""Who may act now, and how much: blocks and limits, before policy is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from policies.model import Principal


@dataclass(frozen=True, slots=True)
class Admission:
    """One a process. What it refuses it records itself."""

    @asynccontextmanager
    async def session(self, principal: Principal) -> AsyncIterator[None]:
        """One session in flight. Raises `Denied`, on entry or in the middle."""
        del principal
        yield

    def check(self, principal: Principal) -> None:
        """Before each action. Raises `Denied`."""
        del principal
