"""Approvals across two gateway processes on one store, and a reviewer who watches."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from server.approvals.notices import CHANNEL
from tests.e2e.test_main_job import refusal, run_sql, words
from tests.e2e.world import World, free_port

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
