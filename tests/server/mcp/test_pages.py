"""The approval page by URL elicitation, in both eras: opened is not approved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import mcp.types as t
import pytest

from policies.model import Channel
from server.mcp.door import Timing
from tests.fixtures.gateway import BOB, FakeGateway, shop
from tests.fixtures.mcp import Door, connected, serving, text_of

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
UPDATE = {"target": "shop", "sql": "UPDATE orders SET paid = true WHERE id = 1"}
PAGE = "https://gateway.example.com/approvals/ap_1"
MOST_ROUNDS = 10
"""After so many rounds of one call the SDKs' clients stop (mcp 2.3.0, TypeScript SDK 2.3.1)."""

CLIENTS_GIVE_UP = 60.0
"""Seconds (TypeScript SDK 2.3.1, DEFAULT_REQUEST_TIMEOUT_MSEC)."""


class User:
    """A client's user; `does` runs before the answer to a page."""

    def __init__(self, action: Any, does: Any = None) -> None:
        self.action, self.does = action, does
        self.pages: list[Any] = []

    async def __call__(self, _context: object, params: Any) -> t.ElicitResult:
        self.pages.append(params)
        if self.does is not None:
            await self.does()
        return t.ElicitResult(action=self.action)


@pytest.fixture
def gateway() -> FakeGateway:
    gateway = shop()
    gateway.public_url = "https://gateway.example.com"
    return gateway


@pytest.fixture
async def hasty(gateway: FakeGateway) -> AsyncIterator[Door]:
    """Does not hold at all."""
    async with serving(gateway, timing=Timing(hold=0, ask=10, progress=0.01)) as door:
        yield door


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


async def call(door: Door, era: str, user: User | None) -> t.CallToolResult:
    async with connected(door, era, elicit=user) as client:
        return await client.call_tool("run_sql", UPDATE)


@ERAS
async def test_the_requester_is_sent_to_the_page_of_what_another_must_approve(
    hasty: Door, era: str
) -> None:
    user = User("accept")
    result = await call(hasty, era, user)
    assert [(page.mode, page.url) for page in user.pages] == [("url", PAGE)]
    assert "ap_1" in user.pages[0].message
    assert json.loads(text_of(result))["status"] == "pending_approval"


@ERAS
async def test_an_opened_page_approves_nothing(hasty: Door, era: str) -> None:
    await call(hasty, era, User("accept"))
    assert hasty.gateway.tickets["ap_1"].state == "pending"
    assert hasty.gateway.decisions == []
    assert hasty.gateway.ran == []


@ERAS
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_page_that_is_not_opened_denies_nothing_and_is_not_waited_for(
    door: Door, era: str, action: str
) -> None:
    result = await call(door, era, User(action))
    problem = json.loads(text_of(result))
    assert problem["status"] == "pending_approval"
    assert PAGE in json.dumps(problem)
    assert door.gateway.tickets["ap_1"].state == "pending"
    assert door.gateway.decisions == []


@ERAS
async def test_the_call_goes_on_when_somebody_approves_on_the_page(door: Door, era: str) -> None:
    async def approve() -> None:
        await door.gateway.decide(BOB, "ap_1", approve=True, comment="", channel=Channel.WEB)

    result = await call(door, era, User("accept", approve))
    assert not result.is_error
    assert door.gateway.ran == [UPDATE["sql"]]


async def test_a_modern_client_is_never_asked_for_more_rounds_than_it_takes(
    gateway: FakeGateway,
) -> None:
    timing = Timing(progress=0.01)
    async with serving(gateway, timing=Timing(hold=0, progress=0.01)) as door:
        result = await call(door, "auto", User("accept"))
    assert json.loads(text_of(result))["status"] == "pending_approval"
    assert len(gateway.waits) == timing.rounds
    assert 1 + len(gateway.waits) <= MOST_ROUNDS


def test_no_wait_of_a_call_is_as_long_as_clients_wait() -> None:
    timing = Timing()
    for seconds in (timing.hold, timing.ask, min(timing.poll, timing.hold)):
        assert seconds < CLIENTS_GIVE_UP


async def test_a_round_waits_for_the_poll_and_a_call_without_a_page_for_the_hold(
    gateway: FakeGateway,
) -> None:
    async def approve() -> None:
        await gateway.decide(BOB, "ap_1", approve=True, comment="", channel=Channel.WEB)

    timing = Timing(hold=25, poll=20, progress=0.01)
    async with serving(gateway, timing=timing) as door:
        await call(door, "auto", User("accept", approve))
        assert gateway.waits == [20]
        await call_and_approve(door)
        assert gateway.waits[1:] == [25]


async def call_and_approve(door: Door) -> None:
    """A call of a client that can be asked nothing."""
    door.gateway.opened.clear()
    held = asyncio.create_task(call(door, "auto", None))
    async with asyncio.timeout(10):
        await door.gateway.opened.wait()
        await door.gateway.decide(BOB, "ap_2", approve=True, comment="", channel=Channel.WEB)
        assert not (await held).is_error


async def test_a_legacy_client_is_told_when_the_page_has_served_its_purpose(door: Door) -> None:
    heard: list[object] = []

    async def hear(message: object) -> None:
        heard.append(message)

    async def approve() -> None:
        await door.gateway.decide(BOB, "ap_1", approve=True, comment="", channel=Channel.WEB)

    user = User("accept", approve)
    async with connected(door, "legacy", elicit=user, heard=hear) as client:
        await client.call_tool("run_sql", UPDATE)
    done = [m for m in heard if isinstance(m, t.ElicitCompleteNotification)]
    assert [m.params.elicitation_id for m in done] == [user.pages[0].elicitation_id]


async def test_a_client_without_pages_is_asked_nothing_and_gets_the_link(hasty: Door) -> None:
    problem = json.loads(text_of(await call(hasty, "auto", None)))
    assert problem["status"] == "pending_approval"
    assert PAGE in json.dumps(problem)
