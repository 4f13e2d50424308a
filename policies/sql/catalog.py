"""A snapshot of a target's names, as the analysis needs them. Connectors read it and hand it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.sql.facts import TableName


@dataclass(frozen=True, slots=True)
class Column:
    """A column: attribute number, type name as `format_type` prints it, and its labels.

    `user_code`: a cast of its type, which the server may put in unasked, calls a user's function.
    `hidden`: `*` leaves it out (MySQL's INVISIBLE).
    """

    name: str
    number: int
    type: str
    labels: frozenset[str] = frozenset()
    user_code: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation. `kind` is pg_class.relkind: r, v, m, p, f, S ...

    `user_code`: has triggers or rules, or is a view that calls what reads may not call, or that
    shows what is withheld.
    """

    name: TableName
    oid: int
    kind: str
    columns: tuple[Column, ...] = ()
    user_code: bool = False

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything a statement may name. What is not in here makes it opaque.

    `functions`: schema -> names with every overload safe to call in a read (volatility
    immutable or stable, not on the deny list); `operators` and `types`: built-in names that
    stand for no user's code. `ignores_case`: names of databases, tables and aliases are compared
    in any case (MySQL's lower_case_table_names is not 0).
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

    def resolve(self, schema: str | None, name: str) -> Relation | None:
        """The relation that the server would take for this name, or None."""
        schemas = (schema,) if schema is not None else self.search_path
        found = (self.relations.get(TableName(s, name)) for s in schemas)
        return next((r for r in found if r is not None), None)

    @property
    def has_labels(self) -> bool:
        return any(c.labels for r in self.relations.values() for c in r.columns)
