"""Keeps the catalog of every target fresh beside the calls, so that none of them waits for it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from policies.errors import BackendUnavailable, ConfigError, Denied
from server.backends import Backend
from server.gate import Gate

_log = logging.getLogger(__name__)

EVERY: Final = 5.0  # seconds from the end of one look at a target to the next
SHARE: Final = 20  # times as long as a look takes is waited at least
LONGEST: Final = 60.0  # seconds to wait while a target can't be reached


async def watch_catalogs(gate: Gate, *, every: float = EVERY) -> None:
    """Look at every target again and again, `every` so many seconds, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for backend in gate.backends.values():
            group.create_task(_watch(gate, backend, every))


async def _watch(gate: Gate, backend: Backend, every: float) -> None:
    clock, failures = asyncio.get_running_loop().time, 0
    while True:
        began = clock()
        try:
            await gate.read_catalog(backend)
            failures, pause = 0, max(every, SHARE * (clock() - began))
        except (BackendUnavailable, ConfigError, Denied) as error:
            if not failures:
                _log.warning("target %s: catalog: %s", backend.target.name, error)
            failures += 1
            pause = min(every * 2**failures, LONGEST)
        await asyncio.sleep(pause)
