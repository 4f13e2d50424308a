"""Reads a target's names, and with them what shows later that something has changed.

Not in here: the queries (`catalog_queries`), what rows mean (`catalog`), what is behind views
(`views`), and how a query gets to the server.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts, TableName
from server.parsing.analyst import Analyst
from server.protocols.mysql.catalog import Parts, configured
from server.protocols.mysql.catalog_queries import STATES, WHOLE, Ask, Row, in_order, of_relations
from server.protocols.mysql.target import MysqlTarget
from server.protocols.mysql.views import Followed

KEPT_VERSIONS: Final = 2

States = Mapping[TableName, Mapping[str, str]]
"""A digest of the rows that say what a relation is, by the kind of state."""

OF_READS: Final = ("relations", "columns", "views")
"""The kinds that a read hangs on; a change hangs on all of them."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The state of everything in one catalog, as it was when that was read."""

    catalog: Catalog
    relations: States
    functions: Mapping[str, str]

    def expected(self, facts: SqlFacts) -> States:
        """The state of every relation that the facts hang on, those behind them included."""
        reached = {name for name, _ in facts.objects}
        for relation in filter(None, map(self.catalog.relations.get, tuple(reached))):
            reached |= {source.name for source in relation.behind}
        kinds = OF_READS if facts.read_only else tuple(STATES)
        states = {name: self.relations.get(name, {}) for name in sorted(reached)}
        return {name: {k: state.get(k, "") for k in kinds} for name, state in states.items()}

    def definitions(self, facts: SqlFacts) -> str:
        """A digest of what the relations and functions of these facts are."""
        if not facts.objects:
            return ""
        functions = [self.functions.get(name, "") for name in sorted(facts.functions)]
        return _digest([*self.expected(facts).items(), functions])


@dataclass(slots=True)
class CatalogReader:
    """Reads catalogs of one target; one that would be the same is the same object."""

    target: MysqlTarget
    analyst: Analyst
    _digest: str = ""
    _doubts: int = 0
    _catalog: Catalog | None = None
    _known: OrderedDict[str, Fingerprints] = field(default_factory=OrderedDict)

    async def read(self, ask: Ask) -> Catalog:
        """What the server says now. Raises `ConfigError` for a configured column that is not there.

        The server has no snapshot of its names: a change in the midst of reading is found when
        they are read again, or when they are used.
        """
        doubts = self._doubts
        rows = {name: in_order(await ask(query)) for name, query in WHOLE.items()}
        digest = _digest([[name, found] for name, found in rows.items()])
        if self._catalog is not None and digest == self._digest:
            return self._catalog
        parts = Parts.of(self.target, rows)
        followed = Followed(parts, self.analyst, self.target.kind, f"catalog:{self.target.name}")
        relations = await followed.relations(configured(self.target, parts))
        made = parts.catalog(f"{digest[:24]}.{doubts}", self.target.database)
        catalog = replace(
            made,
            relations=relations,
            by_oid={relation.oid: relation for relation in relations.values()},
        )
        self._catalog, self._digest = catalog, digest if followed.settled else ""
        if not followed.settled:
            self._doubts += 1
        self._keep(Fingerprints(catalog, states(rows), _functions(rows["functions"])))
        return catalog

    @property
    def catalog(self) -> Catalog | None:
        """What was read last."""
        return self._catalog

    def doubt(self) -> None:
        """Something was not as it was read: everything is made anew when it is read next."""
        self._doubts += 1
        self._digest = ""

    def fingerprints(self, version: str) -> Fingerprints | None:
        """What the server must find for facts by this version; None if it is an old one.

        Behind a space stands the session's own database (`policies.sql.mysql.databases`).
        """
        return self._known.get(version.partition(" ")[0])

    def _keep(self, found: Fingerprints) -> None:
        """The version before stays: statements that were judged by it may be on their way."""
        self._known.pop(found.catalog.version, None)
        self._known[found.catalog.version] = found
        while len(self._known) > KEPT_VERSIONS:
            self._known.popitem(last=False)


async def is_unchanged(ask: Ask, expected: States) -> bool:
    """Whether the server finds relations as they were when they were read."""
    if not expected:
        return True
    kinds = sorted({kind for state in expected.values() for kind in state})
    found = states({k: in_order(await ask(of_relations(k, expected))) for k in kinds})
    return all(
        found.get(name, {}).get(kind, "") == digest
        for name, state in expected.items()
        for kind, digest in state.items()
    )


def states(rows: Mapping[str, Sequence[Row]]) -> dict[TableName, dict[str, str]]:
    """The state of every relation by the rows of `catalog_queries.STATES`."""
    listed: dict[TableName, dict[str, list[Row]]] = {}
    for kind in rows.keys() & STATES.keys():
        for row in rows[kind]:
            name = TableName(row[0] or "", row[1] or "")
            listed.setdefault(name, {}).setdefault(kind, []).append(row[2:])
    return {
        name: {kind: _digest(found) for kind, found in kinds.items()}
        for name, kinds in listed.items()
    }


def _functions(rows: Iterable[Row]) -> dict[str, str]:
    """The state of each function by its name, as facts name it."""
    return {f"{row[0]}.{(row[1] or '').lower()}": _digest([row]) for row in rows}


def _digest(parts: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()
