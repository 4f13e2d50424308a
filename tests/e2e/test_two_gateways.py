"""Approvals across two gateway processes on one store, and a reviewer who watches."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pymysql
import pytest

from server.approvals.notices import CHANNEL
from server.native.live import LOOK_EVERY
from server.protocols.postgres import frontend as f
from tests.e2e.test_main_job import refusal, run_sql, words
from tests.e2e.world import World, free_port
from tests.fixtures.mariadb import MariaDbServer
from tests.server.protocols.raw_client import RawClient, errors

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

WITHIN = 30.0  # seconds


@pytest.fixture
def pair(worlds: Callable[..., World], tmp_path: Path) -> tuple[World, World]:
    """Both take the first one's tokens; calls are held for long enough."""
    one = worlds(approvals={"expire_after": "15m", "hold": "20s"})
    directory = tmp_path / "other"
    directory.mkdir()
    shutil.copy(one.directory / "keys.json", directory)
    settings = {**one.settings, "identity": one.configuration()["identity"]}
    other = replace(
        one, directory=directory, port=free_port(), listener=free_port(), settings=settings
    )
    return one, other


async def deafen(world: World) -> None:
    """End every connection to the store that listens for tickets."""
    store = await asyncpg.connect(world.store_dsn, timeout=10)
    try:
        await store.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE query LIKE 'LISTEN \"{CHANNEL}\"%' AND pid <> pg_backend_pid()"
        )
    finally:
        await store.close()


async def only_ticket(world: World) -> str:
    async with world.journal() as journal, asyncio.timeout(WITHIN):
        query = "SELECT id FROM tickets WHERE state = 'pending'"
        while (ticket := await journal.fetchval(query)) is None:
            await asyncio.sleep(0.05)
        return str(ticket)


@pytest.mark.parametrize("hears", ["hears", "deaf"])
async def test_a_call_held_at_one_gateway_goes_on_when_another_takes_the_approval(
    pair: tuple[World, World], hears: str
) -> None:
    one, other = pair
    try:
        for each in pair:
            each.start()
        async with other.mcp("rita") as client, asyncio.timeout(WITHIN):
            sql = "UPDATE orders SET status = 'across' WHERE id = 9 RETURNING id"
            call = asyncio.create_task(run_sql(client, sql))
            ticket = await only_ticket(one)
            if hears == "deaf":
                await deafen(one)
            approved = one.cli("victor", "approvals", "approve", ticket)
            assert approved.returncode == 0, approved.stderr
            result = await call
        assert not result.is_error, words(result)
    finally:
        other.stop()


@asynccontextmanager
async def watching(world: World, account: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.cli", "approvals", "watch"),
        env={**world.as_user(account), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Whoever runs the tests in the background ignores ^C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_line(process: asyncio.subprocess.Process, part: str) -> list[str]:
    """What is printed, up to a line with this in it."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(WITHIN):
        while not (lines and part in lines[-1]):
            line = await process.stdout.readline()
            assert line, lines
            lines.append(line.decode().rstrip())
    return lines


async def test_a_watch_tells_of_tickets_and_decisions_over_a_restart_and_ends_on_interrupt(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    world.start()
    async with watching(world, "victor") as process:
        async with world.mcp("rita") as client:
            sql = "UPDATE orders SET status = 'watched' WHERE id = 9"
            asked = refusal(await run_sql(client, sql))
            ticket = asked["approval_id"]
            assert asked["approval_page"] == f"{world.url}/approvals/{ticket}"
            assert asked["approval_page"] in asked["next_step"]
            assert asked["needed"] == ["changes-need-approval: 1 more of dba"]
        shown = await until_line(process, "you may:")
        for line in (f"request:     {sql}", f"page:        {world.url}/approvals/{ticket}"):
            assert line in shown
        assert shown[-1] == "you may:     approve, deny, revoke"
        world.kill()
        assert process.stderr is not None
        async with asyncio.timeout(WITHIN):
            assert "trying again" in (await process.stderr.readline()).decode()
        world.start()
        done = world.cli("victor", "approvals", "approve", ticket, "--comment", "fine")
        assert done.stdout == f"{ticket} is approved.\n", done.stderr
        line = (await until_line(process, ticket))[-1]
        assert line == f"{ticket} is approved by victor: fine"
        os.kill(process.pid, signal.SIGINT)
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 0


async def test_a_cancel_that_comes_to_another_gateway_reaches_the_session(
    pair: tuple[World, World],
) -> None:
    one, other = pair
    for each in pair:
        each.start()
    try:
        async with logged_in(one) as client, asyncio.timeout(WITHIN):
            assert client.key is not None
            wrong = f.CancelRequest(client.key.process ^ 1, client.key.secret)
            await cancel(other, wrong)
            client.send(f.Query(LONG))
            await until_running(one)
            await cancel(other, wrong)
            assert await is_running(one)
            await cancel(other, f.CancelRequest(client.key.process, client.key.secret))
            replies = await client.until_ready()
            assert [code for code, _ in errors(replies)] == ["57014"]
            assert errors(await client.query("SELECT 1")) == []
    finally:
        other.stop()


async def test_a_session_that_is_ended_at_another_gateway_ends_at_once(
    pair: tuple[World, World],
) -> None:
    one, other = pair
    for each in pair:
        each.start()
    try:
        async with logged_in(one) as client, asyncio.timeout(WITHIN):
            listed = other.cli("victor", "sessions", "list", "--live").stdout
            (session,) = re.findall(r"\b[0-9a-f]{24}\b", listed)
            begun = time.monotonic()
            assert other.cli("victor", "sessions", "kill", session).returncode == 0
            assert [code for code, _ in errors(await client.to_the_end())] == ["57P01"]
            assert time.monotonic() - begun < LOOK_EVERY
    finally:
        other.stop()


LONG = "SELECT count(*) FROM orders a, orders b, orders c, orders d"


@asynccontextmanager
async def logged_in(world: World) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    client = RawClient(reader, writer)
    await client.log_in(world.token("rita"), {"user": "rita", "database": "shop"})
    try:
        yield client
    finally:
        writer.close()


async def cancel(world: World, request: f.CancelRequest) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    writer.write(request.encode())
    assert await reader.read() == b""
    writer.close()


async def is_running(world: World) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1"
    async with world.direct() as direct:
        return bool(await direct.fetchval(query, f"%{LONG[-40:]}%"))


async def until_running(world: World) -> None:
    async with asyncio.timeout(WITHIN):
        while not await is_running(world):
            await asyncio.sleep(0.05)


@pytest.mark.programs
async def test_kill_that_comes_to_another_gateway_reaches_the_session(
    worlds: Callable[..., World], mariadb: MariaDbServer, tmp_path: Path
) -> None:
    mariadb.run(MYSQL)
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    one = worlds()
    one.variables = {**one.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    stock = {
        **one.configuration()["targets"]["shop"],
        "kind": "mariadb",
        "address": f"unix:{mariadb.socket}",
        "database": "stock",
        "reader": login,
        "writer": login,
        "columns": [],
    }
    directory = tmp_path / "other"
    directory.mkdir()
    shutil.copy(one.directory / "keys.json", directory)
    identity = one.configuration()["identity"]
    other = replace(one, directory=directory, port=free_port(), listener=free_port())
    for each in (one, other):
        door = {"protocol": "mysql", "listen": f"127.0.0.1:{each.listener}"}
        each.settings = {"identity": identity, "targets": {"stock": stock}, "listeners": [door]}
        each.start()
    try:
        with closing(to_mysql(one)) as here, closing(to_mysql(other, "victor")) as somebody:
            with pytest.raises(pymysql.MySQLError) as refused:
                somebody.kill(here.thread_id())
            assert refused.value.args[0] == UNKNOWN_THREAD
            for number in ("SELECT CONNECTION_ID()", None):
                with closing(to_mysql(one)) as here, closing(to_mysql(other)) as mine:
                    mine.kill(ask(here, number)[0][0] if number else here.thread_id())
                    begun = time.monotonic()
                    while is_open(here):
                        assert time.monotonic() - begun < LOOK_EVERY
    finally:
        other.stop()
        one.stop()
        mariadb.run("DROP DATABASE stock; DROP USER gateway")


UNKNOWN_THREAD = 1094
MYSQL = """
    CREATE DATABASE stock CHARACTER SET utf8mb4;
    CREATE OR REPLACE USER gateway IDENTIFIED BY 'canary-mysql-password';
    GRANT ALL ON *.* TO gateway;
"""


def to_mysql(world: World, account: str = "rita") -> Any:
    login = {"user": "x", "password": world.token(account), "database": "stock"}
    return pymysql.connect(host="127.0.0.1", port=world.listener, autocommit=True, **login)


def is_open(connection: Any) -> bool:
    try:
        return bool(ask(connection, "SELECT 1"))
    except pymysql.MySQLError:
        return False


def ask(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())
