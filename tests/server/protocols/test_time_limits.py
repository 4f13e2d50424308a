"""A session may lift the server's own time limits: the gateway keeps the target's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase
from tests.server.protocols.gateway import Door, opened
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags
from tests.server.protocols.test_listener import cells, run, until_running

pytestmark = pytest.mark.anyio

ENDLESS = "SELECT count(*) FROM orders a, orders b, orders c, orders d, orders e"
STATEMENT, IDLE = 1.5, 0.3  # seconds; the catalog is read within the first
LIMITS = (
    *("statement_timeout", "lock_timeout"),
    *("idle_in_transaction_session_timeout", "idle_session_timeout"),
)


@pytest.fixture(scope="module")
async def brief(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> AsyncIterator[Door]:
    """A target that lets a statement run for a moment, and a transaction stand still as long."""
    made = opened(shop_database, store_database, statement_timeout=STATEMENT, idle_limit=IDLE)
    async with made as door:
        yield door


async def to_the_end(client: RawClient) -> list[Reply]:
    async with asyncio.timeout(60):
        return await client.to_the_end()


def fatal(replies: list[Reply]) -> str:
    """What the session ended with."""
    ends = [r for r in replies if isinstance(r, b.ErrorResponse)]
    assert ends
    assert ends[-1].fatal
    return f"{ends[-1].text('M')} {ends[-1].text('D')}"


async def unlimited(door: Door) -> RawClient:
    client = await door.client()
    for name in LIMITS:
        assert tags(await client.query(f"SET {name} = 0")) == "CZI"
    assert cells(await client.query("SHOW statement_timeout")) == [[b"0"]]
    return client


async def test_a_statement_ends_at_the_targets_limit_whatever_the_session_set(
    brief: Door,
) -> None:
    """The server's own error comes first where it is not lifted, and the session goes on."""
    simple, extended, usual = await unlimited(brief), await unlimited(brief), await brief.client()
    simple.send(f.Query(ENDLESS))
    extended.send(*run(ENDLESS), f.Sync())
    usual.send(f.Query(ENDLESS))
    for client in (simple, extended):
        said = fatal(await to_the_end(client))
        assert "TIME_LIMIT" in said
        assert f"{STATEMENT:g} s that this target allows" in said
    await until_running(brief, ENDLESS, 0)
    assert [state for state, _ in errors(await usual.until_ready())] == ["57014"]
    assert cells(await usual.query("SELECT 7")) == [[b"7"]]


@pytest.mark.parametrize("last", ["SELECT 1", "SELECT 1/0"])
async def test_a_transaction_that_stands_still_is_ended(brief: Door, last: str) -> None:
    without = await brief.client()
    client = await unlimited(brief)
    await client.query("BEGIN")
    await client.query(last)
    said = fatal(await to_the_end(client))
    assert "IDLE_IN_TRANSACTION" in said
    # One that waited as long without a transaction goes on.
    assert cells(await without.query("SELECT 7")) == [[b"7"]]


async def test_half_a_batch_is_answered_and_then_no_transaction_to_keep(brief: Door) -> None:
    """Without a Sync there is a transaction too, and no limit of the server's on its idleness."""
    client = await unlimited(brief)
    client.send(*run("SELECT 7"))
    replies = await to_the_end(client)
    assert cells(replies) == [[b"7"]]
    assert "IDLE_IN_TRANSACTION" in fatal(replies)


async def test_a_transaction_in_use_goes_on_past_the_limit(brief: Door) -> None:
    """Idleness counts from the last answer, not from the transaction's beginning."""
    client = await unlimited(brief)
    await client.query("BEGIN")
    loop = asyncio.get_running_loop()
    end = loop.time() + 3 * IDLE
    while loop.time() < end:
        assert tags(await client.query("SELECT 1")).endswith("ZT")
    assert tags(await client.query("COMMIT")) == "CZI"


@pytest.mark.parametrize("message", [f.Flush(), f.Sync()], ids=["Flush", "Sync"])
async def test_messages_that_ask_nothing_do_not_keep_a_transaction(
    brief: Door, message: f.FrontendMessage
) -> None:
    client = await unlimited(brief)
    await client.query("BEGIN")
    ended = asyncio.ensure_future(to_the_end(client))
    while not ended.done():
        client.send(message)
        await asyncio.wait([ended], timeout=IDLE / 10)
    assert "IDLE_IN_TRANSACTION" in fatal(ended.result())


@pytest.mark.parametrize("form", ["{}", "COPY ({}) TO STDOUT"], ids=["rows", "COPY"])
async def test_answers_that_nobody_reads_do_not_keep_a_transaction(brief: Door, form: str) -> None:
    """The server waits for who reads, with all its locks, and takes no cancel request."""
    client, large = await unlimited(brief), "SELECT lpad('x', 1000000) FROM generate_series(1, 100)"
    await client.query("BEGIN")
    client.send(f.Query(form.format(large)))
    await until_running(brief, form.format(large), 1)
    await until_running(brief, form.format(large), 0)
    with pytest.raises((EOFError, ConnectionError)):
        await client.until_ready()
