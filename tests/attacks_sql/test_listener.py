"""The PostgreSQL door against clients that don't keep to the protocol (W01-W15)."""

from __future__ import annotations

import asyncio
import struct

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks_sql.doors import Doors, everything, found, knocking, listener
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient, Reply, tags

pytestmark = pytest.mark.anyio

SYNC = f.Sync()
RUNS = """SELECT count(*) FROM pg_stat_activity
WHERE state = 'active' AND query LIKE '%pg_class d%' AND pid <> pg_backend_pid()"""


def startup(*pairs: tuple[str, str], version: int = f.PROTOCOL_3_0) -> bytes:
    return f.StartupMessage(version, pairs).encode()


SHOP = (("user", "rita"), ("database", "shop"))


def sqlstates(replies: list[Reply]) -> list[str]:
    return [r.text("C") for r in replies if isinstance(r, b.ErrorResponse)]


def status(replies: list[Reply]) -> str:
    return "".join(r.status for r in replies if isinstance(r, b.ReadyForQuery))


AT_THE_DOOR = {
    "SSLRequest with bytes behind": f.SslRequest().encode() + startup(*SHOP),
    "GSSENCRequest with bytes behind": f.GssRequest().encode() + startup(*SHOP),
    "length 0": struct.pack("!i", 0) + b"\0" * 16,
    "length 3": struct.pack("!i", 3) + b"\0" * 16,
    "length 7": struct.pack("!i", 7) + b"\0" * 16,
    "negative length": struct.pack("!i", -1) + b"\0" * 16,
    "length of 2 GiB": struct.pack("!i", 2**31 - 1) + b"\0" * 16,
    "more than 10,000 bytes": struct.pack("!i", 10_001) + b"\0\3\0\0",
    "no terminator": struct.pack("!i", 12) + b"\0\3\0\0user",
    "protocol 2.0": startup(*SHOP, version=131072),
    "no user": startup(("database", "shop")),
    "empty user": startup(("user", "")),
    "parameter twice": startup(*SHOP, ("user", "victor")),
    "parameter twice in another case": startup(*SHOP, ("USER", "victor")),
    "options": startup(*SHOP, ("options", "-c search_path=evil -c role=postgres")),
    "replication": startup(*SHOP, ("replication", "database")),
    "search_path": startup(*SHOP, ("search_path", "evil")),
    "search_path in another case": startup(*SHOP, ("SeArch_PATH", "evil")),
    "session_authorization": startup(*SHOP, ("session_authorization", "postgres")),
    "unknown setting": startup(*SHOP, ("nonsense", "1")),
    "other encoding": startup(*SHOP, ("client_encoding", "SJIS")),
    "query before login": startup(*SHOP) + f.Query("SELECT 1").encode(),
    "empty token": startup(*SHOP) + f.Password("").encode(),
    "no token": startup(*SHOP) + f.Password("eyJhbGciOiJub25lIn0.e30.").encode(),
    "NUL in the token": startup(*SHOP) + b"p" + struct.pack("!i", 7) + b"a\0b",
    "SASL": startup(*SHOP) + f.SaslInitialResponse("OAUTHBEARER", b"n,,\1auth=x\1\1").encode(),
    "CancelRequest with a guessed key": f.CancelRequest(1, b"abcd").encode(),
}


@pytest.mark.parametrize("what", AT_THE_DOOR)
async def test_who_does_not_log_in_properly_is_turned_away(world: World, what: str) -> None:
    async with knocking(world) as client:
        client.writer.write(AT_THE_DOOR[what])
        replies = await client.to_the_end()
    assert not any(isinstance(r, b.ReadyForQuery | b.BackendKeyData) for r in replies)
    assert set(sqlstates(replies)) <= {"08P01", "28P01", "42501"}


AFTER_LOGIN = {
    "second startup": startup(*SHOP),
    "second password": f.Password("x").encode(),
    "unknown type": b"z" + struct.pack("!i", 4),
    "negative length": b"Q" + struct.pack("!i", -1),
    "length of 2 GiB": b"Q" + struct.pack("!i", 2**31 - 1),
    "NUL inside a query": b"Q" + struct.pack("!i", 22) + b"SELECT 1\0DELETE F\0",
    "no terminator": b"Q" + struct.pack("!i", 12) + b"SELECT 1",
    "not UTF-8": b"Q" + struct.pack("!i", 14) + b"SELECT '\xff\0",
    "fields past the end": b"B" + struct.pack("!i", 10) + b"\0\0\0\0\xff\xff",
    "unknown format": f.Bind("", "").encode()[:-2] + b"\0\1\0\7",
    "neither statement nor portal": b"D" + struct.pack("!i", 6) + b"X\0",
}


@pytest.mark.parametrize("what", AFTER_LOGIN)
async def test_what_is_no_message_ends_the_session(world: World, what: str) -> None:
    async with listener(world) as client:
        client.writer.write(AFTER_LOGIN[what])
        client.writer.write_eof()
        replies = await client.to_the_end()
    assert set(sqlstates(replies)) <= {"08P01"}
    assert not any(isinstance(r, b.CommandComplete) for r in replies)


async def test_one_byte_a_segment_is_a_message_like_any_other(world: World) -> None:
    token = f.Password(world.token("rita")).encode()
    async with knocking(world) as client:
        for content in (startup(*SHOP), token + f.Query("SELECT 7").encode()):
            for byte in content:
                client.writer.write(bytes([byte]))
                await client.writer.drain()
        assert tags(await client.until_ready(2)).endswith("TDCZI")


async def test_the_token_says_who_it_is_whatever_the_user_name_says(world: World) -> None:
    async with knocking(world) as client:
        seen = await client.log_in(world.token("rita"), {"user": "victor", "database": "shop"})
        assert isinstance(seen[-1], b.ReadyForQuery)
        assert client.key is not None
    async with world.journal() as journal:
        names = await journal.fetch(
            "SELECT document AS d FROM records WHERE kind = 'session_opened'"
            " ORDER BY at DESC, sequence DESC LIMIT 1"
        )
    assert "victor" not in names[0]["d"]


async def test_a_target_that_is_not_there_and_one_not_permitted_answer_alike(world: World) -> None:
    async with knocking(world) as client:
        seen = await client.log_in(world.token("rita"), {"user": "rita", "database": "nowhere"})
    assert sqlstates(seen) == ["42501"]


async def test_after_a_refusal_in_a_transaction_it_has_failed(world: World) -> None:
    async with listener(world) as client:
        assert status(await client.query("BEGIN")) == "T"
        assert status(await client.query("DELETE FROM orders")) == "E"
        replies = await client.query("SELECT 1")
        assert (sqlstates(replies), status(replies)) == (["25P02"], "E")
        assert tags(await client.query("COMMIT")) == "CZI"


async def test_a_refusal_by_the_extended_protocol_fails_the_transaction_too(world: World) -> None:
    async with listener(world) as client:
        await client.query("BEGIN")
        client.send(f.Parse("", "SELECT pg_sleep(1)"), f.Bind("", ""), f.Execute(""), SYNC)
        assert status(await client.until_ready()) == "E"


async def test_a_refusal_in_a_pipeline_skips_to_the_sync_and_no_further(world: World) -> None:
    def run(text: str) -> list[f.Command]:
        return [f.Parse("", text), f.Bind("", ""), f.Execute("")]

    pipeline = [m for i in range(400) for m in run("SELECT 1" if i != 200 else "DROP TABLE orders")]
    async with listener(world) as client:
        client.send(*pipeline, SYNC, *run("SELECT 2"), SYNC)
        replies = await client.until_ready(2)
    assert tags(replies) == "12DC" * 200 + "EZI 12DCZI"


async def bound(client: RawClient, name: str) -> list[Reply]:
    client.send(f.Bind("", name), f.Execute(""), SYNC)
    return await client.until_ready()


async def test_a_name_always_means_the_statement_that_was_judged_for_it(world: World) -> None:
    allowed, masked = "SELECT id FROM orders WHERE id = 1", "SELECT ssn FROM customers WHERE id = 1"
    async with listener(world) as client:
        client.send(f.Parse("s", allowed), SYNC)
        assert tags(await client.until_ready()) == "1ZI"
        # A second Parse of the name fails on the server; the first still stands.
        for text in ("DELETE FROM orders", masked):
            client.send(f.Parse("s", text), f.Bind("", "s"), f.Execute(""), SYNC)
            assert len(sqlstates(await client.until_ready())) == 1
        assert tags(await bound(client, "s")) == "2DCZI"
        # Close and Parse hold, although what follows them in the batch fails.
        client.send(f.Close("S", "s"), f.Parse("s", masked), f.Parse("x", "SELEC"), SYNC)
        assert tags(await client.until_ready()) == "31EZI"
        replies = await bound(client, "s")
    assert "***-**-9991" in everything(replies)
    assert found(everything(replies)) == set()


async def test_what_was_refused_left_no_name_behind(world: World) -> None:
    async with listener(world) as client:
        client.send(f.Parse("s", "SELECT pg_read_file('/etc/passwd')"), SYNC)
        assert sqlstates(await client.until_ready()) == ["42501"]
        client.send(f.Describe("S", "s"), SYNC)
        assert sqlstates(await client.until_ready()) == ["26000"]
        assert sqlstates(await bound(client, "s")) == ["42501"]


async def test_messages_that_a_refused_statement_awaits_do_not_run(world: World) -> None:
    async with listener(world) as client:
        client.send(f.Parse("", "SELECT 1"), SYNC)
        await client.until_ready()
        client.send(
            f.Parse("", "DROP TABLE orders"), f.Flush(), f.Bind("", ""), f.Execute(""), SYNC
        )
        assert tags(await client.until_ready()) == "EZI"


async def test_a_portal_taken_up_again_is_masked_every_time(world: World) -> None:
    async with listener(world) as client:
        await client.query("BEGIN")
        text = "SELECT ssn, reverse(ssn) FROM customers ORDER BY id"
        client.send(f.Parse("s", text), f.Bind("p", "s", result_formats=(1,)), f.Execute("p", 1))
        client.send(SYNC)
        replies = await client.until_ready()
        for most in (1, -5):
            client.send(f.Execute("p", most), SYNC)
            replies += await client.until_ready()
    assert tags(replies) == "12DsZT DsZT DDCZT"
    assert found(everything(replies)) == set()


async def test_function_calls_and_stray_copy_messages_do_nothing(doors: Doors) -> None:
    async with listener(doors.world) as client:
        client.send(f.FunctionCall(b"\0\0\0\1"))
        assert sqlstates(await client.until_ready()) == ["42501"]
        client.send(f.CopyData(b"1\tx\n"), f.CopyDone(), f.Query("SELECT 1"))
        assert tags(await client.until_ready()) == "TDCZI"
    assert await doors.direct.fetchval("SELECT count(*) FROM copies WHERE t = 'x'") == 0


async def test_a_guessed_key_cancels_nobody(world: World) -> None:
    async with listener(world) as client:
        assert client.key is not None
        client.send(f.Query("SELECT count(*) FROM pg_class a, pg_class b, pg_am"))
        for secret in (b"\0\0\0\0", client.key.secret[::-1] + b"x", b"x" * 256):
            async with knocking(world) as other:
                other.writer.write(f.CancelRequest(client.key.process, secret).encode())
                assert await other.to_the_end() == []
        assert sqlstates(await client.until_ready()) == []


async def test_a_key_cancels_its_own_session_only_while_it_lasts(
    world: World, doors: Doors
) -> None:
    async with listener(world) as client:
        key = client.key
        assert key is not None
        client.send(f.Query("SELECT count(*) FROM pg_class a, pg_class b, pg_class c, pg_class d"))
        async with asyncio.timeout(20):
            while not await doors.direct.fetchval(RUNS):
                pass
        async with knocking(world) as other:
            other.writer.write(f.CancelRequest(key.process, key.secret).encode())
            assert await other.to_the_end() == []
        assert sqlstates(await client.until_ready()) == ["57014"]
    async with knocking(world) as other:
        other.writer.write(f.CancelRequest(key.process, key.secret).encode())
        assert await other.to_the_end() == []


async def test_65535_parameters_are_counted_by_the_server(world: World) -> None:
    async with listener(world) as client:
        values = tuple(b"x" for _ in range(65_535))
        client.send(f.Parse("", "SELECT 1"), f.Bind("", "", (), values), f.Execute(""), SYNC)
        assert sqlstates(await client.until_ready()) == ["08P01"]
        client.send(f.Parse("", "SELECT 1"), f.Bind("", "", (), (), (1, 1)), f.Execute(""), SYNC)
        assert sqlstates(await client.until_ready()) == ["08P01"]
        assert tags(await client.query("SELECT 1")) == "TDCZI"


async def test_clients_that_say_nothing_keep_nobody_out(world: World) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", world.listener) for _ in range(50)]
    try:
        for _, writer in silent:
            writer.write(b"\0\0")
        async with listener(world) as client:
            assert tags(await client.query("SELECT 1")) == "TDCZI"
    finally:
        for _, writer in silent:
            writer.transport.abort()


async def test_several_statements_in_one_query_are_refused_as_one(doors: Doors) -> None:
    before = await doors.state()
    async with listener(doors.world) as client:
        replies = await client.query("SELECT 1; DELETE FROM orders; SELECT 2")
    assert tags(replies) == "EZI"
    assert await doors.state() == before
