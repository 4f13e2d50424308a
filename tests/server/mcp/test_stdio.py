"""The MCP door without HTTP: the process's own token says who calls, each time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.server.lowlevel import Server

from policies.errors import BackendUnavailable, Unauthenticated
from policies.model import Principal
from server.mcp.door import McpSettings, Tasks, build, serve_stdio
from server.mcp.identity import Caller, http_caller, stdio_caller
from tests.fixtures.gateway import ALICE, FakeGateway, StaticVerifier, shop
from tests.fixtures.mcp import KEYS, text_of
from tests.fixtures.tasks import MemoryTasks

pytestmark = pytest.mark.anyio
SETTINGS = McpSettings(public_url="http://127.0.0.1:8000", keys=KEYS)
READ = {"target": "shop", "sql": "SELECT id, ssn FROM customers"}


def stdio_server(gateway: FakeGateway, caller: Caller) -> Server[Any]:
    return build(gateway, SETTINGS, Tasks(MemoryTasks()), caller=caller)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_principal_is_that_of_the_processs_token(era: str) -> None:
    gateway = shop()
    server = stdio_server(gateway, stdio_caller(StaticVerifier(), "alice-token"))
    async with Client(server, mode=era) as client:
        await client.call_tool("run_sql", READ)
    assert gateway.performed[0][0] == ALICE


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_token_that_has_run_out_ends_the_calls(era: str) -> None:
    verifier, gateway = StaticVerifier(), shop()
    server = stdio_server(gateway, stdio_caller(verifier, "alice-token"))
    async with Client(server, mode=era) as client:
        await client.list_tools()
        del verifier.tokens["alice-token"]
        result = await client.call_tool("run_sql", READ)
        with pytest.raises(MCPError):
            await client.list_tools()
    assert json.loads(text_of(result))["code"] == "UNAUTHENTICATED"
    assert gateway.performed == []


async def test_a_token_that_is_not_valid_does_not_start() -> None:
    with pytest.raises(Unauthenticated):
        await serve_stdio(shop(), StaticVerifier(), SETTINGS, Tasks(MemoryTasks()), token="foreign")


async def test_without_a_token_nobody_calls() -> None:
    gateway = shop()
    async with Client(stdio_server(gateway, http_caller)) as client:
        result = await client.call_tool("run_sql", READ)
    assert json.loads(text_of(result))["code"] == "UNAUTHENTICATED"
    assert gateway.performed == []


class Storeless(FakeGateway):
    """A gateway whose store is away: nobody can be asked whether they may review."""

    async def may_review(self, principal: Principal) -> bool:
        raise BackendUnavailable("the approval store can't be reached; try again")


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_with_the_store_down_tools_are_not_listed_and_the_reason_is_said(era: str) -> None:
    server = stdio_server(Storeless(), stdio_caller(StaticVerifier(), "bob-token"))
    async with Client(server, mode=era) as client:
        with pytest.raises(MCPError) as caught:
            await client.list_tools()
        result = await client.call_tool("review_approvals", {})
    assert "the approval store can't be reached" in caught.value.message
    assert json.loads(text_of(result))["code"] == "BACKEND_UNAVAILABLE"
