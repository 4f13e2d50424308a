"""Statements that wait for a person at the PostgreSQL door, and sessions that end in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from policies.model import Channel, DecideApproval, Principal
from server.approvals.tickets import Ticket
from server.native.waiting_room import WaitingRoom
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase
from tests.server.protocols.gateway import TOKEN, Door, opened
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags

pytestmark = pytest.mark.anyio

BOSS = Principal("corp:bo", "Bo", "agent-2", frozenset({"dba"}))
UPDATE = "UPDATE orders SET status = 'sent' WHERE id = {}"


@pytest.fixture(scope="module")
async def waits(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> AsyncIterator[Door]:
    async with opened(shop_database, store_database, approval_wait=60.0) as made:
        yield made


async def ticket_in(client: RawClient) -> str:
    """The ticket that the notice names, which comes before anything is answered."""
    while not isinstance(said := await client.reply(), b.NoticeResponse):
        assert not isinstance(said, b.ErrorResponse), said
    fields = dict(said.fields)
    assert fields["S"] == b"NOTICE"
    return fields["M"].decode().split("ticket ")[1].rstrip(".")


async def decide(door: Door, ticket: str, *, approve: bool = True) -> Ticket:
    found = await door.gate.approvals.get(ticket)
    action = DecideApproval(ticket, approve, found.requested(BOSS))
    return await door.gate.approvals.decide(BOSS, action, channel=Channel.API)


async def state_of(door: Door, ticket: str, wanted: str) -> None:
    async with asyncio.timeout(20):
        while (await door.gate.approvals.get(ticket)).state != wanted:
            await asyncio.sleep(0.01)


def refusals(replies: list[Reply]) -> list[str]:
    return [text for _, text in errors(replies)]


async def test_a_query_waits_and_runs_when_it_is_approved(waits: Door) -> None:
    client = await waits.client()
    client.send(f.Query(UPDATE.format(1)))
    ticket = await ticket_in(client)
    await decide(waits, ticket)
    assert tags(await client.until_ready()) == "CZI"
    assert (await waits.gate.approvals.get(ticket)).state == "used"


async def test_a_denied_query_is_refused_with_the_reason(waits: Door) -> None:
    client = await waits.client()
    client.send(f.Query(UPDATE.format(2)))
    await decide(waits, await ticket_in(client), approve=False)
    replies = await client.until_ready()
    assert tags(replies) == "EZI"
    assert "denied" in refusals(replies)[0]


async def test_a_parse_asks_nobody_and_its_execute_waits(waits: Door) -> None:
    client = await waits.client()
    client.send(f.Parse("s", UPDATE.format(3)), f.Sync())
    assert tags(await client.until_ready()) == "1ZI"
    client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
    await decide(waits, await ticket_in(client))
    assert tags(await client.until_ready()) == "2CZI"


async def test_a_parse_that_was_flushed_holds_nothing_open_while_its_execute_waits(
    waits: Door,
) -> None:
    client = await waits.client()
    client.send(f.Parse("s", UPDATE.format(4)), f.Describe("S", "s"), f.Flush())
    seen = [await client.reply() for _ in range(3)]
    assert tags(seen) == "1tn"
    client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
    ticket = await ticket_in(client)
    direct = await asyncpg.connect(waits.sample.dsn)
    try:
        held = await direct.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ostiary'"
            " AND state LIKE 'idle in transaction%'"
        )
    finally:
        await direct.close()
    assert held == 0
    await decide(waits, ticket)
    assert tags(await client.until_ready()) == "2CZI"


async def test_in_a_transaction_nobody_waits_and_the_repetition_runs_once(waits: Door) -> None:
    client = await waits.client()
    await client.query("BEGIN")
    replies = await client.query(UPDATE.format(5))
    assert tags(replies) == "EZE"
    (error,) = [r for r in replies if isinstance(r, b.ErrorResponse)]
    assert error.text("H").startswith("ROLLBACK")
    ticket = refusals(replies)[0].split("ticket ")[1].rstrip(".")
    await decide(waits, ticket)
    await client.query("ROLLBACK")
    await client.query("BEGIN")
    assert tags(await client.query(UPDATE.format(5))) == "CZT"
    await client.query("COMMIT")
    client.send(f.Query(UPDATE.format(5)))
    assert await ticket_in(client) != ticket


async def test_in_a_pipeline_nobody_waits(waits: Door) -> None:
    client = await waits.client()
    one = (f.Parse("", "SELECT 1"), f.Bind("", ""), f.Execute(""))
    two = (f.Parse("", UPDATE.format(6)), f.Bind("", ""), f.Execute(""))
    client.send(*one, *two, f.Sync())
    replies = await client.until_ready()
    assert tags(replies) == "12DC1EZI"
    assert "needs approval" in refusals(replies)[0]


async def test_a_client_that_goes_away_withdraws_its_request(waits: Door) -> None:
    client = await waits.client()
    client.send(f.Query(UPDATE.format(7)))
    ticket = await ticket_in(client)
    client.writer.transport.abort()
    await state_of(waits, ticket, "withdrawn")


async def test_a_cancel_takes_the_request_back_and_the_session_goes_on(waits: Door) -> None:
    client = await waits.client()
    client.send(f.Query(UPDATE.format(8)))
    ticket = await ticket_in(client)
    other = await waits.connect()
    assert client.key is not None
    other.send(f.CancelRequest(client.key.process, client.key.secret))
    replies = await client.until_ready()
    assert errors(replies)[0][0] == "57014"
    await state_of(waits, ticket, "withdrawn")
    assert tags(await client.query("SELECT 1")) == "TDCZI"


async def test_a_copy_in_that_needs_approval_is_refused_before_any_data(waits: Door) -> None:
    client = await waits.client()
    text = "COPY orders (id, customer_id) FROM STDIN -- update orders"
    replies = await client.query(text)
    assert tags(replies) == "EZI"
    assert "needs approval" in refusals(replies)[0]
    await decide(waits, refusals(replies)[0].split("ticket ")[1].rstrip("."))
    client.send(f.Query(text))
    assert isinstance(await client.reply(), b.CopyInResponse)
    client.send(f.CopyFail("enough"))
    assert tags(await client.until_ready()) == "EZI"


async def test_a_wait_that_lasts_too_long_ends_with_the_ticket(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> None:
    async with opened(shop_database, store_database, approval_wait=0.2) as door:
        client = await door.client()
        client.send(f.Query(UPDATE.format(9)))
        ticket = await ticket_in(client)
        assert ticket in refusals(await client.until_ready())[0]
        assert (await door.gate.approvals.get(ticket)).state == "pending"
        await decide(door, ticket)
        assert tags(await client.query(UPDATE.format(9))) == "CZI"


async def test_sessions_end_by_silence_and_by_their_length(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> None:
    async with opened(shop_database, store_database, quiet_limit=0.3) as door:
        quiet = await door.client()
        assert errors(await quiet.to_the_end())[0][0] == "57P05"
    async with opened(shop_database, store_database, session_limit=0.3) as door:
        long = await door.client()
        assert "as long as" in refusals(await long.to_the_end())[0]


async def test_who_has_not_logged_in_makes_room_and_who_has_stays(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> None:
    room = WaitingRoom(per_address=3, in_total=10)
    async with opened(shop_database, store_database, room=room) as door:
        inside = await door.client()
        silent = [await door.connect() for _ in range(8)]
        first_gone = [await each.to_the_end() for each in silent[:5]]
        assert first_gone == [[]] * 5
        late = await door.client(token=TOKEN)
        assert tags(await late.query("SELECT 1")) == "TDCZI"
        assert tags(await inside.query("SELECT 1")) == "TDCZI"


async def test_a_stopping_door_ends_idle_sessions_and_lets_a_transaction_end(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> None:
    async def ended(door: Door, idle: RawClient, busy: RawClient) -> list[Reply]:
        assert errors(await idle.to_the_end())[0][0] == "57P01"
        replies = await busy.query("COMMIT")
        assert tags(replies) == "CZI"
        return await busy.to_the_end()

    async with opened(shop_database, store_database) as door:
        idle, busy = await door.client(), await door.client()
        door.clients.clear()  # this test's own to close
        await busy.query("BEGIN")
        last = asyncio.create_task(ended(door, idle, busy))
    assert errors(await last)[0][0] == "57P01"
    idle.writer.close()
    busy.writer.close()
