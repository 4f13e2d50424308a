"""Requests at the MCP door by hand, in both eras, for the lines of section C."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.attacks.attacker import Attacker, body
from tests.e2e.world import World, free_port
from tests.fixtures.modern import Modern

LEGACY: Final = "2025-11-25"
INTENTS: Final = "SELECT count(*) FROM records WHERE kind = 'intent'"
GOOD: Final = body("run_sql", {"target": "shop", "sql": "SELECT 1"})


def mcp(attacker: Attacker) -> str:
    return f"{attacker.world.url}/mcp"


def modern(attacker: Attacker, account: str, capabilities: dict[str, Any] | None = None) -> Modern:
    token = attacker.world.token(account)
    return Modern(attacker.http, attacker.world.url, token, capabilities or {})


def hello() -> dict[str, Any]:
    client = {"name": "attack", "version": "1"}
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


async def opened(attacker: Attacker, account: str = "rita") -> dict[str, str]:
    """The headers of a new legacy session."""
    headers = {
        "Authorization": f"Bearer {attacker.world.token(account)}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": LEGACY,
    }
    answer = await attacker.http.post(mcp(attacker), headers=headers, json=hello())
    session = {**headers, "Mcp-Session-Id": answer.headers["mcp-session-id"]}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await attacker.http.post(mcp(attacker), headers=session, json=ready)
    return session


def legacy_call(sql: str, number: int) -> dict[str, Any]:
    params = {"name": "run_sql", "arguments": {"target": "shop", "sql": sql}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def cancelled(number: int) -> dict[str, Any]:
    params = {"requestId": number}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


def beside(world: World, directory: Path) -> World:
    """A second gateway on the same store, keys and issuer."""
    shutil.copy(world.directory / "keys.json", directory)
    port = free_port()
    place = {"listen": f"127.0.0.1:{port}", "allowed_hosts": [f"127.0.0.1:{port}"]}
    base = world.configuration()
    settings = {
        **world.settings,
        "gateway": {**base["gateway"], **place},
        "identity": base["identity"],
    }
    return replace(
        world, directory=directory, port=port, listener=free_port(), settings=settings, process=None
    )
