"""Catalogs on their way to the workers: the names once, their surroundings with each statement.

Names are the large parts of a catalog, found again by their identity: a session's own search path
makes another `Catalog` over the same names, and costs nothing here.
"""

from __future__ import annotations

import asyncio
import copyreg
import io
import marshal
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from operator import attrgetter
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

from policies.sql import catalog as catalogs
from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName

KEPT: Final = 300.0
"""Seconds for which the names of a catalog that nobody asks about are kept."""

KEPT_BYTES: Final = 128 * 1024 * 1024
"""Of all names together."""

KNOWN: Final = 1024
"""Catalogs that are known by identity."""

# Later ones write the same value in several ways.
_PLAIN_MARSHAL: Final = 2

_AT_ONCE: Final = 50
"""Relations between two looks at the event loop: about 2 ms."""


@dataclass(slots=True, eq=False)
class Names:
    """The large parts of a catalog, as workers take them in. `parts` keeps their identity.

    `used`: when they were asked about last, by the monotonic clock.
    """

    number: int
    blob: bytes = field(repr=False)
    parts: tuple[object, ...] = field(repr=False)
    used: float = field(default_factory=monotonic)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A catalog in the form in which workers know it."""

    catalog: Catalog = field(repr=False)
    names: Names
    around: bytes

    @property
    def key(self) -> tuple[int, bytes]:
        """Equal for equal catalogs only."""
        return self.names.number, self.around


class Shipping:
    """Every catalog asked about, made ready once. One a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Shipped] = OrderedDict()
        self._names: dict[Hashable, Names] = {}
        self._lock = asyncio.Lock()
        self._numbers = 0

    def known(self, catalog: Catalog) -> Shipped | None:
        """The catalog if it was made ready before."""
        shipped = self._known.get(id(catalog))
        if shipped is None or shipped.catalog is not catalog:
            return None
        shipped.names.used = monotonic()
        return shipped

    async def ready(self, catalog: Catalog) -> Shipped:
        """The catalog as workers take it; the event loop turns while a large one is written."""
        shipped = self.known(catalog)
        if shipped is None:
            async with self._lock:
                shipped = self._ship(catalog, await self._names_of(catalog))
        return shipped

    def _ship(self, catalog: Catalog, names: Names) -> Shipped:
        around = marshal.dumps(
            {n: v for n, v in _parts(catalog).items() if _is_small(v)}, _PLAIN_MARSHAL
        )
        shipped = self._known[id(catalog)] = Shipped(catalog, names, around)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return shipped

    async def _names_of(self, catalog: Catalog) -> Names:
        large = {n: v for n, v in _parts(catalog).items() if not _is_small(v)}
        identity = tuple((name, id(value)) for name, value in large.items())
        names = self._names.get(identity)
        if names is None:
            self._numbers += 1
            blob = await _written(large)
            names = self._names[identity] = Names(self._numbers, blob, tuple(large.values()))
            self._bound(names)
        names.used = monotonic()
        return names

    def _bound(self, newest: Names) -> None:
        """Let the names go that nobody asks about any more, and of too many the oldest ones."""
        total, least = 0, monotonic() - KEPT
        for identity, names in sorted(self._names.items(), key=lambda item: -item[1].used):
            total += len(names.blob)
            if names is not newest and (names.used < least or total > KEPT_BYTES):
                del self._names[identity]
                for key in [k for k, shipped in self._known.items() if shipped.names is names]:
                    del self._known[key]


def _parts(catalog: Catalog) -> Mapping[str, Any]:
    return {field.name: getattr(catalog, field.name) for field in fields(catalog)}


def _is_small(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_small, value))
    return isinstance(value, str | int) or value is None


async def _written(large: Mapping[str, Any]) -> bytes:
    rest = dict(large)
    relations: Mapping[TableName, Relation] = rest.pop("relations")
    oids = {oid: relation.name for oid, relation in rest.pop("by_oid").items()}
    written: dict[TableName, bytes] = {}
    for number, (name, relation) in enumerate(relations.items()):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        written[name] = _pickled(relation)
    rest = {name: _plain(value) for name, value in rest.items()}
    return _pickled((written, oids, rest))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _pickled(value: object) -> bytes:
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(value)
    return file.getvalue()


def _reducer(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A dataclass by its fields, in order: three times as fast as its own `__reduce__`."""
    values = attrgetter(*(f.name for f in fields(kind)))
    return lambda instance: (kind, values(instance))


_REDUCERS: Final[Mapping[type, Callable[[Any], Any]]] = MappingProxyType(
    {
        **copyreg.dispatch_table,
        TableName: _reducer(TableName),
        **{
            kind: _reducer(kind)
            for kind in vars(catalogs).values()
            if isinstance(kind, type) and is_dataclass(kind) and len(fields(kind)) > 1
        },
    }
)
