"""Legacy sessions: whose they are, how many there may be, and ids that are in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from server.mcp.door import SessionLimits
from tests.fixtures.gateway import FakeGateway, shop
from tests.fixtures.mcp import Door, serving
from tests.server.mcp.test_http import LEGACY, body, endless, headers, legacy_session

pytestmark = pytest.mark.anyio


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway, sessions=SessionLimits(a_principal=2)) as door:
        yield door


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


async def initialize(door: Door, http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    params = {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    sent = headers(LEGACY, "initialize", token)
    return await http.post(door.url + "/mcp", headers=sent, json=message)


async def test_a_principal_has_only_so_many_sessions_and_others_have_their_own(
    door: Door, http: httpx2.AsyncClient
) -> None:
    opened = [await initialize(door, http, "alice-token") for _ in range(3)]
    assert [answer.status_code for answer in opened] == [200, 200, 503]
    assert (await initialize(door, http, "bob-token")).status_code == 200
    ended = {**headers(LEGACY, ""), "mcp-session-id": opened[0].headers["mcp-session-id"]}
    assert (await http.delete(door.url + "/mcp", headers=ended)).status_code == 200
    assert (await initialize(door, http, "alice-token")).status_code == 200


async def test_an_idle_session_ends(gateway: FakeGateway, http: httpx2.AsyncClient) -> None:
    limits = SessionLimits(a_principal=1, idle=0.05)
    async with serving(gateway, sessions=limits) as door:
        await legacy_session(door, http)
        async with asyncio.timeout(10):
            while (await initialize(door, http, "alice-token")).status_code != 200:
                await asyncio.sleep(0.01)


async def test_an_id_that_is_in_flight_is_not_used_again(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    first = asyncio.create_task(http.post(door.url + "/mcp", headers=session, json=endless()))
    async with asyncio.timeout(10):
        await door.gateway.started.wait()
        for number in (2, "2"):
            message: dict[str, Any] = {**body("tools/list", {}), "id": number}
            again = await http.post(door.url + "/mcp", headers=session, json=message)
            assert again.status_code == 400
        cancel = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": 2},
        }
        await http.post(door.url + "/mcp", headers=session, json=cancel)
        assert (await first).status_code == 200
    free = await http.post(door.url + "/mcp", headers=session, json=body("tools/list", {}, 2))
    assert "run_sql" in free.text
