"""Names resolved as MySQL would, in the target's catalog: relations, databases and functions."""

from __future__ import annotations

from typing import Final

from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from policies.sql.mysql.calls import Call
from policies.sql.mysql.cursor import Named
from policies.sql.mysql.functions import COMMON, NATIVE
from policies.sql.mysql.system import (
    INFORMATION_SCHEMA,
    guarded,
    holds_secrets,
    is_shown,
    is_system,
    tells_logins,
    without_logins,
)
from policies.sql.not_understood import NotUnderstood

_READABLE_KINDS: Final = frozenset({"r", "v", "S"})


def find_relation(catalog: Catalog, database: str | None, name: str) -> Relation | None:
    """The relation of this name, with the label on what of it the server keeps secret.

    Without a database it is in the current one.
    """
    databases = catalog.search_path[:1] if database is None else (database,)
    found = next((_find(catalog, schema, name) for schema in databases), None)
    if found is not None and tells_logins(found.name) and has_foreign_tables(catalog):
        found = without_logins(found)
    return None if found is None else guarded(found)


def has_foreign_tables(catalog: Catalog) -> bool:
    """Whether tables of other servers are here: their options or comments tell how to log in."""
    return any(relation.kind == "f" for relation in catalog.relations.values())


def _find(catalog: Catalog, schema: str, name: str) -> Relation | None:
    if schema.lower() == INFORMATION_SCHEMA:
        return _find_in_any_case(catalog, schema, name)
    exact = catalog.relations.get(TableName(schema, name))
    if exact is not None or not catalog.ignores_case:
        return exact
    return _find_in_any_case(catalog, schema, name)


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
    if _is_withheld(_database(catalog, named), named.name, relation):
        raise NotUnderstood(
            "RELATION_SENSITIVE", f"the relation {shown} is not shown", named.location
        )
    if relation is None:
        raise NotUnderstood("RELATION_UNKNOWN", f"there is no relation {shown}", named.location)
    return relation


def describable(catalog: Catalog, named: Named) -> Relation:
    """The relation whose definition is shown; the server itself says that there is none."""
    database = _database(catalog, named)
    known = find_relation(catalog, named.database, named.name) is not None
    if known or not database or is_system(database):
        return resolve_relation(catalog, named)
    return Relation(TableName(database, named.name), 0, "r")


def _is_withheld(database: str, name: str, relation: Relation | None) -> bool:
    if not is_system(database):
        return False
    # A catalog may leave them out; the reason is the same.
    unknown = relation is None and database.lower() != INFORMATION_SCHEMA
    return unknown or not is_shown(TableName(database, name))


def readable(relation: Relation, *, location: int | None) -> Relation:
    """The relation, if reading it runs no code of users and shows nothing secret."""
    if relation.kind not in _READABLE_KINDS:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD",
            f"the relation {relation.name} is no table or view of this server",
            location,
        )
    secretly = not is_system(relation.name.schema) and any(
        holds_secrets(reached.name) for reached in relation.behind
    )
    if relation.kind == "v" and (relation.user_code or secretly):
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED",
            f"the view {relation.name} calls a function that reads may not call,"
            " or shows what is withheld",
            location,
        )
    return relation


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


def _database(catalog: Catalog, named: Named) -> str:
    return next(iter(catalog.search_path), "") if named.database is None else named.database


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
