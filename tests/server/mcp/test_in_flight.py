"""A gateway that stops answers the calls in flight, in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from policies.model import Channel
from tests.fixtures.gateway import BOB, FakeGateway, shop
from tests.fixtures.mcp import Door, connected, serving, text_of

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
ENDLESS = {"target": "shop", "sql": "SELECT pg_sleep(1000)"}
UPDATE = {"target": "shop", "sql": "UPDATE orders SET paid = true WHERE id = 1"}
READ = {"target": "shop", "sql": "SELECT id, ssn FROM customers"}


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


@ERAS
async def test_a_call_in_flight_is_cancelled_and_says_why(door: Door, era: str) -> None:
    async with connected(door, era) as client, asyncio.timeout(10):
        call = asyncio.create_task(client.call_tool("run_sql", ENDLESS))
        await door.gateway.started.wait()
        await door.in_flight.stop(grace=0.01)
        problem = json.loads(text_of(await call))
    assert problem["code"] == "GATEWAY_STOPPING"
    assert problem["next_step"]
    assert door.gateway.cancelled.is_set()


@ERAS
async def test_a_call_that_waits_for_a_person_does_not_run_any_more(door: Door, era: str) -> None:
    async with connected(door, era) as client, asyncio.timeout(10):
        call = asyncio.create_task(client.call_tool("run_sql", UPDATE))
        await door.gateway.opened.wait()
        await door.in_flight.stop(grace=0.01)
        problem = json.loads(text_of(await call))
    assert problem["code"] == "GATEWAY_STOPPING"
    assert door.gateway.ran == []


@ERAS
async def test_no_call_begins_in_a_gateway_that_stops(door: Door, era: str) -> None:
    async with connected(door, era) as client, asyncio.timeout(10):
        await door.in_flight.stop(grace=0)
        problem = json.loads(text_of(await client.call_tool("run_sql", READ)))
    assert problem["code"] == "GATEWAY_STOPPING"
    assert door.gateway.performed == []


async def test_a_call_that_ends_in_time_ends_as_always(door: Door) -> None:
    async with connected(door, "auto") as client, asyncio.timeout(10):
        call = asyncio.create_task(client.call_tool("run_sql", UPDATE))
        await door.gateway.opened.wait()
        stopping = asyncio.create_task(door.in_flight.stop(grace=10))
        await asyncio.sleep(0)
        await door.gateway.decide(BOB, "ap_1", approve=True, comment="", channel=Channel.API)
        result = await call
        await stopping
    assert not result.is_error


async def test_a_caller_that_left_is_not_kept_waiting_for(door: Door) -> None:
    async with connected(door, "auto") as client:
        call = asyncio.create_task(client.call_tool("run_sql", ENDLESS))
        async with asyncio.timeout(10):
            await door.gateway.started.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await door.gateway.cancelled.wait()
            await door.in_flight.stop(grace=10)
    assert door.in_flight.calls == set()
