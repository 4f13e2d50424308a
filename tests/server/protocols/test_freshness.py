"""What changes on the target between the judging of a statement and its run, on a real server.

The change is held back until the statement, judged by the catalog before it, waits on the server
for a lock of the table that it names: then it is committed. Nothing here hangs on time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import pytest

from policies.errors import Denied
from policies.model import Channel, DecideApproval, Principal, SqlStatement
from recordings.events import Columns, Done, Event, Failed, Pending, Rows
from recordings.rows import decode_postgres
from server.catalog_watch import watch_catalogs
from server.gate import Session
from server.protocols.postgres.codec import RowRun
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase, execute
from tests.server.protocols.changes import REFUSED, UNDERSTOOD, Change, table
from tests.server.protocols.gateway import Door, opened
from tests.server.protocols.grants import ADA
from tests.server.protocols.raw_client import Reply

pytestmark = pytest.mark.anyio

BOB: Final = Principal("corp:bob", "Bob", "console", frozenset({"dba"}))
SECRET: Final = b"219-09-9991"


@pytest.fixture(scope="module")
async def door(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> AsyncIterator[Door]:
    reader, writer = shop_database.reader.user, shop_database.writer.user
    await execute(
        shop_database.dsn,
        "CREATE SCHEMA first; CREATE SCHEMA apart",
        f"GRANT USAGE ON SCHEMA first, apart TO {reader}, {writer}",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;"
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO PUBLIC;"
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO PUBLIC",
        # As it is when others have made objects of the kinds that the changes below make.
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE place AS (street text, town text)",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    )
    async with opened(shop_database, store_database, search_path=("first", "public")) as made:
        yield made


@pytest.mark.parametrize("change", UNDERSTOOD, ids=lambda change: change.about)
async def test_a_statement_whose_objects_change_is_judged_again(door: Door, change: Change) -> None:
    events = await run_into(door, change)
    assert isinstance(events[-1], Done)
    assert await outcomes(door) == ["CatalogChanged", "completed"]


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.about)
async def test_a_change_that_makes_a_statement_dangerous_refuses_it(
    door: Door, change: Change
) -> None:
    with pytest.raises(Denied, match="opaque"):
        await run_into(door, change)
    assert await outcomes(door) == ["CatalogChanged"]


async def test_a_view_made_anew_over_a_labelled_column_is_masked(door: Door) -> None:
    change = Change(
        "",
        "CREATE VIEW contacts AS SELECT id, email FROM customers",
        "SELECT email FROM contacts WHERE id = 1",
        "CREATE OR REPLACE VIEW contacts AS SELECT id, ssn AS email FROM customers",
        "contacts",
    )
    events = await run_into(door, change)
    ((shown,),) = cells(events)
    assert shown is not None
    assert shown.endswith(SECRET[-4:])
    assert shown != SECRET


async def test_a_write_that_was_judged_again_runs_once(door: Door) -> None:
    change = Change(
        "",
        table("once"),
        "INSERT INTO once VALUES ('c', 'd')",
        "ALTER TABLE once ADD c text",
        "once",
    )
    await run_into(door, change)
    assert await ask(door, "SELECT count(*) FROM once WHERE a = 'c'") == 1


async def test_a_target_that_never_fits_is_refused_with_a_reason(door: Door) -> None:
    """The catalog says one thing and the server, for this role, another."""
    reader = door.sample.reader.user
    await prepare(
        door,
        "CREATE SCHEMA unseen; " + table("unsettled") + ";" + table("first.unsettled"),
        f"REVOKE USAGE ON SCHEMA first FROM {reader}",
    )
    try:
        with pytest.raises(Denied, match="CATALOG_UNSETTLED"):
            await perform(door, "SELECT a FROM unsettled")
        assert await outcomes(door) == ["CatalogChanged"] * 3
    finally:
        await execute(door.sample.dsn, f"GRANT USAGE ON SCHEMA first TO {reader}")


async def test_an_approval_is_void_when_what_it_is_for_was_made_anew(door: Door) -> None:
    await prepare(door, table("orders2"), "CREATE VIEW paid AS SELECT a FROM orders2")
    text = "UPDATE orders2 SET a = 'x' WHERE b IN (SELECT a FROM paid)"
    first = await ticket(door, text)
    await approve(door, first)
    await execute(door.sample.dsn, "CREATE OR REPLACE VIEW paid AS SELECT b AS a FROM orders2")
    second = await ticket(door, text)
    assert second != first
    await execute(
        door.sample.dsn,
        "CREATE TRIGGER t BEFORE UPDATE ON orders2 FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    await approve(door, second)
    assert await ticket(door, text) not in (first, second)


async def test_an_approval_outlives_what_leaves_its_objects_as_they_were(door: Door) -> None:
    await prepare(door, table("orders3"))
    text = "UPDATE orders3 SET a = 'x' WHERE b = 'b'"
    asked = await ticket(door, text)
    await approve(door, asked)
    await execute(door.sample.dsn, "TRUNCATE orders3; ANALYZE orders3")
    assert await perform(door, text) == [Done("UPDATE 0")]


async def test_an_approved_change_that_was_judged_again_needs_no_second_approval(
    door: Door,
) -> None:
    change = Change(
        "",
        table("orders4"),
        "UPDATE orders4 SET a = 'x' WHERE b = 'b'",
        f"GRANT SELECT ON orders4 TO {door.sample.reader.user}",
        "orders4",
    )
    await prepare(door, change.before)
    await approve(door, await ticket(door, change.statement))
    events = await run_into(door, change, prepared=True)
    assert events == [Done("UPDATE 1")]


async def test_what_changes_behind_a_call_is_noticed_by_the_next(door: Door) -> None:
    """Long before the catalog is read again for its age."""
    await prepare(door, table("later"))
    assert cells(await perform(door, "SELECT a FROM later")) == [[b"a"]]
    await execute(
        door.sample.dsn, "ALTER TABLE later RENAME a TO x; ALTER TABLE later RENAME b TO a"
    )
    assert cells(await perform(door, "SELECT a FROM later")) == [[b"b"]]
    assert await outcomes(door) == ["CatalogChanged", "completed"]


async def test_a_connection_whose_check_was_replaced_is_not_used_again(door: Door) -> None:
    """A user's function, which the writer may call, can prepare statements."""
    body = (
        "BEGIN EXECUTE 'DEALLOCATE ALL'; EXECUTE 'PREPARE ostiary_check AS SELECT 1'; RETURN NEW;"
    )
    await prepare(
        door,
        table("hijacked"),
        f"CREATE FUNCTION hijack() RETURNS trigger LANGUAGE plpgsql AS $${body} END$$",
        "CREATE TRIGGER t BEFORE INSERT ON hijacked FOR EACH ROW EXECUTE FUNCTION hijack()",
    )
    await perform(door, "INSERT INTO hijacked VALUES ('c', 'd')")
    change = Change(
        "",
        table("next"),
        "INSERT INTO next VALUES ('c', 'd')",
        "ALTER TABLE next ADD c int",
        "next",
    )
    await run_into(door, change)
    assert await outcomes(door) == ["CatalogChanged", "completed"]


async def test_nothing_of_a_call_is_left_where_the_check_is_kept(door: Door) -> None:
    body = "BEGIN PERFORM pg_advisory_lock(42); LISTEN gossip; RETURN NEW; END"
    await prepare(
        door,
        table("littered"),
        f"CREATE FUNCTION litter() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
        "CREATE TRIGGER t BEFORE INSERT ON littered FOR EACH ROW EXECUTE FUNCTION litter()",
    )
    for _ in range(2):
        assert await perform(door, "INSERT INTO littered VALUES ('c', 'd')") == [Done("INSERT 0 1")]
        async with asyncio.timeout(30):
            while await ask(
                door,
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                " AND objid = 42 AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())",
            ):
                await asyncio.sleep(0.01)


async def test_a_sessions_column_that_is_another_one_now_is_masked(door: Door) -> None:
    """The listener's client owns the transaction: what is described is compared."""
    await prepare(door, table("described"))
    client = await door.client()
    before = await client.query("SELECT a FROM described")
    await execute(
        door.sample.dsn,
        "ALTER TABLE described RENAME a TO x; ALTER TABLE described RENAME b TO a",
    )
    after = await client.query("SELECT a FROM described")
    assert (described(before), described(after)) == ([[b"a"]], [[b"<redacted>"]])


async def test_the_catalog_is_looked_at_beside_the_calls(door: Door) -> None:
    backend = door.gate.backends["shop"]
    await prepare(door, table("watched"))
    known = backend.catalog
    await execute(door.sample.dsn, "ALTER TABLE watched ADD c int")
    watching = asyncio.create_task(watch_catalogs(door.gate, every=0.02))
    try:
        async with asyncio.timeout(60):
            while backend.catalog.version == known.version:
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_that_the_gateway_reads_a_catalog_is_recorded_once_a_policy(door: Door) -> None:
    for _ in range(3):
        await door.gate.read_catalog(door.gate.backends["shop"])
    query = "SELECT count(*) FROM records WHERE kind = 'intent' AND document LIKE '%ReadCatalog%'"
    assert await door.store.pool.fetchval(query) == 1


# -- the steps


async def run_into(door: Door, change: Change, *, prepared: bool = False) -> list[Event]:
    """Run the statement, and let the change happen when it has been judged and sent."""
    if not prepared:
        await prepare(door, change.before)
    async with holding(door, change) as commit:
        call = asyncio.create_task(perform(door, change.statement))
        await until_it_waits(door, call)
        await commit()
        return await call


@asynccontextmanager
async def holding(door: Door, change: Change) -> AsyncIterator[asyncpg.transaction.Transaction]:
    """The change is made, its table is locked, and nobody sees any of it before the commit."""
    connection = await asyncpg.connect(door.sample.dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"LOCK TABLE {change.table} IN ACCESS EXCLUSIVE MODE")
        await connection.execute(change.change)
        yield transaction.commit
    finally:
        await connection.close()


async def until_it_waits(door: Door, call: asyncio.Task[list[Event]]) -> None:
    query = (
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    )
    connection = await asyncpg.connect(door.sample.dsn)
    try:
        async with asyncio.timeout(30):
            while not await connection.fetchval(query):
                assert not call.done(), await call
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def prepare(door: Door, *scripts: str) -> None:
    """Make objects that every following statement is judged by."""
    await execute(door.sample.dsn, *scripts)
    await door.gate.read_catalog(door.gate.backends["shop"])


@asynccontextmanager
async def session(door: Door) -> AsyncIterator[Session]:
    async with door.gate.open(ADA, "shop", channel=Channel.MCP) as opened_session:
        yield opened_session


async def perform(door: Door, text: str) -> list[Event]:
    async with (
        asyncio.timeout(30),
        session(door) as opened_session,
        opened_session.perform(SqlStatement(text)) as events,
    ):
        return [event async for event in events]


async def ticket(door: Door, text: str) -> str:
    """The ticket that the statement waits for."""
    async with (
        asyncio.timeout(30),
        session(door) as opened_session,
        opened_session.perform(SqlStatement(text)) as events,
    ):
        first = await anext(aiter(events))
    assert isinstance(first, Pending)
    return first.ticket


async def approve(door: Door, asked: str) -> None:
    approvals = door.gate.approvals
    requested = (await approvals.get(asked)).requested(BOB)
    action = DecideApproval(asked, approve=True, requested=requested)
    await approvals.decide(BOB, action, channel=Channel.API)


async def outcomes(door: Door) -> list[str]:
    """How the runs of the newest session ended."""
    await door.gate.journal.flush()
    rows = await door.store.pool.fetch(
        "SELECT document::json ->> 'status' AS status FROM records"
        " WHERE kind = 'outcome' AND session ="
        " (SELECT session FROM records WHERE kind = 'session_opened' ORDER BY at DESC LIMIT 1)"
        " ORDER BY sequence"
    )
    return [row["status"] for row in rows]


async def ask(door: Door, query: str) -> object:
    connection = await asyncpg.connect(door.sample.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def described(replies: list[Reply]) -> list[list[bytes | None]]:
    return decode_postgres(b"".join(r.frames for r in replies if isinstance(r, RowRun)))


def cells(events: list[Event]) -> list[list[bytes | None]]:
    assert not any(isinstance(event, Failed) for event in events), events
    assert isinstance(events[0], Columns)
    return decode_postgres(b"".join(e.frames for e in events if isinstance(e, Rows)))
