"""A real MariaDB as the oracle: what is called a read changes nothing, and what clean, is clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pymysql
import pytest

from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.mysql.functions import COMMON, native_functions
from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import (
    FIXTURE,
    facts,
    rows_of_catalog,
    statements,
    stored_rows,
)
from tests.policies.mysql.generated import Generator

pytestmark = pytest.mark.programs

SLICE = 200
FULL = 6000
_NO_SUCH_FUNCTION = 1305
# Denied: a database, a table, a column, a view's tables.
_DENIED = {1044, 1142, 1143, 1356}
# What shows definitions asks for other privileges.
_NO_SELECT = ("SHOW", "DESC", "EXPLAIN")
_OTHER_VALUES = """
    UPDATE users SET ssn = CONCAT('other-', id), email = CONCAT('else-', id, '@y.org'),
                     password_hash = MD5(CONCAT('z', id));
    UPDATE veiled SET ssn = 'another';
"""
_STATE = (
    "SELECT table_schema, table_name, table_type, table_comment FROM information_schema.tables"
    " WHERE table_schema NOT IN ('information_schema') ORDER BY 1, 2",
    "SELECT routine_schema, routine_name, routine_definition FROM information_schema.routines"
    " WHERE routine_schema IN ('app', 'hr') ORDER BY 1, 2",
    "SELECT trigger_schema, trigger_name FROM information_schema.triggers ORDER BY 1, 2",
    "SELECT * FROM mysql.global_priv ORDER BY user, host",
    "SELECT * FROM mysql.event",
    "SELECT * FROM app.users",
    "SELECT * FROM app.Users",
    "SELECT * FROM app.orders",
    "SELECT * FROM app.departments",
    "SELECT * FROM app.docs",
    "SELECT * FROM app.audited",
    "SELECT id, ssn, name FROM app.veiled",
    "SELECT * FROM app.s1",
    "SELECT * FROM hr.salaries",
    "SELECT IS_USED_LOCK('x'), @@sql_mode",
)
# One line for all settings of a session, but for those that running anything changes.
_SESSION = """
    SELECT MD5(GROUP_CONCAT(variable_name, '=', variable_value ORDER BY variable_name))
    FROM information_schema.session_variables
    WHERE variable_name NOT IN (
        'error_count', 'identity', 'in_transaction', 'insert_id', 'last_gtid', 'last_insert_id',
        'pseudo_thread_id', 'rand_seed1', 'rand_seed2', 'timestamp', 'warning_count'
    )
"""


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(FIXTURE)
    yield mariadb
    mariadb.run("DROP DATABASE app; DROP DATABASE hr")


def fetch(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def state(server: MariaDbServer, watcher: Any) -> list[Any]:
    """What a statement could change on the server."""
    files = sorted(path.name for path in server.home.iterdir() if path.suffix != ".tmp")
    return [files, *(sorted(map(repr, fetch(watcher, sql))) for sql in _STATE)]


def test_what_the_facts_call_a_read_changes_nothing(server: MariaDbServer) -> None:
    """Run as the superuser, whom no privilege holds back; looked at over a second connection."""
    reads = [row["sql"] for row in statements() if facts(row["sql"]).effect is SqlEffect.READ]
    with closing(server.connect("app")) as runner, closing(server.connect()) as watcher:
        before, session = state(server, watcher), fetch(runner, _SESSION)
        settings = fetch(watcher, "SHOW GLOBAL VARIABLES")
        ran = 0
        for sql in reads:
            # What only MySQL 8 has is an error here.
            with suppress(pymysql.MySQLError):
                fetch(runner, sql)
                ran += 1
            assert fetch(runner, _SESSION) == session, sql
            assert state(server, watcher) == before, sql
        assert fetch(watcher, "SHOW GLOBAL VARIABLES") == settings
    assert ran >= 40


def test_every_common_native_function_is_native_here(server: MariaDbServer) -> None:
    """A name that is none would be looked up among users' functions."""
    with closing(server.connect("app")) as connection:
        (version,) = fetch(connection, "SELECT @@version")[0]
        names = COMMON | native_functions(version)
        assert [name for name in names if not is_native(connection, name)] == []


def is_native(connection: Any, name: str) -> bool:
    try:
        fetch(connection, f"SELECT {name}()")
    except pymysql.MySQLError as error:
        return bool(error.args[0] != _NO_SUCH_FUNCTION)
    return True


def test_the_catalog_of_the_pure_tests_is_this_servers(server: MariaDbServer) -> None:
    """The server's own information_schema may gain relations; the fixture's are the same."""
    with closing(server.connect("app")) as connection:
        rows = rows_of_catalog(connection)
    assert {(row[0], row[1]): row for row in rows if row[0] in ("app", "hr")} == {
        (row[0], row[1]): row for row in stored_rows() if row[0] in ("app", "hr")
    }


def outputs(connection: Any, sql: str) -> list[list[str]] | None:
    """The values of each output column in order, or None for what the server refuses."""
    try:
        rows = fetch(connection, sql)
    except pymysql.MySQLError:
        return None
    return [sorted(map(repr, column)) for column in zip(*rows, strict=True)]


def check_clean_outputs(server: MariaDbServer, count: int) -> Counter[str]:
    """Runs generated reads before and after all labelled values change."""
    with closing(server.connect("app")) as connection:
        return compare_clean_outputs(server, connection, count)


def compare_clean_outputs(server: MariaDbServer, connection: Any, count: int) -> Counter[str]:
    reads: dict[str, list[list[str]]] = {}
    seen: Counter[str] = Counter()
    for seed in range(count):
        sql = Generator(seed).statement()
        found = facts(sql)
        first = outputs(connection, sql)
        if first and found.opaque is not None:
            seen["valid, but refused"] += 1
        if first and found.opaque is None:
            assert found.effect is SqlEffect.READ
            reads[sql] = first
    server.run(f"USE app; {_OTHER_VALUES}")
    for sql, first in reads.items():
        second = outputs(connection, sql) or []
        if [len(column) for column in first] != [len(column) for column in second]:
            assert "NATURAL" in sql or "USING" in sql
            continue
        seen["compared"] += 1
        changed = {
            i for i, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]
        }
        seen["with labelled values"] += bool(changed)
        assert not changed & facts(sql).clean_outputs, sql
    return seen


def test_no_output_that_is_called_clean_hangs_on_labelled_values(server: MariaDbServer) -> None:
    server.run(FIXTURE)
    seen = check_clean_outputs(server, SLICE)
    assert seen["compared"] > SLICE / 10
    assert seen["with labelled values"] > SLICE / 20


def grants(found: SqlFacts) -> list[str]:
    """What the facts say that a read needs, and no more."""
    return [
        f"GRANT SELECT {listed(use.columns)} ON `{use.table.schema}`.`{use.table.name}` TO narrow"
        for use in found.tables
        if use.table.schema in ("app", "hr")
    ]


def listed(columns: frozenset[str]) -> str:
    """All columns for "*"; to count rows the server asks for any one."""
    named = ", ".join(f"`{column}`" for column in sorted(columns or {"id"}))
    return "" if "*" in columns else f"({named})"


def error_of(connection: Any, sql: str) -> int:
    """The server's error number, or 0 where it ran."""
    try:
        fetch(connection, sql)
    except pymysql.MySQLError as error:
        return int(error.args[0])
    return 0


def narrowed(server: MariaDbServer, owner: Any, allowed: list[str], sql: str) -> int:
    """The error of a statement that an account with these privileges alone runs, or 0."""
    for grant in ("CREATE OR REPLACE USER narrow", "GRANT INSERT ON app.docs TO narrow", *allowed):
        fetch(owner, grant)
    with closing(server.connect("app", user="narrow")) as narrow:
        return error_of(narrow, sql)


def test_a_read_needs_no_table_and_no_column_past_its_facts(server: MariaDbServer) -> None:
    """The server checks privileges on each column that a statement names, wherever it does."""
    server.run(FIXTURE)
    corpus = [row["sql"] for row in statements() if not row["sql"].startswith(_NO_SELECT)]
    generated = [Generator(seed).statement() for seed in range(10_000, 10_000 + SLICE)]
    reads = [sql for sql in corpus + generated if facts(sql).effect is SqlEffect.READ]
    with closing(server.connect("app")) as owner:
        valid = [sql for sql in reads if error_of(owner, sql) == 0]
        assert len(valid) > SLICE / 8
        for sql in valid:
            assert narrowed(server, owner, grants(facts(sql)), sql) == 0, sql
        less = grants(facts("SELECT id FROM users"))
        assert narrowed(server, owner, less, "SELECT id FROM users ORDER BY ssn") in _DENIED
        fetch(owner, "DROP USER narrow")


@pytest.mark.full
def test_no_output_that_is_called_clean_does_at_full_count(server: MariaDbServer) -> None:
    server.run(FIXTURE)
    seen = check_clean_outputs(server, FULL)
    assert seen["with labelled values"] > FULL / 20
