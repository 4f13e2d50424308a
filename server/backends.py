"""A target with its connector, and the catalog snapshot that its statements are judged by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from masking.cells import Plan
from policies.errors import BackendUnavailable
from policies.model import Target
from policies.sql.catalog import Catalog
from policies.sql.facts import Opaque, SqlEffect, SqlFacts, TableName
from policies.sql.mysql.databases import in_database
from policies.sql.search_path import on_path
from policies.sql.server_secrets import SERVER_SECRET
from server.connections import Connector
from server.parsing.analyst import Analyst

if TYPE_CHECKING:
    from server.gate import Grant

CATALOG_AGE: Final = 30.0  # seconds a snapshot serves before it is read again
CATALOG_ROUNDS: Final = 3  # times that one call is judged while the target changes under it
RETRY_AGE: Final = 2.0  # seconds before a name that is not in the snapshot is looked for again
MOST_PATHS: Final = 64  # search paths of sessions that the catalog is kept ready for
PATH_UNUSABLE: Final = SqlFacts(
    SqlEffect.OPAQUE,
    has_where=False,
    opaque=Opaque(
        "SEARCH_PATH",
        "A schema on the session's search path has built-in names, or not every role may use it.",
        "RESET search_path, and name the schema in the statement.",
    ),
)
STALE_CODES: Final = frozenset(
    {"RELATION_UNKNOWN", "COLUMN_UNKNOWN", "FUNCTION_NOT_ALLOWED", "TYPE_UNKNOWN", "SCHEMA_UNKNOWN"}
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
    """One target. `snapshot` is replaced whole, never changed; `analyst` is every target's."""

    target: Target
    connector: Connector
    rules: Mapping[tuple[TableName, str], ColumnRule]
    analyst: Analyst
    snapshot: Snapshot | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reading: Grant | None = None
    by_path: dict[tuple[str, ...], Catalog | None] = field(default_factory=dict)
    names: Mapping[tuple[TableName, str], tuple[str, ...]] = field(default_factory=dict)
    """Columns of free text, and the names of people and places that are looked for in each."""
    best_effort: bool = False
    """Whether what only reads may run before its record is durable."""
    idle: dict[object, Plan] = field(default_factory=dict)
    """Plans of results that nothing happens to, by all that they hang on besides the catalog."""

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
        if self.snapshot is None or self.snapshot.catalog is not catalog:
            self.by_path.clear()
            self.idle.clear()
        self.snapshot = Snapshot(catalog, asyncio.get_running_loop().time())

    async def facts(
        self, text: str, *, asker: str = "", path: tuple[str, ...] | None = None
    ) -> SqlFacts:
        """What a statement does, by the snapshot in force.

        `path` is the session's own search path, where it has one.
        """
        catalog = self.catalog if path is None else self._on_path(path)
        if catalog is None:
            return PATH_UNUSABLE
        return await self.analyst.facts(self.target.kind, text, catalog, asker=asker)

    def _on_path(self, path: tuple[str, ...]) -> Catalog | None:
        """The same object every time, so that facts by it are remembered."""
        if path not in self.by_path:
            if len(self.by_path) >= MOST_PATHS:
                self.by_path.clear()
            within = on_path if self.target.kind == "postgres" else in_database
            self.by_path[path] = within(self.catalog, path)
        return self.by_path[path]

    def names_in(self, table: TableName, column: str) -> tuple[str, ...]:
        """The names that are looked for in a column of a table."""
        return self.names.get((table, column), ())

    @property
    def names_anywhere(self) -> tuple[str, ...]:
        """Those of all columns: what an expression or a view shows may come from any of them."""
        return tuple(sorted({name for names in self.names.values() for name in names}))

    def operator(self, table: TableName, column: str, label: str) -> str:
        """The configured operator of a column, or of its label where that is unambiguous.

        A column that has its label by inheritance (a view, a partition) has no rule of its own.
        """
        if label == SERVER_SECRET:
            return "redact"
        rule = self.rules.get((table, column))
        if rule is not None and rule.label == label:
            return rule.operator
        known = {r.operator for r in self.rules.values() if r.label == label}
        return known.pop() if len(known) == 1 else "redact"
