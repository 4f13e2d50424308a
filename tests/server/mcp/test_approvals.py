"""Approvals through the MCP door: held, pending, confirmed and reviewed, in both eras."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import mcp.types as t
import pytest

from policies.model import Channel
from server.mcp.door import Timing
from tests.fixtures.gateway import ALICE, BOB, FakeGateway, shop
from tests.fixtures.mcp import Door, Elicit, connected, serving, text_of

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
UPDATE = {"target": "shop", "sql": "UPDATE orders SET paid = true WHERE id = 1"}
NOTE = {"target": "shop", "sql": "UPDATE notes SET text = '' WHERE id = 1"}
AT_ONCE = Timing(hold=0, ask=10, progress=0.01)


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    """Holds for 10 seconds: long enough for a decision to come."""
    async with serving(gateway) as door:
        yield door


@pytest.fixture
async def hasty(gateway: FakeGateway) -> AsyncIterator[Door]:
    """Does not hold at all."""
    async with serving(gateway, timing=AT_ONCE) as door:
        yield door


class Form:
    """A client's user who answers every form alike."""

    def __init__(self, action: Any, content: dict[str, Any] | None = None) -> None:
        self.answer = t.ElicitResult(action=action, content=content)
        self.messages: list[str] = []

    async def __call__(self, context: Any, params: Any) -> t.ElicitResult:
        self.messages.append(params.message)
        return self.answer


async def ticket_opened(gateway: FakeGateway) -> str:
    async with asyncio.timeout(10):
        await gateway.opened.wait()
    return next(iter(gateway.tickets))


async def call(door: Door, era: str, arguments: dict[str, Any], **client: Any) -> t.CallToolResult:
    async with connected(door, era, **client) as connection:
        return await connection.call_tool("run_sql", arguments)


@ERAS
async def test_a_held_call_runs_when_the_approval_comes(door: Door, era: str) -> None:
    told: list[str | None] = []
    heard = asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)
        heard.set()

    async with connected(door, era) as client:
        held = asyncio.create_task(client.call_tool("run_sql", UPDATE, progress_callback=hear))
        ticket = await ticket_opened(door.gateway)
        async with asyncio.timeout(10):
            await heard.wait()
        await door.gateway.decide(BOB, ticket, approve=True, comment="", channel=Channel.API)
        result = await held
    assert not result.is_error
    assert result.structured_content["command"] == "UPDATE 1"
    assert told[0] == f"waiting for approval {ticket}"
    assert door.gateway.ran == [UPDATE["sql"]]


@ERAS
async def test_a_call_that_nobody_decides_is_pending_and_has_not_run(hasty: Door, era: str) -> None:
    result = await call(hasty, era, UPDATE)
    problem = json.loads(text_of(result))
    assert result.is_error
    assert result.structured_content is None
    assert (problem["status"], problem["approval_id"]) == ("pending_approval", "ap_1")
    assert problem["expires_at"] == "2030-01-01T00:00:00+00:00"
    assert 'approval_wait(approval_id="ap_1")' in problem["next_step"]
    assert "repeat this exact call" in problem["next_step"]
    assert hasty.gateway.ran == []


@ERAS
async def test_a_client_without_forms_waits_and_repeats_the_call(hasty: Door, era: str) -> None:
    async with connected(hasty, era) as client:
        pending = json.loads(text_of(await client.call_tool("run_sql", UPDATE)))
        ticket = pending["approval_id"]
        wait = {"approval_id": ticket, "wait_seconds": 45}
        waiting = asyncio.create_task(client.call_tool("approval_wait", wait))
        await hasty.gateway.decide(BOB, ticket, approve=True, comment="ok", channel=Channel.API)
        decided = await waiting
        result = await client.call_tool("run_sql", UPDATE)
    assert decided.structured_content["status"] == "approved"
    assert decided.structured_content["decided_by"] == "Bob"
    assert not result.is_error
    assert hasty.gateway.ran == [UPDATE["sql"]]


@ERAS
async def test_a_denial_says_who_and_why_and_not_to_retry(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        held = asyncio.create_task(client.call_tool("run_sql", UPDATE))
        ticket = await ticket_opened(door.gateway)
        await door.gateway.decide(
            BOB, ticket, approve=False, comment="wrong id", channel=Channel.API
        )
        problem = json.loads(text_of(await held))
    assert problem["code"] == "APPROVAL_DENIED"
    assert "Bob" in problem["reason"]
    assert "wrong id" in problem["reason"]
    assert problem["next_step"] == "Do not retry."
    assert door.gateway.ran == []


@ERAS
async def test_another_persons_ticket_does_not_exist(hasty: Door, era: str) -> None:
    await call(hasty, era, UPDATE)
    async with connected(hasty, era, token="carol-token") as client:
        foreign = await client.call_tool("approval_wait", {"approval_id": "ap_1"})
    assert json.loads(text_of(foreign))["code"] == "TICKET_UNKNOWN"


@ERAS
async def test_the_requester_confirms_where_that_is_enough(door: Door, era: str) -> None:
    form = Form("accept", {"comment": "sure"})
    result = await call(door, era, NOTE, elicit=form)
    assert not result.is_error
    assert NOTE["sql"] in form.messages[0]
    assert door.gateway.decisions == [(ALICE.id, "ap_1", True, "sure", Channel.ELICITATION)]
    assert door.gateway.ran == [NOTE["sql"]]


@ERAS
async def test_a_requester_who_declines_has_denied(door: Door, era: str) -> None:
    result = await call(door, era, NOTE, elicit=Form("decline"))
    assert json.loads(text_of(result))["code"] == "APPROVAL_DENIED"
    assert door.gateway.ran == []


@ERAS
async def test_a_requester_who_cancels_the_form_has_decided_nothing(door: Door, era: str) -> None:
    result = await call(door, era, NOTE, elicit=Form("cancel"))
    assert json.loads(text_of(result))["status"] == "pending_approval"
    assert door.gateway.decisions == []
    assert door.gateway.ran == []


@ERAS
async def test_a_form_is_never_shown_where_another_person_must_approve(
    hasty: Door, era: str
) -> None:
    form = Form("accept")
    result = await call(hasty, era, UPDATE, elicit=form)
    assert json.loads(text_of(result))["status"] == "pending_approval"
    assert form.messages == []
    assert hasty.gateway.ran == []


async def test_a_legacy_client_that_never_answers_a_form_gets_the_ticket(
    gateway: FakeGateway,
) -> None:
    async def silent(context: Any, params: Any) -> t.ElicitResult:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(gateway, timing=Timing(hold=0, ask=0.05, progress=1)) as door:
        result = await call(door, "legacy", NOTE, elicit=silent)
    assert json.loads(text_of(result))["status"] == "pending_approval"
    assert gateway.ran == []


@ERAS
async def test_a_reviewer_sees_the_request_in_full_and_approves_it(hasty: Door, era: str) -> None:
    await call(hasty, era, UPDATE)
    form = Form("accept", {"decision": "approve", "comment": "fine"})
    result = await review(hasty, era, form)
    message = form.messages[0]
    for part in (UPDATE["sql"], "Alice", "claude", "shop", "effect: write", "d1d1", "2030-01-01"):
        assert part in message
    assert hasty.gateway.decisions == [(BOB.id, "ap_1", True, "fine", Channel.ELICITATION)]
    assert "ap_1 is approved by Bob: fine" in result.structured_content["decided"]
    assert result.structured_content["waiting"] == []


@ERAS
@pytest.mark.parametrize(
    ("form", "state"),
    [
        (Form("accept", {"decision": "deny"}), "denied"),
        (Form("accept", {"decision": "skip"}), "pending"),
        (Form("accept", {}), "pending"),
        (Form("accept", {"decision": "APPROVE"}), "pending"),
        (Form("decline"), "pending"),
        (Form("cancel"), "pending"),
    ],
)
async def test_only_the_word_approve_approves(
    hasty: Door, era: str, form: Form, state: str
) -> None:
    await call(hasty, era, UPDATE)
    await review(hasty, era, form)
    assert hasty.gateway.tickets["ap_1"].state == state


@ERAS
async def test_a_reviewer_without_forms_gets_the_list_and_the_command(
    hasty: Door, era: str
) -> None:
    await call(hasty, era, UPDATE)
    result = await review(hasty, era, None)
    waiting = result.structured_content["waiting"]
    assert [(w["approval_id"], w["text"]) for w in waiting] == [("ap_1", UPDATE["sql"])]
    assert "ostiary approvals approve" in result.structured_content["next_step"]
    assert hasty.gateway.decisions == []


@ERAS
async def test_a_reviewer_is_not_offered_their_own_request(hasty: Door, era: str) -> None:
    await call(hasty, era, UPDATE, token="bob-token")
    form = Form("accept", {"decision": "approve"})
    result = await review(hasty, era, form)
    assert result.structured_content["waiting"] == []
    assert form.messages == []


@ERAS
async def test_a_reviewer_can_name_the_request(hasty: Door, era: str) -> None:
    await call(hasty, era, UPDATE)
    await call(hasty, era, NOTE)
    form = Form("accept", {"decision": "deny"})
    await review(hasty, era, form, approval_id="ap_2")
    assert hasty.gateway.tickets["ap_1"].state == "pending"
    assert hasty.gateway.tickets["ap_2"].state == "denied"


@ERAS
async def test_an_unknown_request_is_not_reviewed(hasty: Door, era: str) -> None:
    result = await review(hasty, era, None, approval_id="ap_9")
    assert json.loads(text_of(result))["code"] == "TICKET_UNKNOWN"


async def review(door: Door, era: str, form: Elicit | None, **arguments: str) -> t.CallToolResult:
    async with connected(door, era, token="bob-token", elicit=form) as client:
        return await client.call_tool("review_approvals", arguments)
