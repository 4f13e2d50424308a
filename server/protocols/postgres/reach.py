"""What a statement reaches through a relation that it names: tables behind views, kin of tables.

A partition is part of its table, so policy is asked about the table too; but not about each of a
table's partitions. A table that inherits without being a partition is a table of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policies.sql.catalog import Behind, Reach
from policies.sql.facts import TableName
from server.protocols.postgres.catalog_queries import CatalogRows
from server.protocols.postgres.foreign_keys import ForeignKeys

_ALL: Final = frozenset({"*"})

Columns = dict[int, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Reached:
    """Each relation's `Relation.behind` by oid, and which relations are partitions."""

    behind: Mapping[int, tuple[Behind, ...]]
    partitions: frozenset[int]


def reached(rows: CatalogRows, names: Mapping[int, TableName], kinds: Mapping[int, str]) -> Reached:
    """By the server's own dependency catalog, at any depth."""
    graph = _Graph(_views(rows), *_kin(rows, kinds))
    keys = ForeignKeys.of(rows)
    behind: dict[int, tuple[Behind, ...]] = {}
    for oid in sorted({*graph.views, *graph.wholes, *graph.children, *keys.referred}):
        found = tuple(
            Behind(names[other], columns, reach)
            for reach, columns_of in graph.reach(oid)
            for other, columns in sorted(columns_of.items())
            if other in names and other != oid
        )
        behind[oid] = found + tuple(keys.behind(oid, names, _closure(oid, graph.children)))
    return Reached(behind, frozenset(graph.wholes))


@dataclass(frozen=True, slots=True)
class _Graph:
    """What each view reads, what each partition is part of, what inherits from each table."""

    views: Mapping[int, Columns]
    wholes: Mapping[int, frozenset[int]]
    children: Mapping[int, frozenset[int]]

    def reach(self, oid: int) -> Iterator[tuple[Reach, Columns]]:
        yield Reach.VIEW, self._behind_view(oid)
        yield Reach.PARTITIONED, dict.fromkeys(_closure(oid, self.wholes), frozenset())
        yield Reach.INHERITS, dict.fromkeys(_closure(oid, self.children), frozenset())

    def _behind_view(self, view: int) -> Columns:
        found: Columns = {}
        waiting = list(self.views.get(view, {}).items())
        while waiting:
            oid, columns = waiting.pop()
            if columns <= found.get(oid, frozenset()) and oid in found:
                continue
            found[oid] = found.get(oid, frozenset()) | columns
            waiting += self.views.get(oid, {}).items()
            kin = _closure(oid, self.wholes) | _closure(oid, self.children)
            waiting += ((other, columns) for other in kin)
        return found


def _closure(oid: int, edges: Mapping[int, frozenset[int]]) -> frozenset[int]:
    found: set[int] = set()
    waiting = list(edges.get(oid, ()))
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += edges.get(other, ())
    return frozenset(found)


def _views(rows: CatalogRows) -> Mapping[int, Columns]:
    columns = {(int(oid), int(number)): name for oid, name, number, *_ in rows.columns}
    named: defaultdict[int, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for view, oid in rows.view_relations:
        if view != oid:
            _ = named[int(view)][int(oid)]
    for view, oid, number in rows.view_columns:
        # A row as a whole stands as column 0.
        named[int(view)][int(oid)].add(columns.get((int(oid), int(number)), "*"))
    return {
        view: {oid: frozenset(found) or _ALL for oid, found in sources.items()}
        for view, sources in named.items()
    }


def _kin(
    rows: CatalogRows, kinds: Mapping[int, str]
) -> tuple[Mapping[int, frozenset[int]], Mapping[int, frozenset[int]]]:
    wholes: dict[int, frozenset[int]] = {}
    children: dict[int, frozenset[int]] = {}
    for parent, child in ((int(p), int(c)) for p, c in rows.inheritance):
        edges, one, other = (wholes, child, parent)
        if kinds.get(parent) != "p":
            edges, one, other = (children, parent, child)
        edges[one] = edges.get(one, frozenset()) | {other}
    return wholes, children
