"""`ostiary serve --workers`: processes on the same ports, to clients that know of one gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.policy_sets import with_self_confirmation
from tests.e2e.test_confirmation import Form
from tests.e2e.test_main_job import run_sql, words
from tests.e2e.test_two_gateways import LONG, cancel, errors, f, logged_in, until_running
from tests.e2e.world import World, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

WORKERS: Final = 3
WITHIN: Final = 60.0
MANY: Final = 12
"""So many of anything, each on a connection of its own: all at one worker is one in 3 ** 11."""


@pytest.fixture(scope="module")
def gateway(module_worlds: Callable[..., World]) -> Iterator[World]:
    made = module_worlds()
    policies = with_self_confirmation(made.directory / "policies")
    made.settings = {**made.settings, "policies": str(policies)}
    made.start("--workers", str(WORKERS))
    yield made
    made.stop()


def workers_of(gateway: World, gone: int = 0) -> list[int]:
    """The processes of the workers, once all of them are there, and this one is not."""
    assert gateway.process is not None
    deadline = time.monotonic() + WITHIN
    while True:
        children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
        found = [int(pid) for pid in children.read_text().split()]
        if len(found) == WORKERS and gone not in found:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def listens(gateway: World) -> None:
    """Every worker takes calls: so many in a row are answered."""
    deadline = time.monotonic() + WITHIN
    good = 0
    while good < MANY:
        assert time.monotonic() < deadline
        try:
            answer = httpx2.get(f"{gateway.url}/healthz", headers={"Connection": "close"})
            good = good + 1 if answer.status_code == 200 else 0
        except httpx2.TransportError:
            good = 0
            time.sleep(0.1)


@asynccontextmanager
async def legacy(gateway: World, sent: list[str], **client: Any) -> AsyncIterator[Client]:
    """A client with a session, and a new connection for each request."""

    async def note(request: httpx2.Request) -> None:
        sent.append(request.headers.get("mcp-session-id", ""))

    headers = {"Authorization": f"Bearer {gateway.token('rita')}"}
    async with httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(30, read=120),
        limits=httpx2.Limits(max_keepalive_connections=0),
        event_hooks={"request": [note]},
    ) as http:
        transport = streamable_http_client(f"{gateway.url}/mcp", http_client=http)
        async with Client(transport, mode="legacy", **client) as connected:
            yield connected


async def test_legacy_sessions_are_found_whichever_worker_is_asked(gateway: World) -> None:
    sent: list[str] = []
    numbers = set()
    for _ in range(MANY):
        async with legacy(gateway, sent) as client:
            for _ in range(3):
                result = await run_sql(client, "SELECT email FROM customers WHERE id = 1")
                assert not result.is_error, words(result)
        numbers.add(sent[-1].partition(".")[0])
    assert numbers <= {str(n) for n in range(WORKERS)}
    assert len(numbers) > 1


async def test_a_form_and_its_answer_go_through_different_workers(gateway: World) -> None:
    for number in range(MANY):
        form = Form("accept", comment="yes, mine")
        async with legacy(gateway, [], elicitation_callback=form) as client:
            sql = f"UPDATE orders SET status = 'form-{number}' WHERE id = {number + 1} RETURNING id"
            result = await run_sql(client, sql)
            assert not result.is_error, words(result)
        assert len(form.shown) == 1


async def test_a_client_that_goes_ends_its_call_at_whichever_worker_it_is(gateway: World) -> None:
    for _ in range(MANY // 2):
        async with legacy(gateway, []) as client:
            call = asyncio.create_task(run_sql(client, LONG))
            await until_running(gateway)
            call.cancel()
        async with gateway.direct() as direct, asyncio.timeout(WITHIN):
            query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1"
            while await direct.fetchval(query, f"%{LONG[-40:]}%"):
                await asyncio.sleep(0.05)


async def test_strangers_to_a_session_are_turned_away_by_its_worker(gateway: World) -> None:
    sent: list[str] = []
    async with legacy(gateway, sent) as client:
        await run_sql(client, "SELECT 1")
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accept = {"Accept": "application/json, text/event-stream", "mcp-session-id": sent[-1]}
        for headers, allowed in (
            (accept, (401,)),
            ({**accept, "Authorization": f"Bearer {gateway.token('victor')}"}, (403, 404)),
            ({**accept, "Host": "evil.example"}, (403, 421)),
        ):
            async with httpx2.AsyncClient() as http:
                for _ in range(MANY // 2):
                    answer = await http.post(f"{gateway.url}/mcp", json=body, headers=headers)
                    assert answer.status_code in allowed, (headers, answer.status_code)
        for name in ("999.x", "0.x", "-1.x", "0.", ".", "1.2.3", "٣.x".encode().decode("latin-1")):
            headers = {"Authorization": f"Bearer {gateway.token('rita')}", **accept}
            async with httpx2.AsyncClient() as http:
                raw = [(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
                raw = [(k, name.encode("latin-1") if k == b"mcp-session-id" else v) for k, v in raw]
                answer = await http.post(f"{gateway.url}/mcp", json=body, headers=raw)
                assert answer.status_code in (400, 404), (name, answer.status_code)
        assert not (await run_sql(client, "SELECT 1")).is_error


async def test_cancel_keys_reach_the_session_from_every_worker(gateway: World) -> None:
    async with logged_in(gateway) as client:
        assert client.key is not None
        for _ in range(MANY // 2):
            client.send(f.Query(LONG))
            await until_running(gateway)
            await cancel(gateway, f.CancelRequest(client.key.process, client.key.secret))
            assert [code for code, _ in errors(await client.until_ready())] == ["57014"]


async def test_a_worker_that_dies_is_replaced_and_the_others_go_on(gateway: World) -> None:
    listens(gateway)
    before = workers_of(gateway)
    sessions = [
        psycopg.connect(
            host="127.0.0.1", port=gateway.listener, dbname="shop", user="x",
            password=gateway.token("rita"), autocommit=True,
        )
        for _ in range(MANY)
    ]  # fmt: skip
    os.kill(before[0], signal.SIGKILL)
    alive = 0
    for session in sessions:
        with suppress(psycopg.OperationalError):
            alive += session.execute("SELECT 1").fetchone() == (1,)
        session.close()
    assert 0 < alive < MANY
    after = workers_of(gateway, gone=before[0])
    assert len(set(after) - set(before)) == 1
    listens(gateway)
    listed = gateway.cli("victor", "sessions", "verify")
    assert listed.returncode == 0, listed.stdout + listed.stderr


def gone(pids: list[int]) -> bool:
    return not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_program(worlds: Callable[..., World], signal_: int) -> None:
    world = worlds()
    world.start("--workers", str(WORKERS))
    listens(world)
    workers = workers_of(world)
    assert world.process is not None
    world.process.send_signal(signal_)
    code = world.process.wait(timeout=WITHIN)
    assert code == (0 if signal_ != signal.SIGKILL else -signal.SIGKILL)
    deadline = time.monotonic() + WITHIN
    while not gone(workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


COMMAND: Final = (sys.executable, "-m", "server.cli", "serve", "--config")


def refused(world: World, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, str(world.configure()), *arguments],
        env=world.environment,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_keeps_workers_from_starting_is_said_and_ends_the_program(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    for number in ("0", "-1", "65"):
        assert f"--workers {number}: write a number from 1 to 64" in refused(
            world, "--workers", number
        )
    with socket.create_server(("127.0.0.1", world.listener)):
        assert f"can't listen on 127.0.0.1:{world.listener}" in refused(world, "--workers", "2")
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    world.variables = {**world.variables, "E2E_STORE_URL": nowhere}
    assert "the store can't be reached" in refused(world, "--workers", "2")
