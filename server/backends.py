"""A target with its connector, and the catalog snapshot that its statements are judged by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from policies.errors import BackendUnavailable
from policies.model import Target
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts, TableName
from policies.sql.postgres import analyse
from server.connections import Connector

CATALOG_AGE: Final = 30.0  # seconds a snapshot serves before it is read again
RETRY_AGE: Final = 2.0  # seconds before a name that is not in the snapshot is looked for again
STALE_CODES: Final = frozenset(
    {"RELATION_UNKNOWN", "COLUMN_UNKNOWN", "FUNCTION_NOT_ALLOWED", "TYPE_UNKNOWN"}
)


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """A configured column: its label, and the operator that masks it."""

    label: str
    operator: str


@dataclass(slots=True)
class Snapshot:
    """The catalog as it was read, and when (the event loop's clock)."""

    catalog: Catalog
    read_at: float


@dataclass(slots=True)
class Backend:
    """One target. `snapshot` is replaced whole, never changed."""

    target: Target
    connector: Connector
    rules: Mapping[tuple[TableName, str], ColumnRule]
    snapshot: Snapshot | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(rule.label for rule in self.rules.values())

    @property
    def catalog(self) -> Catalog:
        """The snapshot in force. Raises `BackendUnavailable` before the first was read."""
        if self.snapshot is None:
            raise BackendUnavailable(f"target {self.target.name} can't be reached now")
        return self.snapshot.catalog

    def age(self) -> float:
        """Seconds since the catalog was read; infinite before."""
        if self.snapshot is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self.snapshot.read_at

    def replace(self, catalog: Catalog) -> None:
        self.snapshot = Snapshot(catalog, asyncio.get_running_loop().time())

    def facts(self, text: str) -> SqlFacts:
        """What a statement does, by the snapshot in force."""
        return _facts(text, _ByVersion(self.catalog))

    def operator(self, table: TableName, column: str, label: str) -> str:
        """The configured operator of a column, or of its label where that is unambiguous.

        A column that has its label by inheritance (a view, a partition) has no rule of its own.
        """
        rule = self.rules.get((table, column))
        if rule is not None and rule.label == label:
            return rule.operator
        known = {r.operator for r in self.rules.values() if r.label == label}
        return known.pop() if len(known) == 1 else "redact"


@dataclass(frozen=True, slots=True)
class _ByVersion:
    """A catalog that compares by its version, so that facts can be cached by it."""

    catalog: Catalog = field(compare=False)
    version: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", self.catalog.version)


@lru_cache(maxsize=4096)
def _facts(text: str, by_version: _ByVersion) -> SqlFacts:
    return analyse(text, by_version.catalog)
