"""L03: `kill -9` at each stage of a call: an intent for each effect, and the dead are closed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import httpx2
import pytest

from server.protocols.postgres import backend as b
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
    plain_http,
    ticket_for,
    until,
)
from tests.e2e.nursery import Nursery, alive, kill
from tests.e2e.world import READY_WITHIN, World, build, tear_down
from tests.fixtures.postgres import PostgresServer
from tests.server.protocols.raw_client import RawClient

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]
WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock' AND query LIKE $1 AND pid <> pg_backend_pid()"
)
LEFT = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()"
END_WAITING = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
)
STREAMED = "SELECT a.oid AS i, b.oid AS j FROM pg_class a, pg_class b, pg_class c"


@dataclass(slots=True)
class Gateway:
    """A world whose gateway is forked from one that has loaded, so that it starts in no time."""

    world: World
    nursery: Nursery
    pid: int = 0

    def start(self) -> None:
        self.pid = self.nursery.fork(self.world.configure())
        deadline = time.monotonic() + READY_WITHIN
        while not self._listens():
            assert alive(self.pid), self.world.log.read_text()
            assert time.monotonic() < deadline, self.world.log.read_text()
            time.sleep(0.01)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.world.port)):
            return True
        return False

    def kill(self) -> None:
        if alive(self.pid):
            kill(self.pid)


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    made = build(tmp_path_factory.mktemp("world"), postgres, secrets.token_hex(4))
    try:
        made.direct_execute(evidence.TABLE)
        with Nursery(made.environment, made.log) as nursery:
            made.settings = evidence.settings(made, hold="30s")
            opened = Gateway(made, nursery)
            opened.start()
            made.settings = evidence.settings(made, hold="50ms")  # from the next start on
            yield opened
            opened.kill()
    finally:
        tear_down(made)


@pytest.fixture
def world(gateway: Gateway) -> World:
    return gateway.world


async def interrupted(world: World, session: str) -> list[str]:
    """The actions that the end of an interrupted session names as of unknown outcome."""
    query = "SELECT document FROM records WHERE session = $1 AND kind = 'session_closed'"
    async with world.journal() as journal:
        closed = json.loads(await until(lambda: journal.fetchval(query, session)))
    assert closed["end"] == "interrupted"
    return [intent["action"] for intent in closed["intents_without_outcome"]]


async def test_l03_killed_while_waiting_for_approval_nothing_ran_and_the_ticket_still_holds(
    gateway: Gateway, world: World
) -> None:
    mark = evidence.marker()
    async with plain_http(timeout=60) as http, world.journal() as journal:
        asked = asyncio.create_task(call(http, world, insert(mark), "shop"))
        ticket = await ticket_for(world, mark)
        gateway.kill()
        with pytest.raises(httpx2.TransportError):
            await asked
        assert mark not in await effects(world)
        gateway.start()
        await approve(world, ticket)
        assert not (await call(http, world, insert(mark), "shop"))["isError"]
        assert (await effects(world))[mark] == 1
        state = await journal.fetchval("SELECT state FROM tickets WHERE id = $1", ticket)
    assert state == "used"
    await check_accounts(world)


async def test_l03_killed_before_the_intent_is_on_disk_nothing_ran(
    gateway: Gateway, world: World
) -> None:
    """The store takes no record: a statement waits for its intent until it is refused, or dies."""
    mark, refused = evidence.marker(), evidence.marker()
    async with plain_http(timeout=60) as http, world.journal() as freezer, world.journal() as watch:
        # Names were read, and a connection is there: only the intent is in the way.
        assert not (await call(http, world, insert(evidence.marker()), "sandbox"))["isError"]
        freeze = freezer.transaction()
        await freeze.start()
        await freezer.execute("LOCK TABLE records IN SHARE MODE")
        assert (await call(http, world, insert(refused), "sandbox"))["isError"]
        asked = asyncio.create_task(call(http, world, insert(mark), "sandbox"))
        await until(lambda: watch.fetchval(WAITS, "%INSERT INTO records%"))
        gateway.kill()
        with pytest.raises(httpx2.TransportError):
            await asked
        await watch.fetch(END_WAITING)
        await freeze.rollback()
    assert [*await intents(world, mark), *await intents(world, refused)] == []
    assert not {mark, refused} & set(await effects(world))
    gateway.start()
    await check_accounts(world)


async def test_l03_killed_while_the_statement_runs_its_intent_is_there_and_its_outcome_unknown(
    gateway: Gateway, world: World
) -> None:
    mark = evidence.marker()
    async with plain_http(timeout=60) as http, world.direct() as direct, world.direct() as watch:
        lock = await _locked(direct)
        running = asyncio.create_task(call(http, world, insert(mark), "sandbox"))
        await until(lambda: watch.fetchval(WAITS, f"%{mark}%"))
        gateway.kill()
        with pytest.raises(httpx2.TransportError):
            await running
        (intent,) = await intents(world, mark)
        await lock.rollback()

        async def over() -> bool:
            return not await watch.fetchval(LEFT, f"%{mark}%")

        await until(over)
    gateway.start()
    assert await interrupted(world, intent["session"]) == ["SqlStatement"]
    await check_accounts(world)


async def test_l03_killed_while_rows_stream_the_recording_says_that_it_broke_off(
    gateway: Gateway, world: World
) -> None:
    """The client reads no more than the first rows, so the gateway is in the middle of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    client = RawClient(reader, writer, BackendReader())
    await client.log_in(world.token("rita"), {"user": "rita", "database": "sandbox"})
    client.send(f.Query(STREAMED))
    while not isinstance(await client.reply(), RowRun):
        pass
    (intent,) = await intents(world, STREAMED)
    gateway.kill()
    left = await client.to_the_end()
    writer.close()
    assert not any(isinstance(reply, b.CommandComplete) for reply in left)
    gateway.start()
    assert await interrupted(world, intent["session"]) == ["SqlStatement"]
    recorded = await kinds(world, intent["session"])
    assert not {"done", "outcome", "answer", "failed"} & set(recorded)
    await check_accounts(world)


async def test_l03_killed_after_the_answer_before_it_is_recorded_the_effect_has_its_intent(
    gateway: Gateway, world: World
) -> None:
    """The store takes no record from the moment on at which the statement is under way."""
    mark = evidence.marker()
    async with (
        plain_http(timeout=60) as http,
        world.direct() as direct,
        world.direct() as watch,
        world.journal() as journal,
        world.journal() as beside,
    ):
        lock, freeze = await _locked(direct), journal.transaction()
        running = asyncio.create_task(call(http, world, insert(mark), "sandbox"))
        await until(lambda: watch.fetchval(WAITS, f"%{mark}%"))
        await freeze.start()
        await journal.execute("LOCK TABLE records IN SHARE MODE")
        await lock.rollback()
        assert not (await running)["isError"]
        gateway.kill()
        await beside.fetch(END_WAITING)
        await freeze.rollback()
    assert (await effects(world))[mark] == 1
    (intent,) = await intents(world, mark)
    assert not {"outcome", "answer"} & set(await kinds(world, intent["session"]))
    gateway.start()
    assert await interrupted(world, intent["session"]) == ["SqlStatement"]
    await check_accounts(world)


async def _locked(
    direct: asyncpg.Connection[asyncpg.Record],
) -> asyncpg.transaction.Transaction:
    """A transaction that lets no statement write an effect."""
    lock = direct.transaction()
    await lock.start()
    await direct.execute("LOCK TABLE effects IN EXCLUSIVE MODE")
    return lock
