"""Rows that the server deletes or changes with others: ON DELETE and ON UPDATE of foreign keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from policies.sql.catalog import Behind, Reach
from policies.sql.facts import TableName
from server.protocols.mysql.catalog_queries import Row

_ALL: Final = frozenset({"*"})
_CASCADE: Final = "CASCADE"
_UNSET: Final = ("SET NULL", "SET DEFAULT")


@dataclass(frozen=True, slots=True)
class _ForeignKey:
    """The columns on both sides, and the rules as the server writes them."""

    referred: TableName
    referring: TableName
    on_delete: str
    on_update: str
    keys: frozenset[str]
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class ForeignKeys:
    """Those that the gateway's account is shown."""

    found: tuple[_ForeignKey, ...]

    @classmethod
    def of(cls, referring: Sequence[Row], rules: Sequence[Row]) -> ForeignKeys:
        """Of rows of `catalog_queries`. A key whose rules are not shown may do anything."""
        known = {row[:3]: (row[3] or "", row[4] or "") for row in rules}
        columns: dict[tuple[str | None, ...], list[Row]] = {}
        for row in referring:
            columns.setdefault(row[:5], []).append(row)
        return cls(
            tuple(
                _ForeignKey(
                    TableName(key[0] or "", key[1] or ""),
                    TableName(key[2] or "", key[3] or ""),
                    *known.get(key[2:], (_CASCADE, _CASCADE)),
                    frozenset(row[6] or "" for row in rows),
                    frozenset(row[5] or "" for row in rows),
                )
                for key, rows in columns.items()
            )
        )

    def behind(self, name: TableName) -> Iterator[Behind]:
        """What changes with the rows of a table."""
        gone = self._gone(name)
        for other in sorted(gone - {name}):
            yield Behind(other, _ALL, Reach.DELETED)
        for key in self.found:
            if key.referred in gone and key.on_delete in _UNSET:
                yield Behind(key.referring, key.columns, Reach.CHANGED)
        yield from self._follows(name)

    def _gone(self, start: TableName) -> set[TableName]:
        """Tables that lose rows when this one does."""
        found, waiting = {start}, [start]
        while waiting:
            name = waiting.pop()
            lost = (key for key in self.found if (key.referred, key.on_delete) == (name, _CASCADE))
            more = {key.referring for key in lost} - found
            waiting += more
            found |= more
        return found

    def _follows(self, start: TableName) -> Iterator[Behind]:
        """Tables whose rows change when keys of this one do; where that goes on, all of them."""
        waiting = [(key, key.keys) for key in self.found if key.referred == start]
        seen: set[tuple[TableName, frozenset[str]]] = set()
        while waiting:
            key, keys = waiting.pop()
            if key.on_update not in (_CASCADE, *_UNSET) or (key.referring, keys) in seen:
                continue
            seen.add((key.referring, keys))
            yield Behind(key.referring, key.columns, Reach.FOLLOWS, keys)
            waiting += ((k, keys) for k in self.found if k.referred == key.referring)
