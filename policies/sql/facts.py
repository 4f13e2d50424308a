"""What a statement does, as far as it was understood. What was not understood is opaque."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SqlEffect(StrEnum):
    """The most consequential effect of a statement, weakest first."""

    READ = "read"
    TRANSACTION = "transaction"
    SESSION = "session"
    WRITE = "write"
    DDL = "ddl"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A relation, resolved against the target's catalog and the pinned search path."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class TableUse:
    """One relation in a statement: `verb` is select, insert, update, delete, truncate or ddl.

    `columns` are the columns touched in any position; "*" stands for all of them.
    `labels` are the labels of those columns. `span` is where the statement names the relation.
    """

    table: TableName
    verb: str
    columns: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """Why a statement was not understood, where, and what would be."""

    code: str
    reason: str
    next_step: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class SqlFacts:
    """Facts about one statement. With `opaque` set nothing else may be relied on.

    `kinds`: every statement kind, nested ones too ("select", "update", "explain", "create_table").
    `clean_outputs`: indexes of output columns proven to carry no labelled value.
    `labels_read`: labels of every column the statement touches in any position.
    `labels_copied`: labels that are read and written elsewhere in the same statement.
    `labels_compared`: labels of values that are compared with other data than constants and
    parameters, or that say how many rows there are: they could be read off the rest of the result.
    `objects`: (relation, oid) of every relation resolved, bound into an approval.
    """

    effect: SqlEffect
    kinds: frozenset[str] = frozenset()
    tables: tuple[TableUse, ...] = ()
    functions: frozenset[str] = frozenset()
    has_where: bool = True
    labels_read: frozenset[str] = frozenset()
    labels_copied: frozenset[str] = frozenset()
    labels_compared: frozenset[str] = frozenset()
    clean_outputs: frozenset[int] = frozenset()
    objects: tuple[tuple[TableName, int], ...] = ()
    opaque: Opaque | None = None

    def __hash__(self) -> int:
        # Facts are looked up at every call: by what tells statements apart, and is hashed already.
        names = [(use.table.name, use.columns) for use in self.tables]
        return hash((self.effect, self.kinds, self.functions, *names))

    @property
    def read_only(self) -> bool:
        """Proven to change nothing on the server."""
        return self.effect is SqlEffect.READ
