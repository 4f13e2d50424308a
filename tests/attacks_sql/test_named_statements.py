"""What has a name in SQL, through both doors and by real clients: nothing gets round by a name."""

from __future__ import annotations

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks_sql.doors import Doors, driver, everything, found, listener
from tests.attacks_sql.test_drivers import psql
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient, Reply

pytestmark = pytest.mark.anyio

BY_NAME = [
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXECUTE p(1)",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH c",
    "MOVE ALL FROM c",
]


@pytest.mark.parametrize("sql", BY_NAME)
async def test_where_there_is_no_session_there_are_no_names(doors: Doors, sql: str) -> None:
    for arguments in ({}, {"dry_run": True}):
        refused = await doors.mcp(sql, **arguments)
        assert refused.refused
        assert "last as long as a session" in refused.text


def said(replies: list[Reply]) -> str:
    return "".join(r.text("M") for r in replies if isinstance(r, b.ErrorResponse))


async def each(client: RawClient, *texts: str) -> str:
    """All that came back, of all of them, and what was refused."""
    got: list[Reply] = []
    for text in texts:
        got += await client.query(text)
    return everything(got)


MASKED = [
    ("SELECT * FROM customers", "all columns"),
    ("SELECT c FROM customers c", "a row"),
    ("SELECT to_jsonb(c) FROM customers c", "JSON"),
    ("SELECT ssn || id, (email) FROM customers", "expressions"),
    ("SELECT ssn AS name FROM customers UNION ALL SELECT name FROM customers", "a union"),
    ("WITH w(name) AS (SELECT ssn FROM customers) SELECT name FROM w", "a CTE"),
    ("SELECT ssn FROM customers WHERE id = $1 OR true", "a parameter"),
]


@pytest.mark.parametrize(("query", "what"), MASKED)
async def test_no_labelled_value_comes_by_a_name(world: World, query: str, what: str) -> None:
    arguments = "(1)" if "$1" in query else ""
    declared = query.replace("$1", "1")
    async with listener(world) as client:
        got = await each(
            client,
            f"PREPARE p AS {query}",
            f"EXECUTE p{arguments}",
            f"EXECUTE p{arguments}",
            "BEGIN",
            f"DECLARE c SCROLL CURSOR FOR {declared}",
            "FETCH 2 FROM c",
            "FETCH BACKWARD ALL FROM c",
            "FETCH ABSOLUTE 1 FROM c",
            "COMMIT",
        )
    assert found(got) == set()
    assert "opaque" not in got


async def test_a_write_is_refused_with_a_name_as_it_is_without(doors: Doors) -> None:
    before = await doors.state()
    changes = [
        "DELETE FROM orders",
        "UPDATE orders SET total = 0 WHERE id = $1",
        "INSERT INTO orders SELECT * FROM orders RETURNING id",
        "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d",
    ]
    async with listener(doors.world) as client:
        for change in changes:
            assert said(await client.query(f"PREPARE p AS {change}"))
            assert said(await client.query("EXECUTE p(1)"))
            client.send(f.Parse("p", change), f.Sync())
            await client.until_ready()
            assert said(await client.query("EXECUTE p(1)"))
            client.send(f.Close("S", "p"), f.Sync())
            await client.until_ready()
    assert await doors.state() == before


async def test_a_function_with_effects_is_no_argument(doors: Doors) -> None:
    before = await doors.state()
    async with listener(doors.world) as client:
        await client.query("PREPARE p AS SELECT $1::text")
        for argument in ("leak()", "pg_read_file('/etc/passwd')", "(SELECT ssn FROM customers)"):
            assert said(await client.query(f"EXECUTE p({argument})"))
    assert await doors.state() == before


async def test_rows_can_not_be_counted_by_moving_where_they_may_not_be_filtered(
    world: World,
) -> None:
    query = "SELECT id FROM customers WHERE ssn LIKE '2%'"
    async with listener(world) as client:
        alone = said(await client.query(query))
        await client.query("BEGIN")
        declared = said(await client.query(f"DECLARE c CURSOR FOR {query}"))
        await client.query("ROLLBACK")
        await client.query("BEGIN")
        moved = said(await client.query("MOVE ALL FROM c"))
    assert "approval" in alone
    assert "approval" in declared
    assert "no cursor" in moved


async def test_a_lock_is_asked_about_before_a_cursor_takes_it(world: World) -> None:
    query = "SELECT id FROM orders FOR UPDATE"
    async with listener(world) as client:
        alone = said(await client.query(query))
        await client.query("BEGIN")
        declared = said(await client.query(f"DECLARE c CURSOR FOR {query}"))
    assert bool(alone) == bool(declared)


async def test_the_row_limit_of_the_starter_policies_holds_over_fetches(world: World) -> None:
    query = "SELECT o.id FROM orders o, generate_series(1, 2000) LIMIT 1500"
    async with listener(world) as client:
        await client.query("BEGIN")
        assert said(await client.query(f"DECLARE c CURSOR FOR {query}")) == ""
        assert said(await client.query("FETCH 999 FROM c")) == ""
        client.send(f.Query("FETCH 2 FROM c"))
        assert "1000 rows" in said(await client.to_the_end())


async def test_what_a_name_stands_for_does_not_come_out_in_an_error(world: World) -> None:
    secret = "hunter2-canary"
    async with listener(world) as client:
        got = await each(
            client,
            "PREPARE p AS SELECT ssn::int FROM customers",
            "EXECUTE p",
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT id / (id - 1), ssn::numeric FROM customers",
            "FETCH ALL FROM c",
            "ROLLBACK",
            f"PREPARE q AS SELECT 'password={secret}'::int",
            "EXECUTE q",
        )
    assert found(got) == set()
    assert secret not in got


async def test_psql_reads_in_portions(world: World) -> None:
    code, output = await psql(
        world, r"\set FETCH_COUNT 2", "SELECT id, ssn FROM customers ORDER BY id", "SELECT 7 AS x"
    )
    assert (code, "ERROR" in output) == (0, False), output
    assert found(output) == set()
    assert "***-**-" in output


async def test_asyncpg_declares_and_fetches_by_the_extended_protocol(world: World) -> None:
    async with driver(world) as connection, connection.transaction():
        await connection.execute("DECLARE c CURSOR FOR SELECT id, ssn FROM customers ORDER BY id")
        for _ in range(2):
            rows = await connection.fetch("FETCH 1 FROM c")
            assert found(str(rows)) == set()
            assert len(rows) == 1
        await connection.execute("PREPARE p (int) AS SELECT id FROM orders WHERE id = $1")
        assert await connection.fetchval("EXECUTE p(2)") == 2
        statement = await connection.prepare("EXECUTE p(3)")
        assert [await statement.fetchval(), await statement.fetchval()] == [3, 3]
