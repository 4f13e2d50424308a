"""The rows of information_schema -> relations, as policies know them. Not in here: views."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.errors import ConfigError
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import TableName
from policies.sql.mysql.functions import NATIVE, native_functions
from policies.sql.mysql.system import guarded, is_system, tells_logins, without_logins
from server.protocols.mysql.catalog_queries import Row
from server.protocols.mysql.foreign_keys import ForeignKeys
from server.protocols.mysql.target import MysqlTarget

OLDEST: Final = {"mysql": (8, 0, 22), "mariadb": (10, 6, 1)}
"""Before these a native function that reads may call might be a user's of the same name."""

_KINDS: Final = {
    "BASE TABLE": "r",
    "SYSTEM VERSIONED": "r",
    "VIEW": "v",
    "SYSTEM VIEW": "v",
    "SEQUENCE": "S",
}
# Whatever else there is may show the rows of other servers, files or tables.
_LOCAL_ENGINES: Final = frozenset(
    """
    innodb myisam aria memory csv archive blackhole rocksdb tokudb ndbcluster columnstore
    performance_schema
    """.split()  # noqa: SIM905 -- a list of words to read
)
_NEW_IN_10_7: Final = frozenset({"json_equals", "json_normalize"})
_VERSION: Final = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)")
_NUMBER_BYTES: Final = 6  # JSON carries 48 bits exactly


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rows say. `expressions` are those of generated columns; `views` are definitions."""

    relations: Mapping[TableName, Relation]
    expressions: Mapping[tuple[TableName, str], str]
    views: Mapping[TableName, str]
    functions: Mapping[str, frozenset[str]]
    ignores_case: bool

    @classmethod
    def of(cls, target: MysqlTarget, rows: Mapping[str, Sequence[Row]]) -> Parts:
        """Raises `ConfigError` for a configured column that is not there, or an old server."""
        ((version, case, account),) = rows["server"]
        listed = _relations(rows)
        known = _Triggers.of(rows, account or "")
        keys = ForeignKeys.of(rows["referring"], rows["rules"])
        made = {
            name: replace(
                relation,
                user_code=known.may_run(relation),
                behind=tuple(keys.behind(name)) if relation.kind == "r" else (),
            )
            for name, relation in listed.items()
        }
        ignores_case = case != "0"
        _check(target, made, ignores_case=ignores_case)
        return cls(
            relations=_with_secrets(made),
            expressions={(_name(row), row[3] or ""): row[7] for row in rows["columns"] if row[7]},
            views={_name(row): row[2] or "" for row in rows["views"]},
            functions={**target.functions_by_database, NATIVE: _native(target, version or "")},
            ignores_case=ignores_case,
        )

    def catalog(self, version: str, database: str) -> Catalog:
        """The catalog as far as rows say it."""
        return Catalog(
            version=version,
            database=database,
            search_path=(database,),
            relations=self.relations,
            by_oid={relation.oid: relation for relation in self.relations.values()},
            functions=self.functions,
            operators=frozenset(),
            types=frozenset(),
            ignores_case=self.ignores_case,
        )


def configured(target: MysqlTarget, parts: Parts) -> dict[tuple[TableName, str], str]:
    """The label of every configured column, under its name in the catalog."""
    found = {}
    for place, label in target.labels.items():
        table, column = _placed(parts.relations, place, ignores_case=parts.ignores_case)
        found[table, column] = label
    return found


def with_labels(relation: Relation, labels: Mapping[str, frozenset[str]]) -> Relation:
    """The relation with these labels on its columns, by their names, past those that it has."""
    columns = tuple(
        replace(c, labels=c.labels | labels[c.name]) if labels.get(c.name) else c
        for c in relation.columns
    )
    return replace(relation, columns=columns)


def number_of(name: TableName) -> int:
    """A relation's number: the same each time, so that what is bound to it stays bound."""
    said = f"{name.schema}\0{name.name}".encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:_NUMBER_BYTES], "big") or 1


def _name(row: Row) -> TableName:
    return TableName(row[0] or "", row[1] or "")


def _relations(rows: Mapping[str, Sequence[Row]]) -> dict[TableName, Relation]:
    columns: defaultdict[TableName, list[Column]] = defaultdict(list)
    for row in rows["columns"]:
        columns[_name(row)].append(_column(row))
    found: dict[TableName, Relation] = {}
    numbers: set[int] = set()
    for row in rows["relations"]:
        name = _name(row)
        number = number_of(name)
        while number in numbers:
            number += 1
        numbers.add(number)
        ordered = sorted(columns[name], key=lambda column: column.number)
        found[name] = Relation(name, number, _kind(row), tuple(ordered))
    return found


def _column(row: Row) -> Column:
    _, _, number, name, kind, extra, _, expression = row
    return Column(
        name or "",
        int(number or 0),
        kind or "",
        hidden="INVISIBLE" in (extra or "").upper(),
        generated=bool(expression),
    )


def _kind(row: Row) -> str:
    kind, engine = _KINDS.get(row[2] or "", "f"), (row[3] or "").lower()
    return "f" if kind == "r" and engine not in _LOCAL_ENGINES else kind


def _check(
    target: MysqlTarget, relations: Mapping[TableName, Relation], *, ignores_case: bool
) -> None:
    for place in target.labels:
        table, column = _placed(relations, place, ignores_case=ignores_case)
        if table not in relations or relations[table].column(column) is None:
            raise ConfigError(
                f"target {target.name}: there is no column {'.'.join(place)}; "
                "correct or remove it under `columns`"
            )


def _placed(
    relations: Mapping[TableName, Relation], place: tuple[str, str, str], *, ignores_case: bool
) -> tuple[TableName, str]:
    """The column that is meant, as the catalog writes it; else as it stands."""
    schema, table, column = place
    name = TableName(schema, table)
    if ignores_case and name not in relations:
        folded = (schema.lower(), table.lower())
        alike = (n for n in relations if (n.schema.lower(), n.name.lower()) == folded)
        name = next(alike, name)
    columns = relations[name].columns if name in relations else ()
    return name, next((c.name for c in columns if c.name.lower() == column.lower()), column)


def _with_secrets(relations: Mapping[TableName, Relation]) -> dict[TableName, Relation]:
    """The label on what the server keeps secret; options of tables elsewhere hold logins."""
    elsewhere = any(relation.kind == "f" for relation in relations.values())
    return {
        name: guarded(without_logins(r) if elsewhere and tells_logins(name) else r)
        for name, r in relations.items()
    }


def _native(target: MysqlTarget, version: str) -> frozenset[str]:
    """The native functions past the common ones. Raises `ConfigError` for another server."""
    is_mariadb = "mariadb" in version.lower()
    if is_mariadb != (target.kind == "mariadb"):
        found = "mariadb" if is_mariadb else "mysql"
        raise ConfigError(f"target {target.name} is a server of the kind {found}; write so")
    number = _VERSION.match(version)
    parts = tuple(map(int, number.groups())) if number else (0, 0, 0)
    if parts < OLDEST[target.kind]:
        oldest = ".".join(map(str, OLDEST[target.kind]))
        raise ConfigError(f"target {target.name}: servers before {oldest} are not supported")
    return native_functions(version) - (_NEW_IN_10_7 if parts < (10, 7) else frozenset())


@dataclass(frozen=True, slots=True)
class _Triggers:
    """Tables with triggers, and where the account that looks may see that there are none."""

    found: frozenset[TableName]
    everywhere: bool
    databases: tuple[re.Pattern[str], ...]
    tables: frozenset[TableName]

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[Row]], account: str) -> _Triggers:
        user, _, host = account.rpartition("@")
        own = [row[1:] for row in rows["privileges"] if row[0] == f"'{user}'@'{host}'"]
        return cls(
            found=frozenset(_name(row) for row in rows["triggers"]),
            everywhere=(None, None) in own,
            databases=tuple(_pattern(schema) for schema, name in own if schema and name is None),
            tables=frozenset(TableName(s or "", n) for s, n in own if n is not None),
        )

    def may_run(self, relation: Relation) -> bool:
        """Whether a change of its rows runs users' code, or nobody knows."""
        name = relation.name
        if relation.kind != "r" or is_system(name.schema):
            return False
        shown = self.everywhere or name in self.tables
        shown = shown or any(p.fullmatch(name.schema) for p in self.databases)
        return name in self.found or not shown


def _pattern(schema: str) -> re.Pattern[str]:
    """A database in a grant: _ and % stand for others, unless a backslash is before them."""
    signs = {"_": ".", "%": ".*"}
    parts = re.findall(r"\\.|.", schema, re.DOTALL)
    return re.compile("".join(signs.get(p) or re.escape(p[-1]) for p in parts), re.DOTALL)
