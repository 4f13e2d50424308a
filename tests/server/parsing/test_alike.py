"""Statements that are taken for one another have the same facts, whatever their numbers are."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from time import perf_counter
from typing import Final

import pytest

from policies.sql import mysql, postgres
from policies.sql.facts import SqlFacts
from server.parsing.alike import form
from tests.policies import catalogs as of_postgres
from tests.policies.mysql import catalogs as of_mysql

SEED: Final = 20_261_123
ENDS: Final = (
    *("", " WHERE id = {}", " AND id = {}", " OR id={};", " OR NOT id = {}", " OR TRUE = {}"),
    *(" HAVING id = {}", " GROUP BY id = {}", " ORDER BY id = {}", " LIMIT id = {}"),
    *(" OFFSET id = {}", " FETCH FIRST id = {}", " WINDOW id = {}", " ON id = {}\n", " id = {}"),
    *(" FOR UPDATE OF id = {}", " INTO id = {}", " UNION SELECT id = {}", ") = {}", " NULL = {}"),
    " WHERE id IN (SELECT id FROM users WHERE id = {}",
)
_CONSTANTS: Final = re.compile(r"'[^']*'|\b\d+(\.\d+)?\b")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE id = 123;", "SELECT a FROM t WHERE id = 987;"),
        ("select c from sbtest1 where id=5", "select c from sbtest1 where id=7"),
        (
            "SELECT a\nFROM t1 WHERE b1 = c AND id = 22 ",
            "SELECT a\nFROM t1 WHERE b1 = c AND id = 98 ",
        ),
    ],
)
def test_statements_with_another_number_at_the_end_are_alike(one: str, other: str) -> None:
    assert form(one) == form(other)
    assert len(form(one)) == len(one)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t LIMIT 12",
        "SELECT a FROM t ORDER BY 2",
        "SELECT a FROM t WHERE id = 1",
        "SELECT a FROM t WHERE id = 0",
        "SELECT a FROM t WHERE id = 1234567890",
        "SELECT a FROM t WHERE id = 012",
        "SELECT a FROM t WHERE id = 1.5",
        "SELECT a FROM t WHERE id = -5",
        "SELECT a FROM t WHERE id = 5 OR id = 7",
        "SELECT a FROM t WHERE 5 = 7",
        "SELECT a FROM t WHERE id > 7",
        "SELECT a FROM t WHERE id <= 7",
        "SELECT a FROM t WHERE b = 'x' AND id = 7",
        'SELECT a FROM "t" WHERE id = 7',
        "SELECT a FROM `t` WHERE id = 7",
        "SELECT a FROM t WHERE b = $1 AND id = 7",
        "SELECT a FROM t -- WHERE id = 7",
        "SELECT a FROM t # WHERE id = 7",
        "SELECT a FROM t /* WHERE id = 7",
        "SELECT a::text FROM t WHERE id = 7",
        "SELECT @a = 7",
        "SELECT f(7) FROM t WHERE id = 7",
        "SELECT é FROM t WHERE id = 7",
        "SELECT a FROM t WHERE id = ７",  # noqa: RUF001 -- a digit of another kind
        "SET statement_timeout = 7",
        "UPDATE t SET a = 7",
        "SELECT a FROM t WHERE id = 7; SELECT b = 7",
        "SELECT a FROM t WHERE id = 7 LIMIT 5",
        "SELECT " + "a, " * 700 + "a FROM t WHERE id = 7",
    ],
)
def test_a_statement_whose_number_may_mean_more_stands_for_itself(text: str) -> None:
    assert form(text) == text


@pytest.mark.parametrize(
    ("rows", "analyse"),
    [
        pytest.param(of_postgres.statements(), postgres.analyse, id="postgres"),
        pytest.param(of_mysql.statements(), mysql.analyse, id="mysql"),
    ],
)
def test_statements_that_are_alike_have_the_same_facts(
    rows: tuple[dict[str, str], ...], analyse: Callable[..., SqlFacts]
) -> None:
    chance = random.Random(SEED)
    catalog = of_postgres.catalog() if analyse is postgres.analyse else of_mysql.catalog()
    compared = understood = 0
    for row in rows:
        bare = _CONSTANTS.sub("id", row["sql"]).rstrip("; \n")
        for end in ENDS:
            text = bare + end.format(chance.choice((2, 7, 10, 12, 345, 2_147_483, 999_999_998)))
            if (standing := form(text)) == text:
                continue
            compared += 1
            facts = analyse(text, catalog)
            understood += facts.opaque is None
            assert analyse(standing, catalog) == facts, text
    print(f"{compared} compared, {understood} of them understood")
    assert compared > 300
    assert understood > 50


def test_what_is_hostile_is_looked_at_in_no_time() -> None:
    for text in (
        "SELECT a = 5" + " " * 60_000 + "x",
        "SELECT " + "a = 5 " * 10_000,
        " " * 60_000,
        "SELECT " + "a " * 900 + "= 5" + "\t" * 90 + "x",
    ):
        begun = perf_counter()
        assert form(text) == text
        assert perf_counter() - begun < 0.05
