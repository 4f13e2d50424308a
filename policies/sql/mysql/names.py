"""Names resolved as MySQL would, in the target's catalog: relations, databases and functions."""

from __future__ import annotations

from typing import Final

from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from policies.sql.mysql.calls import Call
from policies.sql.mysql.cursor import Named
from policies.sql.mysql.functions import COMMON, NATIVE
from policies.sql.not_understood import NotUnderstood

INFORMATION_SCHEMA: Final = "information_schema"

_READABLE_KINDS: Final = frozenset({"r", "v", "S"})
_SENSITIVE_DATABASES: Final = frozenset({"mysql", "performance_schema", "sys", "ndbinfo"})

# Definitions, but not of code, not what sessions do, and no histogram of values.
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
_CODE: Final = frozenset(
    {"routine_definition", "action_statement", "action_condition", "event_definition"}
)


def find_relation(catalog: Catalog, database: str | None, name: str) -> Relation | None:
    """The relation of this name; without a database it is in the current one."""
    databases = catalog.search_path[:1] if database is None else (database,)
    for schema in databases:
        if schema.lower() == INFORMATION_SCHEMA:
            return _find_in_any_case(catalog, schema, name)
        exact = catalog.relations.get(TableName(schema, name))
        if exact is not None or not catalog.ignores_case:
            return exact
        return _find_in_any_case(catalog, schema, name)
    return None


def _find_in_any_case(catalog: Catalog, database: str, name: str) -> Relation | None:
    wanted = (database.lower(), name.lower())
    found = (
        relation
        for key, relation in catalog.relations.items()
        if (key.schema.lower(), key.name.lower()) == wanted
    )
    return next(found, None)


def resolve_relation(catalog: Catalog, named: Named) -> Relation:
    relation = find_relation(catalog, named.database, named.name)
    shown = named.name if named.database is None else f"{named.database}.{named.name}"
    if _is_sensitive(catalog, named.database, named.name):
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the relation {shown} is not shown", named.location
        )
    if relation is None:
        raise NotUnderstood("RELATION_UNKNOWN", f"there is no relation {shown}", named.location)
    return relation


def readable(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if reading it runs no code of users and shows nothing secret."""
    if relation.kind not in _READABLE_KINDS:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD",
            f"the relation {relation.name} is no table or view of this server",
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


def refuse_code(relation: Relation, column: str, location: int | None = None) -> None:
    """Refuses a column of information_schema that shows the code of routines ("*": all columns)."""
    if relation.name.schema.lower() != INFORMATION_SCHEMA:
        return
    shown = {c.name.lower() for c in relation.columns} if column == "*" else {column.lower()}
    for name in sorted(shown & _CODE):
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the column {name} of {relation.name} is not shown", location
        )


def writable(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if writing it changes this one table (and what its own triggers do)."""
    if is_system(relation.name.schema):
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the relation {relation.name} is not written", location
        )
    if relation.kind != "r":
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD",
            f"the relation {relation.name} is no table; write to its tables",
            location,
        )
    return relation


def database_in_use(catalog: Catalog, named: Named) -> str:
    """The database that a name to be made, or changed, lies in."""
    if named.database is not None:
        return check_database(named.database, named.location)
    if not catalog.search_path:
        raise NotUnderstood("RELATION_UNKNOWN", "no database is in use", named.location)
    return check_database(catalog.search_path[0], named.location)


def check_database(database: str, location: int | None) -> str:
    """Refuses the server's own databases."""
    if is_system(database):
        raise NotUnderstood("RELATION_SENSITIVE", f"the database {database} is withheld", location)
    return database


def is_system(database: str) -> bool:
    return database.lower() in _SENSITIVE_DATABASES or database.lower() == INFORMATION_SCHEMA


def _is_sensitive(catalog: Catalog, database: str | None, name: str) -> bool:
    known = database if database is not None else next(iter(catalog.search_path), "")
    schema = known.lower()
    unshown = schema == INFORMATION_SCHEMA and name.lower() not in _SHOWN
    return schema in _SENSITIVE_DATABASES or unshown


def resolve_function(catalog: Catalog, call: Call) -> str | None:
    """The database of a user's function that every read may call, or None for a native one."""
    own = catalog.functions.get(NATIVE, frozenset())
    if call.database is None and (call.name in COMMON or call.name in own):
        return None
    databases = catalog.search_path[:1] if call.database is None else (call.database,)
    for database in databases:
        if database and call.name in catalog.functions.get(database, frozenset()):
            return database
    shown = call.name if call.database is None else f"{call.database}.{call.name}"
    raise NotUnderstood(
        "FUNCTION_NOT_ALLOWED", f"the function {shown} may not be called", call.location
    )
