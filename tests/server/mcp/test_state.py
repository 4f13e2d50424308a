"""What a modern client may do with a sealed request state: nothing but send it back, once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.fixtures.gateway import FakeGateway, shop
from tests.fixtures.mcp import Door, serving

pytestmark = pytest.mark.anyio
VERSION = "2026-07-28"
NOTE = {"target": "shop", "sql": "UPDATE notes SET text = '' WHERE id = 1"}
ACCEPT = {"answer": {"action": "accept", "content": {}}}


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


async def post(
    door: Door, arguments: dict[str, Any], *, token: str = "alice-token", **more: Any
) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    }
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": "run_sql",
    }
    params = {"name": "run_sql", "arguments": arguments, "_meta": meta, **more}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await http.post(door.url + "/mcp", headers=headers, json=message)
    document: dict[str, Any] = answer.json()
    return document


async def asked(door: Door) -> str:
    """The sealed state of a call that waits for its requester's confirmation."""
    result = (await post(door, NOTE))["result"]
    assert result["resultType"] == "input_required"
    state: str = result["requestState"]
    return state


async def test_the_state_tells_the_client_nothing(door: Door) -> None:
    assert "ap_1" not in await asked(door)


async def test_an_answer_with_its_state_confirms(door: Door) -> None:
    state = await asked(door)
    result = (await post(door, NOTE, inputResponses=ACCEPT, requestState=state))["result"]
    assert not result["isError"]
    assert door.gateway.ran == [NOTE["sql"]]


async def test_an_answer_counts_once(door: Door) -> None:
    state = await asked(door)
    await post(door, NOTE, inputResponses=ACCEPT, requestState=state)
    again = (await post(door, NOTE, inputResponses=ACCEPT, requestState=state))["result"]
    assert json.loads(again["content"][0]["text"])["code"] == "APPROVAL_USED"
    assert door.gateway.ran == [NOTE["sql"]]


async def test_an_answer_without_its_state_is_asked_again(door: Door) -> None:
    await asked(door)
    result = (await post(door, NOTE, inputResponses=ACCEPT))["result"]
    assert result["resultType"] == "input_required"
    assert door.gateway.decisions == []


@pytest.mark.parametrize("more", [{}, {"requestState": None}])
async def test_a_state_in_another_spelling_is_none(door: Door, more: dict[str, Any]) -> None:
    """The seal is looked for under the wire's name: no other may get past it."""
    await asked(door)
    forged = {"request_state": "ap_1", "input_responses": ACCEPT, "inputResponses": ACCEPT, **more}
    answer = await post(door, NOTE, **forged)
    assert answer["result"]["resultType"] == "input_required"
    assert door.gateway.decisions == []
    assert door.gateway.ran == []


@pytest.mark.parametrize("change", ["principal", "arguments", "state"])
async def test_a_state_is_good_for_this_caller_and_call_only(door: Door, change: str) -> None:
    state = await asked(door)
    arguments = {**NOTE, "reason": "other"} if change == "arguments" else NOTE
    token = "bob-token" if change == "principal" else "alice-token"
    sent = state[:-3] + "AAA" if change == "state" else state
    answer = await post(door, arguments, token=token, inputResponses=ACCEPT, requestState=sent)
    assert answer["error"]["code"] == -32602
    assert door.gateway.decisions == []
    assert door.gateway.ran == []
