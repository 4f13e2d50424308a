"""The search path of a PostgreSQL session: what may stand in it, and the catalog as it looks then.

A path is a tuple of schemas in the order of looking. pg_catalog comes first unless it is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from policies.sql.catalog import Catalog
from policies.sql.not_understood import NotUnderstood

BUILTIN: Final = "pg_catalog"
TEMPORARY: Final = "pg_temp"
UNEVEN: Final = " "
"""Stands among the built-in names of a schema that not all of the gateway's roles may use."""

OWN_SCHEMA: Final = "$user"
_LONGEST_NAME: Final = 63
MOST_SCHEMAS: Final = 64
"""Every path that sessions use has a catalog of its own here, and in the parsers."""

_SYSTEM: Final = frozenset({BUILTIN, "information_schema"})

_BLANKS: Final = " \t\n\r\f"
"""To the server no other character is a blank here (scanner_isspace): it is part of a name."""

# A list as set_config reads it (SplitIdentifierString); other spellings are refused.
_NAME: Final = re.compile(
    rf'[{_BLANKS}]*(?:([A-Za-z_][A-Za-z0-9_$]*)|"((?:[^"]|"")*)")[{_BLANKS}]*(,|\Z)'
)


def listed(text: str) -> tuple[str, ...]:
    """The names of a list in one string. Raises NotUnderstood for what is not plainly a list."""
    found: list[str] = []
    position, separator = 0, ","
    if not text.strip(_BLANKS):
        return ()
    while separator:
        match = _NAME.match(text, position)
        if match is None:
            raise NotUnderstood("SETTING_NOT_ALLOWED", "this list of schemas")
        plain, quoted, separator = match.groups()
        found.append(quoted.replace('""', '"') if plain is None else plain.lower())
        position = match.end()
    return tuple(found)


def checked(names: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """The path of these schemas. Raises NotUnderstood for one by which built-in names change."""
    path = tuple(name for name in names if name)
    if len(path) > MOST_SCHEMAS:
        raise _refused(f"a search path of over {MOST_SCHEMAS} schemas")
    for position, name in enumerate(path):
        if len(name.encode()) > _LONGEST_NAME:
            raise _refused("a name on the search path that is too long")
        if name == BUILTIN and position:
            raise _refused("pg_catalog after other schemas on the search path")
        if name == TEMPORARY and position != len(path) - 1:
            raise _refused("pg_temp before other schemas on the search path")
        if name not in (TEMPORARY, OWN_SCHEMA, *_SYSTEM):
            _check_schema(name, catalog)
    return path


def _check_schema(name: str, catalog: Catalog) -> None:
    shadowing = catalog.schemas.get(name)
    if shadowing is None:
        raise NotUnderstood("SCHEMA_UNKNOWN", f"there is no schema {name} that may be used")
    if UNEVEN in shadowing:
        raise _refused(f"the schema {name} on the search path, which only some roles may use")
    if shadowing:
        raise _refused(
            f"the schema {name} on the search path, as its {min(shadowing)} has a built-in name"
        )


def _refused(what: str) -> NotUnderstood:
    return NotUnderstood("SEARCH_PATH", what)


def on_path(catalog: Catalog, path: tuple[str, ...]) -> Catalog | None:
    """The catalog as a session with this path sees it, or None if names can't be told by it.

    `catalog` is as the session began; `$user` has been replaced. Schemas that do not exist are
    passed over, as the server does.
    """
    there = tuple(s for s in path if s in catalog.schemas or s in _SYSTEM)
    if any(catalog.schemas.get(schema) for schema in there):
        return None
    same = _looked_through(there) == _looked_through(catalog.search_path)
    return replace(
        catalog,
        version=f"{catalog.version} {there!r}",
        search_path=there,
        moved=not same,
    )


def native_path(catalog: Catalog, path: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The path of a session, said where the server passes over some of the configured one.

    It passes over schemas that are not there and those that the role may not use.
    """
    if path is not None or not catalog.schemas:
        return path
    plain = all(s in _SYSTEM or not catalog.schemas.get(s, {UNEVEN}) for s in catalog.search_path)
    return None if plain else catalog.search_path


def _looked_through(path: tuple[str, ...]) -> tuple[str, ...]:
    return (BUILTIN, *(s for s in path if s != BUILTIN))
