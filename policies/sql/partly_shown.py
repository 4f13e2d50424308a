"""System catalogs that clients list, with columns in them that are masked for everybody.

psql, drivers and DBeaver ask for foreign servers, subscriptions and settings by name. What stands
in the columns here may be a password, or a file or command of the server: a catalog that is read
gives them a label (`server_secrets`), and where such a value would say anything in another way
than as a masked output, the statement is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from policies.sql import settings
from policies.sql.catalog import Relation
from policies.sql.facts import SqlFacts, TableName, TableUse
from policies.sql.grammar import unwrap
from policies.sql.inference import conjuncts_of
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree
from policies.sql.server_secrets import SERVER_SECRET

SETTINGS: Final = TableName("pg_catalog", "pg_settings")
_MASKED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "pg_attribute": frozenset({"attmissingval"}),  # a value of any column, a labelled one too
        "pg_db_role_setting": frozenset({"setconfig"}),
        "pg_foreign_data_wrapper": frozenset({"fdwoptions"}),
        "pg_foreign_server": frozenset({"srvoptions"}),
        "pg_foreign_table": frozenset({"ftoptions"}),
        "pg_prepared_statements": frozenset({"statement"}),
        "pg_roles": frozenset({"rolconfig"}),
        "pg_seclabel": frozenset({"label"}),
        "pg_seclabels": frozenset({"label"}),
        "pg_shseclabel": frozenset({"label"}),
        "pg_subscription": frozenset({"subconninfo"}),
        "pg_user": frozenset({"useconfig"}),
        "pg_user_mappings": frozenset({"umoptions"}),
    }
)
_WHOLLY_SHOWN: Final = frozenset({"pg_largeobject_metadata", "pg_sequences"})
_OF_SETTINGS: Final = frozenset({"setting", "boot_val", "reset_val"})


def is_partly_shown(name: TableName) -> bool:
    """Whether a relation of the server's may be read, if with masked columns."""
    named = name.name in _MASKED or name.name in _WHOLLY_SHOWN
    return name == SETTINGS or (name.schema == "pg_catalog" and named)


def masked_columns(name: TableName, *, settings_hold_secrets: bool) -> frozenset[str]:
    """The columns of a relation that carry the label `server-secret`.

    Values of settings do where the server shows the gateway's roles those that hold secrets.
    """
    if name == SETTINGS:
        return _OF_SETTINGS if settings_hold_secrets else frozenset()
    return _MASKED.get(name.name, frozenset()) if name.schema == "pg_catalog" else frozenset()


def without_secrets(relation: Relation) -> Relation:
    """The relation where all that is asked of it is known to hold none."""
    columns = tuple(replace(c, labels=c.labels - {SERVER_SECRET}) for c in relation.columns)
    return replace(relation, columns=columns)


def check_secrets(facts: SqlFacts) -> None:
    """Refuses a statement in which a masked value decides about rows, is compared, or is copied."""
    told = facts.labels_filtered | facts.labels_matched | facts.labels_compared
    if SERVER_SECRET in told | facts.labels_copied:
        use = _touching(facts.tables)
        where = f" of {use.table}" if use else ""
        raise NotUnderstood(
            "RELATION_SENSITIVE",
            f"what the server keeps secret{where} is shown masked only: nothing is found, sorted,"
            " grouped, compared or filled by it",
            use.span[0] if use and use.span else None,
        )


def _touching(uses: Iterable[TableUse]) -> TableUse | None:
    return next((use for use in uses if SERVER_SECRET in use.labels), None)


def asks_settings_by_name(tree: Tree) -> bool:
    """Whether pg_settings stands alone in each FROM, with names written out that are shown."""
    mentioned = sum(1 for _ in _mentions(tree))
    try:
        named = sum(1 for query in _queries(tree) if _names_settings(query))
    except NotUnderstood:
        return False
    return mentioned == named > 0


def _mentions(node: Any) -> Iterator[Tree]:
    for kind, body in _nodes(node):
        if kind == "RangeVar" and body.get("relname") == SETTINGS.name:
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
    source = unwrap(sources[0])[1] if len(sources) == 1 else {}
    alias: Tree = source.get("alias", {})
    if source.get("relname") != SETTINGS.name or "colnames" in alias:
        return False
    called = alias.get("aliasname", SETTINGS.name)
    return any(_is_of_a_name(part, called) for part in conjuncts_of(query.get("whereClause")))


def _is_of_a_name(condition: Tree, called: str) -> bool:
    match condition:
        case {
            "A_Expr": {
                "kind": "AEXPR_OP" | "AEXPR_IN",
                "name": [*_, {"String": {"sval": "="}}],
                "lexpr": {"ColumnRef": {"fields": [*qualifier, {"String": {"sval": "name"}}]}},
                "rexpr": {**compared},
            }
        } if qualifier in ([], [{"String": {"sval": called}}]):
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
