"""Reads a target's names into a `Catalog`: relations, safe functions, operators, types, labels.

The rules are elsewhere: which functions are safe in `policies.sql.safe_functions`, how labels
travel in `labels`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a catalog was made of: a digest of its rows, and what the server said about views."""

    digest: bytes
    views: frozenset[int]
    texts: Mapping[int, str]
    origins: Mapping[int, tuple[Place | None, ...]]


@dataclass(slots=True)
class CatalogReader:
    """Reads snapshots of one target; what came with the server is read once.

    Making a catalog holds everybody up for a moment, so one that would be the same is not made.
    """

    target: PostgresTarget
    _system_view_functions: bytes = b""
    _seen: _Seen | None = None
    _catalog: Catalog | None = None

    async def read(self, link: Link) -> Catalog:
        """One consistent snapshot. Raises `ConfigError` if a configured column does not exist."""
        await command(link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        frames = await self._frames(link)
        digest = _digest(frames)
        parts = None
        if self._seen is not None and self._seen.digest == digest:
            views = self._seen.views
        else:
            parts = _Parts.of(self.target, frames)
            views = parts.views
        texts = await _view_texts(link, views)
        await command(link, "COMMIT")
        origins = {oid: await _origins(link, text) for oid, text in texts.items()}
        seen = _Seen(digest, views, texts, origins)
        if self._catalog is None or seen != self._seen:
            parts = parts or _Parts.of(self.target, frames)
            self._catalog, self._seen = parts.catalog(self.target, origins), seen
        return self._catalog

    async def _frames(self, link: Link) -> Mapping[str, bytes]:
        """The rows of every query, as they came."""
        if not self._system_view_functions:
            query = queries.VIEW_FUNCTIONS.format(which="r.ev_class < 16384")
            self._system_view_functions = await _fetch_frames(link, query)
        view_functions = queries.VIEW_FUNCTIONS.format(which="r.ev_class >= 16384")
        asked = {
            "relations": queries.RELATIONS,
            "columns": queries.COLUMNS,
            "functions": queries.FUNCTIONS.format(of_extension=queries.OF_EXTENSION),
            "operators": queries.OPERATORS,
            "casts": queries.CASTS.format(of_extension=queries.OF_EXTENSION),
            "cast_types": queries.CAST_TYPES,
            "types": queries.TYPES,
            "inheritance": queries.INHERITANCE,
            "view_columns": queries.VIEW_COLUMNS,
            "view_functions": view_functions,
            "view_relations": queries.VIEW_RELATIONS,
            "view_objects": queries.VIEW_OBJECTS,
            "generated": queries.GENERATED,
        }
        found = {name: await _fetch_frames(link, query) for name, query in asked.items()}
        found["view_functions"] = self._system_view_functions + found["view_functions"]
        return found


def _digest(frames: Mapping[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for rows in frames.values():
        digest.update(len(rows).to_bytes(8, "big"))
        digest.update(rows)
    return digest.digest()


async def fetch(link: Link, query: str) -> list[Row]:
    """All rows of one of the gateway's own queries; NULL is the empty string."""
    return _decoded(await _fetch_frames(link, query))


async def _fetch_frames(link: Link, query: str) -> bytes:
    link.conversation.begin(None)
    link.write(link.conversation.send(f.Query(query)))
    await link.drain()
    frames: list[bytes] = []
    for event in await link.finish_turn():
        if isinstance(event, Failed):
            raise ProtocolError(f"the catalog can't be read: {event.sqlstate} {event.message}")
        if isinstance(event, Rows):
            frames.append(event.frames)
    return b"".join(frames)


def _decoded(frames: bytes) -> list[Row]:
    return [tuple((c or b"").decode() for c in r) for r in decode_postgres(frames)]


@dataclass(frozen=True, slots=True)
class _Parts:
    """A catalog's rows put in order; what is still missing are the origins of views' columns."""

    rows: CatalogRows
    relations: _Relations
    functions: Functions
    graph: Graph
    configured: Mapping[Place, str]

    @classmethod
    def of(cls, target: PostgresTarget, frames: Mapping[str, bytes]) -> _Parts:
        """Raises `ConfigError` if a configured column does not exist."""
        rows = CatalogRows(**{name: _decoded(found) for name, found in frames.items()})
        relations = _Relations.of(rows)
        configured = relations.configured(target)
        functions = Functions.of(target, rows)
        graph = _graph(rows, relations)
        graph = graph.with_touches(functions.hidden_readers(rows, relations.withheld), configured)
        return cls(rows, relations, functions, graph, configured)

    @property
    def views(self) -> frozenset[int]:
        """Views that a label may reach."""
        return dependents((oid for oid, _ in self.configured), self.graph)

    def catalog(
        self, target: PostgresTarget, origins: Mapping[int, tuple[Place | None, ...]]
    ) -> Catalog:
        labels = propagate(self.configured, _with_origins(self.graph, origins))
        return _catalog(target, self.rows, self.relations, self.functions, labels)


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
