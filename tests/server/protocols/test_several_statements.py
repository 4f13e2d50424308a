"""A Query of several statements: each judged and recorded by itself, sent whole or not at all."""

from __future__ import annotations

import pytest

from recordings.rows import decode_postgres
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import Reply, errors, tags

pytestmark = pytest.mark.anyio


def cells(replies: list[Reply]) -> list[list[bytes | None]]:
    runs = [reply.frames for reply in replies if isinstance(reply, RowRun)]
    return [row for frames in runs for row in decode_postgres(frames)]


async def count(door: Door, status: str) -> int:
    direct = await door.direct()
    replies = await direct.query(f"SELECT count(*) FROM orders WHERE status = '{status}'")
    return int(cells(replies)[0][0] or b"0")


SEVERAL = {
    "two reads": "SELECT 1; SELECT 2",
    "empty statements between": ";; SELECT 1;; ;SELECT 2; -- the end",
    "a semicolon in a literal": 'SELECT \';\', $$;$$; SELECT "a;b" FROM (SELECT 1 AS "a;b") t',
    "an error in the middle": "SELECT 1; SELECT 1 / 0; SELECT 3",
    "an error at the end": "SELECT 1; SELECT 1 / 0",
    "a transaction": "BEGIN; SELECT 1; COMMIT",
    "a transaction left open": "BEGIN; SELECT 1",
    "a failing transaction left open": "BEGIN; SELECT 1; SELECT 1 / 0; COMMIT",
    "no rows": "SELECT 1 WHERE false; SELECT 2",
    "what asyncpg resets a connection with": (
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"
    ),
    "DISCARD ALL among others": "SELECT 1; DISCARD ALL",
}


@pytest.mark.parametrize("what", SEVERAL)
async def test_several_statements_are_answered_as_by_the_server(door: Door, what: str) -> None:
    client, direct = await door.client(), await door.direct()
    through, there = await client.query(SEVERAL[what]), await direct.query(SEVERAL[what])
    assert (tags(through), cells(through)) == (tags(there), cells(there))
    assert [code for code, _ in errors(through)] == [code for code, _ in errors(there)]
    after = [await each.query("ROLLBACK; SELECT 4") for each in (client, direct)]
    assert tags(after[0]) == tags(after[1]).replace("N", "")  # no server's notice is relayed


async def test_each_statement_has_its_own_mask(door: Door) -> None:
    client = await door.client()
    replies = await client.query(
        "SELECT id FROM customers WHERE id = 1; SELECT ssn FROM customers WHERE id = 1; SELECT 5"
    )
    assert cells(replies) == [[b"1"], [b"***-**-9991"], [b"5"]]


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT; DELETE FROM orders",
        "ROLLBACK; DELETE FROM orders",
        "UPDATE customers SET name = 'x'; DELETE FROM orders",
        "DELETE FROM orders; SELECT 1",
        "SELECT 1; SELECT nonsense_of_mine(); SELECT 2",
        "UPDATE customers SET name = 'x'; SELECT 1 FROM",
        "UPDATE customers SET name = 'x'; COPY orders FROM STDIN",
        "UPDATE customers SET name = 'x'; update orders SET status = 'x'",
        ";".join(["UPDATE customers SET name = 'x'"] * 101),
    ],
)
async def test_one_that_is_refused_keeps_all_of_them_from_the_server(door: Door, text: str) -> None:
    client, direct = await door.client(), await door.direct()
    replies = await client.query(text)
    assert tags(replies) == "EZI"
    assert errors(replies)[0][0] == "42501"
    left = await direct.query("SELECT count(*) FROM customers WHERE name = 'x'")
    assert cells(left) == [[b"0"]]
    assert tags(await client.query("SELECT 1")) == "TDCZI"


async def test_a_refusal_in_a_transaction_aborts_it(door: Door) -> None:
    client = await door.client()
    await client.query("BEGIN")
    assert tags(await client.query("SELECT 1; DELETE FROM orders")) == "EZE"
    assert tags(await client.query("COMMIT; SELECT 1")) == "CTDCZI"


async def test_several_statements_after_a_pipeline_without_sync_keep_their_order(
    door: Door,
) -> None:
    client, direct = await door.client(), await door.direct()
    for each in (client, direct):
        each.send(f.Parse("", "SELECT 1"), f.Bind("", ""), f.Execute(""))
        each.send(f.Query("SELECT 2; SELECT 3"))
    through, there = await client.until_ready(), await direct.until_ready()
    assert (tags(through), cells(through)) == (tags(there), cells(there))


async def test_the_implicit_transaction_takes_back_what_came_before_an_error(door: Door) -> None:
    client = await door.client()
    await client.query("UPDATE customers SET name = 'y' WHERE id = 1; SELECT 1 / 0")
    direct = await door.direct()
    left = await direct.query("SELECT count(*) FROM customers WHERE name = 'y'")
    assert cells(left) == [[b"0"]]


async def test_each_has_an_intent_and_an_outcome(door: Door) -> None:
    client = await door.client()
    await client.query("SELECT 71; SELECT 72")
    async with door.store.pool.acquire() as connection:
        texts = await connection.fetch(
            "SELECT convert_from(b.body, 'UTF8') AS text FROM records i"
            " JOIN bodies b USING (stream, sequence)"
            " WHERE i.kind = 'intent' AND b.body LIKE '%SELECT 7_%' ORDER BY 1"
        )
    assert [row["text"] for row in texts] == [" SELECT 72", "SELECT 71;"]
