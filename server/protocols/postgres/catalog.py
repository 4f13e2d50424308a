"""Rows of a server's catalogs -> a `Catalog`: relations, safe functions, types, labels. Pure.

The rules are elsewhere: which functions are safe in `policies.sql.safe_functions`, how labels
travel in `labels`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from policies.errors import ConfigError
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import TableName
from policies.sql.names import is_sensitive
from policies.sql.partly_shown import is_partly_shown, masked_columns
from policies.sql.safe_functions import BUILTIN_SCHEMAS
from policies.sql.server_secrets import SERVER_SECRET
from recordings.rows import decode_postgres
from server.protocols.postgres import catalog_queries as queries
from server.protocols.postgres.catalog_queries import CatalogRows, Row
from server.protocols.postgres.functions import Functions, UserCasts
from server.protocols.postgres.labels import Graph, Labels, Place, dependents, propagate
from server.protocols.postgres.planned import calling_when_planned, readers_of, with_parents
from server.protocols.postgres.reach import reached
from server.protocols.postgres.schemas import shadowing_names
from server.protocols.postgres.target import PostgresTarget


def decoded(frames: bytes) -> list[Row]:
    """The rows of a query of the gateway's own, as text; NULL is the empty string."""
    return [tuple((c or b"").decode() for c in r) for r in decode_postgres(frames)]


@dataclass(frozen=True, slots=True)
class Parts:
    """A catalog's rows put in order; what is still missing are the origins of views' columns."""

    rows: CatalogRows
    relations: _Relations
    functions: Functions
    graph: Graph
    configured: Mapping[Place, str]

    @classmethod
    def of(cls, target: PostgresTarget, frames: Mapping[str, bytes]) -> Parts:
        """Raises `ConfigError` if a configured column does not exist."""
        rows = CatalogRows(**{name: decoded(found) for name, found in frames.items()})
        relations = _Relations.of(rows)
        configured = relations.configured(target)
        functions = Functions.of(target, rows)
        graph = _graph(rows, relations)
        graph = graph.with_touches(functions.hidden_readers(rows, relations.withheld), configured)
        secrets = relations.server_secrets(settings_hold_secrets=rows.settings != [("f",)])
        return cls(rows, relations, functions, graph, {**secrets, **configured})

    @property
    def views(self) -> frozenset[int]:
        """Views that a label may reach."""
        return dependents((oid for oid, _ in self.configured), self.graph)

    def catalog(
        self, target: PostgresTarget, origins: Mapping[int, tuple[Place | None, ...]]
    ) -> Catalog:
        labels = propagate(self.configured, _with_origins(self.graph, origins))
        return _catalog(target, self.rows, self.relations, self.functions, labels)


@dataclass(frozen=True, slots=True)
class _Relations:
    """The relations' rows, ready to look up."""

    names: Mapping[int, TableName]
    kinds: Mapping[int, str]
    row_types: Mapping[int, int]
    user_code: frozenset[int]
    columns: Mapping[int, tuple[tuple[str, int, str, int, bool], ...]]

    @classmethod
    def of(cls, rows: CatalogRows) -> _Relations:
        columns: defaultdict[int, list[tuple[str, int, str, int, bool]]] = defaultdict(list)
        for oid, name, number, type_, type_oid, generated in rows.columns:
            column = (name, int(number), type_, int(type_oid), generated != "")
            columns[int(oid)].append(column)
        return cls(
            names={int(oid): TableName(schema, name) for schema, name, oid, *_ in rows.relations},
            kinds={int(oid): kind for _, _, oid, kind, *_ in rows.relations},
            row_types={int(oid): int(type_) for _, _, oid, _, type_, _ in rows.relations},
            user_code=frozenset(int(r[2]) for r in rows.relations if r[5] == "t"),
            columns={oid: tuple(found) for oid, found in columns.items()},
        )

    @property
    def views(self) -> frozenset[int]:
        """Relations whose query runs when they are read."""
        return frozenset(oid for oid, kind in self.kinds.items() if kind == "v")

    @property
    def withheld(self) -> frozenset[int]:
        """Relations that are shown to nobody."""
        return frozenset(oid for oid, name in self.names.items() if is_sensitive(name))

    def configured(self, target: PostgresTarget) -> dict[Place, str]:
        """The configured labels by place. Raises `ConfigError` for a column that is not there."""
        oids = {name: oid for oid, name in self.names.items()}
        placed: dict[Place, str] = {}
        for (schema, table, column), label in target.labels.items():
            oid = oids.get(TableName(schema, table), 0)
            number = next((n for name, n, *_ in self.columns.get(oid, ()) if name == column), 0)
            if not number:
                raise ConfigError(
                    f"target {target.name}: there is no column {schema}.{table}.{column}; "
                    "correct or remove it under `columns`"
                )
            placed[oid, number] = label
        return placed

    def server_secrets(self, *, settings_hold_secrets: bool) -> dict[Place, str]:
        """The columns of the server's own relations that are masked whatever policies say."""
        return {
            (oid, number): SERVER_SECRET
            for oid, name in self.names.items()
            for masked in (masked_columns(name, settings_hold_secrets=settings_hold_secrets),)
            for column, number, *_ in self.columns.get(oid, ())
            if column in masked
        }


def _graph(rows: CatalogRows, relations: _Relations) -> Graph:
    touches: defaultdict[int, set[Place]] = defaultdict(set)
    for view, oid, number in rows.view_columns:
        touches[int(view)].add((int(oid), int(number)))
    generated: defaultdict[Place, set[Place]] = defaultdict(set)
    for oid, number, source in rows.generated:
        generated[int(oid), int(number)].add((int(oid), int(source)))
    return Graph(
        columns={oid: {n: i for n, i, *_ in found} for oid, found in relations.columns.items()},
        touches={view: frozenset(places) for view, places in touches.items()},
        kin=tuple((int(parent), int(child)) for parent, child in rows.inheritance),
        generated={place: frozenset(sources) for place, sources in generated.items()},
    )


def _with_origins(graph: Graph, origins: Mapping[int, tuple[Place | None, ...]]) -> Graph:
    return Graph(graph.columns, graph.touches, origins, graph.kin, graph.generated)


def _catalog(
    target: PostgresTarget,
    rows: CatalogRows,
    relations: _Relations,
    functions: Functions,
    labels: Labels,
) -> Catalog:
    user_code = _user_code(rows, relations, functions)
    planned = _calling_unasked(rows, relations, functions, user_code)
    user_code |= relations.views & planned
    planned -= relations.views
    cast = functions.types_with_user_casts(rows)
    through = reached(rows, relations.names, relations.kinds)
    found = {
        name: replace(
            _relation(oid, relations, labels, user_code=oid in user_code, cast=cast),
            behind=through.behind.get(oid, ()),
            partition=oid in through.partitions,
            planned_code=oid in planned,
        )
        for oid, name in relations.names.items()
        if name.schema not in BUILTIN_SCHEMAS
        or name.name not in queries.WITHHELD
        or is_partly_shown(name)
    }
    return Catalog(
        version=_version(target, found.values(), functions.names, rows),
        database=target.database,
        search_path=target.path,
        relations=found,
        functions=functions.names,
        operators=functions.operators(rows),
        types=functions.types(rows),
        by_oid={relation.oid: relation for relation in found.values()},
        schemas=shadowing_names(rows.schemas, target.path),
        code_types=cast.holding,
        enums=_enums(rows),
    )


def _enums(rows: CatalogRows) -> dict[int, tuple[str, ...]]:
    labels: defaultdict[int, list[str]] = defaultdict(list)
    for oid, array, label in rows.enums:
        labels[int(oid)].append(label)
        labels[int(array)] = []
    return {oid: tuple(found) for oid, found in labels.items()}


def _relation(
    oid: int, relations: _Relations, labels: Labels, *, user_code: bool, cast: UserCasts
) -> Relation:
    # A cast of the row as a whole counts against every column: any of them brings the row along.
    whole = relations.row_types[oid] in cast.direct
    columns = tuple(
        Column(
            *(name, number, type_, labels.get((oid, number), frozenset()), whole or held),
            generated=generated,
        )
        for name, number, type_, type_oid, generated in relations.columns.get(oid, ())
        for held in (type_oid in cast.holding,)
    )
    return Relation(relations.names[oid], oid, relations.kinds[oid], columns, user_code)


def _calling_unasked(
    rows: CatalogRows, relations: _Relations, functions: Functions, user_code: frozenset[int]
) -> frozenset[int]:
    """Relations that can't be read without the server's calling what reads may not call."""
    calling = with_parents(
        calling_when_planned(rows.planned, functions.unasked), rows.inheritance
    ) | calling_when_planned(rows.policies, functions.unasked)
    read = (row for row in rows.view_columns if int(row[0]) in relations.views)
    seen = calling | (relations.views & user_code)
    return frozenset(calling | readers_of(seen, read, rows.policy_relations))


def _user_code(rows: CatalogRows, relations: _Relations, functions: Functions) -> frozenset[int]:
    """Relations with triggers or rules; views, at any depth, of what reads may not call or see."""
    found = set(relations.user_code)
    found |= functions.unsafe_views(rows, relations.withheld)
    views = relations.views
    before = -1
    while before != len(found):
        before = len(found)
        uses = ((int(view), int(oid)) for view, oid, _ in rows.view_columns)
        found |= {view for view, oid in uses if oid in found and oid in views}
    return frozenset(found)


def _version(
    target: PostgresTarget,
    relations: Iterable[Relation],
    functions: Mapping[str, frozenset[str]],
    rows: CatalogRows,
) -> str:
    """A digest of everything that a statement's facts depend on."""
    digest = hashlib.sha256(repr((target.database, target.path)).encode())
    for relation in relations:
        labels = [sorted(column.labels) for column in relation.columns]
        named = [(c.name, c.number, c.type, c.user_code, c.generated) for c in relation.columns]
        codes = (relation.user_code, relation.planned_code)
        summary = (relation.name, relation.oid, relation.kind, named, labels, codes)
        # Sets are printed in no order.
        reach = [(b.name, sorted(b.columns), b.kind, sorted(b.keys)) for b in relation.behind]
        digest.update(repr((summary, reach, relation.partition)).encode())
    digest.update(repr(sorted((s, sorted(names)) for s, names in functions.items())).encode())
    digest.update(repr((rows.operators, rows.types, rows.casts, rows.cast_types)).encode())
    digest.update(repr(rows.schemas).encode())
    return digest.hexdigest()
