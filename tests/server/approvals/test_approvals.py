"""Tickets on a real store: two gateways, races, and waiters who are woken."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg
import orjson
import pytest

from policies.errors import Denied
from policies.model import (
    AccessRequest,
    Channel,
    DecideApproval,
    Principal,
    RequireApproval,
    RevokeApproval,
    SqlStatement,
    WithdrawApproval,
)
from recordings.chain import DigestKey
from recordings.journal import Journal
from recordings.store import Store
from server.approvals.approvals import Approvals
from server.approvals.notices import CHANNEL, LOOK_AGAIN
from server.approvals.rows import locked
from server.approvals.tickets import Ticket, bind
from tests.fixtures.postgres import PostgresDatabase
from tests.server.approvals.test_tickets import AROUND, DBA, REQUEST, RITA, TWO, VERA, VICTOR

pytestmark = pytest.mark.anyio

UPDATE = "UPDATE a SET b = 1"
WITHIN = 4 * LOOK_AGAIN
"""Seconds. Nothing is asserted on time: this only ends a test that would wait for ever."""


@dataclass(frozen=True, slots=True)
class Gateways:
    """Two gateways on one store, each with a pool and a listener of its own."""

    one: Approvals
    other: Approvals
    dsn: str

    async def ask(
        self, text: str = "UPDATE a SET b = 1", *, needs: RequireApproval = DBA
    ) -> Ticket:
        request = request_for(text)
        return await self.one.ask(request, bind(request, AROUND), (needs,))

    async def take(
        self, text: str = UPDATE, *, needs: RequireApproval = DBA, blocked: str = ""
    ) -> bool:
        """Whether a call may run on this approval now."""
        taken = await self.other.use(
            bind(request_for(text), AROUND), (needs,), stands=lambda who: who.id != blocked
        )
        return taken is not None

    async def decide(
        self, ticket: Ticket, by: Principal = VICTOR, *, verdict: str = "approve"
    ) -> Ticket:
        action = DecideApproval(ticket.id, verdict == "approve", ticket.requested(by))
        return await self.other.decide(by, action, channel=Channel.API)

    async def revoke(self, ticket: Ticket, by: Principal = VICTOR) -> Ticket:
        action = RevokeApproval(ticket.id, ticket.requested(by), "too late")
        return await self.other.end(by, action, channel=Channel.API)

    async def withdraw(self, ticket: Ticket, by: Principal = RITA) -> Ticket:
        action = WithdrawApproval(ticket.id, ticket.requested(by), "a typo")
        return await self.other.end(by, action, channel=Channel.API)

    async def recorded(self, kind: str) -> list[dict[str, str]]:
        rows = await self.one.store.pool.fetch("SELECT document FROM records WHERE kind = $1", kind)
        return [orjson.loads(row["document"]) for row in rows]


def request_for(text: str) -> AccessRequest:
    return replace(REQUEST, action=SqlStatement(text))


@pytest.fixture
async def gateways(database: PostgresDatabase) -> AsyncIterator[Gateways]:
    async with AsyncExitStack() as lifetime:

        async def gateway(name: str) -> Approvals:
            store = await Store.open(database.dsn)
            lifetime.push_async_callback(store.close)
            key = DigestKey("digest-1", b"a digest key of thirty-two bytes")
            journal = await Journal.open(store, gateway=name, digest_key=key)
            lifetime.push_async_callback(journal.close)
            approvals = Approvals(store, journal, timedelta(minutes=15))
            await lifetime.enter_async_context(approvals.listening())
            return approvals

        yield Gateways(await gateway("one"), await gateway("other"), database.dsn)


async def test_a_decision_through_one_gateway_wakes_who_waits_at_another(
    gateways: Gateways,
) -> None:
    ticket = await gateways.ask()
    async with asyncio.timeout(WITHIN):
        waiting = asyncio.create_task(gateways.one.wait(ticket.id, WITHIN))
        await gateways.decide(ticket)
        assert (await waiting).state == "approved"


async def test_a_waiter_whose_gateway_hears_nothing_looks_again(gateways: Gateways) -> None:
    ticket = await gateways.ask()
    async with asyncio.timeout(WITHIN):
        waiting = asyncio.create_task(gateways.one.wait(ticket.id, WITHIN))
        await deafen(gateways.dsn)
        await gateways.decide(ticket)
        assert (await waiting).state == "approved"


async def deafen(dsn: str) -> None:
    """End every connection that listens."""
    connection = await asyncpg.connect(dsn)
    try:
        ended = 0
        while not ended:
            ended = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE query LIKE $1 AND pid <> pg_backend_pid()",
                f'LISTEN "{CHANNEL}"%',
            )
    finally:
        await connection.close()


@pytest.mark.parametrize("act", ["withdraw", "revoke"])
async def test_who_waits_is_woken_by_a_withdrawal_and_by_a_revocation(
    gateways: Gateways, act: str
) -> None:
    ticket = await gateways.ask(needs=TWO)
    await gateways.decide(ticket)
    async with asyncio.timeout(WITHIN):
        waiting = asyncio.create_task(gateways.one.wait(ticket.id, WITHIN))
        ended = await (gateways.withdraw(ticket) if act == "withdraw" else gateways.revoke(ticket))
        state = {"withdraw": "withdrawn", "revoke": "revoked"}[act]
        assert (await waiting).state == ended.state == state
    assert not await gateways.take(needs=TWO)
    [recorded] = await gateways.recorded(f"approval_{state}")
    assert (recorded["ticket"], recorded["was"]) == (ticket.id, "pending")
    assert recorded["principal"] == {"withdraw": RITA.id, "revoke": VICTOR.id}[act]


@pytest.mark.parametrize("act", ["withdraw", "revoke"])
async def test_of_a_use_and_an_end_at_the_same_moment_exactly_one_wins(
    gateways: Gateways, act: str
) -> None:
    seen = Counter[str]()
    for number in range(12):
        text = f"UPDATE a SET b = {number}"
        ticket = await gateways.decide(await gateways.ask(text))

        async def end(ticket: Ticket = ticket) -> bool:
            with contextlib.suppress(Denied):
                await (gateways.withdraw(ticket) if act == "withdraw" else gateways.revoke(ticket))
                return True
            return False

        attempts = [gateways.take(text), end()]
        used, ended = await asyncio.gather(*(attempts if number % 2 else attempts[::-1]))
        if not number % 2:
            used, ended = ended, used
        assert used is not ended
        state = (await gateways.one.get(ticket.id)).state
        assert (state == "used") is used
        seen[state] += 1
    assert len(await gateways.recorded(f"approval_{_STATE[act]}")) == seen[_STATE[act]]


_STATE = {"withdraw": "withdrawn", "revoke": "revoked"}


async def test_two_people_at_the_same_moment_make_a_quorum_of_two(gateways: Gateways) -> None:
    ticket = await gateways.ask(needs=TWO)
    await asyncio.gather(gateways.decide(ticket), gateways.decide(ticket, VERA))
    assert (await gateways.one.get(ticket.id)).state == "approved"
    assert await gateways.take(needs=TWO)


async def test_one_person_is_not_a_quorum_of_two_and_one_denial_denies(gateways: Gateways) -> None:
    ticket = await gateways.ask(needs=TWO)
    assert (await gateways.decide(ticket)).state == "pending"
    with pytest.raises(Denied, match="approved this request already"):
        await gateways.decide(ticket)
    assert not await gateways.take(needs=TWO)
    assert (await gateways.decide(ticket, VERA, verdict="deny")).state == "denied"


async def test_an_approval_by_one_is_void_once_policy_asks_for_two(gateways: Gateways) -> None:
    ticket = await gateways.decide(await gateways.ask())
    assert ticket.state == "approved"
    assert not await gateways.take(needs=replace(DBA, people=2))
    assert (await gateways.one.get(ticket.id)).state == "void"


async def test_a_request_that_waits_for_one_is_asked_anew_once_policy_asks_for_two(
    gateways: Gateways,
) -> None:
    ticket = await gateways.ask()
    anew = await gateways.ask(needs=replace(DBA, people=2))
    assert anew.id != ticket.id
    assert (await gateways.one.get(ticket.id)).state == "void"


async def test_a_ticket_that_ran_out_while_somebody_decided_is_closed(gateways: Gateways) -> None:
    """It is closed by who looks next; a decision that looked just before finds it so."""
    ticket = await gateways.ask()
    pool = gateways.one.store.pool
    await pool.execute("UPDATE tickets SET expires_at = clock_timestamp()")
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(Denied) as refused:
            await locked(connection, ticket.id)
    assert refused.value.refusal.code == "TICKET_CLOSED"


async def test_of_many_requests_at_once_no_more_than_fifty_wait(gateways: Gateways) -> None:
    asked = await asyncio.gather(
        *(gateways.ask(f"UPDATE a SET b = {number}") for number in range(60)),
        return_exceptions=True,
    )
    assert Counter(type(each) for each in asked) == {Ticket: 50, Denied: 10}


async def test_an_approval_by_somebody_who_was_blocked_since_lets_nothing_run(
    gateways: Gateways,
) -> None:
    ticket = await gateways.decide(await gateways.ask())
    assert not await gateways.take(blocked=VICTOR.id)
    assert (await gateways.one.get(ticket.id)).state == "void"


async def test_a_ticket_that_a_gateway_of_the_last_version_marked_approved_is_counted_again(
    gateways: Gateways,
) -> None:
    """That one knows no quorum: it takes the first approval for the last."""
    ticket = await gateways.ask(needs=TWO)
    await gateways.decide(ticket)
    await gateways.one.store.pool.execute("UPDATE tickets SET state = 'approved'")
    assert not await gateways.take(needs=TWO)
    assert (await gateways.one.get(ticket.id)).state == "void"


async def test_only_the_requester_withdraws_and_the_requester_does_not_revoke(
    gateways: Gateways,
) -> None:
    ticket = await gateways.decide(await gateways.ask())
    for attempt in (gateways.withdraw(ticket, VICTOR), gateways.revoke(ticket, RITA)):
        with pytest.raises(Denied) as refused:
            await attempt
        assert refused.value.refusal.code == "APPROVAL_NOT_YOURS"
    assert (await gateways.one.get(ticket.id)).state == "approved"


async def test_who_withdraws_again_and_again_gets_no_more_tickets(gateways: Gateways) -> None:
    for number in range(50):
        await gateways.withdraw(await gateways.ask(f"UPDATE a SET b = {number}"))
    with pytest.raises(Denied) as refused:
        await gateways.ask("UPDATE a SET b = 50")
    assert refused.value.refusal.code == "APPROVALS_TOO_MANY"
