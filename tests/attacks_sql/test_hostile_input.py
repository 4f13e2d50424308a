"""Statements made to hurt: the gateway lives, answers, and others go on (P23, P38)."""

from __future__ import annotations

import asyncio

import pytest

from tests.attacks_sql.doors import Doors, call, everything, listener, said
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

# Between the quotes a naive lexer sees a string; the server sees what it hides.
HIDDEN = "SELECT $a$'$a$, {} , $b$'$b$"
MADE_TO_HURT = {
    "30,000 operators hidden from the prescan": HIDDEN.format("1" + "+1" * 30_000),
    "30,000 signs hidden from the prescan": HIDDEN.format("- " * 30_000 + "1"),
    "12,000 casts hidden from the prescan": HIDDEN.format("1" + "::int" * 12_000),
    "15,000 NOTs hidden from the prescan": HIDDEN.format("NOT " * 15_000 + "true"),
    "4,000 joins": "SELECT 1 FROM orders " + "CROSS JOIN orders " * 3_500,
    "3,000 EXCEPTs": "TABLE orders" + " EXCEPT TABLE orders" * 3_000,
    "60,000 brackets": "(" * 60_000,
    "nested comments": "/*" * 10_000 + "*/" * 10_000 + "SELECT 1",
    "unended comments": "/*" * 30_000,
    "1,900 CASEs": "SELECT " + "CASE WHEN true THEN " * 1_900 + "1" + " END" * 1_900,
    "32,000 constants": "SELECT 1 IN (" + "1," * 32_000 + "1)",
    "21,000 columns": "SELECT " + "id," * 21_000 + "id FROM orders",
    "30,000 fields": "SELECT id" + ".a" * 30_000 + " FROM orders",
    "30,000 tags": "SELECT " + "$a" * 30_000,
    "1,600 parameters": "SELECT " + ",".join(f"${n}" for n in range(1, 1_600)),
    "199 joined with itself": "SELECT 1 FROM " + ",".join(f"customers c{n}" for n in range(199)),
    "150 recursive CTEs": "WITH RECURSIVE "
    + ",".join(f"a{n} AS (SELECT 1 UNION SELECT 2 FROM a{n})" for n in range(150))
    + " SELECT 1",
    "a name of 60,000 letters": "SELECT 1 AS " + "x" * 60_000,
    "a cell of 60 MB": "SELECT rpad('x', 60000000, 'x')",
    "a cell over the limit": "SELECT rpad('x', 90000000, 'x')",
    "20 MB of digits": "SELECT rpad('1', 20000000, '12')",
    "3 MB of at signs": "SELECT rpad('a@', 3000000, '@a.')",
    "a wall of nested JSON": "SELECT rpad('', 5000, '[')::text || '1'",
}


@pytest.mark.parametrize("what", MADE_TO_HURT)
async def test_the_gateway_answers_and_goes_on(doors: Doors, what: str) -> None:
    async with asyncio.timeout(30):
        await doors.mcp(MADE_TO_HURT[what])
    assert (await doors.mcp("SELECT 1")).code == ""


@pytest.mark.parametrize("what", ["32,000 constants", "60,000 brackets"])
async def test_the_listener_answers_and_goes_on(doors: Doors, what: str) -> None:
    async with asyncio.timeout(30):
        await doors.listener(MADE_TO_HURT[what])
    assert (await doors.listener("SELECT 1")).code == ""


async def test_while_a_statement_without_an_end_runs_others_go_on(world: World) -> None:
    endless = (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r"
    )
    async with world.mcp("rita") as rita, world.mcp("victor") as victor:
        running = asyncio.create_task(call(rita, endless))
        for _ in range(50):
            assert said(await call(victor, "SELECT 1")).code == ""
        assert not running.done()
        running.cancel()


async def test_a_cell_longer_than_can_be_searched_is_withheld(world: World, doors: Doors) -> None:
    async with listener(world) as client:
        long = everything(await client.query("SELECT rpad('x', 1048577, 'x'), 'and after' AS a"))
        just = everything(await client.query("SELECT rpad('x', 1048576, 'x')"))
    assert "xxx" not in long
    assert "and after" in long
    assert "xxx" in just
