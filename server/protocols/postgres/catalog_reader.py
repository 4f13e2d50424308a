"""Reads a target's catalogs, and with them what shows later that something has changed.

What a catalog is made of is in `catalog`, what shows a change in `fingerprints`.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from policies.sql.catalog import Catalog
from recordings.events import Failed, Native, Rows
from server.protocols.postgres import backend as b
from server.protocols.postgres import catalog_queries as queries
from server.protocols.postgres import frontend as f
from server.protocols.postgres.catalog import Parts, decoded
from server.protocols.postgres.catalog_queries import Row
from server.protocols.postgres.fields import FieldReader
from server.protocols.postgres.fingerprints import (
    FUNCTION_STATES,
    MARK,
    OTHER_STATES,
    RELATION_STATES,
    Fingerprints,
)
from server.protocols.postgres.labels import Place
from server.protocols.postgres.link import Link
from server.protocols.postgres.pool import command
from server.protocols.postgres.schemas import USABLE, schemas_query
from server.protocols.postgres.target import PostgresTarget

KEPT_VERSIONS: Final = 2
LARGE: Final = 1 << 20  # bytes of columns' rows: some 15,000 columns
_STATES: Final = {
    "relations": RELATION_STATES,
    "functions": FUNCTION_STATES,
    "others": OTHER_STATES,
}


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

    One that would be the same is not read: the server says so by a mark. What is made of the rows
    is made in a thread, so that a large catalog holds nobody up. `users` are the roles that the
    gateway uses, as it logs in.
    """

    target: PostgresTarget
    users: frozenset[str] = frozenset()
    _system_view_functions: bytes = b""
    _mark: bytes = b""
    _doubts: int = 0
    _settled: int = 0
    _seen: _Seen | None = None
    _catalog: Catalog | None = None
    _fingerprints: OrderedDict[str, Fingerprints] = field(default_factory=OrderedDict)

    async def read(self, link: Link) -> Catalog:
        """One consistent snapshot. Raises `ConfigError` if a configured column does not exist."""
        doubts = self._doubts
        await command(link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Who may see settings, and what is in them, is no object that the mark knows of.
        settings = await _frames_of(link, queries.settings_query(self.users))
        usable = await _frames_of(link, USABLE.format(users=queries.listed(self.users)))
        mark = settings + usable + await _frames_of(link, MARK)
        if self._catalog is None or mark != self._mark or doubts != self._settled:
            self._catalog = await self._read(link)
            self._mark, self._settled = mark, doubts
        else:
            await command(link, "COMMIT")
        return self._catalog

    def doubt(self) -> None:
        """Something was not as it was read: whatever the mark says, everything is read again."""
        self._doubts += 1

    def fingerprints(self, version: str) -> Fingerprints | None:
        """What the server must find for facts by this version; None if it is an old one.

        Behind a space stands what a session's own search path adds to it (`search_path.on_path`).
        """
        return self._fingerprints.get(version.partition(" ")[0])

    async def _read(self, link: Link) -> Catalog:
        frames = await self._frames(link)
        with _undisturbed(len(frames["columns"])):
            return await self._made_of(link, frames)

    async def _made_of(self, link: Link, frames: Mapping[str, bytes]) -> Catalog:
        states = {name: await _frames_of(link, query) for name, query in _STATES.items()}
        digest = await asyncio.to_thread(_digest, frames)
        parts: Parts | None = None
        if self._seen is not None and self._seen.digest == digest:
            views = self._seen.views
        else:
            parts = await self._parts(frames)
            views = parts.views
        texts = await _view_texts(link, views)
        await command(link, "COMMIT")
        origins = {oid: await _origins(link, text) for oid, text in texts.items()}
        seen, catalog = _Seen(digest, views, texts, origins), self._catalog
        if catalog is None or seen != self._seen:
            parts = parts or await self._parts(frames)
            catalog = await asyncio.to_thread(parts.catalog, self.target, origins)
        fingerprints = await asyncio.to_thread(_fingerprints, catalog, states)
        self._seen = seen
        self._keep(fingerprints)
        return catalog

    async def _parts(self, frames: Mapping[str, bytes]) -> Parts:
        return await asyncio.to_thread(Parts.of, self.target, frames)

    def _keep(self, fingerprints: Fingerprints) -> None:
        """The version before stays: statements that were judged by it may be on their way.

        What they hang on may be unchanged, and if not, the check finds it.
        """
        version = fingerprints.catalog.version
        self._fingerprints.pop(version, None)
        self._fingerprints[version] = fingerprints
        while len(self._fingerprints) > KEPT_VERSIONS:
            self._fingerprints.popitem(last=False)

    async def _frames(self, link: Link) -> Mapping[str, bytes]:
        """The rows of every query, as they came."""
        if not self._system_view_functions:
            query = queries.VIEW_FUNCTIONS.format(which="r.ev_class < 16384")
            self._system_view_functions = await _frames_of(link, query)
        view_functions = queries.VIEW_FUNCTIONS.format(which="r.ev_class >= 16384")
        asked = {
            "relations": queries.RELATIONS,
            "columns": queries.COLUMNS,
            "functions": queries.FUNCTIONS.format(of_extension=queries.OF_EXTENSION),
            "operators": queries.OPERATORS,
            "casts": queries.CASTS.format(
                of_extension=queries.OF_EXTENSION, used=queries.USED, foreign=queries.FOREIGN
            ),
            "planned": queries.PLANNED.format(used=queries.USED, foreign=queries.FOREIGN),
            "policies": queries.POLICIES.format(used=queries.USED, foreign=queries.FOREIGN),
            "policy_relations": queries.POLICY_RELATIONS,
            "cast_types": queries.CAST_TYPES,
            "types": queries.TYPES,
            "enums": queries.ENUMS,
            "inheritance": queries.INHERITANCE,
            "cascades": queries.CASCADES,
            "view_columns": queries.VIEW_COLUMNS,
            "view_functions": view_functions,
            "view_relations": queries.VIEW_RELATIONS,
            "view_objects": queries.VIEW_OBJECTS,
            "generated": queries.GENERATED,
            "schemas": schemas_query(queries.OF_EXTENSION, queries.listed(self.users)),
            "settings": queries.settings_query(self.users),
        }
        found = {name: await _frames_of(link, query) for name, query in asked.items()}
        found["view_functions"] = self._system_view_functions + found["view_functions"]
        return found


@contextmanager
def _undisturbed(size: int) -> Iterator[None]:
    """Keep the garbage collector off the names of a large catalog, now and later.

    It would stop everything for half a second, several times, to find that none of them is garbage:
    they hang together without a circle, and go when nobody refers to them.
    """
    collects = gc.isenabled() and size > LARGE
    if collects:
        gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


def _fingerprints(catalog: Catalog, states: Mapping[str, bytes]) -> Fingerprints:
    return Fingerprints.of(catalog, {name: decoded(found) for name, found in states.items()})


def _digest(frames: Mapping[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for rows in frames.values():
        digest.update(len(rows).to_bytes(8, "big"))
        digest.update(rows)
    return digest.digest()


async def _fetch(link: Link, query: str) -> list[Row]:
    """All rows of one of the gateway's own queries; NULL is the empty string."""
    return decoded(await _frames_of(link, query))


async def _frames_of(link: Link, query: str) -> bytes:
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


async def _view_texts(link: Link, views: frozenset[int]) -> dict[int, str]:
    if not views:
        return {}
    oids = ", ".join(map(str, sorted(views)))
    rows = await _fetch(link, queries.VIEW_TEXTS.format(oids=oids))
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
