"""`ostiary mcp` over real pipes: one client, whose token is in the process's environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.e2e.test_main_job import refusal, run_sql, words
from tests.e2e.world import World

pytestmark = pytest.mark.anyio
WITHIN = 60.0  # seconds
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    """Nothing is started but what `ostiary mcp` starts itself."""
    made = module_worlds(listeners=[])
    made.configure()
    return made


def command(world: World) -> list[str]:
    return [sys.executable, "-m", "server.cli", "mcp", "--config", str(world.file)]


@asynccontextmanager
async def connected(world: World, account: str, *, errors: Path) -> AsyncIterator[Client]:
    environment = {**world.environment, "OSTIARY_TOKEN": world.token(account)}
    program, *arguments = command(world)
    parameters = StdioServerParameters(command=program, args=arguments, env=environment)
    with errors.open("w") as log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            yield client


def talk(world: World, messages: list[dict[str, Any]], **environment: str) -> Any:
    """Send these lines, close the pipe, and take what comes until the process ends."""
    return subprocess.run(
        command(world),
        env={**world.environment, **environment},
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )


async def test_a_client_lists_reads_masked_and_is_refused_as_the_tokens_user(
    world: World, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    async with connected(world, "rita", errors=log) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"run_sql", "list_targets", "approval_wait"}
        read = await run_sql(client, "SELECT email FROM customers WHERE id = 1")
        assert not read.is_error, words(read)
        assert "canary" not in words(read)
        said = refusal(await run_sql(client, "DROP TABLE orders"))
        assert said["policy"] == "no-schema-changes"
        session = (read.structured_content or {})["session"]
    async with world.journal() as journal:
        opened = "SELECT document FROM records WHERE session = $1 AND kind = 'session_opened'"
        document = json.loads(await journal.fetchval(opened, session))
    assert document["principal"]["id"].endswith("rita")
    assert "Traceback" not in log.read_text()


async def test_standard_output_carries_only_the_protocol_and_the_end_of_input_ends_it(
    world: World,
) -> None:
    """Of the older era: each line is one message, also when a call fails."""
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "run_sql", "arguments": {"target": "shop", "sql": "SELEC 1"}},
    }
    ended = talk(world, [HELLO, READY, call], OSTIARY_TOKEN=world.token("rita"))
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {line["jsonrpc"] for line in lines} == {"2.0"}
    assert {line["id"] for line in lines if "id" in line} >= {1}
    assert "Traceback" not in ended.stderr
    async with world.journal() as journal:
        left = "SELECT gateway FROM writers WHERE ended_by IS DISTINCT FROM number"
        assert str(await journal.fetch(left)) == "[]"


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_without_a_good_token_it_ends_at_once_and_says_so(world: World, token: str) -> None:
    ended = talk(world, [HELLO], OSTIARY_TOKEN=token)
    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    assert ended.stderr.startswith("ostiary: "), ended.stderr
    assert "token" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr
    assert not token or token not in ended.stderr
