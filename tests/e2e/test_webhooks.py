"""Approvers are told by a whole gateway, and its administrators see to it on the command line."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

import anyio.to_thread
import httpx2
import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from tests.e2e.test_main_job import refusal, run_sql
from tests.e2e.world import World
from tests.server.webhooks.receiver import WITHIN, Answer, Receiver, receiving
from tests.server.webhooks.samples import SECRET

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

UPDATE: Final = "UPDATE orders SET status = 'paid' WHERE id = 1"
CHANGES: Final = (("webhooks/retry", {"all": True}), ("webhooks/test", {"name": "oncall"}))
HIDDEN: Final = "canary-path-of-a-secret-url"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def world(
    worlds: Callable[..., World], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> World:
    """A gateway with two receivers at one address: a signed one, and one of Slack's shape."""
    monkeypatch.setenv("E2E_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("E2E_SLACK_URL", f"{receiver.url}/{HIDDEN}")
    signed = {"name": "oncall", "url": receiver.url, "secret": "env:E2E_WEBHOOK_SECRET"}
    slack = {"name": "channel", "url": "env:E2E_SLACK_URL", "format": "slack", "groups": ["dba"]}
    return worlds(notifications={"webhooks": [signed, slack], "retries": {"tries": 1}})


async def typed(world: World, who: str, *words: str) -> subprocess.CompletedProcess[str]:
    """On the command line, while the receiver goes on answering."""
    return await anyio.to_thread.run_sync(partial(world.cli, who, *words))


async def called(
    world: World, who: str, path: str, body: dict[str, Any] | None = None
) -> httpx2.Response:
    """As the command line does."""
    headers = {"Authorization": f"Bearer {world.token(who, agent='ostiary-cli')}"}
    async with httpx2.AsyncClient(base_url=world.url, headers=headers, timeout=30) as http:
        if body is None:
            return await http.get(f"/api/{path}")
        return await http.post(f"/api/{path}", json=body)


async def asked(world: World) -> str:
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, UPDATE))
    return str(said["approval_id"])


def of(sent: Any, kind: str) -> list[Any]:
    return [s for s in sent if kind in s.body.decode()]


async def test_approvers_are_told_that_a_request_waits_and_what_came_of_it(
    world: World, receiver: Receiver
) -> None:
    await anyio.to_thread.run_sync(world.start)
    ticket = await asked(world)
    first = await receiver.requests(2)
    [signed] = of(first, "approval.asked")
    told = Oracle(SECRET).verify(signed.body, signed.headers)["data"]
    assert told["id"] == ticket
    assert told["url"] == f"{world.url}/approvals/{ticket}"
    assert told["tables"][0]["table"] == "public.orders"
    [slack] = [s for s in first if s is not signed]
    assert slack.document["blocks"][-1]["elements"][0]["url"] == told["url"]
    assert all("paid" not in s.body.decode() for s in first)

    approved = await called(world, "victor", f"approvals/{ticket}/decision", {"approve": True})
    assert approved.status_code == 200, approved.text
    later = (await receiver.requests(4))[2:]
    [signed] = of(later, "approval.approved")
    assert Oracle(SECRET).verify(signed.body, signed.headers)["data"]["decided_by"]

    for path, body in (("webhooks", None), ("webhooks/failed", None), *CHANGES):
        refused = await called(world, "rita", path, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "NOT_PERMITTED")
    tried = await typed(world, "victor", "webhooks", "test", "oncall")
    assert (tried.returncode, tried.stdout) == (0, "oncall has taken a test event\n")
    [test] = of(receiver.sent, "webhook.test")
    assert Oracle(SECRET).verify(test.body, test.headers)
    unknown = await called(world, "victor", "webhooks/test", {"name": "nobody"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "WEBHOOK_UNKNOWN")
    for body in ({}, {"all": False}, {"all": True, "id": "msg_1"}, {"id": "../x"}, {"all": 1}):
        assert (await called(world, "victor", "webhooks/retry", body)).status_code == 400
    listed = (await typed(world, "victor", "webhooks", "list")).stdout
    assert "oncall" in listed
    assert HIDDEN not in listed
    async with world.journal() as journal:
        recorded = await journal.fetch("SELECT document FROM records WHERE kind = 'intent'")
    assert any('"operation":"test"' in row["document"] for row in recorded)


async def test_what_fails_for_good_is_seen_and_begins_again_after_a_kill(
    world: World, receiver: Receiver
) -> None:
    receiver.otherwise = Answer(410)
    await anyio.to_thread.run_sync(world.start)
    await asked(world)
    await receiver.requests(2)
    await until_failed(world, 2)
    letters = (await typed(world, "victor", "webhooks", "failed")).stdout
    assert letters.count("HTTP status 410") == 2

    await anyio.to_thread.run_sync(world.kill)
    receiver.otherwise = Answer()
    await anyio.to_thread.run_sync(world.start)
    again = await typed(world, "victor", "webhooks", "retry", "--all")
    assert again.stdout == "2 on the way again\n", again.stderr
    sent = await receiver.requests(4)
    signed = of(sent, "approval.asked")
    assert len({s.id for s in signed}) == 1
    await until_failed(world, 0)
    for shown in (letters, world.log.read_text()):
        assert HIDDEN not in shown
        assert SECRET not in shown


async def until_failed(world: World, count: int) -> None:
    async with asyncio.timeout(WITHIN * 3):
        while len((await called(world, "victor", "webhooks/failed")).json()["failed"]) != count:
            await asyncio.sleep(0.05)
