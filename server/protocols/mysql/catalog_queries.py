"""What the gateway asks a MySQL or MariaDB server about its names: texts, and rows by their names.

Everything is asked of information_schema, which shows an account what it has privileges on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from policies.sql.facts import TableName

Row = tuple[str | None, ...]
Ask = Callable[[str], Awaitable[list[Row]]]
"""Runs one of the gateway's own queries and returns all rows, each cell as text."""

SERVER: Final = "SELECT @@version, @@lower_case_table_names, CURRENT_USER()"

_RELATIONS: Final = """
SELECT table_schema, table_name, table_type, engine FROM information_schema.tables"""
_COLUMNS: Final = """
SELECT table_schema, table_name, ordinal_position, column_name, column_type, extra, column_default,
       generation_expression FROM information_schema.columns"""
_VIEWS: Final = """
SELECT table_schema, table_name, view_definition, definer, security_type, check_option
FROM information_schema.views"""
_TRIGGERS: Final = """
SELECT event_object_schema, event_object_table, trigger_schema, trigger_name, event_manipulation,
       action_timing, action_order, action_statement, definer, sql_mode
FROM information_schema.triggers"""
_REFERRING: Final = """
SELECT referenced_table_schema, referenced_table_name, table_schema, table_name, constraint_name,
       column_name, referenced_column_name
FROM information_schema.key_column_usage"""

STATES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "relations": (_RELATIONS, "table_schema", "table_name"),
        "columns": (_COLUMNS, "table_schema", "table_name"),
        "views": (_VIEWS, "table_schema", "table_name"),
        "triggers": (_TRIGGERS, "event_object_schema", "event_object_table"),
        "referring": (_REFERRING, "referenced_table_schema", "referenced_table_name"),
    }
)
"""What says what a relation is: a query, and its columns with the relation's database and name.

The first two columns of every row are these.
"""

RULES: Final = """
SELECT constraint_schema, table_name, constraint_name, delete_rule, update_rule
FROM information_schema.referential_constraints"""
FUNCTIONS: Final = """
SELECT routine_schema, routine_name, routine_definition, is_deterministic, sql_data_access,
       definer, security_type, sql_mode
FROM information_schema.routines WHERE routine_type = 'FUNCTION'"""
PRIVILEGES: Final = """
SELECT grantee, NULL, NULL FROM information_schema.user_privileges
WHERE privilege_type = 'TRIGGER'
UNION ALL
SELECT grantee, table_schema, NULL FROM information_schema.schema_privileges
WHERE privilege_type = 'TRIGGER'
UNION ALL
SELECT grantee, table_schema, table_name FROM information_schema.table_privileges
WHERE privilege_type = 'TRIGGER'"""
"""Where accounts have the privilege without which the server shows no triggers."""

WHOLE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server": SERVER,
        **{name: query for name, (query, _, _) in STATES.items()},
        "referring": f"{_REFERRING} WHERE referenced_table_name IS NOT NULL",
        "rules": RULES,
        "functions": FUNCTIONS,
        "privileges": PRIVILEGES,
    }
)
"""All that a catalog is made of."""


def of_relations(name: str, relations: Iterable[TableName]) -> str:
    """One kind of state of these relations alone; each is looked up by itself, without a scan."""
    query, schema, table = STATES[name]
    asked = (
        f"{query} WHERE {schema} = {quoted(found.schema)} AND {table} = {quoted(found.name)}"
        for found in relations
    )
    return "\nUNION ALL".join(asked)


def quoted(text: str) -> str:
    """A string literal, as the server reads it with backslash escapes on."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted name, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def table(name: TableName) -> str:
    return f"{identifier(name.schema)}.{identifier(name.name)}"


def in_order(rows: Iterable[Sequence[str | None]]) -> list[Row]:
    """Rows in an order of their own: the server promises none."""
    return sorted((tuple(row) for row in rows), key=lambda row: [cell or "" for cell in row])
