"""Cancelling, leaving, and parts that are down: nothing runs on, nothing gets through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.e2e.test_main_job import refusal, run_sql
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

BUSY = (
    "SELECT count(*) FROM orders a, orders b, orders c, orders d"
    " WHERE a.total + b.total + c.total + d.total > 0"
)
ACTIVE = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
    " AND query LIKE '%orders a%' AND pid <> pg_backend_pid()"
)


async def until(direct: Any, query: str, expected: int) -> None:
    async with asyncio.timeout(15):
        while await direct.fetchval(query) != expected:
            await asyncio.sleep(0.02)


def call_body(era: str, sql: str = BUSY) -> tuple[dict[str, Any], dict[str, str]]:
    params: dict[str, Any] = {
        "name": "run_sql",
        "arguments": {"target": "shop", "sql": sql},
    }
    headers = {"Accept": "application/json, text/event-stream"}
    if era == "modern":
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers |= {
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "run_sql",
        }
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers


async def legacy_session(http: httpx2.AsyncClient, url: str) -> dict[str, str]:
    accept = {"Accept": "application/json, text/event-stream"}
    hello = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    response = await http.post(url, json=hello, headers=accept)
    session = {
        "Mcp-Session-Id": response.headers["mcp-session-id"],
        "MCP-Protocol-Version": "2025-11-25",
    }
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(url, json=ready, headers=accept | session)
    return session


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_client_that_drops_the_connection_ends_the_statement(
    world: World, era: str
) -> None:
    body, headers = call_body(era)
    authorization = {"Authorization": f"Bearer {world.token('rita')}"}
    url = f"{world.url}/mcp"
    async with world.direct() as direct:
        async with httpx2.AsyncClient(headers=authorization) as http:
            if era == "legacy":
                headers |= await legacy_session(http, url)
            call = asyncio.create_task(http.post(url, json=body, headers=headers, timeout=60))
            await until(direct, ACTIVE, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await until(direct, ACTIVE, 0)


async def test_a_time_limit_cancels_on_the_server(worlds: Callable[..., World]) -> None:
    world = worlds()
    policies = world.directory / "policies"
    policies.mkdir()
    (policies / "all.cedar").write_text(
        '@id("developers") permit (principal in Group::"developers", action, resource)'
        ' when { true };\n@id("short") @timeout("1s")'
        ' forbid (principal, action == Action::"sql.select", resource);\n'
        '@id("mask") @mask("pii") forbid (principal, action == Action::"sql.select", resource);\n'
    )
    world.settings = {"policies": str(policies)}
    world.start()
    async with world.direct() as direct, world.mcp("rita") as client:
        said = refusal(await run_sql(client, BUSY))
        assert said.get("sqlstate") == "57014" or said["code"] == "TIME_LIMIT"
        await until(direct, ACTIVE, 0)


async def test_a_target_that_is_down_is_unavailable_and_says_no_more(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    base = world.configuration()
    base["targets"]["shop"]["address"] = f"unix:{world.directory}/nowhere"
    world.settings = {"targets": base["targets"]}
    world.start()
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, "SELECT 1"))
    assert said["code"] == "BACKEND_UNAVAILABLE"
    shown = json.dumps(said)
    assert "nowhere" not in shown
    assert "admin" not in shown


async def test_with_the_store_down_nothing_reaches_the_target(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    world.start()
    async with world.direct() as direct, world.mcp("rita") as client:
        assert not (await run_sql(client, "SELECT 1")).is_error
        await direct.execute(f"ALTER DATABASE {world.store} ALLOW_CONNECTIONS false")
        await direct.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname='{world.store}'"
        )
        await direct.execute("SELECT pg_stat_force_next_flush()")
        said = refusal(await run_sql(client, "SELECT count(*) FROM orders"))
        assert said["code"] == "BACKEND_UNAVAILABLE"
        await direct.execute(f"ALTER DATABASE {world.store} ALLOW_CONNECTIONS true")
        async with asyncio.timeout(20):
            while (await run_sql(client, "SELECT 1")).is_error:
                await asyncio.sleep(0.2)
    assert world.cli("victor", "sessions", "verify").returncode == 0


@pytest.mark.parametrize("credential", ["", "Bearer nonsense", "Bearer a.b.c", "Basic cml0YTp4"])
async def test_what_is_no_token_is_401_and_told_nothing(world: World, credential: str) -> None:
    body, headers = call_body("modern")
    headers |= {"Authorization": credential} if credential else {}
    async with httpx2.AsyncClient() as http:
        response = await http.post(f"{world.url}/mcp", json=body, headers=headers)
    assert response.status_code == 401
    assert "resource_metadata=" in response.headers["www-authenticate"]
    for word in ("signature", "kid", "expired", "issuer", "Traceback"):
        assert word not in response.text


async def test_an_expired_token_is_401(world: World) -> None:
    body, headers = call_body("modern")
    headers |= {"Authorization": f"Bearer {world.token('rita', seconds=-120)}"}
    async with httpx2.AsyncClient() as http:
        response = await http.post(f"{world.url}/mcp", json=body, headers=headers)
    assert response.status_code == 401


async def test_a_foreign_host_or_origin_is_turned_away(world: World) -> None:
    body, headers = call_body("modern")
    headers |= {"Authorization": f"Bearer {world.token('rita')}"}
    async with httpx2.AsyncClient() as http:
        rebound = await http.post(
            f"{world.url}/mcp", json=body, headers={**headers, "Host": "evil.example"}
        )
        cross = await http.post(
            f"{world.url}/mcp", json=body, headers={**headers, "Origin": "https://evil.example"}
        )
    assert rebound.status_code == 421
    assert cross.status_code == 403
