"""The MCP door as an HTTP server: tokens, metadata, Host and Origin, callers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.fixtures.gateway import FakeGateway, shop
from tests.fixtures.mcp import Door, connected, serving

pytestmark = pytest.mark.anyio
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
ENDLESS: dict[str, Any] = {
    "name": "run_sql",
    "arguments": {"target": "shop", "sql": "SELECT pg_sleep(1000)"},
}


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


def headers(version: str, method: str, token: str = "alice-token", **more: str) -> dict[str, str]:
    modern = {"mcp-method": method} if version == MODERN else {}
    return {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
        **modern,
        **more,
    }


def body(method: str, params: dict[str, Any], number: int = 1) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}


async def legacy_session(door: Door, http: httpx2.AsyncClient) -> dict[str, str]:
    """The headers of an initialized legacy session."""
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    sent = headers(LEGACY, "initialize")
    opened = await http.post(door.url + "/mcp", headers=sent, json=initialize)
    session = {**sent, "mcp-session-id": opened.headers["mcp-session-id"]}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(door.url + "/mcp", headers=session, json=ready)
    return session


@pytest.mark.parametrize("authorization", [None, "Bearer foreign", "Basic YTpi", "Bearer"])
async def test_a_request_without_a_valid_token_is_401_and_says_where_to_sign_in(
    door: Door, http: httpx2.AsyncClient, authorization: str | None
) -> None:
    sent = headers(MODERN, "tools/list")
    del sent["authorization"]
    if authorization is not None:
        sent["authorization"] = authorization
    answer = await http.post(door.url + "/mcp", headers=sent, json=body("tools/list", {}))
    metadata = f'resource_metadata="{door.url}/.well-known/oauth-protected-resource/mcp"'
    assert answer.status_code == 401
    assert metadata in answer.headers["www-authenticate"]
    assert answer.json() == {
        "error": "invalid_token",
        "error_description": "Authentication required",
    }


async def test_the_metadata_names_the_resource_and_every_issuer(
    door: Door, http: httpx2.AsyncClient
) -> None:
    answer = await http.get(door.url + "/.well-known/oauth-protected-resource/mcp")
    document = answer.json()
    assert document["resource"] == door.url + "/mcp"
    assert document["authorization_servers"] == [
        "https://idp.example.com",
        "https://other.example.com",
    ]


@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_a_foreign_host_and_a_foreign_origin_are_refused(
    door: Door, http: httpx2.AsyncClient, version: str
) -> None:
    request = body("tools/list", {})
    for name, value, status in [("host", "evil.example", 421), ("origin", "http://evil", 403)]:
        sent = headers(version, "tools/list", **{name: value})
        answer = await http.post(door.url + "/mcp", headers=sent, json=request)
        assert answer.status_code == status


async def test_a_session_of_one_principal_does_not_exist_for_another(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    sent = {**session, "authorization": "Bearer bob-token"}
    answer = await http.post(door.url + "/mcp", headers=sent, json=body("tools/list", {}))
    assert answer.status_code == 404


async def test_a_token_that_was_revoked_ends_a_legacy_session(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    del door.verifier.tokens["alice-token"]
    answer = await http.post(door.url + "/mcp", headers=session, json=body("tools/list", {}))
    assert answer.status_code == 401


async def test_a_modern_caller_that_leaves_cancels_its_statement(
    door: Door, http: httpx2.AsyncClient
) -> None:
    sent = headers(MODERN, "tools/call", **{"mcp-name": "run_sql"})
    await left_while_running(door, http.post(door.url + "/mcp", headers=sent, json=endless()))


async def test_a_legacy_caller_that_leaves_cancels_its_statement(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    await left_while_running(door, http.post(door.url + "/mcp", headers=session, json=endless()))


async def test_a_legacy_session_goes_on_after_one_call_was_dropped(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    await left_while_running(door, http.post(door.url + "/mcp", headers=session, json=endless()))
    again = body("tools/call", {"name": "list_targets", "arguments": {}}, 3)
    answer = await http.post(door.url + "/mcp", headers=session, json=again)
    assert '"shop"' in answer.text


async def test_notifications_cancelled_cancels_the_statement(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    call = asyncio.create_task(http.post(door.url + "/mcp", headers=session, json=endless()))
    cancel = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 2},
    }
    async with asyncio.timeout(10):
        await door.gateway.started.wait()
        await http.post(door.url + "/mcp", headers=session, json=cancel)
        await door.gateway.cancelled.wait()
        await call


async def test_a_cancellation_of_another_request_cancels_nothing(
    door: Door, http: httpx2.AsyncClient
) -> None:
    session = await legacy_session(door, http)
    call = asyncio.create_task(http.post(door.url + "/mcp", headers=session, json=endless()))
    other = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
    async with asyncio.timeout(10):
        await door.gateway.started.wait()
        await http.post(door.url + "/mcp", headers=session, json=other)
        async with connected(door, "auto") as client:
            await client.list_tools()  # the door has had its turn
    assert not door.gateway.cancelled.is_set()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


def endless() -> dict[str, Any]:
    return body("tools/call", ENDLESS, 2)


async def left_while_running(door: Door, post: Any) -> None:
    """Start the call, leave once its statement runs, and wait until the gateway has cancelled."""
    call = asyncio.create_task(post)
    async with asyncio.timeout(10):
        await door.gateway.started.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await door.gateway.cancelled.wait()
