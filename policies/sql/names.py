"""Names resolved as the server would, in the target's catalog: relations, functions, types."""

from __future__ import annotations

import re
from typing import Final

from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from policies.sql.not_understood import NotUnderstood
from policies.sql.partly_shown import is_partly_shown

_READABLE_KINDS: Final = frozenset({"r", "p", "v", "m", "S"})
_WRITABLE_KINDS: Final = frozenset({"r", "p"})
_SYSTEM_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema", "pg_toast"})

# They show passwords, values out of other tables, statements of others, or files of the server.
_SENSITIVE = re.compile(
    r"""
      pg_authid | pg_shadow | pg_stats | pg_stats_ext.* | pg_statistic | pg_statistic_ext_data
    | pg_user_mappings? | pg_foreign_server | pg_foreign_table | pg_foreign_data_wrapper
    | pg_largeobject | pg_subscription | pg_db_role_setting | pg_hba_file_rules
    | pg_ident_file_mappings | pg_file_settings | pg_config | pg_locks | pg_cursors
    | pg_prepared_statements | pg_prepared_xacts | pg_replication_.* | pg_seclabels?
    | pg_stat_activity | pg_stat_replication.* | pg_stat_wal_receiver | pg_stat_ssl
    | pg_stat_gssapi | pg_stat_progress_.* | pg_stat_subscription.* | pg_stat_statements.*
    | _pg_foreign_.* | _pg_user_mappings | user_mapping_options | user_mappings
    | foreign_(server|table|data_wrapper)_options
    """,
    re.VERBOSE,
)


def find_relation(catalog: Catalog, schema: str | None, name: str) -> Relation | None:
    """The relation of this name; unqualified names are looked up in pg_catalog first."""
    if schema is None and "pg_catalog" not in catalog.search_path:
        builtin = catalog.resolve("pg_catalog", name)
        if builtin is not None:
            return builtin
    return catalog.resolve(schema, name)


def resolve_relation(
    catalog: Catalog, schema: str | None, name: str, *, location: int | None
) -> Relation:
    relation = find_relation(catalog, schema, name)
    if relation is None:
        shown = name if schema is None else f"{schema}.{name}"
        # A catalog may leave them out already; the reason is the same.
        if is_sensitive(TableName(schema or "pg_catalog", name)):
            raise NotUnderstood(
                "RELATION_SENSITIVE", f"the relation {shown} is not shown", location
            )
        raise NotUnderstood("RELATION_UNKNOWN", f"there is no relation {shown}", location)
    return relation


def readable(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if reading it runs no code of users and shows nothing secret."""
    if is_partly_shown(relation.name):
        return relation  # its columns are looked at when all that are touched are known
    if is_sensitive(relation.name):
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the relation {relation.name} is not shown", location
        )
    if relation.kind not in _READABLE_KINDS:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD",
            f"the relation {relation.name} is no table or view of this database",
            location,
        )
    if relation.planned_code:
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED",
            f"an index, a constraint, statistics, the partition key or a row policy of"
            f" {relation.name} calls a function that reads may not call",
            location,
        )
    if relation.kind == "v" and relation.user_code:
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED",
            f"the view {relation.name} calls a function that reads may not call,"
            " or shows what is withheld",
            location,
        )
    return relation


def sequence(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if it is a sequence."""
    if relation.kind != "S":
        raise NotUnderstood(
            "RELATION_UNKNOWN", f"the relation {relation.name} is no sequence", location
        )
    return relation


def writable(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if writing it changes this one table (and what its own triggers do)."""
    if relation.name.schema in _SYSTEM_SCHEMAS or is_sensitive(relation.name):
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the relation {relation.name} is not written", location
        )
    if relation.kind not in _WRITABLE_KINDS:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD",
            f"the relation {relation.name} is no table; write to its tables",
            location,
        )
    return relation


def definable(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if its definition is a user's to change."""
    if relation.name.schema in _SYSTEM_SCHEMAS:
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the relation {relation.name} is not changed", location
        )
    if relation.name.schema.startswith("pg_"):
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD", "temporary relations are not made or changed here", location
        )
    return relation


def is_sensitive(name: TableName) -> bool:
    """Whether a relation is shown to nobody."""
    # The views of the pg_stat_statements extension lie in whatever schema it was put.
    anywhere = name.name.startswith("pg_stat_statements")
    in_system = name.schema in _SYSTEM_SCHEMAS and _SENSITIVE.fullmatch(name.name) is not None
    return anywhere or in_system or name.schema.startswith("pg_toast")


def resolve_function(
    catalog: Catalog, parts: tuple[str, ...], *, location: int | None
) -> tuple[str, str]:
    """Schema and name of a function that every read may call."""
    found = find_function(catalog, parts)
    if found is None:
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED", f"the function {'.'.join(parts)} may not be called", location
        )
    return found


def find_function(catalog: Catalog, parts: tuple[str, ...]) -> tuple[str, str] | None:
    match parts:
        case (name,):
            schemas = ("pg_catalog", *catalog.search_path)
        case (schema, name):
            schemas = (schema,)
        case _:
            return None
    if catalog.moved:
        schemas = tuple(s for s in schemas if s in ("pg_catalog", "information_schema"))
    allowed = (s for s in schemas if name in catalog.functions.get(s, frozenset()))
    schema_found = next(allowed, None)
    return None if schema_found is None else (schema_found, name)


def check_operator(catalog: Catalog, parts: tuple[str, ...], *, location: int | None) -> None:
    """Refuses an operator that a user may have defined."""
    builtin = len(parts) == 2 and parts[0] == "pg_catalog"
    if not builtin and not (len(parts) == 1 and parts[0] in catalog.operators):
        raise NotUnderstood(
            "OPERATOR_UNKNOWN", f"the operator {'.'.join(parts)} is not a built-in one", location
        )


def check_type(catalog: Catalog, parts: tuple[str, ...], *, location: int | None) -> None:
    """Refuses a type that is not built in: casting to it may run a user's function."""
    name = parts[-1] if parts else ""
    builtin = len(parts) == 1 or (len(parts) == 2 and parts[0] == "pg_catalog")
    if not builtin or name not in catalog.types:
        raise NotUnderstood(
            "TYPE_UNKNOWN", f"the type {'.'.join(parts)} is not a built-in one", location
        )
