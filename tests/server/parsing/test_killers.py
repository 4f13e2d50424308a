"""What is known to hang or end a parser: each is opaque, and the others keep their pace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from policies.sql.facts import SqlFacts
from policies.sql.prescan import MAXIMUM_BYTES
from server.parsing.pool import parsing
from tests.policies.catalogs import catalog
from tests.policies.mysql import catalogs as of_mysql
from tests.server.parsing.pools import PLAIN, WITHIN

pytestmark = pytest.mark.anyio

CATALOGS = {"postgres": catalog(), "mysql": of_mysql.catalog()}


def nested(opening: str, closing: str, times: int) -> str:
    return "SELECT " + opening * times + "'2024-01-01'" + closing * times


KILLERS: Mapping[str, str] = {
    "DATE( 90 deep": nested("DATE(", ")", 90),
    "DECIMAL( 30 deep": nested("DECIMAL(", ")", 30),
    "VARCHAR( 30 deep": nested("VARCHAR(", ")", 30),
    "ARRAY[ 90 deep": nested("ARRAY[", "]", 90),
    "STRUCT( 30 deep": nested("STRUCT(", ")", 30),
    "3,000 subscripts": "SELECT a" + "[1]" * 3_000 + " FROM users",
    "500 brackets": nested("(", ")", 500),
    "500 CASEs": nested("CASE WHEN ", " THEN 1 END", 2_500),
    "NOT 2,500 deep": nested("NOT ", "", 2_500),
    "500 nested CTEs": "WITH a AS (" * 500 + "SELECT 1" + ") SELECT 1" * 500,
    "7,800 nested selects": "(SELECT * FROM " * 7_800,
    "4,000 nested selects": "(SELECT * FROM " * 4_000,
    "22,000 terms": "SELECT 1" + "+1" * 22_000,
    "100,000 terms": "SELECT 1" + "+1" * 100_000,
    "30,000 nested comments": "SELECT 1 " + "/*" * 30_000,
    "50,000 in a list": "SELECT 1 FROM users WHERE id IN (1" + ",1" * 50_000 + ")",
    "50,000 rows": "INSERT INTO orders (id) VALUES (1)" + ",(1)" * 50_000,
    "50,000 ANDs": "SELECT 1 WHERE true" + " AND true" * 50_000,
    "64 MB of a literal": "SELECT '" + "x" * (64 * 1024 * 1024) + "'",
    "1 MB of brackets": "SELECT " + "(" * (1024 * 1024),
}


async def test_each_is_opaque_while_other_statements_are_answered() -> None:
    async with asyncio.timeout(WITHIN), parsing(["mysql", "postgres"]) as pool:

        async def understood(dialect: str) -> list[str]:
            asked = [(n, await ask(dialect, text, "mallory")) for n, text in KILLERS.items()]
            return [name for name, facts in asked if facts.opaque is None]

        async def ask(dialect: str, text: str, asker: str) -> SqlFacts:
            return await pool.facts(dialect, text, CATALOGS[dialect], asker=asker)

        killing = [asyncio.create_task(understood(dialect)) for dialect in CATALOGS]
        answered = 0
        while answered < 20 or not all(task.done() for task in killing):
            for dialect in CATALOGS:
                assert (await ask(dialect, PLAIN.format(answered), "alice")).opaque is None
            answered += 1
        assert [task.result() for task in killing] == [[], []]


async def test_nested_calls_that_take_another_parser_for_ever_are_understood() -> None:
    text = nested("DATE(", ")", 30)
    async with asyncio.timeout(WITHIN), parsing(["mysql", "postgres"]) as pool:
        for dialect, names in CATALOGS.items():
            assert (await pool.facts(dialect, text, names)).opaque is None


@pytest.mark.parametrize("dialect", CATALOGS)
async def test_the_largest_ordinary_statements_are_understood(dialect: str) -> None:
    rows = "INSERT INTO orders (id, user_id) VALUES (1, 2)"
    rows += ", (1, 2)" * ((MAXIMUM_BYTES // 4 - len(rows)) // 8)
    async with asyncio.timeout(WITHIN), parsing([dialect]) as pool:
        facts = await pool.facts(dialect, rows, CATALOGS[dialect])
    assert facts.opaque is None


async def test_text_that_no_parser_takes_is_opaque() -> None:
    async with asyncio.timeout(WITHIN), parsing(["mysql", "postgres"]) as pool:
        for dialect, names in CATALOGS.items():
            for text in ("\ud800", "SELECT '\udfff'", "SELECT 1\0", "\0" * 70_000):
                facts = await pool.facts(dialect, text, names)
                assert facts.opaque is not None
                assert not facts.opaque.code.startswith("SQL_PARSER")
