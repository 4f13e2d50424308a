"""LISTEN and NOTIFY of real clients at a whole gateway, with the recognizers' masks."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import psycopg
import pytest

from tests.attacks_sql.test_drivers import PSQL
from tests.e2e.policy_sets import starter_copy
from tests.e2e.test_main_job import refusal, run_sql
from tests.e2e.world import World

pytestmark = pytest.mark.anyio
WITHIN: Final = 20.0  # seconds
SSN: Final = "219-09-9991"
EMAIL: Final = "ada.canary@example.com"
PERMIT: Final = """
@id("developers-hear-of-orders")
permit (
  principal in Group::"developers",
  action in [Action::"sql.listen", Action::"sql.notify"],
  resource == Target::"shop"
)
when { ["orders", "Orders", "agreed"].containsAll(context.sql.channels) };
@id("what-is-agreed")
@approve("dba")
forbid (principal, action == Action::"sql.notify", resource)
when { context.sql.channels.contains("agreed") };
"""
TRIGGER: Final = """
CREATE TABLE told (id integer, what text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_notify('orders', row_to_json(NEW)::text); RETURN NEW; END$$;
CREATE TRIGGER t AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION tell();
"""


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    directory = starter_copy(made.directory / "policies")
    permit(directory)
    made.settings = {"policies": str(directory)}
    made.direct_execute(TRIGGER)
    made.start()
    return made


def permit(directory: Path, text: str = PERMIT) -> None:
    (directory / "channels.cedar").write_text(text)


def place(world: World) -> dict[str, Any]:
    at = {"host": "127.0.0.1", "port": world.listener, "user": "rita"}
    return {**at, "password": world.token("rita")}


@asynccontextmanager
async def listening(
    world: World,
) -> AsyncIterator[tuple[asyncpg.Connection[Any], asyncio.Queue[str]]]:
    """An asyncpg client, and the payloads that it hears."""
    connection = await asyncpg.connect(**place(world), database="shop", timeout=WITHIN)
    told = asyncio.Queue[str]()

    def hear(_connection: object, _process: int, channel: str, payload: object) -> None:
        told.put_nowait(f"{channel}: {payload}")

    try:
        await connection.add_listener("orders", hear)
        yield connection, told
    finally:
        await connection.close(timeout=WITHIN)


async def heard(told: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(WITHIN):
        return await told.get()


async def say(world: World, payload: str, channel: str = "orders") -> None:
    """What somebody says at the server, past the gateway."""
    async with world.direct() as direct:
        await direct.execute("SELECT pg_notify($1, $2)", channel, payload)


def psql(world: World, *statements: str) -> subprocess.CompletedProcess[str]:
    command = [PSQL, "-X", "-h", "127.0.0.1", "-p", str(world.listener), "-U", "rita", "shop"]
    asked = [part for statement in statements for part in ("-c", statement)]
    environment = {**os.environ, "PGPASSWORD": world.token("rita")}
    return subprocess.run(
        [*command, *asked], env=environment, capture_output=True, text=True, timeout=60
    )


def test_psql_prints_what_was_said_masked(world: World) -> None:
    done = psql(world, "LISTEN orders", f"NOTIFY orders, 'ask {EMAIL}, {SSN}, about 7'")
    assert done.returncode == 0, done.stderr
    said = (
        'Asynchronous notification "orders" with payload "ask <EMAIL_ADDRESS>, <US_SSN>, about 7"'
    )
    assert said in done.stdout


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("LISTEN gossip", "NOTIFICATIONS"),
        ('LISTEN "ORDERS"', "NOTIFICATIONS"),
        ("NOTIFY gossip, 'x'", "NOTIFICATIONS"),
        ("SELECT pg_notify('orders', 'x')", "FUNCTION_NOT_ALLOWED"),
    ],
)
def test_psql_is_told_why_another_channel_is_refused(world: World, text: str, code: str) -> None:
    done = psql(world, text)
    assert done.returncode == 1
    assert f"DETAIL:  {code}, policy" in done.stderr


async def test_asyncpg_hears_of_rows_while_it_is_silent_and_unlistens(world: World) -> None:
    async with listening(world) as (connection, told), listening(world) as (_, others):
        async with world.direct() as direct:
            await direct.execute("INSERT INTO told VALUES (1, $1)", f"{EMAIL} has {SSN}")
        for each in (told, others):
            channel, _, payload = (await heard(each)).partition(": ")
            row = {"id": 1, "what": "<EMAIL_ADDRESS> has <US_SSN>"}
            assert (channel, json.loads(payload)) == ("orders", row)
        assert await connection.fetchval("SELECT count(*) FROM orders") == 300
        await connection.execute("UNLISTEN orders")
        await say(world, "two")
        assert await heard(others) == "orders: two"
        assert await connection.fetchval("SELECT 1") == 1
        assert told.empty()


def test_psycopg_hears_after_its_transaction(world: World) -> None:
    with psycopg.connect(**place(world), dbname="shop", autocommit=True) as connection:
        connection.execute("LISTEN orders")
        connection.execute('LISTEN "Orders"')
        with connection.transaction():
            connection.execute("NOTIFY orders, 'one'")
            connection.execute("NOTIFY \"Orders\", 'two'")
        told = list(connection.notifies(timeout=WITHIN, stop_after=2))
        assert [(each.channel, each.payload) for each in told] == [
            ("orders", "one"),
            ("Orders", "two"),
        ]
        assert {each.pid for each in told} == {connection.info.backend_pid}
    with psycopg.connect(**place(world), dbname="shop", autocommit=True) as connection:
        connection.execute("NOTIFY orders, 'three'")
        assert list(connection.notifies(timeout=1)) == []


async def test_a_call_notifies_and_does_not_listen(world: World) -> None:
    async with listening(world) as (_, told), world.mcp("rita") as client:
        result = await run_sql(client, "NOTIFY orders, 'from a call'")
        assert not result.is_error, result
        assert await heard(told) == "orders: from a call"
        refused = refusal(await run_sql(client, "LISTEN orders"))
        assert refused["code"] == "NOTIFICATIONS"
        assert "alone in its session" in refused["reason"]
        assert refusal(await run_sql(client, "NOTIFY gossip"))["code"] == "NOTIFICATIONS"
        dry = await run_sql(client, "NOTIFY orders, 'never said'", dry_run=True)
        assert not dry.is_error, dry
        await say(world, "last")
        assert await heard(told) == "orders: last"


async def test_what_needs_approval_is_said_when_it_is_approved(world: World) -> None:
    statement = f"NOTIFY agreed, 'to all: {EMAIL}'"
    async with world.direct() as direct, world.mcp("rita") as client:
        told = asyncio.Queue[object]()
        await direct.add_listener("agreed", lambda *said: told.put_nowait(said[-1]))
        ticket = refusal(await run_sql(client, statement))["approval_id"]
        decided = await asyncio.to_thread(world.cli, "victor", "approvals", "approve", ticket)
        assert decided.returncode == 0, decided.stderr
        assert told.empty()
        result = await run_sql(client, statement)
        assert not result.is_error, result
        async with asyncio.timeout(WITHIN):
            assert await told.get() == f"to all: {EMAIL}"
    assert world.complaints == ""


async def test_what_was_said_is_recorded_and_replayed_masked(world: World) -> None:
    async with listening(world) as (_, told):
        await say(world, f"canary {SSN}")
        assert await heard(told) == "orders: canary <US_SSN>"
    query = (
        "SELECT session, convert_from(body, 'UTF8') FROM records JOIN bodies"
        " USING (stream, sequence) WHERE kind = 'notified'"
    )
    async with world.journal() as journal, asyncio.timeout(WITHIN):
        while not (found := [r for r in await journal.fetch(query) if "canary" in r[1]]):
            await asyncio.sleep(0.1)
    ((session, body),) = found
    assert body == '["orders","canary <US_SSN>"]'
    shown = await asyncio.to_thread(world.cli, "victor", "sessions", "replay", session)
    assert shown.returncode == 0, shown.stderr
    assert f"| {body}" in shown.stdout


async def test_a_reloaded_policy_ends_what_it_permits_no_more(world: World) -> None:
    directory = world.directory / "policies"
    async with listening(world) as (connection, told):
        await say(world, "before")
        assert await heard(told) == "orders: before"
        permit(directory, PERMIT.replace('"orders", ', ""))
        async with asyncio.timeout(WITHIN):
            while psql(world, "LISTEN orders").returncode == 0:
                await asyncio.sleep(0.5)
        await say(world, "after")
        async with asyncio.timeout(WITHIN):
            while not connection.is_closed():
                await asyncio.sleep(0.05)
        assert told.empty()
    permit(directory)
