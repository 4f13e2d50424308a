"""System catalogs that clients list, and the columns in them that are masked for everybody."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from policies.model import AccessRequest, Channel, Decision, Effect, SqlStatement
from policies.questions import questions
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import SqlEffect, TableName
from policies.sql.partly_shown import masked_columns
from policies.sql.postgres import analyse
from policies.sql.server_secrets import SERVER_SECRET
from tests.policies.catalogs import catalog as plain_catalog
from tests.policies.requests import NOON, SHOP, person

COLUMNS = {
    "pg_foreign_server": ("oid", "srvname", "srvoptions"),
    "pg_user_mappings": ("umid", "srvname", "umoptions"),
    "pg_settings": ("name", "setting", "context", "boot_val", "reset_val"),
}


@cache
def catalog(*, settings_hold_secrets: bool = True) -> Catalog:
    relations = dict(plain_catalog().relations)
    for oid, (name, columns) in enumerate(COLUMNS.items(), start=1):
        place = TableName("pg_catalog", name)
        masked = masked_columns(place, settings_hold_secrets=settings_hold_secrets)
        numbered = tuple(
            Column(c, n, "text", frozenset({SERVER_SECRET} if c in masked else ()))
            for n, c in enumerate(columns, start=1)
        )
        relations[place] = Relation(place, oid, "v", numbered, user_code=True)
    return replace(plain_catalog(), relations=relations)


SHOWN = [
    "SELECT oid, srvname FROM pg_foreign_server",
    "SELECT count(*) FROM pg_catalog.pg_user_mappings um WHERE um.srvname = 'x'",
    "SELECT name, context FROM pg_settings ORDER BY name",
    "SELECT setting FROM pg_settings WHERE name = 'max_index_keys'",
    "SELECT name, setting FROM pg_settings WHERE name IN ('DateStyle', 'TimeZone')",
    "SELECT * FROM pg_settings s WHERE s.name = 'work_mem' AND s.setting <> ''",
    "SELECT current_setting(name) FROM pg_settings WHERE name = 'work_mem'",
    "SELECT s.srvname, count(*) FROM pg_foreign_server s, unnest(s.srvoptions) o"
    " GROUP BY s.srvname",
    "SELECT option_name FROM pg_foreign_server, pg_options_to_table(srvoptions)"
    " WHERE option_name <> 'host' ORDER BY option_name",
]


@pytest.mark.parametrize("sql", SHOWN)
def test_names_and_what_is_asked_for_by_name_are_shown(sql: str) -> None:
    facts = analyse(sql, catalog())
    assert facts.effect is SqlEffect.READ, facts.opaque
    assert 0 in facts.clean_outputs


MASKED = [
    "SELECT srvoptions FROM pg_foreign_server",
    "SELECT srvoptions::text FROM pg_foreign_server",
    "SELECT s FROM pg_foreign_server s",
    "SELECT to_json(s) FROM pg_foreign_server s",
    "SELECT (s).srvoptions FROM pg_foreign_server s",
    "SELECT s.c FROM pg_foreign_server AS s(a, b, c)",
    "SELECT array_to_string(srvoptions, ',') FROM pg_foreign_server ORDER BY srvname",
    "SELECT srvoptions IS NULL FROM pg_foreign_server",
    "SELECT length(srvoptions::text) FROM pg_foreign_server",
    "SELECT max(srvoptions::text) FROM pg_foreign_server",
    "SELECT option_value FROM pg_user_mappings, pg_options_to_table(umoptions)",
    "SELECT o FROM pg_user_mappings, unnest(umoptions) o",
    "SELECT (pg_options_to_table(umoptions)).option_value FROM pg_user_mappings",
    "SELECT (SELECT umoptions FROM pg_user_mappings LIMIT 1)",
    "WITH x AS (SELECT umoptions u FROM pg_user_mappings) SELECT u FROM x",
    "SELECT 'a' || umoptions::text FROM pg_user_mappings UNION ALL SELECT 'b'",
    "SELECT setting FROM pg_settings",
    "SELECT setting FROM pg_settings WHERE name LIKE 'primary%'",
    "SELECT setting FROM pg_settings WHERE name = $1",
    "SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'",
    "SELECT setting FROM pg_settings WHERE name = 'app.password'",
    "SELECT setting FROM pg_settings WHERE name IN ('work_mem', 'primary_conninfo')",
    "SELECT setting FROM pg_settings WHERE name = 'work_mem' OR true",
    "SELECT setting FROM pg_settings WHERE name <> 'work_mem'",
    "SELECT o.setting FROM pg_settings s, pg_settings o WHERE s.name = 'work_mem'",
    "SELECT (SELECT max(setting) FROM pg_settings WHERE o.name = 'work_mem')"
    " FROM (SELECT 'work_mem' AS name) o",
    "SELECT boot FROM pg_settings AS s(n, name, c, boot) WHERE s.n = 'work_mem'",
    "SELECT current_setting(name) FROM pg_settings",
    "SELECT pg_catalog.current_setting(s.name, true) || '' FROM pg_settings s",
    "SELECT x.v FROM pg_settings s, LATERAL (SELECT current_setting(s.name) AS v) x",
]


@pytest.mark.parametrize("sql", MASKED)
def test_what_may_be_a_secret_is_never_a_clean_output(sql: str) -> None:
    facts = analyse(sql, catalog())
    assert facts.effect is SqlEffect.READ, facts.opaque
    assert (facts.clean_outputs, SERVER_SECRET in facts.labels_read) == (frozenset(), True)


REFUSED = [
    "SELECT 1 FROM pg_foreign_server WHERE srvoptions::text LIKE '%secret%'",
    "SELECT 1 FROM pg_foreign_server WHERE srvoptions = '{a=b}'",
    "SELECT srvname FROM pg_foreign_server ORDER BY srvoptions",
    "SELECT srvname FROM pg_foreign_server ORDER BY srvoptions IS NULL, srvoptions[1]",
    "SELECT count(*) FROM pg_foreign_server GROUP BY srvoptions",
    "SELECT DISTINCT srvoptions FROM pg_foreign_server",
    "SELECT srvoptions FROM pg_foreign_server UNION SELECT '{}'",
    "SELECT oid FROM pg_foreign_server NATURAL JOIN pg_foreign_server o",
    "SELECT rank() OVER (ORDER BY srvoptions) FROM pg_foreign_server",
    "SELECT srvname FROM pg_foreign_server, regexp_split_to_table(srvoptions::text, '') c",
    "SELECT srvname FROM pg_foreign_server, generate_series(1, length(srvoptions::text))",
    "SELECT srvname FROM pg_foreign_server LIMIT (SELECT length(max(srvoptions::text))"
    " FROM pg_foreign_server)",
    "SELECT 1 FROM pg_user_mappings, pg_options_to_table(umoptions) WHERE option_value > 'a'",
    "SELECT 1 FROM pg_user_mappings, unnest(umoptions) o WHERE o LIKE 'p%'",
    "SELECT option_name FROM pg_user_mappings, pg_options_to_table(umoptions)"
    " ORDER BY option_value",
    "SELECT srvname FROM pg_user_mappings, unnest(string_to_array(umoptions::text, 'a'))",
    "SELECT count(*) FILTER (WHERE setting > 'm') FROM pg_settings ORDER BY setting",
    "SELECT 1 FROM pg_settings WHERE reset_val = 'x'",
    "SELECT 1 FROM pg_settings WHERE current_setting(name) LIKE 'a%'",
    "SELECT name FROM pg_settings WHERE setting IS DISTINCT FROM boot_val",
    "INSERT INTO orders (note) SELECT setting FROM pg_settings",
    "INSERT INTO orders (note) SELECT current_setting(name) FROM pg_settings",
    "UPDATE orders SET note = (SELECT max(srvoptions::text) FROM pg_foreign_server) WHERE id = 1",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_may_be_a_secret_decides_nothing_and_is_not_copied(sql: str) -> None:
    facts = analyse(sql, catalog())
    assert facts.opaque is not None
    assert facts.opaque.code == "RELATION_SENSITIVE"


@pytest.mark.parametrize(
    "argument",
    [
        "ARRAY[replace(srvoptions[1], '=', '')]",
        "array_append(srvoptions, 'a=b')",
        "srvoptions[1:1]",
        "ARRAY(SELECT unnest(srvoptions))",
    ],
)
def test_a_name_out_of_options_that_were_changed_may_be_a_secret(argument: str) -> None:
    sql = f"SELECT option_name FROM pg_foreign_server, pg_options_to_table({argument})"
    assert analyse(sql, catalog()).effect is SqlEffect.OPAQUE  # how many there are may be one too


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name, setting FROM pg_settings WHERE setting <> boot_val ORDER BY setting",
        "SELECT current_setting(s.name) FROM pg_settings s WHERE s.setting <> ''",
    ],
)
def test_settings_are_shown_where_the_server_leaves_those_with_secrets_out(sql: str) -> None:
    facts = analyse(sql, catalog(settings_hold_secrets=False))
    assert (facts.effect, 0 in facts.clean_outputs) == (SqlEffect.READ, True)


@pytest.mark.parametrize(
    "argument",
    [
        "'primary_conn' || 'info'",
        "s.name || ''",
        "lower(s.name)",
        "s.context",
        "o.n",
        "(SELECT name FROM pg_settings LIMIT 1)",
        "coalesce(s.name, 'app.password')",
    ],
)
def test_a_setting_whose_name_is_computed_is_not_shown(argument: str) -> None:
    shown = catalog(settings_hold_secrets=False)
    sql = f"SELECT current_setting({argument}) FROM pg_settings s, (SELECT 'app.x' AS n) o"
    assert analyse(sql, shown).effect is SqlEffect.OPAQUE


def test_policies_do_not_see_the_label_and_every_decision_masks_it() -> None:
    facts = analyse("SELECT srvoptions FROM pg_foreign_server", catalog())
    decision = Decision(Effect.PERMIT, "v")
    assert facts.labels_read <= decision.masked_labels
    request = AccessRequest(
        person("analysts"), SHOP, SqlStatement(""), Channel.MCP, NOON, "session", facts
    )
    asked = [each.context["sql"] for each in questions(request) if "sql" in each.context]
    assert asked
    assert all(not sql["labels"] and not sql["labels_read"] for sql in asked)


@pytest.mark.parametrize("name", ["pg_settings", "pg_foreign_server"])
def test_they_are_not_written(name: str) -> None:
    changed = {"pg_settings": "setting", "pg_foreign_server": "srvname"}[name]
    facts = analyse(f"UPDATE {name} SET {changed} = 'off'", catalog())
    assert facts.effect is SqlEffect.OPAQUE
