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

from policies.cedar import load
from policies.errors import BackendUnavailable, ConfigError
from policies.memory import RememberingDecisionPoint
from policies.model import DecisionPoint
from policies.packs import directory_of
from recordings.journal import Journal, Record
from server.backends import Backend
from server.config import Configuration
from server.gate import Gate

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0  # seconds

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class PolicyFiles:
    """One directory of policies, for these targets, labels and groups (None: any)."""

    directory: Path
    targets: frozenset[str]
    labels: frozenset[str]
    groups: frozenset[str] | None = None
    seen: Stamp = ()

    @classmethod
    def of(cls, configuration: Configuration, backends: Mapping[str, Backend]) -> Self:
        labels = frozenset[str]().union(*(b.labels for b in backends.values()))
        groups = frozenset(configuration.groups) or None
        return cls(directory_of(configuration.policies), frozenset(backends), labels, groups)

    async def first(self, journal: Journal) -> DecisionPoint:
        """The set that the gateway starts with. Raises `ConfigError`, with file and policy id."""
        self.seen = self._stamp()
        point = self._load()
        await journal.commit(_loaded(point))
        return point

    async def watch(self, gate: Gate) -> None:
        """Take a changed set in as a whole; one that does not load is said and recorded.

        Only once it has stood still from one look to the next: a set whose files are being copied
        may load before its gates are there.
        """
        looked = self.seen
        while True:
            await asyncio.sleep(LOOK_EVERY)
            before, looked = looked, self._stamp()
            if looked == self.seen or looked != before:
                continue
            with suppress(BackendUnavailable):
                await self._take_in(gate)
                self.seen = looked

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

    def _load(self) -> DecisionPoint:
        point = load(self.directory, targets=self.targets, labels=self.labels, groups=self.groups)
        return RememberingDecisionPoint(point)

    def _stamp(self) -> Stamp:
        """What tells that a file changed: name, time and size."""
        return tuple(map(_stamped, sorted(self.directory.glob("*.cedar"))))


def _stamped(file: Path) -> tuple[str, int, int]:
    try:
        found = file.stat()
    except OSError:  # removed since it was listed, for instance
        return file.name, 0, 0
    return file.name, found.st_mtime_ns, found.st_size


def _loaded(point: DecisionPoint) -> Record:
    return Record("", "policy_loaded", {"version": point.version})
