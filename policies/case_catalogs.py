"""The catalogs that cases are judged by: a few tables written in YAML, over a server's built-ins.

`postgres_builtins.json` was read from an empty database of PostgreSQL 18: its functions, operators
and types, by the same query and the same rules as a target's own.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from policies.cases import CaseCatalog, CaseColumn
from policies.errors import ConfigError
from policies.model import Target
from policies.sql import mysql, postgres
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import SqlFacts, TableName
from policies.sql.snapshot import catalog_of

_BUILTINS: Final = Path(__file__).parent / "sql" / "postgres_builtins.json"
_FIRST_OID: Final = 16384  # of what users make
_ANALYSES: Final[Mapping[str, Callable[[str, Catalog], SqlFacts]]] = MappingProxyType(
    {"postgres": postgres.analyse, "mysql": mysql.analyse, "mariadb": mysql.analyse}
)


@dataclass(frozen=True, slots=True)
class Offline:
    """Targets and catalogs that are at hand: no gateway and no server is asked."""

    targets: Mapping[str, Target]
    catalogs: Mapping[str, Catalog]

    def target(self, name: str) -> Target:
        """Raises ConfigError."""
        if name not in self.targets:
            known = ", ".join(sorted(self.targets)) or "none"
            raise ConfigError(
                f"there is no target {name!r} (there are: {known}); "
                "describe it under `targets`, or name a configuration with --config"
            )
        return self.targets[name]

    def facts(self, target: str, sql: str) -> SqlFacts:
        """Raises ConfigError where no catalog says which tables there are."""
        kind = self.target(target).kind
        if target not in self.catalogs:
            raise ConfigError(
                f"target {target} has no catalog here: write its tables under `catalog`, name a "
                "snapshot there that `ostiary facts --snapshot` wrote, or ask a running gateway "
                "with --gateway"
            )
        if kind not in _ANALYSES:
            raise ConfigError(f"target {target}: statements of {kind} can't be judged offline")
        return _ANALYSES[kind](sql, self.catalogs[target])


def written(catalog: CaseCatalog) -> Catalog:
    """The tables of a case file in a database of PostgreSQL's own functions and types."""
    builtins = postgres_builtins()
    relations = [
        _relation(name, oid, columns)
        for oid, (name, columns) in enumerate(catalog.tables.items(), start=_FIRST_OID)
    ]
    functions = defaultdict(set, {k: set(v) for k, v in builtins.functions.items()})
    for name in catalog.functions:
        schema, _, function = name.partition(".")
        functions[schema].add(function)
    return replace(
        builtins,
        version=hashlib.sha256(catalog.model_dump_json().encode()).hexdigest(),
        search_path=("pg_catalog", *catalog.search_path),
        relations={relation.name: relation for relation in relations},
        functions={schema: frozenset(names) for schema, names in functions.items()},
        by_oid={relation.oid: relation for relation in relations},
    )


@cache
def postgres_builtins() -> Catalog:
    """What every PostgreSQL 18 has, without relations."""
    return catalog_of(json.loads(_BUILTINS.read_text(encoding="utf-8")))


def _relation(name: str, oid: int, columns: Mapping[str, str | CaseColumn]) -> Relation:
    schema, _, table = name.partition(".")
    found = tuple(
        _column(column, number, said) for number, (column, said) in enumerate(columns.items(), 1)
    )
    return Relation(TableName(schema, table), oid, "r", found)


def _column(name: str, number: int, said: str | CaseColumn) -> Column:
    match said:
        case str():
            return Column(name, number, said)
        case CaseColumn(type=type_, label=label):
            return Column(name, number, type_, frozenset({label} if label else ()))
