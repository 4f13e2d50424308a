"""The catalog that the pure tests analyse against.

`tests/corpora/postgres_catalog.json` was read from PostgreSQL 18.6 after
`tests/corpora/postgres_fixture.sql` had run, by `python -m tests.policies.corpus_catalog`; labels
are put on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from policies.sql.catalog import Catalog, Relation
from policies.sql.snapshot import catalog_of

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
    read = catalog_of(document)
    relations = [_labelled(relation) for relation in read.relations.values()]
    return replace(
        read,
        version="test",
        search_path=("public",),
        relations={relation.name: relation for relation in relations},
        by_oid={relation.oid: relation for relation in relations},
    )


def _labelled(relation: Relation) -> Relation:
    place = (relation.name.schema, relation.name.name)
    columns = tuple(
        replace(column, labels=column.labels | LABELS.get((*place, column.name), set()))
        for column in relation.columns
    )
    return replace(relation, columns=columns)


@cache
def statements() -> tuple[Mapping[str, Any], ...]:
    """The rows of `postgres_statements.jsonl`; statements hold line ends of every other kind."""
    text = (CORPORA / "postgres_statements.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.split("\n") if line)
