"""One issuer's keys: fetched, kept and rotated, bounded in age and in the rate of fetches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from server.identity.discovery import discover, endpoint
from server.identity.fetch import FetchFailed, fetch_json
from server.identity.keys import VerificationKey, read_key_set

_log = logging.getLogger(__name__)

FRESH = 120.0
"""Seconds after which keys are fetched again in the background of the next verification."""

RENEW = 300.0
"""Seconds after which the next verification waits for keys that are fetched again.

So a key that its provider has removed verifies nothing after this long, where the provider
answers.
"""

MAX_AGE = 3600.0
"""Seconds after which fetched keys verify nothing more, where the provider does not answer."""

REFETCH_EVERY = 10.0
"""Seconds between two fetches from one issuer, however many tokens name unknown keys."""


class KeyUnavailable(Exception):
    """No key of the issuer verifies this; the text is for the log."""


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: tuple[VerificationKey, ...]
    fetched: float


class KeyCache:
    """The keys of one issuer. Concurrent callers share one fetch."""

    def __init__(
        self,
        issuer: str,
        *,
        http: httpx2.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._current: _KeySet | None = None
        self._generation = 0
        self._attempted: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, *, algorithm: str, key_id: str | None) -> VerificationKey:
        """The one key with this id that fits the algorithm; raises `KeyUnavailable`."""
        found, age = self._find(algorithm, key_id), self._age()
        if found is None or age > RENEW:
            await self._refresh()
            found = self._find(algorithm, key_id)
        elif age > FRESH:
            self._start_fetch()
        if found is None:
            raise KeyUnavailable("no key of the issuer fits the token's kid and alg")
        return found

    @property
    def generation(self) -> int:
        """Another number once the provider has published other keys."""
        return self._generation

    async def aclose(self) -> None:
        """Stop a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _age(self) -> float:
        current = self._current
        return float("inf") if current is None else self._clock() - current.fetched

    def _find(self, algorithm: str, key_id: str | None) -> VerificationKey | None:
        if self._current is None or self._age() > MAX_AGE:
            return None
        fitting = [key for key in self._current.keys if algorithm in key.algorithms]
        if key_id is not None:
            fitting = [key for key in fitting if key.key_id == key_id]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        fetching = self._start_fetch()
        if fetching is not None:
            # Shielded: a caller who leaves must not take the fetch away from the others.
            await asyncio.shield(fetching)

    def _start_fetch(self) -> asyncio.Task[None] | None:
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock()
        if self._attempted is not None and now - self._attempted < REFETCH_EVERY:
            return None
        self._attempted = now
        self._fetching = asyncio.create_task(self._fetch(now))
        return self._fetching

    async def _fetch(self, now: float) -> None:
        try:
            described = await discover(self._http, self._issuer)
            document = await fetch_json(self._http, endpoint(described, "jwks_uri"))
            self._replace(_KeySet(read_key_set(document), now))
        except (FetchFailed, ValueError) as error:
            _log.warning("keys of issuer %r were not fetched: %s", self._issuer, error)

    def _replace(self, new: _KeySet) -> None:
        if self._current is None or self._current.keys != new.keys:
            self._generation += 1
        self._current = new
