"""Calls that go on as tasks while a person decides (io.modelcontextprotocol/tasks)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import mcp.types as t
import pytest

from policies.model import Channel
from server.mcp.task_rows import MOST_OPEN
from server.mcp.task_wire import LOST
from tests.fixtures.gateway import BOB, FakeGateway, Script, shop
from tests.fixtures.mcp import Door, connected, serving
from tests.fixtures.modern import TASKS, WITH_TASKS, Modern

pytestmark = pytest.mark.anyio
UPDATE = "UPDATE orders SET paid = true WHERE id = 1"
NOTE = "UPDATE notes SET text = '' WHERE id = 1"
READ = "SELECT id, ssn FROM customers"
SLOW = "UPDATE slowly"
METHODS = pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])


@pytest.fixture
def gateway() -> FakeGateway:
    gateway = shop()
    gateway.scripts[SLOW] = Script(writes=True, approvers="dba", blocks=True)
    return gateway


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


@pytest.fixture
async def alice(door: Door) -> AsyncIterator[Modern]:
    async with httpx2.AsyncClient(timeout=20) as http:
        yield Modern(http, door.url, "alice-token", WITH_TASKS)


@pytest.fixture
async def carol(door: Door) -> AsyncIterator[Modern]:
    async with httpx2.AsyncClient(timeout=20) as http:
        yield Modern(http, door.url, "carol-token", WITH_TASKS)


async def until(alice: Modern, task: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (state := await alice.task(task))["status"] not in statuses:
            await asyncio.sleep(0.01)
    return state


async def approve(door: Door, *, yes: bool = True) -> None:
    await door.gateway.decide(BOB, "ap_1", approve=yes, comment="", channel=Channel.API)


async def test_a_call_that_answers_at_once_is_no_task(door: Door, alice: Modern) -> None:
    result = await alice.run_sql(READ)
    assert result["resultType"] == "complete"
    assert result["structuredContent"]["row_count"] == 2
    assert door.tasks.jobs == {}


async def test_a_call_that_waits_for_a_person_becomes_a_task(door: Door, alice: Modern) -> None:
    door.gateway.public_url = "https://gateway.example.com"
    created = await alice.run_sql(UPDATE)
    assert created["resultType"] == "task"
    assert created["status"] == "working"
    assert "https://gateway.example.com/approvals/ap_1" in created["statusMessage"]
    assert not {"result", "error", "inputRequests", "requestState"} & created.keys()
    assert (await alice.task(created["taskId"]))["status"] == "working"
    assert door.gateway.ran == []


async def test_an_approved_task_has_the_result_of_the_call(door: Door, alice: Modern) -> None:
    created = await alice.run_sql(UPDATE)
    await approve(door)
    done = await until(alice, created["taskId"], "completed")
    assert done["result"]["structuredContent"]["command"] == "UPDATE 1"
    assert not done["result"]["isError"]
    assert door.gateway.ran == [UPDATE]


async def test_a_denied_task_completes_with_the_refusal(door: Door, alice: Modern) -> None:
    created = await alice.run_sql(UPDATE)
    await approve(door, yes=False)
    done = await until(alice, created["taskId"], "completed")
    assert done["result"]["isError"]
    assert json.loads(done["result"]["content"][0]["text"])["code"] == "APPROVAL_DENIED"
    assert door.gateway.ran == []


async def test_the_gate_is_asked_again_with_the_principal_of_the_call(
    door: Door, alice: Modern
) -> None:
    created = await alice.run_sql(UPDATE)
    del door.verifier.tokens["alice-token"]
    await approve(door)
    async with asyncio.timeout(10):
        while door.tasks.jobs:
            await asyncio.sleep(0.01)
    principals = [principal.id for principal, *_ in door.gateway.performed]
    assert principals == ["corp:alice", "corp:alice"]
    refused = await alice.send("tasks/get", {"taskId": created["taskId"]})
    assert refused.status_code == 401


@METHODS
async def test_anothers_task_does_not_exist(
    door: Door, alice: Modern, carol: Modern, method: str
) -> None:
    created = await alice.run_sql(UPDATE)
    params = {"taskId": created["taskId"], "inputResponses": {}}
    foreign = await carol.ask(method, params)
    unknown = await carol.ask(method, {**params, "taskId": "task_nowhere"})
    assert foreign["error"] == unknown["error"]
    assert foreign["error"]["code"] == t.INVALID_PARAMS
    assert (await alice.task(created["taskId"]))["status"] == "working"
    assert door.tasks.jobs.keys() == {created["taskId"]}


@METHODS
@pytest.mark.parametrize("task", ["", "x" * 65, "a\0b", "';--", "../1"])
async def test_what_can_be_no_id_is_unknown(alice: Modern, method: str, task: str) -> None:
    name = "=?base64?" + base64.b64encode(task.encode()).decode() + "?="
    answer = await alice.ask(method, {"taskId": task, "inputResponses": {}}, **{"mcp-name": name})
    assert answer["error"]["code"] == t.INVALID_PARAMS


@METHODS
async def test_a_client_that_does_not_declare_the_extension_has_no_tasks(
    alice: Modern, method: str
) -> None:
    created = await alice.run_sql(UPDATE)
    plain = Modern(alice.http, alice.url, alice.token)
    answer = await plain.ask(method, {"taskId": created["taskId"], "inputResponses": {}})
    assert answer["error"]["code"] == t.MISSING_REQUIRED_CLIENT_CAPABILITY


@METHODS
async def test_the_header_must_name_the_same_task(alice: Modern, method: str) -> None:
    created = await alice.run_sql(UPDATE)
    params = {"taskId": created["taskId"], "inputResponses": {}}
    answer = await alice.ask(method, params, **{"mcp-name": "task_other"})
    assert answer["error"]["code"] == t.HEADER_MISMATCH


async def test_a_legacy_client_has_no_tasks(door: Door) -> None:
    async with connected(door, "legacy") as client:
        request = t.Request[Any, Any](method="tasks/get", params={"taskId": "task_1"})
        with pytest.raises(Exception, match="Method not found"):
            await client.session.send_request(request, t.Result)


async def test_a_cancelled_task_does_not_run_when_it_is_approved_later(
    door: Door, alice: Modern
) -> None:
    created = await alice.run_sql(UPDATE)
    acknowledged = await alice.ask("tasks/cancel", {"taskId": created["taskId"]})
    assert acknowledged["result"]["resultType"] == "complete"
    assert (await until(alice, created["taskId"], "cancelled"))["status"] == "cancelled"
    await approve(door)
    assert door.tasks.jobs == {}
    assert door.gateway.ran == []


async def test_cancelling_reaches_the_statement(door: Door, alice: Modern) -> None:
    created = await alice.run_sql(SLOW)
    await approve(door)
    async with asyncio.timeout(10):
        await door.gateway.started.wait()
        await alice.ask("tasks/cancel", {"taskId": created["taskId"]})
        await door.gateway.cancelled.wait()
    await until(alice, created["taskId"], "cancelled")


async def test_a_cancellation_that_another_process_was_told_of_comes_with_the_next_look(
    door: Door, alice: Modern
) -> None:
    created = await alice.run_sql(UPDATE)
    await door.tasks.rows.cancel(created["taskId"])
    await until(alice, created["taskId"], "cancelled")
    assert door.gateway.ran == []


async def test_a_principal_has_only_so_many_tasks_and_then_pending_answers(
    door: Door, alice: Modern, carol: Modern
) -> None:
    for number in range(MOST_OPEN + 1):
        door.gateway.scripts[f"{UPDATE}{number}"] = door.gateway.scripts[UPDATE]
    results = [await alice.run_sql(f"{UPDATE}{number}") for number in range(MOST_OPEN + 1)]
    assert [r["resultType"] for r in results] == ["task"] * MOST_OPEN + ["complete"]
    pending = json.loads(results[-1]["content"][0]["text"])
    assert pending["status"] == "pending_approval"
    assert (await carol.run_sql(UPDATE))["resultType"] == "task"


async def test_the_page_is_offered_and_what_the_client_says_to_it_changes_nothing(
    door: Door, alice: Modern
) -> None:
    door.gateway.public_url = "https://gateway.example.com"
    both = Modern(alice.http, alice.url, alice.token, {**WITH_TASKS, "elicitation": {"url": {}}})
    created = await both.run_sql(UPDATE)
    asked = await until(both, created["taskId"], "input_required")
    [(key, request)] = asked["inputRequests"].items()
    assert request["params"]["url"] == "https://gateway.example.com/approvals/ap_1"
    answers = {key: {"action": "accept"}, "other": {"action": "accept"}}
    await both.ask("tasks/update", {"taskId": created["taskId"], "inputResponses": answers})
    assert (await until(both, created["taskId"], "working"))["status"] == "working"
    assert door.gateway.tickets["ap_1"].state == "pending"
    await approve(door)
    await until(both, created["taskId"], "completed")


async def test_a_form_comes_before_a_task(door: Door, alice: Modern) -> None:
    both = Modern(alice.http, alice.url, alice.token, {**WITH_TASKS, "elicitation": {"form": {}}})
    assert (await both.run_sql(NOTE))["resultType"] == "input_required"


async def test_a_gateway_that_stops_says_so_and_keeps_the_ticket(gateway: FakeGateway) -> None:
    async with serving(gateway) as door, httpx2.AsyncClient(timeout=20) as http:
        alice = Modern(http, door.url, "alice-token", WITH_TASKS)
        created = await alice.run_sql(UPDATE)
    row = await door.tasks.rows.get(next(iter(gateway.performed))[0], created["taskId"], LOST)
    assert row is not None
    assert row.status == "failed"
    assert row.error is not None
    assert "repeat the exact call" in str(row.error["message"])
    assert gateway.tickets["ap_1"].state == "pending"
    assert gateway.ran == []


async def test_the_extension_is_advertised_to_modern_clients(alice: Modern) -> None:
    discovered = await alice.ask("server/discover", {})
    assert TASKS in discovered["result"]["capabilities"]["extensions"]
