"""`kill -9` of the gateway, at each stage of a call and at any moment under load.

Every effect has its intent in the recording, and nothing that was asked for once runs twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest

from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader, RowRun
from tests.e2e import evidence
from tests.e2e.evidence import (
    approve,
    call,
    check_accounts,
    effects,
    insert,
    intents,
    kinds,
    ticket_for,
    until,
)
from tests.e2e.load import kill_again_and_again
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient

pytestmark = pytest.mark.anyio
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    " AND pid <> pg_backend_pid()"
)
LEFT = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()"
ROWS = 3_000_000


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.direct_execute(evidence.TABLE)
    made.settings = evidence.settings(made, hold="30s")
    made.start()
    made.settings = evidence.settings(made, hold="50ms")  # from the next start on
    return made


async def interrupted(world: World, session: str) -> list[str]:
    """The actions that the end of an interrupted session names as of unknown outcome."""
    query = "SELECT document FROM records WHERE session = $1 AND kind = 'session_closed'"
    async with world.journal() as journal:
        closed = json.loads(await until(lambda: journal.fetchval(query, session)))
    assert closed["end"] == "interrupted"
    return [intent["action"] for intent in closed["intents_without_outcome"]]


async def test_killed_while_waiting_for_approval_nothing_ran_and_the_ticket_still_holds(
    world: World,
) -> None:
    mark = evidence.marker()
    async with httpx2.AsyncClient(timeout=60) as http, world.journal() as journal:
        asked = asyncio.create_task(call(http, world, insert(mark), "shop"))
        ticket = await ticket_for(world, mark)
        world.kill()
        with pytest.raises(httpx2.TransportError):
            await asked
        assert mark not in await effects(world)
        world.start()
        await approve(world, ticket)
        assert not (await call(http, world, insert(mark), "shop"))["isError"]
        assert (await effects(world))[mark] == 1
        state = await journal.fetchval("SELECT state FROM tickets WHERE id = $1", ticket)
    assert state == "used"
    await check_accounts(world)


async def test_killed_while_the_statement_runs_its_intent_is_there_and_its_outcome_unknown(
    world: World,
) -> None:
    mark = evidence.marker()
    async with (
        httpx2.AsyncClient(timeout=60) as http,
        world.direct() as direct,
        world.direct() as watch,
    ):
        lock = direct.transaction()
        await lock.start()
        await direct.execute("LOCK TABLE effects IN EXCLUSIVE MODE")
        running = asyncio.create_task(call(http, world, insert(mark), "sandbox"))
        await until(lambda: watch.fetchval(BLOCKED, f"%{mark}%"))
        world.kill()
        with pytest.raises(httpx2.TransportError):
            await running
        (intent,) = await intents(world, mark)
        await lock.rollback()

        async def over() -> bool:
            return not await watch.fetchval(LEFT, f"%{mark}%")

        await until(over)
    world.start()
    assert await interrupted(world, intent["session"]) == ["SqlStatement"]
    await check_accounts(world)


async def test_killed_while_rows_stream_the_recording_says_that_it_broke_off(
    world: World,
) -> None:
    """The client reads no more than the first rows, so the gateway is in the middle of it."""
    sql = f"SELECT i, i AS j FROM generate_series(1, {ROWS}) AS i"
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    client = RawClient(reader, writer, BackendReader())
    await client.log_in(world.token("rita"), {"user": "rita", "database": "sandbox"})
    client.send(f.Query(sql))
    while not isinstance(await client.reply(), RowRun):
        pass
    (intent,) = await intents(world, sql)
    world.kill()
    delivered = sum(r.count for r in await client.to_the_end() if isinstance(r, RowRun))
    writer.close()
    assert delivered < ROWS
    world.start()
    assert await interrupted(world, intent["session"]) == ["SqlStatement"]
    recorded = await kinds(world, intent["session"])
    assert not {"done", "outcome", "failed"} & set(recorded)
    await check_accounts(world)


async def test_killed_after_the_answer_before_it_is_recorded_the_effect_has_its_intent(
    world: World,
) -> None:
    """The store takes no record from the moment on at which the statement is under way."""
    mark = evidence.marker()
    ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with (
        httpx2.AsyncClient(timeout=60) as http,
        world.direct() as direct,
        world.direct() as watch,
        world.journal() as journal,
    ):
        lock, freeze = direct.transaction(), journal.transaction()
        await lock.start()
        await direct.execute("LOCK TABLE effects IN EXCLUSIVE MODE")
        running = asyncio.create_task(call(http, world, insert(mark), "sandbox"))
        await until(lambda: watch.fetchval(BLOCKED, f"%{mark}%"))
        await freeze.start()
        await journal.execute("LOCK TABLE records IN SHARE MODE")
        await lock.rollback()
        assert not (await running)["isError"]
        world.kill()
        await watch.fetch(f"{ours} AND datname = $1", world.store)
        await freeze.rollback()
    assert (await effects(world))[mark] == 1
    (intent,) = await intents(world, mark)
    assert "outcome" not in await kinds(world, intent["session"])
    world.start()
    assert await interrupted(world, intent["session"]) == ["SqlStatement"]
    await check_accounts(world)


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.full)])
async def test_killed_at_random_under_load_every_effect_has_its_intent(
    world: World, kills: int
) -> None:
    before = await effects(world)
    await kill_again_and_again(world, kills)
    assert await effects(world) - before
    await check_accounts(world)
