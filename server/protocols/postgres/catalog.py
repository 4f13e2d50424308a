"""Reads a target's names into a `Catalog`: relations, safe functions, operators, types, labels.

The rules are elsewhere: which functions are safe in `policies.sql.safe_functions`, how labels
travel in `labels`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from policies.errors import ConfigError, ProtocolError
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import TableName
from policies.sql.names import is_sensitive
from policies.sql.safe_functions import BUILTIN_SCHEMAS
from recordings.events import Failed, Native, Rows
from recordings.rows import decode_postgres
from server.protocols.postgres import backend as b
from server.protocols.postgres import catalog_queries as queries
from server.protocols.postgres import frontend as f
from server.protocols.postgres.catalog_queries import CatalogRows, Row
from server.protocols.postgres.fields import FieldReader
from server.protocols.postgres.functions import Functions, UserCasts
from server.protocols.postgres.labels import Graph, Labels, Place, dependents, propagate
from server.protocols.postgres.link import Link
from server.protocols.postgres.pool import command
from server.protocols.postgres.target import PostgresTarget


@dataclass(slots=True)
class CatalogReader:
    """Reads snapshots of one target; what came with the server is read once."""

    target: PostgresTarget
    _system_view_functions: list[Row] = field(default_factory=list)

    async def read(self, link: Link) -> Catalog:
        """One consistent snapshot. Raises `ConfigError` if a configured column does not exist."""
        await command(link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        rows = await self._rows(link)
        relations = _Relations.of(rows)
        configured = relations.configured(self.target)
        graph = _graph(rows, relations)
        functions = Functions.of(self.target, rows)
        graph = graph.with_touches(functions.hidden_readers(rows, relations.withheld), configured)
        texts = await _view_texts(link, dependents((oid for oid, _ in configured), graph))
        await command(link, "COMMIT")
        origins = {oid: await _origins(link, text) for oid, text in texts.items()}
        labels = propagate(configured, _with_origins(graph, origins))
        return _catalog(self.target, rows, relations, functions, labels)

    async def _rows(self, link: Link) -> CatalogRows:
        if not self._system_view_functions:
            query = queries.VIEW_FUNCTIONS.format(which="r.ev_class < 16384")
            self._system_view_functions = await fetch(link, query)
        view_functions = queries.VIEW_FUNCTIONS.format(which="r.ev_class >= 16384")
        return CatalogRows(
            relations=await fetch(link, queries.RELATIONS),
            columns=await fetch(link, queries.COLUMNS),
            functions=await fetch(
                link, queries.FUNCTIONS.format(of_extension=queries.OF_EXTENSION)
            ),
            operators=await fetch(link, queries.OPERATORS),
            casts=await fetch(link, queries.CASTS.format(of_extension=queries.OF_EXTENSION)),
            cast_types=await fetch(link, queries.CAST_TYPES),
            types=await fetch(link, queries.TYPES),
            inheritance=await fetch(link, queries.INHERITANCE),
            view_columns=await fetch(link, queries.VIEW_COLUMNS),
            view_functions=self._system_view_functions + await fetch(link, view_functions),
            view_relations=await fetch(link, queries.VIEW_RELATIONS),
            view_objects=await fetch(link, queries.VIEW_OBJECTS),
            generated=await fetch(link, queries.GENERATED),
        )


async def fetch(link: Link, query: str) -> list[Row]:
    """All rows of one of the gateway's own queries; NULL is the empty string."""
    link.conversation.begin(None)
    link.write(link.conversation.send(f.Query(query)))
    await link.drain()
    rows: list[Row] = []
    for event in await link.finish_turn():
        if isinstance(event, Failed):
            raise ProtocolError(f"the catalog can't be read: {event.sqlstate} {event.message}")
        if isinstance(event, Rows):
            rows += [tuple((c or b"").decode() for c in r) for r in decode_postgres(event.frames)]
    return rows


async def _view_texts(link: Link, views: frozenset[int]) -> dict[int, str]:
    if not views:
        return {}
    oids = ", ".join(map(str, sorted(views)))
    rows = await fetch(link, queries.VIEW_TEXTS.format(oids=oids))
    return {int(oid): text for oid, text in rows}


async def _origins(link: Link, text: str) -> tuple[Place | None, ...]:
    """Where each column of a query comes from, as the server itself sees it; nothing runs.

    Empty where the server does not tell: then nothing is proven.
    """
    link.conversation.begin(None)
    for message in (f.Parse("", text), f.Describe("S", ""), f.Sync()):
        link.write(link.conversation.send(message))
    await link.drain()
    for event in await link.finish_turn():
        if isinstance(event, Native) and event.message.startswith(b.RowDescription.tag):
            described = b.RowDescription.decode(FieldReader(event.message[5:]))
            return tuple((c.table, c.number) if c.table else None for c in described.columns)
    return ()


@dataclass(frozen=True, slots=True)
class _Relations:
    """The relations' rows, ready to look up."""

    names: Mapping[int, TableName]
    kinds: Mapping[int, str]
    row_types: Mapping[int, int]
    user_code: frozenset[int]
    columns: Mapping[int, tuple[tuple[str, int, str, int], ...]]

    @classmethod
    def of(cls, rows: CatalogRows) -> _Relations:
        columns: defaultdict[int, list[tuple[str, int, str, int]]] = defaultdict(list)
        for oid, name, number, type_, type_oid in rows.columns:
            columns[int(oid)].append((name, int(number), type_, int(type_oid)))
        return cls(
            names={int(oid): TableName(schema, name) for schema, name, oid, *_ in rows.relations},
            kinds={int(oid): kind for _, _, oid, kind, *_ in rows.relations},
            row_types={int(oid): int(type_) for _, _, oid, _, type_, _ in rows.relations},
            user_code=frozenset(int(r[2]) for r in rows.relations if r[5] == "t"),
            columns={oid: tuple(found) for oid, found in columns.items()},
        )

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
    cast = functions.types_with_user_casts(rows)
    found = {
        name: _relation(oid, relations, labels, user_code=oid in user_code, cast=cast)
        for oid, name in relations.names.items()
        if name.schema not in BUILTIN_SCHEMAS or name.name not in queries.WITHHELD
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
    )


def _relation(
    oid: int, relations: _Relations, labels: Labels, *, user_code: bool, cast: UserCasts
) -> Relation:
    # A cast of the row as a whole counts against every column: any of them brings the row along.
    whole = relations.row_types[oid] in cast.direct
    columns = tuple(
        Column(name, number, type_, labels.get((oid, number), frozenset()), whole or held)
        for name, number, type_, type_oid in relations.columns.get(oid, ())
        for held in (type_oid in cast.holding,)
    )
    return Relation(relations.names[oid], oid, relations.kinds[oid], columns, user_code)


def _user_code(rows: CatalogRows, relations: _Relations, functions: Functions) -> frozenset[int]:
    """Relations with triggers or rules; views, at any depth, of what reads may not call or see."""
    found = set(relations.user_code)
    found |= functions.unsafe_views(rows, relations.withheld)
    views = {oid for oid, kind in relations.kinds.items() if kind == "v"}
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
        named = [(c.name, c.number, c.type, c.user_code) for c in relation.columns]
        summary = (relation.name, relation.oid, relation.kind, named, labels, relation.user_code)
        digest.update(repr(summary).encode())
    digest.update(repr(sorted((s, sorted(names)) for s, names in functions.items())).encode())
    digest.update(repr((rows.operators, rows.types, rows.casts, rows.cast_types)).encode())
    return digest.hexdigest()
