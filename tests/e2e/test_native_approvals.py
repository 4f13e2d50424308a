"""Real clients at the PostgreSQL door, whose statements wait for a person or are told not to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import asyncpg
import psycopg
import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.anyio

WITHIN = 40  # seconds
UPDATE = "UPDATE orders SET status = 'sent' WHERE id = {}"


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    """One that waits as long as it does by default."""
    made = module_worlds(approvals={"expire_after": "15m", "hold": "1s"})
    made.start()
    return made


async def pending(world: World) -> str:
    async with asyncio.timeout(WITHIN), world.journal() as store:
        while True:
            found = await store.fetchval("SELECT id FROM tickets WHERE state = 'pending'")
            if found is not None:
                return str(found)
            await asyncio.sleep(0.05)


async def approved(world: World, work: Awaitable[object]) -> None:
    """Run the work, and approve what it asks for."""
    running = asyncio.ensure_future(work)
    ticket = await pending(world)
    decided = await asyncio.to_thread(world.cli, "victor", "approvals", "approve", ticket)
    assert decided.returncode == 0, decided.stderr
    async with asyncio.timeout(WITHIN):
        await running


async def status(world: World, order: int) -> str:
    async with world.direct() as direct:
        return str(await direct.fetchval("SELECT status FROM orders WHERE id = $1", order))


async def psql(world: World, *statements: str) -> tuple[str, str]:
    command = ["psql", "-X", "-h", "127.0.0.1", "-p", str(world.listener), "-U", "rita", "shop"]
    asked = [part for statement in statements for part in ("-c", statement)]
    process = await asyncio.create_subprocess_exec(
        *command,
        *asked,
        env={**os.environ, "PGPASSWORD": world.token("rita")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return said.decode(), complained.decode()


async def test_psql_shows_the_ticket_and_its_statement_runs(world: World) -> None:
    seen: list[tuple[str, str]] = []

    async def work() -> None:
        seen.append(await psql(world, UPDATE.format(101)))

    await approved(world, work())
    ((said, complained),) = seen
    assert said == "UPDATE 1\n"
    assert "needs approval and waits for it: ticket ap_" in complained
    assert "/approvals/ap_" in complained
    assert await status(world, 101) == "sent"


async def test_psql_in_a_transaction_is_told_to_roll_back(world: World) -> None:
    _, complained = await psql(world, "BEGIN", UPDATE.format(102))
    assert "HINT:  ROLLBACK; have somebody approve ticket ap_" in complained
    ticket = await pending(world)
    assert world.cli("rita", "approvals", "withdraw", ticket).returncode == 0


async def test_psycopg_waits_with_its_parameters_bound(world: World) -> None:
    async def work() -> None:
        await asyncio.to_thread(update)

    def update() -> None:
        place = f"host=127.0.0.1 port={world.listener} user=rita dbname=shop"
        with psycopg.connect(place, password=world.token("rita"), autocommit=True) as connection:
            done = connection.execute("UPDATE orders SET status = %s WHERE id = 103", ("sent",))
            assert done.rowcount == 1

    await approved(world, work())
    assert await status(world, 103) == "sent"


async def test_asyncpg_waits_though_it_prepares_without_a_sync(world: World) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user="rita",
        password=world.token("rita"),
        database="shop",
    )
    try:
        text = "UPDATE orders SET status = $1 WHERE id = 104"
        await approved(world, connection.execute(text, "sent"))
        assert await connection.fetchval("SELECT status FROM orders WHERE id = 104") == "sent"
    finally:
        await connection.close()


async def test_a_killed_psql_withdraws_its_request(world: World) -> None:
    running = asyncio.ensure_future(_killed(world))
    ticket = await pending(world)
    running.cancel()
    async with asyncio.timeout(WITHIN), world.journal() as store:
        query = "SELECT state FROM tickets WHERE id = $1"
        while await store.fetchval(query, ticket) != "withdrawn":
            await asyncio.sleep(0.05)
    assert await status(world, 105) != "sent"


async def _killed(world: World) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user="rita",
        password=world.token("rita"),
        database="shop",
    )
    try:
        await connection.execute(UPDATE.format(105))
    finally:
        connection.terminate()
