"""The search path of a session: followed through transactions, and what it is judged by.

The server here reports its search path (version 18), and the connection would be dropped as soon
as what is followed differs: every statement that is answered afterwards proves that it does not.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from recordings.rows import decode_postgres
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase
from tests.server.protocols.gateway import Door, opened
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags

pytestmark = pytest.mark.anyio

SCHEMAS = """
CREATE SCHEMA sales; CREATE SCHEMA hr; CREATE SCHEMA evil;
CREATE TABLE sales.customers (id integer, ssn text);
INSERT INTO sales.customers VALUES (7, 'plain');
CREATE TABLE hr.people (id integer, ssn text); INSERT INTO hr.people VALUES (8, '219-09-9991');
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
GRANT USAGE ON SCHEMA sales, hr, evil TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA sales, hr TO PUBLIC
"""


@pytest.fixture(scope="module")
async def door(
    shop_database: SampleDatabase, store_database: PostgresDatabase
) -> AsyncIterator[Door]:
    connection = await asyncpg.connect(shop_database.dsn)
    await connection.execute(SCHEMAS)
    await connection.close()
    async with opened(shop_database, store_database) as made:
        yield made


@pytest.fixture(autouse=True)
def no_clients_left(door: Door) -> Iterator[None]:
    """One person has so many sessions at a time."""
    yield
    door.close()
    door.clients.clear()


def cells(replies: list[Reply]) -> list[list[bytes | None]]:
    runs = [reply.frames for reply in replies if isinstance(reply, RowRun)]
    return [row for frames in runs for row in decode_postgres(frames)]


async def ssn(client: RawClient) -> bytes | None:
    """What an unqualified name shows: `customers` is labelled in public and not in sales."""
    replies = await client.query("SELECT ssn FROM customers ORDER BY id LIMIT 1")
    assert errors(replies) == []
    return cells(replies)[0][0]


MASKED, PLAIN = b"***-**-9991", b"plain"

SET = [
    "SET search_path TO sales",
    "SET search_path = sales, public",
    "SET search_path TO 'sales', pg_temp",
    "SET SCHEMA 'sales'",
    "SET SESSION search_path TO pg_catalog, sales, public",
    'SET search_path TO "$user", sales',
    "SELECT set_config('search_path', 'sales, public', false)",
    "SELECT pg_catalog.set_config('search_path', '\"sales\"', false)",
]


@pytest.mark.parametrize("text", SET)
async def test_later_names_are_judged_by_the_path_that_was_set(door: Door, text: str) -> None:
    client = await door.client()
    assert await ssn(client) == MASKED
    assert errors(await client.query(text)) == []
    assert await ssn(client) == PLAIN


RESET = [
    "RESET search_path",
    "RESET ALL",
    "SET search_path TO DEFAULT",
    "DISCARD ALL",
    "SET search_path TO public",
    "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
]


@pytest.mark.parametrize("text", RESET)
async def test_a_reset_brings_back_what_the_session_began_with(door: Door, text: str) -> None:
    client = await door.client()
    await client.query("SET search_path TO sales")
    assert errors(await client.query(text)) == []
    assert await ssn(client) == MASKED


TRANSACTIONS = {
    "rolled back": ("BEGIN", "SET search_path TO sales", "ROLLBACK", MASKED),
    "committed": ("BEGIN", "SET search_path TO sales", "COMMIT", PLAIN),
    "local": ("BEGIN", "SET LOCAL search_path TO sales", "COMMIT", MASKED),
    "local until then": ("BEGIN", "SET LOCAL search_path TO sales", "SELECT 1", PLAIN),
    "set_config for the transaction": (
        *("BEGIN", "SELECT set_config('search_path', 'sales', true)", "COMMIT", MASKED),
    ),
    "set, then local": (
        *("BEGIN", "SET search_path TO sales", "SET LOCAL search_path TO public", "COMMIT", PLAIN),
    ),
    "back to a savepoint": (
        *("BEGIN", "SAVEPOINT a", "SET search_path TO sales", "ROLLBACK TO a", "COMMIT", MASKED),
    ),
    "released": (
        *("BEGIN", "SAVEPOINT a", "SET search_path TO sales", "RELEASE a", "COMMIT", PLAIN),
    ),
    "failed": ("BEGIN", "SET search_path TO sales", "SELECT 1 / 0", "COMMIT", MASKED),
    "failed, then back to a savepoint": (
        *("BEGIN", "SET search_path TO sales", "SAVEPOINT a", "SET search_path TO public"),
        *("SELECT 1 / 0", "ROLLBACK TO a", "COMMIT", PLAIN),
    ),
    "at once, failing later": ("SET search_path TO sales; SELECT 1 / 0", MASKED),
    "at once": ("SET search_path TO sales; SELECT 1", PLAIN),
    "at once, committed before the failure": (
        *("BEGIN; SET search_path TO sales; COMMIT; SELECT 1 / 0", PLAIN),
    ),
    "begun in the middle": ("SET search_path TO sales; BEGIN; SELECT 1", "ROLLBACK", MASKED),
    "local without a transaction": ("SET LOCAL search_path TO sales", MASKED),
}


@pytest.mark.parametrize("what", TRANSACTIONS)
async def test_a_path_follows_its_transaction(door: Door, what: str) -> None:
    *texts, expected = TRANSACTIONS[what]
    client = await door.client()
    for text in texts:
        await client.query(str(text))
    assert await ssn(client) == expected


async def test_statements_of_one_message_are_judged_by_what_is_set_before_them(door: Door) -> None:
    client = await door.client()
    shown = "SELECT ssn FROM customers ORDER BY id LIMIT 1"
    replies = await client.query(f"{shown}; SET search_path TO sales; {shown}; RESET ALL; {shown}")
    assert cells(replies) == [[MASKED], [PLAIN], [MASKED]]


async def test_pipelined_statements_are_judged_by_what_is_set_before_them(door: Door) -> None:
    client = await door.client()
    shown = "SELECT ssn FROM customers ORDER BY id LIMIT 1"
    texts = (shown, "SET search_path TO sales", shown, "SET search_path TO public", shown)
    client.send(*(m for t in texts for m in (f.Parse("", t), f.Bind("", ""), f.Execute(""))))
    client.send(f.Sync())
    assert cells(await client.until_ready()) == [[MASKED], [PLAIN], [MASKED]]


async def test_a_prepared_statement_is_judged_by_the_path_it_runs_with(door: Door) -> None:
    client = await door.client()
    client.send(f.Parse("s", "SELECT ssn FROM customers ORDER BY id LIMIT 1"), f.Sync())
    await client.until_ready()
    seen = []
    for text in ("SET search_path TO sales", "SET search_path TO public"):
        await client.query(text)
        client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
        seen += cells(await client.until_ready())
    assert seen == [[PLAIN], [MASKED]]


async def test_the_columns_of_a_prepared_statement_are_those_of_the_path_it_runs_with(
    door: Door,
) -> None:
    """By their old origin, in a table without labels, they would come out unmasked."""
    client = await door.client()
    await client.query("SET search_path TO sales")
    shown = f.Parse("s", "SELECT ssn FROM customers ORDER BY id LIMIT 1")
    client.send(shown, f.Bind("", "s"), f.Execute(""), f.Sync())
    assert cells(await client.until_ready()) == [[PLAIN]]
    await client.query("RESET search_path")
    failing = f.Parse("", "SELECT 1 / 0"), f.Bind("", ""), f.Execute("")
    client.send(*failing, f.Bind("", "s"), f.Execute(""), f.Sync())
    await client.until_ready()
    client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
    assert cells(await client.until_ready()) == [[MASKED]]


async def test_what_was_bound_by_another_path_does_not_run(door: Door) -> None:
    """A portal keeps what its names meant: judged by another path it would come out unmasked."""
    client = await door.client()
    await client.query("BEGIN")
    client.send(f.Parse("", "SELECT ssn || '' FROM customers"), f.Bind("p", ""), f.Sync())
    await client.until_ready()
    await client.query("SET search_path TO sales")
    client.send(f.Execute("p"), f.Sync())
    replies = await client.until_ready()
    assert cells(replies) == []
    assert errors(replies)[0][0] == "42501"


async def test_a_portal_that_sets_the_path_runs_with_its_bind_only(door: Door) -> None:
    client = await door.client()
    await client.query("BEGIN")
    client.send(f.Parse("", "SELECT set_config('search_path', 'sales', false)"), f.Bind("p", ""))
    client.send(f.Sync())
    assert errors(await client.until_ready())[0][0] == "42501"


async def test_a_portal_without_any_change_is_run_in_pieces(door: Door) -> None:
    client = await door.client()
    await client.query("BEGIN")
    client.send(f.Parse("", "SELECT id FROM customers ORDER BY id"), f.Bind("p", ""))
    client.send(f.Execute("p", 1), f.Sync())
    assert cells(await client.until_ready()) == [[b"1"]]
    client.send(f.Execute("p", 1), f.Sync())
    assert cells(await client.until_ready()) == [[b"2"]]


REFUSED = {
    "a schema that has a built-in's name": "SET search_path TO evil",
    "one behind another": "SET search_path TO public, evil",
    "one that is not there": "SET search_path TO nowhere",
    "pg_catalog behind it": "SET search_path TO public, pg_catalog",
    "pg_temp before it": "SET search_path TO pg_temp, public",
    "a computed one": "SELECT set_config('search_path', 'sa' || 'les', false)",
    "one of the rows": "SELECT set_config('search_path', name, false) FROM customers",
    "inside something": "SELECT length(set_config('search_path', 'sales', false))",
    "another setting": "SELECT set_config('role', 'postgres', false)",
    "the current one": "SET search_path FROM CURRENT",
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_path_by_which_names_can_not_be_told_is_refused(door: Door, what: str) -> None:
    client = await door.client()
    assert errors(await client.query(REFUSED[what]))[0][0] == "42501"
    assert await ssn(client) == MASKED


async def test_the_path_is_shown_as_the_server_has_it(door: Door) -> None:
    client = await door.client()
    await client.query("SET search_path TO sales, public")
    assert cells(await client.query("SHOW search_path")) == [[b"sales, public"]]


STEPS = [
    *("SET search_path TO sales", "SET search_path TO hr", "SET LOCAL search_path TO sales"),
    *("SET LOCAL search_path TO hr", "RESET search_path", "RESET ALL", "DISCARD ALL"),
    *("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "RELEASE a", "RELEASE b"),
    *("ROLLBACK TO a", "ROLLBACK TO b", "SELECT 1 / 0", "SELECT 1", "BEGIN"),
    *("SELECT set_config('search_path', 'hr', true)", "SET search_path = ''"),
]


@pytest.mark.parametrize("seed", range(12))
async def test_random_sessions_are_followed_as_the_server_goes(door: Door, seed: int) -> None:
    """In messages of several statements, in pipelines, and one by one."""
    chance = random.Random(seed)
    client = await door.client()
    for _ in range(60):
        texts = chance.choices(STEPS, k=chance.choice((1, 1, 1, 2, 3, 5)))
        if chance.random() < 0.5:
            client.send(f.Query("; ".join(texts)))
        else:
            messages = ((f.Parse("", t), f.Bind("", ""), f.Execute("")) for t in texts)
            client.send(*(m for three in messages for m in three), f.Sync())
        replies = await client.until_ready()
        assert tags(replies)[-2:-1] == "Z", replies
