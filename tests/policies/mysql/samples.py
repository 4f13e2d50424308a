"""Sakila and TPC-H for MySQL, and what real clients sent to a server with Sakila.

`tests/corpora/mysql_samples_catalog.json` was read from MariaDB 10.11 by `rows_of_catalog` after
`mysql_sakila.sql` and `mysql_tpch.sql` had run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from policies.sql.catalog import Catalog
from tests.policies.mysql.catalogs import CORPORA, catalog_of, stored_rows

DATABASES: Final = ("sakila", "tpch")
LABELS: Final[Mapping[tuple[str, str, str], set[str]]] = {
    ("sakila", "customer", "email"): {"pii"},
    ("sakila", "address", "phone"): {"pii"},
    ("sakila", "customer_list", "phone"): {"pii"},
    ("sakila", "staff", "password"): {"secret"},
}
_NAME: Final = "-- name: "
_REFUSED: Final = re.compile(r"(my[a-z]*-\d+) +([A-Z_]+) +\S.+")


@cache
def sample_rows() -> list[list[Any]]:
    found: list[list[Any]] = json.loads((CORPORA / "mysql_samples_catalog.json").read_text())
    return found


@cache
def system_rows() -> list[list[Any]]:
    """Tables of the database mysql, privileges and passwords among them."""
    found: list[list[Any]] = json.loads((CORPORA / "mysql_system_catalog.json").read_text())
    return found


@cache
def sample(database: str) -> Catalog:
    """The catalog of the server with the samples, with one of them in use."""
    known = [row for row in stored_rows() if row[0] == "information_schema"]
    read = catalog_of([*sample_rows(), *known, *system_rows()], LABELS)
    return replace(read, database=database, search_path=(database,))


def script(database: str) -> str:
    return (CORPORA / f"mysql_{database}.sql").read_text(encoding="utf-8")


@cache
def queries(database: str) -> Mapping[str, str]:
    """The queries of a sample by name."""
    text = (CORPORA / f"mysql_{database}_queries.sql").read_text(encoding="utf-8")
    named = (part.partition("\n") for part in text.split(_NAME)[1:])
    return {title: body.strip().removesuffix(";") for title, _, body in named}


@cache
def client_statements() -> tuple[Mapping[str, str], ...]:
    text = (CORPORA / "mysql_clients.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


@cache
def administration() -> tuple[Mapping[str, str], ...]:
    """What clients sent for options that are for administrators."""
    text = (CORPORA / "mysql_administration.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


def golden(name: str) -> dict[str, str]:
    """What a list of refusals says: the code by id."""
    text = (CORPORA / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [_REFUSED.fullmatch(line) for line in lines]
    assert None not in found, "each line has an id, a code and a reason"
    return {match[1]: match[2] for match in found if match is not None}
