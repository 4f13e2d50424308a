"""The PostgreSQL door on the real gate and a real server: the order is the server's."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import asyncpg
import pytest

from recordings.rows import decode_postgres
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader, NeedData, RowRun
from tests.server.protocols.gateway import TOKEN, Door
from tests.server.protocols.raw_client import Reply, errors, tags

pytestmark = pytest.mark.anyio


def run(text: str, *parameters: bytes | None) -> list[f.Command]:
    """An unnamed statement in the extended protocol, without Sync."""
    return [f.Parse("", text), f.Bind("", "", (), parameters), f.Execute("")]


def cells(replies: list[Reply]) -> list[list[bytes | None]]:
    runs = [reply.frames for reply in replies if isinstance(reply, RowRun)]
    return decode_postgres(b"".join(runs))


async def activity(door: Door, text: str) -> int:
    """How many backends run a statement, seen over another connection."""
    connection = await asyncpg.connect(door.sample.dsn)
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1"
            " AND pid <> pg_backend_pid()"
        )
        return int(await connection.fetchval(query, text))
    finally:
        await connection.close()


async def until_running(door: Door, text: str, count: int) -> None:
    async with asyncio.timeout(20):
        while await activity(door, text) != count:
            await asyncio.sleep(0.01)


async def test_a_simple_query_comes_back_as_from_the_server(door: Door) -> None:
    client, direct = await door.client(), await door.direct()
    text = "SELECT id, name FROM customers ORDER BY id LIMIT 2"
    assert await client.query(text) == await direct.query(text)


async def test_a_labelled_column_comes_back_masked(door: Door) -> None:
    client = await door.client()
    replies = await client.query("SELECT id, ssn FROM customers WHERE id = 1")
    assert tags(replies) == "TDCZI"
    assert cells(replies) == [[b"1", b"***-**-9991"]]


async def test_a_cached_statement_that_was_never_described_is_masked_too(door: Door) -> None:
    client = await door.client()
    client.send(f.Parse("s", "SELECT ssn FROM customers WHERE id = $1"), f.Sync())
    await client.until_ready()
    client.send(f.Bind("", "s", (), (b"1",), (1,)), f.Execute(""), f.Sync())
    replies = await client.until_ready()
    assert (tags(replies), cells(replies)) == ("2DCZI", [[b"***-**-9991"]])


async def test_a_thousand_statements_before_one_sync_come_back_in_order(door: Door) -> None:
    client = await door.client()
    client.send(
        *(m for n in range(1000) for m in run("SELECT $1::int4", str(n).encode())), f.Sync()
    )
    replies = await client.until_ready()
    assert tags(replies) == "12DC" * 1000 + "ZI"
    assert cells(replies) == [[str(n).encode()] for n in range(1000)]


@pytest.mark.parametrize("transaction", [[], [f.Query("BEGIN")]], ids=["outside", "inside"])
async def test_a_refusal_in_the_middle_keeps_the_servers_order(
    door: Door, transaction: list[f.Command]
) -> None:
    def batch(failing: str) -> list[f.Command]:
        return [
            *(*run("SELECT 1"), *run(failing), *run("SELECT 3"), f.Sync()),
            *(*run("SELECT 4"), f.Sync()),
        ]

    client, direct = await door.client(), await door.direct()
    client.send(*transaction, *batch("DELETE FROM orders"))
    direct.send(*transaction, *batch("DELETE nonsense"))
    through = await client.until_ready(2 + len(transaction))
    assert tags(through) == tags(await direct.until_ready(2 + len(transaction)))
    assert errors(through)[0] == ("42501", "Nobody deletes.")


async def test_a_refused_simple_query_in_a_transaction_aborts_it(door: Door) -> None:
    client = await door.client()
    await client.query("BEGIN")
    assert tags(await client.query("DELETE FROM orders")) == "EZE"
    assert errors(await client.query("SELECT 1"))[0][0] == "25P02"
    assert tags(await client.query("ROLLBACK")) == "CZI"


async def test_a_refusal_carries_code_policy_and_next_step(door: Door) -> None:
    client = await door.client()
    (refusal, _) = await client.query("DELETE FROM orders")
    assert isinstance(refusal, b.ErrorResponse)
    assert refusal.text("D") == "REFUSED, policy test-policy"
    assert refusal.text("H") == "Ask for less."


async def test_several_statements_in_one_query_are_refused_as_one(door: Door) -> None:
    client = await door.client()
    replies = await client.query("SELECT 1; DELETE FROM orders")
    assert tags(replies) == "EZI"
    assert errors(replies)[0][0] == "42501"


async def test_what_needs_approval_is_refused_at_once_with_its_ticket(door: Door) -> None:
    client = await door.client()
    replies = await client.query("UPDATE orders SET status = 'paid' WHERE id = 1")
    ((sqlstate, message),) = errors(replies)
    assert sqlstate == "42501"
    assert "needs approval: ticket ap_" in message


async def test_a_fetch_in_portions_is_suspended_and_goes_on(door: Door) -> None:
    client = await door.client()
    await client.query("BEGIN")
    client.send(f.Parse("", "SELECT id FROM orders ORDER BY id"), f.Bind("p", ""))
    client.send(f.Execute("p", 3), f.Sync())
    first = await client.until_ready()
    client.send(f.Execute("p", 2), f.Sync())
    second = await client.until_ready()
    assert (tags(first), tags(second)) == ("12DDDsZT", "DDsZT")
    assert cells(first + second) == [[b"1"], [b"2"], [b"3"], [b"4"], [b"5"]]


async def test_every_message_in_a_segment_of_its_own_is_understood(door: Door) -> None:
    client = await door.client()
    parse, bind, execute = run("SELECT $1::text", b"x")
    batch = [parse, bind, f.Describe("P", ""), execute, f.Sync()]
    for byte in b"".join(message.encode() for message in batch):
        client.writer.write(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert tags(await client.until_ready()) == "12TDCZI"


async def test_a_name_means_what_it_meant_before_the_error(door: Door) -> None:
    client = await door.client()
    client.send(f.Parse("s", "SELECT 'first'"), f.Sync())
    await client.until_ready()
    client.send(*run("SELECT nonsense"), f.Close("S", "s"), f.Parse("s", "SELECT 'second'"))
    client.send(f.Sync())
    client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
    replies = await client.until_ready(2)
    assert tags(replies) == "EZI 2DCZI"
    assert cells(replies) == [[b"first"]]


@pytest.mark.parametrize("name", ["", "s"], ids=["unnamed", "named"])
async def test_what_was_parsed_before_the_error_is_kept(door: Door, name: str) -> None:
    client, direct = await door.client(), await door.direct()
    for each in client, direct:
        each.send(f.Parse(name, "SELECT 'first'"), f.Sync(), f.Close("S", name))
        each.send(f.Parse(name, "SELECT 'second'"), f.Describe("S", "nope"), f.Sync())
        each.send(f.Bind("", name), f.Execute(""), f.Sync())
    through, theirs = await client.until_ready(3), await direct.until_ready(3)
    assert tags(through) == tags(theirs) == "1ZI 31EZI 2DCZI"
    assert cells(through) == cells(theirs) == [[b"second"]]


async def test_a_name_in_use_is_refused_by_the_server_in_place(door: Door) -> None:
    client = await door.client()
    client.send(f.Parse("s", "SELECT 'first'"), f.Parse("s", "SELECT 'second'"), f.Sync())
    assert errors(await client.until_ready())[0][0] == "42P05"
    client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
    assert cells(await client.until_ready()) == [[b"first"]]


@pytest.mark.parametrize("message", [f.Bind("", "nope"), f.Execute("nope")])
async def test_an_unknown_name_is_refused_in_place(door: Door, message: f.Command) -> None:
    client = await door.client()
    client.send(message, f.Sync(), f.Query("SELECT 1"))
    assert tags(await client.until_ready(2)) == "EZI TDCZI"


async def test_a_function_call_is_refused_and_the_session_goes_on(door: Door) -> None:
    client = await door.client()
    client.send(f.FunctionCall(b"\0\0\0\0"), f.Query("SELECT 1"))
    replies = await client.until_ready(2)
    assert tags(replies) == "EZI TDCZI"
    assert errors(replies)[0][0] == "42501"


async def test_a_setting_that_the_server_reports_reaches_the_client(door: Door) -> None:
    client, direct = await door.client(), await door.direct()
    text = "SET application_name = 'reports'"
    if errors(through := await client.query(text)):
        assert tags(through) == "EZI"  # not understood, so refused: nothing reached the server
    else:
        assert through == await direct.query(text)


async def test_what_a_real_server_says_is_read_and_written_back_byte_by_byte(door: Door) -> None:
    direct = await door.direct()
    direct.send(*run("SELECT * FROM pg_type"), f.Describe("S", ""), *run("SELEKT"), f.Sync())
    direct.send(f.Query("SELECT 1/0"), f.Query("NOTIFY x; LISTEN x; NOTIFY x, 'p'"))
    direct.send(f.Query("SET TimeZone = 'Asia/Tokyo'"), f.Query(""))
    direct.send(f.Query("DO $$ BEGIN RAISE WARNING 'w'; END $$"))
    direct.send(f.Query("COPY customers TO STDOUT"), f.Query("COPY customers FROM STDIN"))
    direct.send(f.CopyFail("enough"))
    said = bytearray()
    while said.count(b"Z\0\0\0\x05") != 8:
        said += await direct.reader.read(65536)
    reader = BackendReader()
    reader.receive_data(bytes(said))
    written = bytearray()
    while not isinstance(message := reader.next_event(), NeedData):
        written += message.frames if isinstance(message, RowRun) else message.encode()
    assert written == said


async def test_copy_in_is_streamed_to_the_server(door: Door) -> None:
    client = await door.client()
    await client.query("BEGIN")
    client.send(f.Query("COPY orders (id, customer_id, placed_at, total) FROM STDIN"))
    assert isinstance(await client.reply(), b.CopyInResponse)
    lines = (f"{n}\t1\t2025-01-01\t1.00\n".encode() for n in range(1000, 3000))
    client.send(*(f.CopyData(line) for line in lines), f.CopyDone())
    replies = await client.until_ready()
    assert replies[0] == b.CommandComplete("COPY 2000")
    counted = await client.query("SELECT count(*) FROM orders WHERE id >= 1000")
    assert cells(counted) == [[b"2000"]]


async def test_a_failed_copy_ends_in_the_servers_error_and_the_session_goes_on(
    door: Door,
) -> None:
    client = await door.client()
    client.send(f.Query("COPY orders (id, customer_id, placed_at, total) FROM STDIN"))
    assert isinstance(await client.reply(), b.CopyInResponse)
    client.send(f.CopyData(b"not a number\n"), f.CopyData(b"more\n"), f.CopyDone())
    client.send(f.Query("SELECT 1"))
    assert tags(await client.until_ready(2)) == "EZI TDCZI"


async def test_a_copy_that_fails_while_more_of_it_comes_ends_in_the_servers_error(
    door: Door,
) -> None:
    """The error came while the next part was written, and whoever waited for it never saw it."""
    client = await door.client()
    client.send(f.Query("COPY orders (id, customer_id, placed_at, total) FROM STDIN"))
    assert isinstance(await client.reply(), b.CopyInResponse)
    client.send(*[f.CopyData(b"not a number\n")] * 40_000, f.CopyDone())
    assert tags(await client.until_ready()) == "EZI"


async def test_a_client_that_fails_its_copy_is_told_so_by_the_server(door: Door) -> None:
    client = await door.client()
    client.send(f.Query("COPY orders (id, customer_id, placed_at, total) FROM STDIN"))
    await client.reply()
    client.send(f.CopyFail("changed my mind"))
    assert errors(await client.until_ready())[0][0] == "57014"


SLEEP = "SELECT count(*) FROM orders a, orders b, orders c, orders d"


async def test_a_client_that_disappears_leaves_nothing_running(door: Door) -> None:
    client = await door.client()
    client.send(f.Query(SLEEP))
    await until_running(door, SLEEP, 1)
    client.writer.transport.abort()
    await until_running(door, SLEEP, 0)


async def test_a_cancel_request_cancels_the_statement_of_its_key(door: Door) -> None:
    client = await door.client()
    client.send(f.Query(SLEEP))
    await until_running(door, SLEEP, 1)
    assert client.key is not None
    other = await door.connect()
    other.send(f.CancelRequest(client.key.process, client.key.secret))
    assert await other.to_the_end() == []
    assert errors(await client.until_ready())[0][0] == "57014"
    assert tags(await client.query("SELECT 1")) == "TDCZI"


async def test_a_guessed_cancel_key_cancels_nothing(door: Door) -> None:
    client = await door.client()
    client.send(f.Query(SLEEP))
    await until_running(door, SLEEP, 1)
    assert client.key is not None
    guess = bytes(byte ^ 1 for byte in client.key.secret)
    other = await door.connect()
    other.send(f.CancelRequest(client.key.process, guess))
    assert await other.to_the_end() == []
    assert await activity(door, SLEEP) == 1
    client.writer.transport.abort()
    await until_running(door, SLEEP, 0)


async def test_past_the_row_limit_the_connection_ends_in_an_error(door: Door) -> None:
    client = await door.client()
    client.send(f.Query("SELECT id AS limited FROM orders"))
    last = (await client.to_the_end())[-1]
    assert isinstance(last, b.ErrorResponse)
    assert (last.text("S"), last.text("C")) == ("FATAL", "42501")


async def test_a_slow_client_slows_the_server_and_loses_nothing(door: Door) -> None:
    client = await door.client()
    client.send(f.Query("SELECT a.id FROM orders a, orders b, orders c LIMIT 300000"))
    await asyncio.sleep(0.2)
    replies = await client.until_ready()
    assert sum(reply.count for reply in replies if isinstance(reply, RowRun)) == 300_000


async def test_a_wrong_token_is_told_nothing(door: Door) -> None:
    client = await door.connect()
    replies = await client.log_in("wrong", {"user": "ada", "database": "shop"})
    assert errors(replies) == [("28P01", "the token was not accepted")]


async def test_an_unknown_target_answers_like_one_that_is_not_permitted(door: Door) -> None:
    client = await door.connect()
    replies = await client.log_in(TOKEN, {"user": "ada", "database": "nope"})
    assert errors(replies)[0][0] == "42501"


@pytest.mark.parametrize(
    "parameters",
    [
        {"options": "-c role=postgres"},
        {"replication": "database"},
        {"search_path": "evil"},
        {"client_encoding": "SJIS"},
        {"session_authorization": "postgres"},
    ],
    ids=lambda p: next(iter(p)),
)
async def test_a_startup_parameter_that_changes_meaning_is_refused(
    door: Door, parameters: dict[str, str]
) -> None:
    client = await door.connect()
    replies = await client.log_in(TOKEN, {"user": "ada", "database": "shop", **parameters})
    assert errors(replies)[0][0] == "42501"


async def test_a_setting_that_has_no_effect_is_said_with_a_notice(door: Door) -> None:
    client = await door.connect()
    replies = await client.log_in(
        TOKEN, {"user": "ada", "database": "shop", "TimeZone": "Europe/Oslo"}
    )
    assert tags(replies).startswith("RRN")  # pgjdbc takes none before it is let in
    assert b.ParameterStatus("TimeZone", "UTC") in replies


@pytest.mark.parametrize("request_", [f.SslRequest(), f.GssRequest()])
async def test_encryption_is_declined_on_loopback(
    door: Door, request_: f.SslRequest | f.GssRequest
) -> None:
    client = await door.connect()
    client.send(request_)
    assert await client.reader.readexactly(1) == b"N"
    assert tags(await client.log_in(TOKEN, {"user": "ada", "database": "shop"})).endswith("KZI")


async def test_an_unknown_message_ends_the_connection_with_an_error(door: Door) -> None:
    client = await door.client()
    client.writer.write(b"\x7f\0\0\0\x04")
    assert errors(await client.to_the_end())[0][0] == "08P01"


async def test_the_backends_own_login_is_not_shown_to_the_client(door: Door) -> None:
    client = await door.connect()
    replies = await client.log_in(TOKEN, {"user": "ada", "database": "shop"})
    said = repr(replies)
    assert door.sample.writer.user not in said
    assert door.sample.writer.password not in said


async def test_asyncpg_works_through_the_door(door: Door) -> None:
    connection = await asyncpg.connect(
        host=door.host, port=door.port, user="ada", password=TOKEN, database="shop", ssl=False
    )
    try:
        async with connection.transaction():
            got = await connection.fetch("SELECT id, total FROM orders WHERE id = $1", 7)
        assert [(row["id"], str(row["total"])) for row in got] == [(7, "25.90")]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM orders")
        assert await connection.fetchval("SELECT count(*) FROM orders") == 200
    finally:
        await connection.close()


@pytest.mark.programs  # psql
async def test_psql_works_through_the_door(door: Door, tmp_path: Path) -> None:
    address = f"host={door.host} port={door.port} user=ada dbname=shop"
    command = ["psql", "-X", "-A", "-t", "-c", "SELECT id, ssn FROM customers WHERE id = 1"]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, address],
        env={"PGPASSWORD": TOKEN, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("1|***-**-9991\n", "")
