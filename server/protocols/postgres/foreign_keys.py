"""Rows that the server deletes or changes with others: ON DELETE and ON UPDATE of foreign keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policies.sql.catalog import Behind, Reach
from policies.sql.facts import TableName
from server.protocols.postgres.catalog_queries import CatalogRows, Row

_ALL: Final = frozenset({"*"})
_CASCADE: Final = "c"
_UNSET: Final = ("n", "d")  # SET NULL, SET DEFAULT


@dataclass(frozen=True, slots=True)
class _ForeignKey:
    """One that changes rows: pg_constraint's letters, and the columns on both sides."""

    referred: int
    referring: int
    on_delete: str
    on_update: str
    keys: frozenset[str]
    columns: frozenset[str]

    @classmethod
    def of(cls, row: Row) -> _ForeignKey:
        referred, referring, on_delete, on_update, keys, columns = row
        sides = (frozenset(json.loads(side)) for side in (keys, columns))
        return cls(int(referred), int(referring), on_delete, on_update, *sides)


@dataclass(frozen=True, slots=True)
class ForeignKeys:
    """Those of a database that change rows."""

    found: tuple[_ForeignKey, ...]

    @classmethod
    def of(cls, rows: CatalogRows) -> ForeignKeys:
        return cls(tuple(map(_ForeignKey.of, rows.cascades)))

    @property
    def referred(self) -> frozenset[int]:
        """Tables whose rows others refer to."""
        return frozenset(key.referred for key in self.found)

    def behind(
        self, oid: int, names: Mapping[int, TableName], children: Collection[int]
    ) -> Iterator[Behind]:
        """What changes with the rows of a table, or of those that inherit from it."""
        gone = self._gone({oid, *children})
        for other in sorted(gone - {oid, *children}):
            yield Behind(names[other], _ALL, Reach.DELETED)
        for key in self.found:
            if key.referred in gone and key.on_delete in _UNSET:
                yield Behind(names[key.referring], key.columns, Reach.CHANGED)
        yield from self._follows({oid, *children}, names)

    def _gone(self, start: set[int]) -> set[int]:
        """Tables that lose rows when these do."""
        found, waiting = set(start), list(start)
        while waiting:
            oid = waiting.pop()
            more = {k.referring for k in self.found if (k.referred, k.on_delete) == (oid, _CASCADE)}
            waiting += more - found
            found |= more
        return found

    def _follows(self, start: set[int], names: Mapping[int, TableName]) -> Iterator[Behind]:
        """Tables whose rows change when keys of these do; where that goes on, all that follow."""
        waiting = [(key, key.keys) for key in self.found if key.referred in start]
        seen: set[tuple[int, frozenset[str]]] = set()
        while waiting:
            key, keys = waiting.pop()
            if key.on_update not in (_CASCADE, *_UNSET) or (key.referring, keys) in seen:
                continue
            seen.add((key.referring, keys))
            yield Behind(names[key.referring], key.columns, Reach.FOLLOWS, keys)
            waiting += ((k, keys) for k in self.found if k.referred == key.referring)
