"""Policies as files that may change while the gateway runs.

A set that does not load leaves the old one in force, and says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from policies.cedar import STARTER, CedarDecisionPoint, load
from policies.errors import BackendUnavailable, ConfigError
from recordings.journal import Journal, Record
from server.backends import Backend
from server.config import Configuration
from server.gate import Gate

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 2.0  # seconds

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class PolicyFiles:
    """One directory of policies, for these targets and labels."""

    directory: Path
    targets: frozenset[str]
    labels: frozenset[str]
    seen: Stamp = ()

    @classmethod
    def of(cls, configuration: Configuration, backends: Mapping[str, Backend]) -> Self:
        directory = STARTER if configuration.policies == "starter" else configuration.policies
        labels = frozenset[str]().union(*(b.labels for b in backends.values()))
        return cls(Path(directory), frozenset(backends), labels)

    async def first(self, journal: Journal) -> CedarDecisionPoint:
        """The set that the gateway starts with. Raises `ConfigError`, with file and policy id."""
        self.seen = self._stamp()
        point = self._load()
        await journal.commit(_loaded(point))
        return point

    async def watch(self, gate: Gate) -> None:
        """Take a changed set in as a whole; one that does not load is said and recorded."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            stamp = self._stamp()
            if stamp == self.seen:
                continue
            with suppress(BackendUnavailable):
                await self._take_in(gate)
                self.seen = stamp

    async def _take_in(self, gate: Gate) -> None:
        try:
            point = self._load()
        except ConfigError as error:
            _log.error("the policies were not taken in, the old ones stay: %s", error)
            await gate.journal.commit(Record("", "policy_rejected", {"why": str(error)}))
            return
        await gate.journal.commit(_loaded(point))
        gate.decision_point = point
        _log.warning("policies taken in: version %s", point.version)

    def _load(self) -> CedarDecisionPoint:
        return load(self.directory, targets=self.targets, labels=self.labels)

    def _stamp(self) -> Stamp:
        """What tells that a file changed: name, time and size."""
        files = sorted(self.directory.glob("*.cedar"))
        return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


def _loaded(point: CedarDecisionPoint) -> Record:
    return Record("", "policy_loaded", {"version": point.version})
