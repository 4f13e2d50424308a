"""One-shot statements on a real server: transactions, limits, cancelling, the pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest

from policies.errors import BackendUnavailable, ConfigError
from recordings.batches import each
from recordings.events import Columns, Done, Event, Failed, Rows
from recordings.rows import decode_postgres
from server.credentials import Credentials, Login
from server.gate import Grant
from server.protocols.postgres.connector import PostgresConnector
from tests.fixtures.postgres import SampleDatabase
from tests.server.protocols.grants import Secret, credentials, read, shop, write

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connector(shop_database: SampleDatabase) -> AsyncIterator[PostgresConnector]:
    made = PostgresConnector(shop(shop_database, connections=1), credentials(shop_database))
    yield made
    await made.close()


async def perform(connector: PostgresConnector, grant: Grant) -> list[Event]:
    async with (
        asyncio.timeout(20),
        connector.connect(grant) as connection,
        connection.results(grant) as batches,
    ):
        return [event async for event in each(batches)]


async def ask(sample: SampleDatabase, query: str, *parameters: object) -> object:
    """A value seen over another connection, as the superuser."""
    connection = await asyncpg.connect(sample.dsn)
    try:
        return await connection.fetchval(query, *parameters)
    finally:
        await connection.close()


def cells(events: list[Event]) -> list[list[bytes | None]]:
    return decode_postgres(b"".join(e.frames for e in events if isinstance(e, Rows)))


def failure(events: list[Event]) -> str:
    last = events[-1]
    assert isinstance(last, Failed)
    return last.sqlstate


async def test_a_read_yields_columns_with_their_origins_rows_and_an_end(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    events = await perform(
        connector, read("SELECT id, upper(name) FROM customers WHERE id < $1 ORDER BY id", "3")
    )
    columns, *_, done = events
    assert isinstance(columns, Columns)
    oid = await ask(shop_database, "SELECT 'customers'::regclass::oid::int8")
    origins = [(c.name, c.table, c.number, c.binary) for c in columns.columns]
    assert origins == [("id", oid, 1, False), ("upper", 0, 0, False)]
    assert cells(events) == [[b"1", b"ADA LOVELACE"], [b"2", b"CHINUA OKAFOR"]]
    assert done == Done("SELECT 2", 2)


@pytest.mark.parametrize(
    ("skip", "max_rows", "expected", "more"),
    [
        (0, 0, range(1, 201), False),
        (0, 3, range(1, 4), True),
        (198, 2, range(199, 201), False),
        (198, 5, range(199, 201), False),
        (197, 2, range(198, 200), True),
        (300, 5, range(0), False),
    ],
)
async def test_a_page_of_a_result_knows_whether_there_is_more(
    connector: PostgresConnector, skip: int, max_rows: int, expected: range, more: bool
) -> None:
    statement = read("SELECT id FROM orders ORDER BY id", skip=skip, max_rows=max_rows)
    events = await perform(connector, statement)
    assert [int(cell) for (cell,) in cells(events) if cell] == list(expected)
    last = events[-1]
    assert isinstance(last, Done)
    assert (last.rows, last.more) == (len(expected), more)


@pytest.mark.parametrize(
    ("text", "sqlstate"),
    [
        ("DELETE FROM orders", "25006"),
        ("SET TRANSACTION READ WRITE", "25001"),
        ("SELECT set_config('transaction_read_only', 'off', false)", "25001"),
        ("WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone", "25006"),
        ("COMMIT; DELETE FROM orders", "42601"),
        ("SELECT 1/0", "22012"),
        ("SELEKT", "42601"),
    ],
)
async def test_a_read_can_not_be_made_to_write(
    connector: PostgresConnector, shop_database: SampleDatabase, text: str, sqlstate: str
) -> None:
    assert failure(await perform(connector, read(text))) == sqlstate
    assert await ask(shop_database, "SELECT count(*) FROM orders") == 200


async def test_an_error_says_where_in_the_statement(connector: PostgresConnector) -> None:
    (failed,) = await perform(connector, read("SELECT nope FROM orders"))
    assert failed == Failed("42703", 'column "nope" does not exist', 8)


async def test_a_write_is_committed_before_its_end_is_said(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    grant = write("UPDATE customers SET phone = $1 WHERE id = 1 RETURNING id", "+1 202 555 0199")
    async with connector.connect(grant) as connection, connection.results(grant) as batches:
        async for event in each(batches):
            if isinstance(event, Done):
                seen = await ask(shop_database, "SELECT phone FROM customers WHERE id = 1")
                assert seen == "+1 202 555 0199"
                assert event.tag == "UPDATE 1"


async def test_a_write_is_whole_whatever_part_of_its_rows_is_wanted(
    connector: PostgresConnector,
) -> None:
    statement = "UPDATE orders SET total = total WHERE id <= 5 RETURNING id"
    events = await perform(connector, write(statement, max_rows=2))
    assert (len(cells(events)), events[-1]) == (2, Done("UPDATE 5", 2, more=True))


async def test_what_commit_refuses_has_failed(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    connection = await asyncpg.connect(shop_database.dsn)
    try:
        await connection.execute(
            "CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);"
            f"GRANT ALL ON deferred TO {shop_database.writer.user}"
        )
        events = await perform(connector, write("INSERT INTO deferred VALUES (1), (1)"))
        assert failure(events) == "23505"
        assert await connection.fetchval("SELECT count(*) FROM deferred") == 0
    finally:
        await connection.execute("DROP TABLE deferred")
        await connection.close()


async def test_a_write_that_is_left_early_is_rolled_back(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    grant = write("UPDATE orders SET status = 'left' RETURNING id")
    async with connector.connect(grant) as connection, connection.results(grant) as batches:
        assert isinstance(await anext(each(batches)), Columns)
    assert await ask(shop_database, "SELECT count(*) FROM orders WHERE status = 'left'") == 0


LONG = "SELECT count(*) FROM orders a, orders b, orders c, orders d"
RUNS = "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'"


async def until(sample: SampleDatabase, count: int) -> None:
    async with asyncio.timeout(20):
        while await ask(sample, RUNS, LONG) != count:
            await asyncio.sleep(0.01)


async def test_a_caller_that_is_cancelled_leaves_nothing_running(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    call = asyncio.create_task(perform(connector, read(LONG)))
    await until(shop_database, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(shop_database, 0)
    assert cells(await perform(connector, read("SELECT 'next'"))) == [[b"next"]]


async def test_a_result_that_is_left_early_stops_and_its_connection_serves_the_next(
    connector: PostgresConnector,
) -> None:
    grant = read("SELECT pg_backend_pid(), a.id FROM orders a, orders b, orders c, orders d")
    async with connector.connect(grant) as connection, connection.results(grant) as batches:
        events = [event async for event in _first(each(batches), 3)]
    (process, _), *_ = cells(events)
    assert cells(await perform(connector, read("SELECT pg_backend_pid()"))) == [[process]]


async def _first(results: AsyncIterator[Event], count: int) -> AsyncIterator[Event]:
    for _ in range(count):
        yield await anext(results)


async def test_policys_time_limit_cancels_at_the_server(connector: PostgresConnector) -> None:
    assert failure(await perform(connector, read(LONG, time=0.05))) == "57014"


async def test_nothing_of_a_call_is_left_for_the_next_one(connector: PostgresConnector) -> None:
    left_behind = [
        "SET search_path = pg_temp",
        "SELECT pg_advisory_lock(42)",
        "SELECT set_config('statement_timeout', '0', false)",
        "LISTEN gossip",
        "PREPARE mine AS SELECT 1",
        "CREATE TEMP TABLE mine (id int)",
    ]
    for text in left_behind:
        await perform(connector, write(text))
    found = await perform(
        connector,
        write(
            "SELECT (SELECT count(*) FROM pg_prepared_statements),"
            " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
            " (SELECT count(*) FROM pg_listening_channels()), to_regclass('pg_temp.mine'),"
            " current_setting('search_path'), current_setting('statement_timeout')"
        ),
    )
    path = b"public, pg_temp"
    assert cells(found) == [[b"0", b"0", b"0", None, path, b"1min"]]


async def test_a_changed_encoding_ends_the_connection(connector: PostgresConnector) -> None:
    with pytest.raises(BackendUnavailable):
        await perform(connector, read("SELECT set_config('client_encoding', 'SJIS', false)"))
    assert cells(await perform(connector, read("SELECT 'é'"))) == [["é".encode()]]


async def test_copy_is_refused_with_an_error_of_ours_or_ends_the_connection(
    connector: PostgresConnector,
) -> None:
    with pytest.raises(BackendUnavailable):
        await perform(connector, read("COPY orders TO STDOUT"))
    assert cells(await perform(connector, read("SELECT 1"))) == [[b"1"]]


async def test_a_server_that_dies_in_the_middle_is_unavailable(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    call = asyncio.create_task(perform(connector, read(LONG)))
    await until(shop_database, 1)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1"
    await ask(shop_database, kill, LONG)
    with pytest.raises(BackendUnavailable, match="target shop can't be reached now"):
        await call
    assert cells(await perform(connector, read("SELECT 1"))) == [[b"1"]]


async def test_a_connection_that_died_in_the_pool_is_not_given_out(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    ((process,),) = cells(await perform(connector, read("SELECT pg_backend_pid()")))
    assert process is not None
    await ask(shop_database, "SELECT pg_terminate_backend($1, 5000)", int(process))
    assert cells(await perform(connector, read("SELECT 1"))) == [[b"1"]]


async def test_a_commit_without_an_answer_has_an_unknown_outcome(
    connector: PostgresConnector, shop_database: SampleDatabase
) -> None:
    connection = await asyncpg.connect(shop_database.dsn)
    try:
        await connection.execute(
            "CREATE TABLE dying (id int);"
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10);"
            " RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON dying DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION die();"
            f"GRANT ALL ON dying TO {shop_database.writer.user}"
        )
        with pytest.raises(BackendUnavailable, match="outcome unknown"):
            await perform(connector, write("INSERT INTO dying VALUES (1)"))
    finally:
        await connection.execute("DROP TABLE dying; DROP FUNCTION die")
        await connection.close()


async def test_a_large_result_is_pulled_and_comes_in_chunks(connector: PostgresConnector) -> None:
    events = await perform(
        connector, read("SELECT a.id FROM orders a, orders b, orders c LIMIT 99999")
    )
    sizes = [len(event.frames) for event in events if isinstance(event, Rows)]
    assert max(sizes) < 66_000
    assert events[-1] == Done("SELECT 99999", 99999)


async def test_calls_beyond_the_pools_size_wait_their_turn(connector: PostgresConnector) -> None:
    answers = await asyncio.gather(
        *(perform(connector, read("SELECT $1::text", str(n))) for n in range(5))
    )
    assert [cells(a) for a in answers] == [[[str(n).encode()]] for n in range(5)]


async def test_a_wrong_password_tells_neither_host_nor_user_nor_password(
    shop_database: SampleDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Credentials("shop", {"reader": Login(shop_database.reader.user, Secret("canary-17"))})
    connector = PostgresConnector(shop(shop_database), wrong)
    with caplog.at_level(logging.DEBUG), pytest.raises(BackendUnavailable) as caught:
        await perform(connector, read("SELECT 1"))
    assert str(caught.value) == "target shop can't be reached now"
    assert "canary-17" not in caplog.text


async def test_a_server_that_is_not_there_is_unavailable(shop_database: SampleDatabase) -> None:
    target = shop(shop_database)
    nowhere = type(target)("shop", "unix:/nonexistent", "shop", tls="disable")
    with pytest.raises(BackendUnavailable, match=r"^target shop can't be reached now$"):
        await perform(PostgresConnector(nowhere, credentials(shop_database)), read("SELECT 1"))


@pytest.mark.parametrize("address", ["db.internal:5432", "10.0.0.7:5432"])
def test_clear_text_is_for_local_servers_only(shop_database: SampleDatabase, address: str) -> None:
    target = type(shop(shop_database))("shop", address, "shop", tls="disable")
    with pytest.raises(ConfigError):
        PostgresConnector(target, credentials(shop_database))
