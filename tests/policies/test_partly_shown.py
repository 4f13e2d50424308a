"""System catalogs that clients list, and the columns in them that nobody sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import SqlEffect, TableName
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog as plain_catalog

COLUMNS = {
    "pg_foreign_server": ("oid", "srvname", "srvoptions"),
    "pg_user_mappings": ("umid", "srvname", "umoptions"),
    "pg_settings": ("name", "setting", "context", "boot_val", "reset_val"),
}


def catalog() -> Catalog:
    relations = dict(plain_catalog().relations)
    for oid, (name, columns) in enumerate(COLUMNS.items(), start=1):
        numbered = tuple(Column(c, n, "text") for n, c in enumerate(columns, start=1))
        whole = Relation(TableName("pg_catalog", name), oid, "v", numbered, user_code=True)
        relations[whole.name] = whole
    return replace(plain_catalog(), relations=relations)


SHOWN = [
    "SELECT oid, srvname FROM pg_foreign_server",
    "SELECT count(*) FROM pg_catalog.pg_user_mappings um WHERE um.srvname = 'x'",
    "SELECT name, context FROM pg_settings ORDER BY name",
    "SELECT setting FROM pg_settings WHERE name = 'max_index_keys'",
    "SELECT name, setting FROM pg_settings WHERE name IN ('DateStyle', 'TimeZone')",
    "SELECT * FROM pg_settings s WHERE s.name = 'work_mem' AND s.setting <> ''",
]


@pytest.mark.parametrize("sql", SHOWN)
def test_names_and_what_is_asked_for_by_name_are_shown(sql: str) -> None:
    facts = analyse(sql, catalog())
    assert facts.effect is SqlEffect.READ, facts.opaque


WITHHELD = [
    "SELECT srvoptions FROM pg_foreign_server",
    "SELECT * FROM pg_foreign_server",
    "TABLE pg_foreign_server",
    "SELECT s FROM pg_foreign_server s",
    "SELECT to_json(s) FROM pg_foreign_server s",
    "SELECT (s).srvoptions FROM pg_foreign_server s",
    "SELECT s.c FROM pg_foreign_server AS s(a, b, c)",
    "SELECT 1 FROM pg_foreign_server WHERE srvoptions::text LIKE '%secret%'",
    "SELECT srvname FROM pg_foreign_server ORDER BY srvoptions",
    "SELECT count(*) FROM pg_foreign_server GROUP BY srvoptions",
    "SELECT oid FROM pg_foreign_server NATURAL JOIN pg_foreign_server o",
    "WITH x AS (SELECT * FROM pg_user_mappings) SELECT srvname FROM x",
    "SELECT (SELECT umoptions FROM pg_user_mappings LIMIT 1)",
    "SELECT setting FROM pg_settings",
    "SELECT setting FROM pg_settings WHERE name LIKE 'primary%'",
    "SELECT setting FROM pg_settings WHERE name = $1",
    "SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'",
    "SELECT setting FROM pg_settings WHERE name = 'app.password'",
    "SELECT setting FROM pg_settings WHERE name IN ('work_mem', 'primary_conninfo')",
    "SELECT setting FROM pg_settings WHERE name = 'work_mem' OR true",
    "SELECT setting FROM pg_settings WHERE name <> 'work_mem'",
    "SELECT o.setting FROM pg_settings s, pg_settings o WHERE s.name = 'work_mem'",
    "SELECT setting FROM pg_settings WHERE name = 'work_mem' UNION SELECT setting FROM pg_settings",
    "SELECT 1 FROM pg_settings WHERE reset_val = 'x'",
]


@pytest.mark.parametrize("sql", WITHHELD)
def test_what_may_be_a_secret_is_not_shown_in_any_position(sql: str) -> None:
    assert analyse(sql, catalog()).effect is SqlEffect.OPAQUE


@pytest.mark.parametrize("name", ["pg_settings", "pg_foreign_server"])
def test_they_are_not_written(name: str) -> None:
    changed = {"pg_settings": "setting", "pg_foreign_server": "srvname"}[name]
    facts = analyse(f"UPDATE {name} SET {changed} = 'off'", catalog())
    assert facts.effect is SqlEffect.OPAQUE
