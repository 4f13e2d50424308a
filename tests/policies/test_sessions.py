"""Statements about the session: what they say of the search path, and what they may not change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.model import Parameter, SqlStatement
from policies.sql.asked_settings import asked_by_parameters, of_one_call
from policies.sql.catalog import Catalog
from policies.sql.facts import PathChange, SqlEffect
from policies.sql.postgres import analyse
from policies.sql.prescan import QUICK_BYTES
from policies.sql.search_path import on_path
from policies.sql.settings import LIMITS
from policies.sql.splitting import split
from tests.policies.catalogs import catalog as plain_catalog


def catalog() -> Catalog:
    schemas = {"public": frozenset[str](), "hr": frozenset[str](), "evil": frozenset({"lower"})}
    return replace(plain_catalog(), schemas=schemas)


RESTRICTS = "restrict_nonsystem_relation_kind"
CHANGES = {
    "SET search_path TO hr, public": PathChange(("hr", "public")),
    'SET search_path TO "$user", hr': PathChange(("$user", "hr")),
    "SET LOCAL search_path TO hr": PathChange(("hr",), local=True),
    "SET search_path = ''": PathChange(()),
    "SET SCHEMA 'hr'": PathChange(("hr",)),
    "SELECT set_config('search_path', '', false)": PathChange(()),
    "SELECT pg_catalog.set_config('SEARCH_PATH', 'HR, public', true)": PathChange(
        ("hr", "public"), local=True
    ),
    "RESET search_path": PathChange(None),
    "SET search_path TO DEFAULT": PathChange(None),
    "RESET ALL": PathChange(None),
    "DISCARD ALL": PathChange(None),
    "RESET statement_timeout": None,
    "DISCARD PLANS": None,
    "CLOSE ALL": None,
    "UNLISTEN *": None,
    "DEALLOCATE ALL": None,
    "SET application_name = 'x'": None,
    "SET row_security = off": None,
    "SET statement_timeout = 0": None,
    "SET LOCAL lock_timeout = '5s'": None,
    f"SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings"
    f" WHERE name = '{RESTRICTS}'": None,
    "SET TRANSACTION READ ONLY": None,
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE": None,
}


@pytest.mark.parametrize("sql", CHANGES)
def test_what_a_statement_does_to_the_search_path_is_a_fact(sql: str) -> None:
    facts = analyse(sql, catalog())
    assert (facts.effect, facts.path_change) == (SqlEffect.SESSION, CHANGES[sql]), facts.opaque


REFUSED = [
    "SET search_path TO evil",
    "SET search_path TO hr, pg_catalog",
    "SET search_path TO pg_temp, hr",
    "SET search_path TO nowhere",
    "SET search_path TO hr, 1",
    "SET search_path FROM CURRENT",
    "SELECT set_config('search_path', 'evil', false)",
    "SELECT set_config('search_path', 'hr' || '', false)",
    "SELECT set_config('search_path', 'hr', random() > 0.5)",
    "SELECT set_config('search_path', 'hr', false) FROM users",
    "SELECT set_config('search_path', 'hr', false), 1",
    "SELECT set_config('search_path', 'hr', false) UNION SELECT 'x'",
    "SELECT set_config('search_path', U&'h\\0072', false) WHERE true",
    "SELECT set_config('role', 'x', false)",
    "SELECT set_config('search_path', 'a b', false)",
    "SET ROLE hr",
    "RESET ROLE",
    "RESET SESSION AUTHORIZATION",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET deadlock_timeout = 0",
    "SET statement_timeout FROM CURRENT",
    "SET row_security = force",
    *(
        f"SELECT {call} FROM {source} WHERE {condition}"
        for call, source, condition in (
            ("set_config(name, '', false)", "pg_settings", "name = 'row_security'"),
            ("set_config(name, 'view', false)", "pg_settings", "name = 'search_path'"),
            ("set_config(name, 'view', false)", "pg_settings", "name <> 'x'"),
            ("set_config(name, 'view', false)", "pg_settings s", f"name = '{RESTRICTS}'"),
            ("set_config(name, 'view', false), 1", "pg_settings", f"name = '{RESTRICTS}'"),
            ("set_config(name, 'a', false)", "pg_settings", f"name = '{RESTRICTS}'"),
            ("set_config(source, 'view', false)", "pg_settings", f"name = '{RESTRICTS}'"),
            ("set_config(name, setting, false)", "pg_settings", f"name = '{RESTRICTS}'"),
            ("set_config(name, 'view', false)", "users", f"name = '{RESTRICTS}'"),
            ("set_config(name, 'view', false)", "pg_settings, users", f"name = '{RESTRICTS}'"),
            (
                "set_config(name, 'view', false)",
                "pg_settings",
                f"name = '{RESTRICTS}' OR name = 'x'",
            ),
        )
    ),
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
    "EXPLAIN ANALYZE SELECT set_config('search_path', 'hr', false)",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_would_change_more_is_refused(sql: str) -> None:
    assert analyse(sql, catalog()).effect is SqlEffect.OPAQUE


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_a_call_that_stands_alone_sets_no_time_limit(name: str) -> None:
    facts = analyse(f"SET {name} = 0", catalog())
    assert facts.effect is SqlEffect.SESSION
    assert of_one_call(facts).opaque is not None
    assert of_one_call(analyse("SET row_security = off", catalog())).opaque is None


def test_names_are_looked_up_on_the_path() -> None:
    moved = on_path(catalog(), ("hr",))
    assert moved is not None
    facts = analyse("SELECT amount FROM salaries", moved)
    assert [str(use.table) for use in facts.tables] == ["hr.salaries"]
    assert analyse("SELECT id FROM users", moved).effect is SqlEffect.OPAQUE
    assert analyse("SELECT relname FROM pg_class", moved).effect is SqlEffect.READ


def test_functions_of_users_are_not_called_on_another_path() -> None:
    """Their own names are looked up on it."""
    named = {**plain_catalog().functions, "public": frozenset({"total"})}
    known = replace(catalog(), functions=named)
    assert analyse("SELECT public.total()", known).effect is SqlEffect.READ
    moved = on_path(known, ("hr", "public"))
    assert moved is not None
    assert analyse("SELECT public.total()", moved).effect is SqlEffect.OPAQUE


def test_a_path_with_a_schema_that_has_built_in_names_now_tells_nothing() -> None:
    assert on_path(catalog(), ("evil",)) is None


def test_a_schema_that_is_gone_is_passed_over() -> None:
    moved = on_path(catalog(), ("gone", "hr"))
    assert moved is not None
    assert moved.search_path == ("hr",)


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("SELECT 1", 1),
        ("SELECT 1; SELECT 2", 2),
        (";;SELECT 1;;", 1),
        ("SELECT ';'; SELECT $a$;$a$ -- ;\n; /* ; */ SELECT 3", 3),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3", 2),
        ("", 1),
    ],
)
def test_a_text_is_cut_where_statements_end(sql: str, count: int) -> None:
    assert "".join(split(sql)) == sql
    assert len(split(sql)) == count


@pytest.mark.parametrize(
    ("value", "shown"),
    [(b"default_table_access_method", True), (b"primary_conninfo", False), (b"a.b", False)],
)
def test_a_setting_named_by_a_parameter_is_shown_by_its_value(value: bytes, shown: bool) -> None:
    text = "SELECT current_setting($1::VARCHAR)"
    facts = analyse(text, catalog())
    judged = asked_by_parameters(facts, SqlStatement(text, (Parameter(value),)))
    assert (judged.opaque is None) is shown
    assert asked_by_parameters(facts, SqlStatement(text)).opaque is not None


def test_a_text_that_would_take_long_to_cut_is_left_whole() -> None:
    long = "SELECT 1;" + " " * QUICK_BYTES + "SELECT 2"
    assert split(long) == (long,)
    opaque = analyse(long, catalog()).opaque
    assert opaque is not None
    assert opaque.code == "SQL_MULTIPLE_STATEMENTS"
