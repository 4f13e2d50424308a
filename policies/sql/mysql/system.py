"""The server's own relations: which are shown, and which of their columns are masked for everybody.

A column of a partly shown relation that is not listed here may hold a secret, in this version of
the server or another: it carries the label `server-secret`, whatever the catalog says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.sql.catalog import Column, Relation
from policies.sql.facts import TableName
from policies.sql.server_secrets import SERVER_SECRET

INFORMATION_SCHEMA: Final = "information_schema"
SYSTEM_DATABASES: Final = frozenset({"mysql", "performance_schema", "sys", "ndbinfo"})

# Definitions, those of code too, but not what sessions do, and no histogram of values.
_SHOWN: Final = frozenset(
    {
        *("schemata", "tables", "columns", "views", "statistics", "partitions", "engines"),
        *("key_column_usage", "table_constraints", "referential_constraints", "check_constraints"),
        *("character_sets", "collations", "collation_character_set_applicability", "keywords"),
        *("st_geometry_columns", "st_spatial_reference_systems", "geometry_columns", "sequences"),
        *("files", "routines", "parameters", "triggers", "events", "schema_privileges"),
        *("table_privileges", "column_privileges"),
    }
)
_SETTINGS: Final = frozenset(
    {
        *("variable_name", "variable_scope", "variable_type", "variable_comment", "read_only"),
        *("numeric_min_value", "numeric_max_value", "numeric_block_size", "enum_value_list"),
        "command_line_argument",
    }
)
_PRIVILEGES: Final = frozenset(
    {
        *("host", "db", "user", "role", "grantor", "timestamp", "table_name", "column_name"),
        *("routine_name", "routine_type", "proxied_host", "proxied_user", "with_grant"),
        *("admin_option",),
    }
)
_ACCOUNTS: Final = _PRIVILEGES | {
    *("plugin", "ssl_type", "max_questions", "max_updates", "max_connections"),
    *("max_user_connections", "max_statement_time", "is_role", "default_role", "account_locked"),
    *("password_expired", "password_last_changed", "password_lifetime"),
    *("password_reuse_history", "password_reuse_time", "password_require_current"),
}
_PRIVILEGE: Final = "_priv"
_PARTLY_SHOWN: Final[Mapping[TableName, frozenset[str]]] = MappingProxyType(
    {
        **{
            TableName(database, f"{scope}_variables"): _SETTINGS
            for database in (INFORMATION_SCHEMA, "performance_schema")
            for scope in ("global", "session", "system")
        },
        TableName("mysql", "user"): _ACCOUNTS,
        **{
            TableName("mysql", name): _PRIVILEGES
            for name in (
                *("db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv"),
                "roles_mapping",
            )
        },
    }
)
"""By relation the columns that are shown as they are; those named `…_priv` are, too."""
_DEFINED_ELSEWHERE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "tables": frozenset({"create_options", "table_comment"}),
        "partitions": frozenset({"partition_comment"}),
    }
)
"""Columns of information_schema in which tables of other servers have their logins."""


def is_system(database: str) -> bool:
    """Whether a database is the server's own."""
    return database.lower() in SYSTEM_DATABASES or database.lower() == INFORMATION_SCHEMA


def is_shown(name: TableName) -> bool:
    """Whether a relation of the server's may be read at all; names in any case."""
    folded = _folded(name)
    return folded in _PARTLY_SHOWN or (
        folded.schema == INFORMATION_SCHEMA and folded.name in _SHOWN
    )


def holds_secrets(name: TableName) -> bool:
    """Whether a relation is the server's, and not shown as it is."""
    return is_system(name.schema) and (not is_shown(name) or _folded(name) in _PARTLY_SHOWN)


def guarded(relation: Relation) -> Relation:
    """The relation with the label on what it may keep secret.

    Whoever looks labels up by a result's own origins must take them from here.
    """
    shown = _PARTLY_SHOWN.get(_folded(relation.name))
    if shown is None:
        return relation
    return replace(relation, columns=tuple(_guarded(c, shown) for c in relation.columns))


def tells_logins(name: TableName) -> bool:
    """Whether definitions of tables stand in a relation, those of tables of other servers too."""
    return _folded(name).schema == INFORMATION_SCHEMA and name.name.lower() in _DEFINED_ELSEWHERE


def without_logins(relation: Relation) -> Relation:
    """Such a relation with the label on what defines tables, where some are of other servers."""
    hidden = _DEFINED_ELSEWHERE[relation.name.name.lower()]
    columns = (_secret(c) if c.name.lower() in hidden else c for c in relation.columns)
    return replace(relation, columns=tuple(columns))


def _guarded(column: Column, shown: frozenset[str]) -> Column:
    name = column.name.lower()
    return column if name in shown or name.endswith(_PRIVILEGE) else _secret(column)


def _secret(column: Column) -> Column:
    return replace(column, labels=column.labels | {SERVER_SECRET})


def _folded(name: TableName) -> TableName:
    return TableName(name.schema.lower(), name.name.lower())
