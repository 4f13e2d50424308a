"""What issuers say of themselves, asked at most every few minutes, however many sign in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx2

from server.identity.discovery import discover
from server.identity.fetch import FetchFailed
from server.identity.strict import Json

FRESH: Final = 300.0
"""Seconds that a description is believed."""

RETRY_EVERY: Final = 5.0
"""Seconds until an issuer that did not answer is asked again."""


@dataclass(slots=True)
class _Known:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    described: Mapping[str, Json] | None = None
    asked: float = float("-inf")

    def current(self, now: float) -> bool:
        """Whether the last answer, or that there was none, still counts."""
        return now - self.asked < (RETRY_EVERY if self.described is None else FRESH)


@dataclass(frozen=True, slots=True)
class Descriptions:
    """Discovery documents by issuer. Concurrent callers share one fetch."""

    http: httpx2.AsyncClient
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Known] = field(default_factory=dict)

    async def of(self, issuer: str) -> Mapping[str, Json]:
        """The description of one configured issuer. Raises `FetchFailed`."""
        known = self._known.setdefault(issuer, _Known())
        async with known.lock:
            if not known.current(self.clock()):
                known.asked, known.described = self.clock(), None
                known.described = await discover(self.http, issuer)
        if known.described is None:
            raise FetchFailed("it did not answer a moment ago")
        return known.described
