"""The catalog that the pure tests analyse against.

`tests/corpora/postgres_catalog.json` was read from PostgreSQL 18.6 after
`tests/corpora/postgres_fixture.sql` had run; labels are put on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import TableName

CORPORA = Path(__file__).parents[1] / "corpora"

LABELS = {
    ("public", "users", "ssn"): {"pii"},
    ("public", "users", "email"): {"pii"},
    ("public", "users", "password_hash"): {"secret"},
    ("public", "v_users", "contact"): {"pii"},
    ("public", "v_star", "ssn"): {"pii"},
    ("public", "v_star", "email"): {"pii"},
    ("public", "v_star", "password_hash"): {"secret"},
    ("public", "Users", "email"): {"pii"},
    ("hr", "salaries", "amount"): {"salary"},
}


@cache
def catalog() -> Catalog:
    document = json.loads((CORPORA / "postgres_catalog.json").read_text())
    relations = [_relation(*row) for row in document["relations"]]
    return Catalog(
        version="test",
        database=document["database"],
        search_path=tuple(document["search_path"]),
        relations={relation.name: relation for relation in relations},
        functions={k: frozenset(v) for k, v in document["functions"].items()},
        operators=frozenset(document["operators"]),
        types=frozenset(document["types"]),
        by_oid={relation.oid: relation for relation in relations},
    )


def _relation(
    schema: str, name: str, oid: int, kind: str, user_code: bool, columns: list[list[Any]]
) -> Relation:
    found = tuple(
        Column(column, number, type_name, frozenset(LABELS.get((schema, name, column), set())))
        for column, number, type_name in columns
    )
    return Relation(TableName(schema, name), oid, kind, found, user_code)


@cache
def statements() -> tuple[Mapping[str, Any], ...]:
    """The rows of `postgres_statements.jsonl`; statements hold line ends of every other kind."""
    text = (CORPORA / "postgres_statements.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.split("\n") if line)
