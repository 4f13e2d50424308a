"""The catalog that the pure tests of MySQL analyse against, and how it was read.

`tests/corpora/mysql_catalog.json` was read from MariaDB 10.11 by `rows_of_catalog` after
`tests/corpora/mysql_fixture.sql` had run; labels are put on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import SqlFacts, TableName
from policies.sql.mysql import analyse

CORPORA = Path(__file__).parents[2] / "corpora"
FIXTURE = (CORPORA / "mysql_fixture.sql").read_text()

Labels = Mapping[tuple[str, str, str], set[str]]

LABELS: Labels = {
    ("app", "users", "ssn"): {"pii"},
    ("app", "users", "email"): {"pii"},
    ("app", "users", "password_hash"): {"secret"},
    ("app", "v_users", "contact"): {"pii"},
    ("app", "v_star", "ssn"): {"pii"},
    ("app", "v_star", "email"): {"pii"},
    ("app", "v_star", "password_hash"): {"secret"},
    ("app", "Users", "email"): {"pii"},
    ("app", "veiled", "ssn"): {"pii"},
    ("hr", "salaries", "amount"): {"salary"},
}

# A view that calls a function that writes, and a table with a trigger.
USER_CODE = {("app", "v_evil"), ("app", "audited")}

_KINDS = {"BASE TABLE": "r", "VIEW": "v", "SYSTEM VIEW": "v", "SEQUENCE": "S"}

DATABASES = ("app", "hr", "information_schema")
_RELATIONS = """
    SELECT table_schema, table_name, table_type FROM information_schema.tables
    WHERE table_schema IN %s ORDER BY table_schema, BINARY table_name
"""
_COLUMNS = """
    SELECT table_schema, table_name, column_name, ordinal_position, column_type,
           extra LIKE '%%INVISIBLE%%'
    FROM information_schema.columns WHERE table_schema IN %s ORDER BY ordinal_position
"""


def rows_of_catalog(connection: Any, databases: tuple[str, ...] = DATABASES) -> list[list[Any]]:
    """Relations with their columns, as `mysql_catalog.json` keeps them."""
    with connection.cursor() as cursor:
        cursor.execute(_RELATIONS, [databases])
        relations = cursor.fetchall()
        cursor.execute(_COLUMNS, [databases])
        columns = cursor.fetchall()
    # Put together here: the server compares names in its catalog in any case.
    found = {(s, n): [s, n, _KINDS[kind], []] for s, n, kind in relations}
    for schema, name, *column in columns:
        found[schema, name][3].append(column)
    return list(found.values())


def catalog_of(rows: list[list[Any]], labels: Labels = LABELS) -> Catalog:
    relations = [_relation(labels, number, *row) for number, row in enumerate(rows, start=1)]
    return Catalog(
        version="test",
        database="app",
        search_path=("app",),
        relations={relation.name: relation for relation in relations},
        functions={"app": frozenset({"f_pure"})},
        operators=frozenset(),
        types=frozenset(),
    )


@cache
def catalog() -> Catalog:
    return catalog_of(stored_rows())


def stored_rows() -> list[list[Any]]:
    rows: list[list[Any]] = json.loads((CORPORA / "mysql_catalog.json").read_text())
    return rows


def in_any_case() -> Catalog:
    """The same names on a server whose lower_case_table_names is not 0."""
    return replace(catalog(), ignores_case=True)


def facts(sql: str) -> SqlFacts:
    return analyse(sql, catalog())


def refusal(sql: str) -> str:
    """The code of the refusal; a statement that is understood fails the test."""
    found = facts(sql)
    assert found.opaque is not None, found
    return found.opaque.code


def uses(found: SqlFacts) -> dict[str, set[str]]:
    """The verbs by relation."""
    verbs: dict[str, set[str]] = {}
    for use in found.tables:
        verbs.setdefault(str(use.table), set()).add(use.verb)
    return verbs


@cache
def statements() -> tuple[Mapping[str, Any], ...]:
    """The rows of `mysql_statements.jsonl`; statements hold line ends of every other kind."""
    text = (CORPORA / "mysql_statements.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.split("\n") if line)


def _relation(
    labels: Labels, number: int, schema: str, name: str, kind: str, columns: list[list[Any]]
) -> Relation:
    found = tuple(
        Column(
            column,
            position,
            type_name,
            frozenset(labels.get((schema, name, column), set())),
            hidden=bool(hidden),
        )
        for column, position, type_name, hidden in columns
    )
    return Relation(TableName(schema, name), number, kind, found, (schema, name) in USER_CODE)
