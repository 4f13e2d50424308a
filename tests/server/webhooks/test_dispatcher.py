"""Receivers are told: on a real store, with real tickets and a real receiver."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from policies.errors import BackendUnavailable
from server.approvals.tickets import Ticket
from server.webhooks.deliveries import Delivery
from server.webhooks.dispatcher import backoff
from server.webhooks.settings import Retries
from tests.fixtures.postgres import PostgresDatabase, PostgresServer
from tests.recordings.conftest import Outage
from tests.server.webhooks.conftest import QUICK, Tickets
from tests.server.webhooks.receiver import WITHIN, Answer, Receiver, receiving
from tests.server.webhooks.samples import DBA, SECRET, SECURITY, request, webhook

pytestmark = pytest.mark.anyio

STATES = "SELECT state, tries, why FROM deliveries ORDER BY noticed_at, event"


async def eventually(ask: Callable[[], Awaitable[Any]]) -> None:
    """Until it is so; a deadline round it."""
    async with asyncio.timeout(WITHIN):
        while not await ask():
            await asyncio.sleep(0.01)


def state_is(tickets: Tickets, *states: str) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return [row["state"] for row in await tickets.rows(STATES)] == list(states)

    return so


async def test_who_waits_for_a_person_is_told_with_a_signature(
    tickets: Tickets, receiver: Receiver
) -> None:
    async with tickets.dispatching(webhook(receiver.url)):
        await eventually(introduced(tickets))
        ticket = await tickets.ask()
        [sent] = await receiver.requests(1)
    said = Oracle(SECRET).verify(sent.body, sent.headers)
    assert said["type"] == "approval.asked"
    assert said["data"]["url"] == f"https://ostiary.example.com/approvals/{ticket.id}"


def introduced(tickets: Tickets) -> Callable[[], Awaitable[Any]]:
    return lambda: tickets.rows("SELECT name FROM webhooks")


async def test_what_came_of_it_is_told_as_well(tickets: Tickets, receiver: Receiver) -> None:
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    ticket = await tickets.ask()
    async with tickets.dispatching(hook):
        await receiver.requests(1)
        await tickets.become(ticket, "denied")
        sent = await receiver.requests(2)
        await eventually(state_is(tickets, "delivered", "delivered"))
    assert [s.document["type"] for s in sent] == ["approval.asked", "approval.denied"]
    assert len({s.id for s in sent}) == 2


async def test_first_it_was_asked_and_then_approved_whoever_looks_late(
    tickets: Tickets, receiver: Receiver
) -> None:
    hook = webhook(receiver.url, events=("used", "approved", "asked"))
    await tickets.introduce(hook)
    await tickets.become(await tickets.ask(), "used")
    async with tickets.dispatching(hook):
        sent = await receiver.requests(3)
    types = [s.document["type"] for s in sent]
    assert types == ["approval.asked", "approval.approved", "approval.used"]


async def test_only_events_that_it_wants(tickets: Tickets, receiver: Receiver) -> None:
    hook = webhook(receiver.url, events=("expired",))
    await tickets.introduce(hook)
    await tickets.become(await tickets.ask(), "expired")
    async with tickets.dispatching(hook):
        await eventually(state_is(tickets, "delivered"))
    assert [s.document["type"] for s in receiver.sent] == ["approval.expired"]


async def test_only_requests_that_its_groups_decide(tickets: Tickets, receiver: Receiver) -> None:
    hook = webhook(receiver.url, groups=("security",))
    await tickets.introduce(hook)
    await tickets.ask(request("SELECT 1"), DBA)
    wanted = await tickets.ask(request("SELECT 2"), DBA, SECURITY)
    async with tickets.dispatching(hook):
        await eventually(state_is(tickets, "delivered"))
    assert [s.document["data"]["id"] for s in receiver.sent] == [wanted.id]


async def test_what_was_asked_before_it_was_there_is_no_news(
    tickets: Tickets, receiver: Receiver
) -> None:
    await tickets.ask(request("SELECT 'before'"))
    async with tickets.dispatching(webhook(receiver.url)):
        await eventually(introduced(tickets))
        later = await tickets.ask(request("SELECT 'after'"))
        await eventually(state_is(tickets, "delivered"))
    assert [s.document["data"]["id"] for s in receiver.sent] == [later.id]


async def test_what_is_over_for_a_day_is_no_news(tickets: Tickets, receiver: Receiver) -> None:
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    old = await tickets.ask(request("SELECT 'old'"))
    await tickets.store.pool.execute(
        "UPDATE tickets SET state = 'denied', expires_at = now() - interval '25 hours'"
        " WHERE id = $1",
        old.id,
    )
    new = await tickets.ask(request("SELECT 'new'"))
    async with tickets.dispatching(hook):
        await eventually(state_is(tickets, "delivered"))
    assert [s.document["data"]["id"] for s in receiver.sent] == [new.id]


async def test_a_failure_is_tried_again_with_the_same_id(
    tickets: Tickets, receiver: Receiver
) -> None:
    receiver.answers.extend([Answer(500), Answer(503)])
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    await tickets.ask()
    async with tickets.dispatching(hook):
        sent = await receiver.requests(3)
        await eventually(state_is(tickets, "delivered"))
    assert len({s.id for s in sent}) == 1
    assert all(Oracle(SECRET).verify(s.body, s.headers) for s in sent)


async def test_after_the_last_try_it_is_a_dead_letter_on_record(
    tickets: Tickets, receiver: Receiver
) -> None:
    receiver.otherwise = Answer(500)
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    ticket = await tickets.ask()
    async with tickets.dispatching(hook):
        await eventually(state_is(tickets, "dead"))
    assert len(receiver.sent) == QUICK.tries
    [row] = await tickets.rows(STATES)
    assert (row["tries"], row["why"]) == (QUICK.tries, "HTTP status 500")
    [record] = await tickets.rows("SELECT document FROM records WHERE kind = 'webhook_failed'")
    assert ticket.id in record["document"]
    assert receiver.url not in record["document"]


async def test_a_receiver_that_is_gone_is_not_asked_twice(
    tickets: Tickets, receiver: Receiver
) -> None:
    receiver.otherwise = Answer(410)
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    await tickets.ask()
    async with tickets.dispatching(hook):
        await eventually(state_is(tickets, "dead"))
    assert len(receiver.sent) == 1


async def test_a_dead_letter_can_begin_again(tickets: Tickets, receiver: Receiver) -> None:
    receiver.answers.append(Answer(410))
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    await tickets.ask()
    async with tickets.dispatching(hook) as dispatcher:
        await eventually(state_is(tickets, "dead"))
        [letter] = await dispatcher.deliveries.dead()
        assert await dispatcher.deliveries.revive(["another"], letter.id) == 0
        assert await dispatcher.deliveries.revive([hook.name], letter.id) == 1
        await eventually(state_is(tickets, "delivered"))
    assert len({s.id for s in receiver.sent}) == 1


async def test_a_receiver_that_asks_for_time_gets_it(tickets: Tickets, receiver: Receiver) -> None:
    receiver.answers.append(Answer(429, {"Retry-After": "3600"}))
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    await tickets.ask()
    async with tickets.dispatching(hook):
        await eventually(lambda: tickets.rows("SELECT 1 FROM deliveries WHERE why <> ''"))
    [row] = await tickets.rows("SELECT due_at - noticed_at AS wait FROM deliveries")
    assert 3590 < row["wait"].total_seconds() < 3700


async def test_two_gateways_on_one_store_send_once(tickets: Tickets, receiver: Receiver) -> None:
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    async with AsyncExitStack() as gateways:
        for _ in range(3):
            await gateways.enter_async_context(tickets.dispatching(hook))
        asked = [await tickets.ask(request(f"SELECT {n}")) for n in range(40)]
        await eventually(state_is(tickets, *["delivered"] * 40))
    assert Counter(s.document["data"]["id"] for s in receiver.sent) == {t.id: 1 for t in asked}


async def test_what_a_gateway_left_undone_another_does(
    tickets: Tickets, receiver: Receiver
) -> None:
    receiver.answers.append(Answer(never=True))
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    await tickets.ask()
    async with tickets.dispatching(hook):
        await receiver.requests(1)  # and then it is stopped in the middle
    assert [row["state"] for row in await tickets.rows(STATES)] == ["waiting"]
    await tickets.store.pool.execute("UPDATE deliveries SET due_at = now()")  # its lease is over
    async with tickets.dispatching(hook):
        sent = await receiver.requests(2)
        await eventually(state_is(tickets, "delivered"))
    assert len({s.id for s in sent}) == 1


async def test_who_comes_back_late_changes_nothing(tickets: Tickets, receiver: Receiver) -> None:
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    await tickets.ask()
    async with tickets.dispatching(hook) as dispatcher:
        await eventually(state_is(tickets, "delivered"))
        [row] = await tickets.rows("SELECT id, webhook, ticket, event, noticed_at FROM deliveries")
        late = Delivery(**row, tries=0, now=row["noticed_at"])
        await dispatcher.deliveries.bury(late, "too late")
        await dispatcher.deliveries.postpone(late, backoff(QUICK, 1), "too late")
    assert [r["state"] for r in await tickets.rows(STATES)] == ["delivered"]


async def test_a_silent_receiver_makes_no_other_wait(tickets: Tickets, receiver: Receiver) -> None:
    async with receiving() as silent:
        silent.otherwise = Answer(never=True)
        hooks = [webhook(silent.url, name="silent"), webhook(receiver.url, name="quick")]
        await tickets.introduce(*hooks)
        async with tickets.dispatching(*hooks):
            await tickets.ask(request("SELECT 1"))
            await silent.requests(1)
            await tickets.ask(request("SELECT 2"))
            await receiver.requests(2)


async def test_a_ticket_that_can_t_be_worded_keeps_no_other_back(
    tickets: Tickets, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    broken = await tickets.ask(request("SELECT 1"))
    await tickets.store.pool.execute("UPDATE tickets SET document = '{}' WHERE id = $1", broken.id)
    good = await tickets.ask(request("SELECT 2"))
    async with tickets.dispatching(hook):
        await receiver.until(lambda sent: bool(sent))
        await eventually(lambda: tickets.rows("SELECT 1 FROM deliveries WHERE state = 'dead'"))
    assert [s.document["data"]["id"] for s in receiver.sent] == [good.id]
    assert "failed" in caplog.text


async def test_while_the_store_is_away_it_waits_and_then_goes_on(
    tickets: Tickets,
    receiver: Receiver,
    postgres: PostgresServer,
    database: PostgresDatabase,
) -> None:
    hook = webhook(receiver.url)
    await tickets.introduce(hook)
    outage = Outage(postgres, database)
    async with tickets.dispatching(hook, look_every=0.05):
        await receiver_hears(tickets, receiver, "SELECT 1", 1)
        await outage.begin()
        await outage.end()
        await receiver_hears(tickets, receiver, "SELECT 2", 2)


async def receiver_hears(tickets: Tickets, receiver: Receiver, sql: str, count: int) -> None:
    await asked(tickets, sql)
    await receiver.requests(count)


async def asked(tickets: Tickets, sql: str) -> Ticket:
    """Again and again, until the store is back."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                return await tickets.ask(request(sql))
            except BackendUnavailable:
                await asyncio.sleep(0.05)


def test_waits_grow_fourfold_up_to_the_longest_and_are_spread() -> None:
    retries = Retries()
    for tries, middle in enumerate([10, 40, 160, 640, 2560, 3600, 3600], start=1):
        waits = [backoff(retries, tries).total_seconds() for _ in range(50)]
        assert middle * 0.75 <= min(waits) < max(waits) <= middle * 1.25


def test_a_wait_that_was_asked_for_is_kept() -> None:
    assert backoff(Retries(), 1, asked_for=500).total_seconds() == 500
