"""run_sql with dry_run, and what refusals say, with the SDK's client and a whole gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import pytest

from tests.e2e.test_main_job import refusal, run_sql, words
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

WITHIN: Final = 30.0  # seconds
VIEW: Final = "CREATE VIEW big_orders AS SELECT id, total FROM orders WHERE total > 250"


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.direct_execute(VIEW)
    made.start()
    return made


async def dry_run(world: World, account: str, sql: str, **arguments: Any) -> dict[str, Any]:
    async with world.mcp(account) as client:
        result = await run_sql(client, sql, dry_run=True, **arguments)
    assert not result.is_error, words(result)
    assert result.structured_content is not None
    assert result.structured_content["rows"] == []
    found = result.structured_content["dry_run"]
    assert isinstance(found, dict)
    return found


async def records(world: World, session: str, *, until: str) -> list[tuple[str, dict[str, Any]]]:
    """The session's records, once there is one of this kind: outcomes are written behind."""
    asked = "SELECT kind, document FROM records WHERE session = $1 ORDER BY sequence"
    async with world.journal() as store, asyncio.timeout(WITHIN):
        while True:
            rows = await store.fetch(asked, session)
            if any(row["kind"] == until for row in rows):
                return [(row["kind"], json.loads(row["document"])) for row in rows]
            await asyncio.sleep(0.05)


async def test_a_dry_run_of_a_read_tells_the_verdict_and_the_plan(world: World) -> None:
    found = await dry_run(world, "rita", "SELECT status FROM orders WHERE id = $1", params=[7])
    assert found["verdict"] == "permit"
    assert found["approvals"] == []
    assert any("1000 rows" in each for each in found["obligations"])
    assert found["facts"]["effect"] == "read"
    [step] = found["plan"]
    assert step.pop("node") in ("Index Scan", "Seq Scan"), step  # by the statistics that there are
    assert step == {"depth": 0, "relation": "orders", "estimated_rows": 1}


async def test_a_dry_run_of_a_change_names_who_must_agree_and_runs_nothing(world: World) -> None:
    sql = "UPDATE orders SET status = 'dry' WHERE id < 100"
    found = await dry_run(world, "rita", sql)
    assert found["verdict"] == "approval"
    assert any("1 of dba" in each for each in found["approvals"])
    assert found["plan"][0]["node"] == "ModifyTable"
    assert found["facts"]["effect"] == "write"
    async with world.direct() as target:
        assert await target.fetchval("SELECT count(*) FROM orders WHERE status = 'dry'") == 0
    async with world.journal() as store:
        assert await store.fetchval("SELECT count(*) FROM tickets") == 0


async def test_a_dry_run_is_recorded_as_a_plan_with_an_intent_of_its_own(world: World) -> None:
    sql = "SELECT total FROM orders WHERE id = 11"
    async with world.mcp("rita") as client:
        result = await run_sql(client, sql, dry_run=True)
    assert result.structured_content is not None
    found = await records(world, result.structured_content["session"], until="outcome")
    [intent] = [d for kind, d in found if kind == "intent" and d["action"]["kind"] != "Connect"]
    assert intent["action"]["kind"] == "SqlPlan"
    assert [d["status"] for kind, d in found if kind == "outcome"] == ["completed"]


async def test_a_dry_run_of_a_refused_statement_is_the_refusal(world: World) -> None:
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, "UPDATE orders SET status = 'x'", dry_run=True))
    assert said["policy"] == "no-whole-table-changes"
    assert "dry_run" not in said
    assert "plan" not in said


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM customers WHERE ssn = '219-09-9991'",
        "SELECT count(*) FROM customers WHERE email LIKE 'ada%'",
        "SELECT mail FROM contacts",
        "UPDATE customers SET balance = 0 WHERE ssn = '219-09-9991'",
    ],
)
async def test_a_plan_that_could_tell_about_labelled_values_is_withheld(
    world: World, sql: str
) -> None:
    found = await dry_run(world, "rita", sql)
    assert found["plan"] == []
    assert "labelled" in found["no_plan"]


async def test_a_plan_holds_no_constant_of_the_statement_or_of_a_view(world: World) -> None:
    found = await dry_run(world, "rita", "SELECT id FROM big_orders WHERE total < 4711.25")
    assert found["plan"]
    told = json.dumps(found["plan"])
    for withheld in ("4711", "250", "Filter"):
        assert withheld not in told
    assert set(found["plan"][0]) == {"depth", "node", "relation", "estimated_rows"}


async def test_what_the_target_can_not_plan_says_so_and_keeps_the_verdict(world: World) -> None:
    found = await dry_run(world, "rita", "SELECT id FROM orders WHERE id = $1", params=["x"])
    assert found["verdict"] == "permit"
    assert "22P02" in found["no_plan"]


@pytest.mark.parametrize(
    ("sql", "named", "would_pass"),
    [
        ("UPDATE orders SET status = 'x'", "orders", "add a WHERE that names the rows"),
        ("DELETE FROM orders", "orders", "add a WHERE that names the rows"),
    ],
)
async def test_a_refusal_names_the_place_and_what_would_pass(
    world: World, sql: str, named: str, would_pass: str
) -> None:
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, sql))
    start = sql.index(named)
    assert said["span"] == [start, start + len(named)]
    assert said["at"] == f"line 1, column {start + 1}"
    assert said["excerpt"] == f"{sql}\n{' ' * start}{'^' * len(named)}"
    assert any(would_pass in each for each in said["would_pass"])
    assert any("approval by dba" in each for each in said["would_pass"])


async def test_a_syntax_error_keeps_its_place(world: World) -> None:
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, "SELECT id\nFROM orders\nWHER id = 1"))
    assert said["code"] == "SQL_SYNTAX"
    assert said["at"].startswith("line 3")
    assert "^" in said["excerpt"]


async def test_psql_and_drivers_get_position_detail_and_hint(world: World) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user="rita",
        password=world.token("rita"),
        database="shop",
    )
    sql = "UPDATE orders SET status = 'x'"
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
            await connection.execute(sql)
    finally:
        await connection.close()
    said = refused.value.as_dict()
    assert said["position"] == str(sql.index("orders") + 1)
    assert "no-whole-table-changes" in said["detail"]
    assert "public.orders" in said["detail"]
    assert "add a WHERE" in said["hint"]


async def test_the_command_line_tells_what_would_pass(world: World) -> None:
    told = world.cli("rita", "policy", "explain", "--target", "shop", "DELETE FROM orders")
    assert told.returncode == 1
    assert "would pass: add a WHERE that names the rows" in told.stdout
    assert "^^^^^^" in told.stdout
