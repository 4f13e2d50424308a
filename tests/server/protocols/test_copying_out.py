"""COPY to the client through the door: as from the server, but for what policy masks."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator

import asyncpg
import pytest

from policies.sql.copied import CopyLayout
from recordings.copied_rows import decode
from recordings.replay import Replay
from recordings.sessions import decoded_rows, read_session
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import CopyRun, RowRun
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags

pytestmark = pytest.mark.anyio

TEXT = CopyLayout()
CSV = CopyLayout("csv", ",", "", '"', '"')
SECRETS = (b"219-09-9991", b"457-55-5462", b"509-21-8810", b"612-34-7789")


@pytest.fixture(scope="module")
async def direct(door: Door) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(door.sample.dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[RawClient]:
    client = await door.client()
    yield client
    client.send(f.Terminate())
    await client.to_the_end()


def copied(replies: list[Reply]) -> bytes:
    return b"".join(reply.frames for reply in replies if isinstance(reply, CopyRun))


def lines(replies: list[Reply]) -> list[bytes]:
    """What a program would write into a file."""
    frames, found = copied(replies), []
    while frames:
        end = 1 + int.from_bytes(frames[1:5], "big")
        found.append(frames[5:end])
        frames = frames[end:]
    return found


def said(replies: list[Reply]) -> bytes:
    return b"".join(r.frames if isinstance(r, RowRun) else r.encode() for r in replies)


def run(text: str) -> list[f.Command]:
    return [f.Parse("", text), f.Bind("", ""), f.Describe("P", ""), f.Execute(""), f.Sync()]


CLEAN = [
    "COPY orders TO STDOUT",
    "COPY orders (total, id) TO STDOUT (FORMAT csv, HEADER)",
    "COPY public.orders TO STDOUT WITH CSV HEADER DELIMITER ';' NULL 'none' QUOTE '^'",
    "COPY (SELECT id, name, notes FROM customers ORDER BY id) TO STDOUT",
    'COPY (SELECT name AS "a,b", NULL AS """" FROM customers) TO STDOUT (FORMAT csv, HEADER)',
    "COPY (SELECT E'a\\tb', E'\\\\.', E'x\\ny', '', NULL::text, 'ä') TO STDOUT",
    "COPY (SELECT E'\\\\.') TO STDOUT (FORMAT csv)",
    "COPY (SELECT E'a\\nb') TO STDOUT (FORMAT csv, FORCE_QUOTE *)",
    "COPY (SELECT FROM orders WHERE id < 4) TO STDOUT",
    "COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT csv, HEADER)",
    "copy/* ( */(/* ) */select 1 -- )\n) to stdout",
    "COPY (WITH x AS (SELECT 1 AS a) SELECT a, (a), ')' FROM x) TO STDOUT;",
    "COPY (VALUES (1, 'x'), (2, NULL)) TO STDOUT (DELIMITER '|')",
]


@pytest.mark.parametrize("text", CLEAN)
async def test_a_copy_comes_as_from_the_server_in_both_protocols(
    door: Door, client: RawClient, text: str
) -> None:
    server = await door.direct()
    expected = await server.query(text)
    assert "EZ" not in tags(expected)
    assert said(await client.query(text)) == said(expected)
    client.send(*run(text))
    server.send(*run(text))
    assert said(await client.until_ready()) == said(await server.until_ready())


async def test_a_labelled_column_is_masked_as_select_masks_it(client: RawClient) -> None:
    for text, layout, width in (
        ("COPY customers TO STDOUT", TEXT, 8),
        ("COPY customers (id, ssn) TO STDOUT", TEXT, 2),
        ("COPY (SELECT ssn AS name, id FROM ONLY customers) TO STDOUT (FORMAT csv)", CSV, 2),
    ):
        replies = await client.query(text)
        assert tags(replies) == "HddddcCZI"
        rows = decode(layout, copied(replies))
        assert {len(row) for row in rows} == {width}
        assert {cell for row in rows for cell in row if cell and cell.startswith(b"***-**-")} == {
            b"***-**-" + secret[-4:] for secret in SECRETS
        }
        assert not any(secret in copied(replies) for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        "COPY (SELECT customers FROM customers) TO STDOUT",
        "COPY (SELECT to_json(c) FROM customers c) TO STDOUT (FORMAT csv)",
        "COPY (SELECT reverse(ssn), ssn || '', left(ssn, 3), md5(ssn) FROM customers) TO STDOUT",
        "COPY (SELECT x.c FROM customers AS x(a, b, d, e, c)) TO STDOUT",
        "COPY (TABLE customers) TO STDOUT",
        "COPY (SELECT ssn FROM customers UNION ALL SELECT 'x') TO STDOUT (FORMAT csv, HEADER)",
        "COPY (SELECT ssn FROM ONLY customers) TO STDOUT (FORMAT csv, DELIMITER '-')",
        "COPY (SELECT ssn FROM customers) TO STDOUT (FORMAT csv, QUOTE '*')",
        "COPY (SELECT ssn FROM customers) TO STDOUT (FORMAT csv, NULL '219-09-9991')",
        "COPY (SELECT ssn FROM customers) TO STDOUT (DELIMITER '-')",
        "COPY (SELECT ssn, ssn FROM customers) TO STDOUT (FORMAT csv, DELIMITER '2', QUOTE '9')",
        "COPY (SELECT string_agg(ssn, E'\\n\\\\.\\n') FROM customers) TO STDOUT",
        "COPY (SELECT ssn FROM customers) TO STDOUT (FORMAT csv, FORCE_QUOTE *, HEADER)",
        "COPY (SELECT ssn, total FROM customer_totals) TO STDOUT",
        "COPY customer_totals TO STDOUT",
        "COPY business_customers TO STDOUT",
        "COPY (SELECT * FROM business_customers) TO STDOUT (FORMAT csv)",
        "COPY (WITH x AS (SELECT ssn AS a FROM customers) SELECT a, a || a FROM x) TO STDOUT",
        "COPY (SELECT id, (SELECT ssn FROM customers LIMIT 1) FROM orders LIMIT 2) TO STDOUT",
        "COPY (SELECT ssn::int FROM customers) TO STDOUT",
        "COPY (SELECT 1 / (ssn = '219-09-9991')::int FROM customers) TO STDOUT",
    ],
)
async def test_no_way_of_copying_brings_a_labelled_value(client: RawClient, text: str) -> None:
    replies = await client.query(text)
    client.send(*run(text))
    replies += await client.until_ready()
    everything = said(replies)
    for secret in SECRETS:
        for form in (secret, secret[::-1], secret.replace(b"-", b"\\-")):
            assert form not in everything
    assert tags(replies).count("ZI") == 2


async def test_names_of_columns_are_the_first_line_and_no_row(client: RawClient) -> None:
    replies = await client.query(
        'COPY (SELECT ssn AS "x, ""y""", id FROM ONLY customers ORDER BY id) TO STDOUT CSV HEADER'
    )
    file = io.StringIO(b"".join(lines(replies)).decode(), newline="")
    assert next(csv.reader(file)) == ['x, "y"', "id"]
    assert replies[-2] == b.CommandComplete("COPY 4")
    limited = "COPY (SELECT id AS limited FROM orders LIMIT 10) TO STDOUT (FORMAT csv, HEADER)"
    assert tags(await client.query(limited)) == "H" + "d" * 11 + "cCZI"


async def test_a_copy_past_the_row_limit_ends_the_session(client: RawClient) -> None:
    client.send(f.Query("COPY (SELECT id AS limited FROM orders LIMIT 11) TO STDOUT"))
    replies = await client.to_the_end()
    assert errors(replies)[-1][0] == "42501"
    assert not any(isinstance(reply, CopyRun | b.CommandComplete) for reply in replies)


REFUSED = [
    "COPY orders TO STDOUT (FORMAT binary)",
    "COPY BINARY orders TO STDOUT",
    "COPY customers TO STDOUT (NULL '219-09-9991')",
    "COPY orders TO STDOUT (NULL '')",
    "COPY orders TO STDOUT (ENCODING 'LATIN1')",
    "COPY orders TO STDOUT (FORMAT csv, FORCE_QUOTE (id))",
    "COPY orders TO STDOUT (FORMAT csv, DELIMITER 'ä')",
    "COPY orders TO STDOUT (FORMAT csv, ESCAPE E'\\n')",
    "COPY orders TO STDOUT (FORMAT text, FORMAT csv)",
    "COPY orders TO STDOUT (HEADER match)",
    "COPY orders TO STDOUT (FORMAT csv, DEFAULT 'x')",
    "COPY (DELETE FROM orders RETURNING id) TO STDOUT",
    "COPY orders TO PROGRAM 'cat'",
    "COPY orders TO '/tmp/x'",
    "SELECT 1; COPY orders TO STDOUT",
    "COPY orders TO STDOUT; SELECT 1",
]


@pytest.fixture(scope="module")
async def computed(door: Door, direct: asyncpg.Connection[asyncpg.Record]) -> None:
    await direct.execute(
        "CREATE TABLE computed (c int GENERATED ALWAYS AS (a + 1) STORED, a int, b int);"
        "INSERT INTO computed (a, b) VALUES (1, 2);"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC"
    )
    await door.gate.read_catalog(door.gate.backends["shop"])


@pytest.mark.parametrize("text", REFUSED)
async def test_what_could_not_be_masked_is_refused_in_place(client: RawClient, text: str) -> None:
    replies = await client.query(text)
    assert tags(replies) == "EZI"
    assert errors(replies)[0][0] == "42501"
    assert tags(await client.query("SELECT 1")) == "TDCZI"


@pytest.mark.usefixtures("computed")
async def test_generated_columns_are_left_out_as_the_server_does(
    door: Door, client: RawClient
) -> None:
    for text in (
        "COPY computed TO STDOUT (FORMAT csv, HEADER)",
        "COPY computed (b, a) TO STDOUT",
        "COPY (SELECT * FROM computed) TO STDOUT",
    ):
        server = await door.direct()
        assert said(await client.query(text)) == said(await server.query(text))


ERRORS = [
    "COPY (SELECT 1 / (1000 - n) FROM generate_series(1, 2000) n) TO STDOUT",
    "COPY (SELECT id, 1 / (150 - id) FROM orders ORDER BY id) TO STDOUT (FORMAT csv, HEADER)",
    "COPY customer_contacts TO STDOUT",
    "COPY visits TO STDOUT",
    "COPY orders (id, id) TO STDOUT",
]


@pytest.mark.parametrize("text", ERRORS)
@pytest.mark.parametrize("before", [[], [f.Query("BEGIN")]], ids=["outside", "inside"])
async def test_an_error_comes_in_order_and_with_the_servers_state(
    door: Door, client: RawClient, text: str, before: list[f.Command]
) -> None:
    server = await door.direct()
    asked = [*before, f.Query(text), *run(text), f.Query("SELECT 1")]
    client.send(*asked)
    server.send(*asked)
    through = await client.until_ready(3 + len(before))
    expected = await server.until_ready(3 + len(before))
    assert tags(through) == tags(expected)
    assert [e for e, _ in errors(through)] == [e for e, _ in errors(expected)]


async def test_an_error_in_the_middle_of_a_copy_comes_behind_the_rows_before_it(
    door: Door, client: RawClient
) -> None:
    text = "COPY (SELECT 1 / (1000 - n) FROM generate_series(1, 2000) n) TO STDOUT"
    server = await door.direct()
    through, expected = await client.query(text), await server.query(text)
    assert copied(through) == copied(expected)
    assert tags(through) == tags(expected) == "H" + "d" * 999 + "EZI"
    assert errors(through)[0][0] == "22012"
    assert tags(await client.query("SELECT 1")) == "TDCZI"


async def test_in_a_failed_transaction_a_copy_fails_like_everything(client: RawClient) -> None:
    await client.query("BEGIN")
    await client.query("SELECT 1 / 0")
    replies = await client.query("COPY orders TO STDOUT")
    assert (tags(replies), errors(replies)[0][0]) == ("EZE", "25P02")
    client.send(*run("COPY orders TO STDOUT"))
    replies = await client.until_ready()
    assert (tags(replies), errors(replies)[0][0]) == ("EZE", "25P02")
    assert tags(await client.query("ROLLBACK")) == "CZI"


async def test_a_copy_sees_what_its_transaction_has_done(client: RawClient) -> None:
    await client.query("BEGIN")
    await client.query("UPDATE customers SET name = 'Countess' WHERE id = 1")
    replies = await client.query("COPY (SELECT name FROM customers WHERE id = 1) TO STDOUT")
    assert (tags(replies), lines(replies)) == ("HdcCZT", [b"Countess\n"])
    await client.query("ROLLBACK")


async def test_copies_in_a_pipeline_come_in_order(door: Door, client: RawClient) -> None:
    def one(text: str) -> list[f.Command]:
        return [f.Parse("", text), f.Bind("", ""), f.Execute("")]

    def batch(failing: str) -> list[f.Command]:
        copy = one("COPY (SELECT 7) TO STDOUT")
        return [*copy, *one("SELECT 1"), *copy, *one(failing), *copy, f.Sync(), *copy, f.Sync()]

    server = await door.direct()
    for failing in ("COPY (SELECT 1 / 0) TO STDOUT", "SELECT nonsense"):
        client.send(*batch(failing))
        server.send(*batch(failing))
        through, expected = await client.until_ready(2), await server.until_ready(2)
        assert tags(through) == tags(expected)
        assert copied(through) == copied(expected)


async def test_a_prepared_copy_runs_again_and_again(client: RawClient) -> None:
    client.send(f.Parse("s", "COPY customers (ssn) TO STDOUT"), f.Sync())
    assert tags(await client.until_ready()) == "1ZI"
    for _ in range(3):
        client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
        replies = await client.until_ready()
        assert tags(replies) == "2HddddcCZI"
        assert not any(secret in copied(replies) for secret in SECRETS)


async def test_what_a_client_has_prepared_without_a_name_outlives_a_copy_in_the_extended_protocol(
    client: RawClient,
) -> None:
    client.send(f.Parse("", "SELECT 5"), f.Parse("s", "COPY (SELECT 6) TO STDOUT"))
    client.send(f.Bind("p", "s"), f.Execute("p"), f.Bind("", ""), f.Execute(""), f.Sync())
    assert tags(await client.until_ready()) == "112HdcC2DCZI"


async def test_a_copy_is_recorded_as_it_was_delivered(door: Door, client: RawClient) -> None:
    text = "COPY (SELECT ssn, NULL AS n FROM customers WHERE id = 1) TO STDOUT (FORMAT csv, HEADER)"
    await client.query(text)
    await door.gate.journal.flush()
    opened = "SELECT session FROM records WHERE kind = 'session_opened' ORDER BY at DESC LIMIT 1"
    session = await door.store.pool.fetchval(opened)
    kept = [record async for record in read_session(door.store, session)]
    assert [rows for r in kept if (rows := decoded_rows(r))] == [[[b"***-**-9991", None]]]
    (columns,) = (r.document["columns"] for r in kept if "columns" in r.document)
    assert "label pii" in repr(columns)
    told = "\n".join([line for record in kept for line in Replay().lines(record)])
    assert "***-**-9991" in told


async def test_a_cancelled_copy_ends_in_the_servers_error(door: Door, client: RawClient) -> None:
    client.send(f.Query("COPY (SELECT a.id FROM orders a, orders b, orders c, orders d) TO STDOUT"))
    while not isinstance(await client.reply(), CopyRun):
        pass
    assert client.key is not None
    canceller = await door.connect()
    canceller.send(f.CancelRequest(client.key.process, client.key.secret))
    replies = await client.until_ready()
    assert errors(replies) == [("57014", errors(replies)[0][1])]
    assert tags(await client.query("SELECT 1")) == "TDCZI"


async def test_a_client_that_leaves_a_copy_leaves_nothing_running(
    door: Door, direct: asyncpg.Connection[asyncpg.Record]
) -> None:
    client = await door.client()
    text = "COPY (SELECT a.id AS leaves FROM orders a, orders b, orders c, orders d) TO STDOUT"
    client.send(f.Query(text))
    while not isinstance(await client.reply(), CopyRun):
        pass
    client.writer.transport.abort()
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1"
    async with asyncio.timeout(20):
        while await direct.fetchval(running, text):
            pass


SWAPPED = """ALTER TABLE customers RENAME ssn TO was;
ALTER TABLE customers RENAME notes TO ssn; ALTER TABLE customers RENAME was TO notes"""


@pytest.mark.parametrize(
    "what", ["customers (id, notes)", "customers", "(SELECT notes FROM customers)"]
)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
async def test_columns_that_change_places_before_a_copy_are_masked_as_they_are(
    direct: asyncpg.Connection[asyncpg.Record], client: RawClient, what: str, protocol: str
) -> None:
    """The server describes them under the lock that the COPY itself reads with."""
    text = f"COPY {what} TO STDOUT"
    await client.query(text)
    async with direct.transaction():
        await direct.execute(SWAPPED)
        client.send(*([f.Query(text)] if protocol == "simple" else run(text)))
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'customers'::regclass"
        )
        async with asyncio.timeout(20):
            while not await direct.fetchval(waiting):
                pass
    try:
        replies = await client.until_ready()
    finally:
        await direct.execute(SWAPPED)
    assert "cC" in tags(replies)
    assert not any(secret in said(replies) for secret in SECRETS)


async def test_asyncpg_copies_out(door: Door) -> None:
    connection = await asyncpg.connect(
        host=door.host,
        port=door.port,
        user="ada",
        password="ada's token",
        database="shop",
        ssl=False,
    )
    try:
        table, query = io.BytesIO(), io.BytesIO()
        await connection.copy_from_table("customers", columns=["ssn"], output=table)
        ssns = "SELECT ssn FROM ONLY customers"
        await connection.copy_from_query(ssns, output=query, format="csv")
        for file in (table, query):
            assert sorted(file.getvalue().split()) == sorted(b"***-**-" + s[-4:] for s in SECRETS)
    finally:
        await connection.close()
