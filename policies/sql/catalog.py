"""A snapshot of a target's names, as the analysis needs them. Connectors read it and hand it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from policies.sql.facts import TableName


@dataclass(frozen=True, slots=True)
class Column:
    """A column: attribute number, type name as `format_type` prints it, and its labels.

    `user_code`: a cast of its type, which the server may put in unasked, calls a user's function.
    `hidden`: `*` leaves it out (MySQL's INVISIBLE). `generated`: computed from others (PostgreSQL).
    """

    name: str
    number: int
    type: str
    labels: frozenset[str] = frozenset()
    user_code: bool = False
    hidden: bool = False
    generated: bool = False


class Reach(StrEnum):
    """Why one relation is reached through another."""

    VIEW = "view"
    PARTITIONED = "partitioned"
    INHERITS = "inherits"
    DELETED = "deleted"  # rows go with those that they refer to
    CHANGED = "changed"  # rows that refer to deleted ones are changed
    FOLLOWS = "follows"  # rows are changed with the keys that they refer to


@dataclass(frozen=True, slots=True)
class Behind:
    """A relation that is reached through another, and the columns of it that are: "*" is all.

    `keys` are the columns of the other one that must be touched for it; empty says that any may.
    """

    name: TableName
    columns: frozenset[str]
    kind: Reach
    keys: frozenset[str] = frozenset()


_KIND_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "r": "table",
        "p": "partitioned_table",
        "v": "view",
        "m": "materialized_view",
        "S": "sequence",
        "f": "foreign_table",
        "n": "schema",
    }
)


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation. `kind` is pg_class.relkind: r, v, m, p, f, S ...

    `user_code`: has triggers or rules, or is a view that calls what reads may not call, or that
    shows what is withheld. `planned_code`: the server may call a user's function when it plans a
    read of it. `behind` are the relations that reading or changing this one reaches
    too: those behind a view, at any depth, the table that a partition is part of, and the tables
    that inherit from this one.
    """

    name: TableName
    oid: int
    kind: str
    columns: tuple[Column, ...] = ()
    user_code: bool = False
    behind: tuple[Behind, ...] = ()
    partition: bool = False
    planned_code: bool = False

    @property
    def kind_name(self) -> str:
        """What the relation is, as policies see it: one of `facts.RELATION_KINDS`."""
        if self.name.schema.startswith("pg_temp"):
            return "temporary"
        # A partition that is partitioned itself is a part first.
        return "partition" if self.partition else _KIND_NAMES.get(self.kind, "table")

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything a statement may name. What is not in here makes it opaque.

    `functions`: schema -> names with every overload safe to call in a read (volatility
    immutable or stable, not on the deny list); `operators` and `types`: built-in names that
    stand for no user's code. `ignores_case`: names of databases, tables and aliases are compared
    in any case (MySQL's lower_case_table_names is not 0). `schemas`: every schema of users', with
    the names of its functions and operators that a built-in one has too, as far as `functions` and
    `operators` do not account for them already. `moved`: the session has
    another search path than it began with, so that a user's function may mean other tables.
    `code_types`: oids of types a value of which the server may hand to a user's function.
    `enums`: labels by the type's oid, none for an array of enums; no statement is judged by them.
    """

    version: str
    database: str
    search_path: tuple[str, ...]
    relations: Mapping[TableName, Relation]
    functions: Mapping[str, frozenset[str]]
    operators: frozenset[str]
    types: frozenset[str]
    by_oid: Mapping[int, Relation] = field(default_factory=dict)
    ignores_case: bool = False
    schemas: Mapping[str, frozenset[str]] = field(default_factory=dict)
    moved: bool = False
    code_types: frozenset[int] = frozenset()
    enums: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def resolve(self, schema: str | None, name: str) -> Relation | None:
        """The relation that the server would take for this name, or None."""
        schemas = (schema,) if schema is not None else self.search_path
        found = (self.relations.get(TableName(s, name)) for s in schemas)
        return next((r for r in found if r is not None), None)

    @property
    def has_labels(self) -> bool:
        return any(c.labels for r in self.relations.values() for c in r.columns)
