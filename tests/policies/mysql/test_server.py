"""A real MariaDB as the oracle: what is called a read changes nothing, and what clean, is clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
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
from tests.policies.mysql.test_differential import texts
from tests.policies.mysql.watch import Watched, changed_by, fetch

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


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(FIXTURE)
    yield mariadb
    mariadb.run("DROP DATABASE app; DROP DATABASE hr")


def test_what_the_facts_call_a_read_changes_nothing(server: MariaDbServer) -> None:
    """Run as the superuser, whom no privilege holds back; looked at over a second connection."""
    reads = [row["sql"] for row in statements() if facts(row["sql"]).effect is SqlEffect.READ]
    with closing(Watched(server)) as watched:
        for sql in reads:
            watched.run(sql)
        changes = watched.changes()
        assert changes == "", (changes, changed_by(server, reads))
        assert watched.ran >= 40


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


def check_clean_outputs(
    server: MariaDbServer, count: int, *, deciding: bool = False
) -> Counter[str]:
    """Runs generated reads before and after all labelled values change."""
    queries = [Generator(seed, deciding).statement() for seed in range(count)]
    with closing(server.connect("app")) as connection:
        return compare_clean_outputs(server, connection, queries)


def decides(found: SqlFacts) -> bool:
    """Whether labelled values may say which rows there are."""
    return bool(found.labels_filtered | found.labels_matched | found.labels_compared)


def compare_clean_outputs(
    server: MariaDbServer, connection: Any, queries: Iterable[str]
) -> Counter[str]:
    reads: dict[str, list[list[str]]] = {}
    seen: Counter[str] = Counter()
    for sql in queries:
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
        if decides(facts(sql)):
            seen["rows hang on labels"] += 1
            continue
        assert [len(column) for column in first] == [len(column) for column in second], sql
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
    changed = [
        sql for sql in texts(SLICE, 20_000) if not sql.strip().upper().startswith(_NO_SELECT)
    ]
    texts_of_all = corpus + generated + changed
    reads = [sql for sql in texts_of_all if facts(sql).effect is SqlEffect.READ]
    with closing(server.connect("app")) as owner:
        valid = [sql for sql in reads if error_of(owner, sql) == 0]
        assert len(valid) > SLICE / 8
        for sql in valid:
            assert narrowed(server, owner, grants(facts(sql)), sql) == 0, sql
        less = grants(facts("SELECT id FROM users"))
        assert narrowed(server, owner, less, "SELECT id FROM users ORDER BY ssn") in _DENIED
        fetch(owner, "DROP USER narrow")


def test_rows_are_the_same_where_the_facts_say_that_no_label_decides(
    server: MariaDbServer,
) -> None:
    server.run(FIXTURE)
    seen = check_clean_outputs(server, SLICE, deciding=True)
    assert seen["compared"] > SLICE / 20
    assert seen["rows hang on labels"] > SLICE / 40


@pytest.mark.full
def test_rows_are_the_same_at_full_count(server: MariaDbServer) -> None:
    server.run(FIXTURE)
    seen = check_clean_outputs(server, FULL, deciding=True)
    assert seen["rows hang on labels"] > FULL / 40


@pytest.mark.full
def test_no_output_that_is_called_clean_does_at_full_count(server: MariaDbServer) -> None:
    server.run(FIXTURE)
    seen = check_clean_outputs(server, FULL)
    assert seen["with labelled values"] > FULL / 20
