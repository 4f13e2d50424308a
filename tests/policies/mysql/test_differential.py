"""Changed and generated statements on a real MariaDB: what is called a read changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from typing import Any

import pymysql
import pytest

from policies.sql.facts import SqlEffect
from policies.sql.mysql.lexer import Comments, tokens
from policies.sql.mysql.readings import may_hold_versions
from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import FIXTURE, facts, statements
from tests.policies.mysql.generated import Generator
from tests.policies.mysql.mutated import Mutator
from tests.policies.mysql.watch import Watched, changed_by, fetch

pytestmark = pytest.mark.programs

SLICE = 1_500
FULL = 60_000
_BATCH = 100
_NOTHING = {"", ";", "/**/;"}
CORPUS = [row["sql"] for row in statements()]
READS = [sql for sql in CORPUS if facts(sql).effect is SqlEffect.READ]


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(FIXTURE)
    yield mariadb
    mariadb.run("DROP DATABASE app; DROP DATABASE hr")


def texts(count: int, first_seed: int) -> Iterator[str]:
    """Changed statements of the corpus, and of generated ones."""
    for seed in range(first_seed, first_seed + count):
        known = (CORPUS, READS, READS, [Generator(seed).statement()])[seed % 4]
        yield Mutator(seed, known).statement()


def check_reads(server: MariaDbServer, count: int, first_seed: int) -> tuple[int, int]:
    """Runs what is called a read; how many were, and how many of them the server took."""
    server.run(FIXTURE)
    reads = [sql for sql in texts(count, first_seed) if facts(sql).effect is SqlEffect.READ]
    with closing(Watched(server)) as watched:
        for start in range(0, len(reads), _BATCH):
            batch = reads[start : start + _BATCH]
            for sql in batch:
                watched.run(sql)
            changes = watched.changes()
            assert changes == "", (changes, changed_by(server, batch))
        return len(reads), watched.ran


def test_no_changed_statement_that_is_called_a_read_changes_anything(
    server: MariaDbServer,
) -> None:
    reads, ran = check_reads(server, SLICE, 0)
    assert reads > SLICE / 10
    assert ran > SLICE / 20


@pytest.mark.full
def test_no_changed_statement_that_is_called_a_read_does_at_full_count(
    server: MariaDbServer,
) -> None:
    reads, ran = check_reads(server, FULL, 1_000_000)
    assert reads > FULL / 10
    assert ran > FULL / 20


def written_out(text: str, run: frozenset[int]) -> str:
    """A statement with these comments run and the others left out, as the lexer reads it."""
    found = tokens(text, Comments(run, []))
    apart = (0, *(token.end for token in found))
    pairs = zip(apart, found, strict=False)
    # A blank behind two dashes would begin a comment.
    return "".join("/**/" * (t.start > end) + text[t.start : t.end] for end, t in pairs)


def answer(connection: Any, sql: str) -> object:
    """What the server answers: its rows, or the number of its error."""
    try:
        return sorted(map(repr, fetch(connection, sql)))
    except pymysql.MySQLError as error:
        return error.args[0]


def ways_to_read(text: str) -> set[str]:
    """A statement written out in each way; empty where there is one way alone."""
    seen: list[int] = []
    tokens(text, Comments(frozenset(), seen))
    runs = (r for size in range(len(seen) + 1) for r in combinations(seen, size))
    found = {written_out(text, frozenset(run)) for run in runs}
    # A server takes a comment alone, but not a text without anything.
    return set() if not seen or found <= _NOTHING else found - _NOTHING


def compare_versions(server: MariaDbServer, count: int, first_seed: int) -> int:
    server.run(FIXTURE)
    compared = 0
    with closing(server.connect("app")) as connection:
        fetch(connection, "SET max_statement_time = 2, timestamp = 1")
        for sql in texts(count, first_seed):
            if not may_hold_versions(sql) or facts(sql).effect is not SqlEffect.READ:
                continue
            answers = [answer(connection, way) for way in ways_to_read(sql)]
            assert not answers or answer(connection, sql) in (*answers, []), sql
            compared += bool(answers)
    return compared


def test_what_a_server_makes_of_a_versioned_comment_is_one_of_the_ways_it_was_read(
    server: MariaDbServer,
) -> None:
    assert compare_versions(server, SLICE, 2_000_000) > SLICE / 100


@pytest.mark.full
def test_versioned_comments_at_full_count(server: MariaDbServer) -> None:
    assert compare_versions(server, FULL, 3_000_000) > FULL / 100


def test_the_watch_sees_what_acts(server: MariaDbServer) -> None:
    """A watch that sees nothing would pass everything."""
    acts = [
        "DELETE FROM orders WHERE id = 1",
        "SELECT f_del()",
        "SELECT NEXTVAL(s1)",
        "SELECT 1 INTO @v",
        "SET @v = 1",
        "SELECT GET_LOCK('x', 0)",
        "SET SESSION sql_mode = 'ANSI_QUOTES'",
        "SET GLOBAL max_connections = 77",
        "BEGIN",
        "USE hr",
        "CREATE USER evil",
        "TRUNCATE app.docs",
    ]
    assert changed_by(server, acts) == acts
    server.run("DROP USER evil; SET GLOBAL max_connections = DEFAULT")
    server.run(FIXTURE)
