"""Prepared statements whose names come to mean something else, which the server does not notice.

It plans anew when what a statement uses has changed; a relation that is made in front of that on
the search path is no change of it. Judged by its text, the statement would use the one in front.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from server.meant import MOST_PATHS
from server.protocols.postgres import frontend as f
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase, execute
from tests.server.protocols.gateway import Door, opened
from tests.server.protocols.raw_client import RawClient, Reply, errors
from tests.server.protocols.test_search_path import cells

pytestmark = pytest.mark.anyio

# What is computed from a labelled column comes as it is where the column is taken for a plain one.
VALUE: Final = "SELECT ssn || '' FROM customers ORDER BY id LIMIT 1"
MASKED: Final = [[b"<redacted>"]]
IN_FRONT: Final = {
    "a table": "CREATE TABLE front.customers (id int, ssn text)",
    "a view": "CREATE VIEW front.customers AS SELECT 1 AS id, 'x'::text AS ssn",
}
PATHS: Final = (
    "front, public",
    "front, front, public",
    "front, public, pg_temp",
    "pg_catalog, front, public",
)


@pytest.fixture(scope="module")
async def door(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> AsyncIterator[Door]:
    schemas = "; ".join(f"CREATE SCHEMA t{n}" for n in range(MOST_PATHS + 1))
    tables = "; ".join(
        f"CREATE TABLE t{n}.places AS SELECT {n} AS id" for n in range(MOST_PATHS + 1)
    )
    granted = ", ".join(f"t{n}" for n in range(MOST_PATHS + 1))
    writer = shop_database.writer.user
    await execute(
        shop_database.dsn,
        f"CREATE SCHEMA front; GRANT USAGE, CREATE ON SCHEMA front TO {writer};"
        f"GRANT USAGE ON SCHEMA front TO PUBLIC; {schemas}; {tables};"
        f"GRANT USAGE ON SCHEMA {granted} TO PUBLIC;"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {granted} TO PUBLIC",
    )
    async with opened(shop_database, store_database) as made:
        yield made


@pytest.fixture(autouse=True)
async def nothing_in_front(door: Door, shop_database: SampleDatabase) -> AsyncIterator[None]:
    yield
    for kind in ("VIEW", "TABLE"):
        await execute(
            shop_database.dsn,
            "DO $$BEGIN IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('front.customers')"
            f" AND relkind = '{kind[0].lower().replace('t', 'r')}')"
            f" THEN DROP {kind} front.customers; END IF; END$$",
        )
    await door.gate.read_catalog(door.gate.backends["shop"])


@pytest.fixture(autouse=True)
def no_clients_left(door: Door) -> Iterator[None]:
    yield
    door.close()
    door.clients.clear()


async def run(client: RawClient, *messages: f.FrontendMessage) -> list[Reply]:
    client.send(*messages, f.Sync())
    return await client.until_ready()


async def prepared(client: RawClient) -> None:
    """By both kinds of name, and used once by each."""
    assert errors(await client.query(f"PREPARE s AS {VALUE}")) == []
    assert cells(await client.query("EXECUTE s")) == MASKED
    assert cells(await run(client, f.Parse("s2", VALUE), f.Bind("", "s2"), f.Execute(""))) == MASKED


async def codes(client: RawClient) -> list[str]:
    """What becomes of both, without a value of either."""
    replies = [
        *await client.query("EXECUTE s"),
        *await run(client, f.Bind("", "s2"), f.Execute("")),
    ]
    assert cells(replies) == []
    return [code for code, _ in errors(replies)]


@pytest.mark.parametrize("what", IN_FRONT)
async def test_a_relation_made_in_front_is_not_what_a_prepared_statement_is_judged_by(
    door: Door, what: str
) -> None:
    client = await door.client()
    await client.query("SET search_path TO front, public")
    await prepared(client)
    assert errors(await client.query(IN_FRONT[what])) == []
    assert await codes(client) == ["42501", "42501"]


@pytest.mark.parametrize("path", PATHS)
async def test_another_path_that_comes_to_the_same_is_none(door: Door, path: str) -> None:
    """The server compares the schemas that it looks through, and keeps the plan."""
    client = await door.client()
    await client.query("SET search_path TO front, public")
    await prepared(client)
    assert errors(await client.query(IN_FRONT["a table"])) == []
    assert errors(await client.query(f"SET search_path TO {path}")) == []
    assert await codes(client) == ["42501", "42501"]


async def test_a_portal_is_judged_by_what_it_was_bound_with(door: Door) -> None:
    """What another session has committed meanwhile is in the catalog, and not in the portal."""
    client, other = await door.client(), await door.client()
    await client.query("SET search_path TO front, public")
    await client.query("BEGIN")
    await run(client, f.Parse("s", VALUE), f.Bind("portal", "s"))
    assert errors(await other.query(IN_FRONT["a table"])) == []
    await door.gate.read_catalog(door.gate.backends["shop"])
    replies = await run(client, f.Execute("portal"))
    assert ([code for code, _ in errors(replies)], cells(replies)) == (["42501"], [])


async def test_when_the_relation_in_front_is_gone_the_statement_goes_on(door: Door) -> None:
    client = await door.client()
    await client.query("SET search_path TO front, public")
    await prepared(client)
    await client.query(IN_FRONT["a table"])
    assert await codes(client) == ["42501", "42501"]
    assert errors(await client.query("DROP TABLE front.customers")) == []
    assert cells(await client.query("EXECUTE s")) == MASKED
    assert cells(await run(client, f.Bind("", "s2"), f.Execute(""))) == MASKED


async def test_a_statement_goes_with_the_search_path_from_one_schema_to_the_next(
    door: Door,
) -> None:
    """As many as are kept in mind; past those it is prepared again."""
    client = await door.client()
    for number in range(MOST_PATHS + 1):
        await client.query(f"SET search_path TO t{number}")
        if number == 0:
            await run(client, f.Parse("s", "SELECT id FROM places"))
        replies = await run(client, f.Bind("", "s"), f.Execute(""))
        within = number < MOST_PATHS
        assert cells(replies) == ([[str(number).encode()]] if within else [])
        assert [code for code, _ in errors(replies)] == ([] if within else ["42501"])
    await run(client, f.Close("S", "s"), f.Parse("s", "SELECT id FROM places"))
    assert cells(await run(client, f.Bind("", "s"), f.Execute(""))) == [[b"%d" % MOST_PATHS]]
