"""System catalogs that clients list, with columns in them that are shown to nobody.

psql, drivers and DBeaver ask for foreign servers, subscriptions and settings by name. What stands
in the columns here may be a password, or a file or command of the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from policies.sql import settings
from policies.sql.facts import TableName, TableUse
from policies.sql.grammar import unwrap
from policies.sql.inference import conjuncts_of
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

_SETTINGS: Final = "pg_settings"
WITHHELD_COLUMNS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "pg_db_role_setting": frozenset({"setconfig"}),
        "pg_foreign_data_wrapper": frozenset({"fdwoptions"}),
        "pg_foreign_server": frozenset({"srvoptions"}),
        "pg_foreign_table": frozenset(),
        "pg_largeobject_metadata": frozenset(),
        "pg_prepared_statements": frozenset({"statement"}),
        "pg_sequences": frozenset(),
        _SETTINGS: frozenset({"setting", "boot_val", "reset_val"}),
        "pg_subscription": frozenset({"subconninfo"}),
        "pg_user_mappings": frozenset({"umoptions"}),
    }
)
"""By relation of pg_catalog."""


def is_partly_shown(name: TableName) -> bool:
    """Whether a relation may be read but for the columns here."""
    return name.schema == "pg_catalog" and name.name in WITHHELD_COLUMNS


def check_columns(uses: Iterable[TableUse], tree: Tree) -> None:
    """Refuses a statement that touches one of the columns; settings may be asked for by name."""
    for use in uses:
        withheld = WITHHELD_COLUMNS.get(use.table.name, frozenset())
        touched = withheld & use.columns or (withheld if "*" in use.columns else frozenset())
        if use.table.schema != "pg_catalog" or not touched:
            continue
        if use.table.name == _SETTINGS and _asks_by_name(tree):
            continue
        raise NotUnderstood(
            "RELATION_SENSITIVE",
            f"the column {min(touched)} of {use.table} is not shown",
            use.span[0] if use.span else None,
        )


def _asks_by_name(tree: Tree) -> bool:
    """Whether pg_settings stands alone in each FROM, with the names of settings written out."""
    mentioned = sum(1 for _ in _mentions(tree))
    return mentioned == sum(1 for query in _queries(tree) if _names_settings(query))


def _mentions(node: Any) -> Iterator[Tree]:
    for kind, body in _nodes(node):
        if kind == "RangeVar" and body.get("relname") == _SETTINGS:
            yield body


def _queries(node: Any) -> Iterator[Tree]:
    for kind, body in _nodes(node):
        if kind == "SelectStmt":
            yield body


def _nodes(node: Any) -> Iterator[tuple[str, Tree]]:
    if isinstance(node, dict):
        for kind, body in node.items():
            if isinstance(body, dict):
                yield kind, body
            yield from _nodes(body)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def _names_settings(query: Tree) -> bool:
    sources = query.get("fromClause", [])
    if len(sources) != 1 or unwrap(sources[0])[1].get("relname") != _SETTINGS:
        return False
    return any(_is_of_a_name(part) for part in conjuncts_of(query.get("whereClause")))


def _is_of_a_name(condition: Tree) -> bool:
    match condition:
        case {
            "A_Expr": {
                "kind": "AEXPR_OP" | "AEXPR_IN",
                "name": [*_, {"String": {"sval": "="}}],
                "lexpr": {"ColumnRef": {"fields": [*_, {"String": {"sval": "name"}}]}},
                "rexpr": {**compared},
            }
        }:
            return _are_shown(compared)
        case _:
            return False


def _are_shown(compared: Any) -> bool:
    match compared:
        case {"A_Const": {"sval": {"sval": str(name)}}}:
            settings.check_shown(name)
            return True
        case {"List": {"items": [*items]}}:
            return all(_are_shown(item) for item in items)
        case _:
            return False
