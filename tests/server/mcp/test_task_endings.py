"""How a task ends when its end is asked for at an awkward moment, and what an answer may hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import mcp.types as t
import pytest
from pydantic import JsonValue

from policies.model import Channel
from server.mcp.task_methods import MOST_ANSWERS
from server.mcp.task_rows import Ending, Look, TaskRow
from server.mcp.task_wire import LAPSED, LOST
from server.mcp.tasks import Opening, Tasks, Underway
from tests.fixtures.gateway import ALICE, BOB, shop
from tests.fixtures.mcp import Door, serving
from tests.fixtures.modern import WITH_TASKS, Modern
from tests.fixtures.tasks import MemoryTasks

pytestmark = pytest.mark.anyio
OPENING = Opening("ap_1", "Waiting.", datetime(2040, 1, 1, tzinfo=UTC))
RESULT: Mapping[str, JsonValue] = {"content": []}


@dataclass(slots=True)
class SlowTasks(MemoryTasks):
    """A store that takes its time to keep how a task ended."""

    finishing: asyncio.Event = field(default_factory=asyncio.Event)
    may_finish: asyncio.Event = field(default_factory=asyncio.Event)

    async def finish(self, task: str, ending: Ending) -> None:
        self.finishing.set()
        await self.may_finish.wait()
        await MemoryTasks.finish(self, task, ending)


class ForgetfulTasks(MemoryTasks):
    """A store that could not be reached for so long that it has given all tasks up."""

    async def renew(self, tasks: Sequence[str]) -> Mapping[str, Look]:
        await asyncio.sleep(0.001)  # no store answers at once
        return {}


async def at_once(_underway: Underway) -> Mapping[str, JsonValue]:
    return RESULT


async def claiming(underway: Underway) -> Mapping[str, JsonValue]:
    await underway.claim()
    return RESULT


async def endless(_underway: Underway) -> Mapping[str, JsonValue]:
    await asyncio.Event().wait()
    return RESULT


async def ended(tasks: Tasks) -> TaskRow:
    async with asyncio.timeout(10):
        while tasks.jobs:
            await asyncio.sleep(0)
    assert isinstance(tasks.rows, MemoryTasks)
    [task] = tasks.rows.rows
    row = await tasks.get(ALICE, task)
    assert row is not None
    return row


async def test_a_task_that_has_run_keeps_its_result_whoever_asks_for_its_end() -> None:
    """By tasks/cancel, from another process, and at the end of this one, all of it too late."""
    rows = SlowTasks()
    tasks = Tasks(rows, 0.001)
    async with tasks.running(), asyncio.timeout(10):
        created = await tasks.start(ALICE, OPENING, at_once)
        assert created is not None
        await rows.finishing.wait()
        await tasks.cancel(str(created["taskId"]))
        for _ in range(10):
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_soon(rows.may_finish.set)
    row = await ended(tasks)
    assert (row.status, row.result) == ("completed", RESULT)


@pytest.mark.parametrize("work", [endless, claiming])
async def test_a_task_that_the_store_gave_up_does_not_say_that_its_caller_ended_it(
    work: Any,
) -> None:
    tasks = Tasks(ForgetfulTasks(), 0.001)
    async with tasks.running():
        await tasks.start(ALICE, OPENING, work)
        row = await ended(tasks)
    assert (row.status, row.message) == (LAPSED.status, LAPSED.message)
    assert row.message != LOST.message


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    gateway = shop()
    gateway.public_url = "https://gateway.example.com"
    async with serving(gateway) as door:
        yield door


@pytest.fixture
async def alice(door: Door) -> AsyncIterator[Modern]:
    capabilities = {**WITH_TASKS, "elicitation": {"url": {}}}
    async with httpx2.AsyncClient(timeout=20) as http:
        yield Modern(http, door.url, "alice-token", capabilities)


async def test_a_task_that_was_ended_elsewhere_does_not_begin_before_the_next_look(
    door: Door, alice: Modern
) -> None:
    door.tasks.look_seconds = 1000.0
    task = (await alice.run_sql("UPDATE orders SET paid = true WHERE id = 1"))["taskId"]
    await door.tasks.rows.cancel(task)
    await door.gateway.decide(BOB, "ap_1", approve=True, comment="", channel=Channel.API)
    async with asyncio.timeout(10):
        while (state := await alice.task(task))["status"] in ("working", "input_required"):
            await asyncio.sleep(0.01)
    assert state["status"] == "cancelled"
    assert door.gateway.ran == []


@pytest.mark.parametrize(
    "answer",
    [
        "x" * MOST_ANSWERS,
        "\ud800",
        {"action": "accept", "content": {"x": "\udfff"}},
        -(10**19) + 1,
    ],
)
async def test_an_answer_that_cannot_be_kept_is_refused_and_asked_for_still(
    alice: Modern, answer: JsonValue, caplog: pytest.LogCaptureFixture
) -> None:
    task = (await alice.run_sql("UPDATE orders SET paid = true WHERE id = 1"))["taskId"]
    async with asyncio.timeout(10):
        while (asked := await alice.task(task))["status"] != "input_required":
            await asyncio.sleep(0.01)
    [key] = asked["inputRequests"]
    body = json.dumps(alice.body("tasks/update", {"taskId": task, "inputResponses": {key: answer}}))
    headers = alice.headers("tasks/update", task)
    told = await alice.http.post(alice.url + "/mcp", headers=headers, content=body)
    assert told.json()["error"]["code"] == t.INVALID_PARAMS
    assert (await alice.task(task))["inputRequests"].keys() == {key}
    assert not [record for record in caplog.records if record.exc_info]
