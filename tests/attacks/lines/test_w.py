"""The W lines: PostgreSQL's protocol, against the door of a whole gateway. W13: test_w13.py."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.e2e.certificates import Certificates
from tests.e2e.test_endings import ACTIVE, BUSY, until
from tests.e2e.world import World, free_port
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags

pytestmark = pytest.mark.anyio

SSL = f.SslRequest().encode()
GSS = f.GssRequest().encode()
HELLO = f.StartupMessage(f.PROTOCOL_3_0, (("user", "u"), ("database", "shop"))).encode()


@pytest.fixture(scope="module")
def wire(
    module_worlds: Callable[..., World], tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, int]:
    """A gateway with two doors: one in clear on loopback, one with TLS, whose port comes second."""
    certificates = Certificates.make(tmp_path_factory.mktemp("wire"))
    world, port = module_worlds(), free_port()
    plain = {"protocol": "postgres", "listen": f"127.0.0.1:{world.listener}"}
    encrypted = {**plain, "listen": f"127.0.0.1:{port}", "tls": certificates.document}
    world.settings = {"listeners": [plain, encrypted]}
    world.start()
    return world, port


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def session(world: World, **parameters: str) -> AsyncIterator[RawClient]:
    async with opened(world.listener) as client:
        place = {"user": "rita", "database": "shop", **parameters}
        seen = await client.log_in(world.token("rita"), place)
        assert not errors(seen), errors(seen)
        yield client


async def said_to(port: int, content: bytes) -> bytes:
    """All that is said to a client that sends this and nothing more."""
    async with opened(port) as client:
        client.writer.write(content)
        said = b""
        with suppress(ConnectionResetError):  # closed with what it sent unread
            async with asyncio.timeout(20):
                while more := await client.reader.read(4096):
                    said += more
        return said


async def last_error(port: int, content: bytes) -> tuple[str, str]:
    async with opened(port) as client:
        client.writer.write(content)
        return errors(await client.to_the_end())[-1]


@pytest.mark.parametrize("asked", [SSL, GSS])
async def test_w01_clear_bytes_behind_a_request_for_encryption_end_the_connection(
    wire: tuple[World, int], asked: bytes
) -> None:
    world, encrypted = wire
    for port in (world.listener, encrypted):
        assert await said_to(port, asked + HELLO) == b""


async def test_w01_clear_bytes_after_the_answer_are_no_part_of_the_session(
    wire: tuple[World, int],
) -> None:
    async with opened(wire[1]) as client:
        client.writer.write(SSL)
        assert await client.reader.readexactly(1) == b"S"
        client.writer.write(HELLO)
        with suppress(ConnectionResetError):
            rest = await client.reader.read()
            assert rest[:1] != b"R"  # a TLS alert or nothing: nobody asks for a password
    async with opened(wire[1]) as client:
        client.writer.write(GSS)
        assert await client.reader.readexactly(1) == b"N"
        client.writer.write(HELLO)
        assert errors(await client.to_the_end())[0][0] == "28000"


@pytest.mark.parametrize("length", [0, 3, 7, -1, -(2**31), 2**30, 2**31 - 1])
async def test_w02_a_length_that_is_none_ends_the_connection(
    wire: tuple[World, int], length: int
) -> None:
    world, _ = wire
    assert (await last_error(world.listener, struct.pack("!i", length) + bytes(8)))[0] == "08P01"
    async with session(world) as client:
        client.writer.write(b"Q" + struct.pack("!i", length if length != 7 else 2))
        assert errors(await client.to_the_end())[-1][0] == "08P01"


@pytest.mark.parametrize(
    "message",
    [
        b"B" + struct.pack("!i", 12) + b"\0\0\0\0\0\x05\0\0",  # counts five values, brings none
        b"B" + struct.pack("!i", 18) + b"\0\0\0\0\0\x01" + struct.pack("!i", -2) + b"\0\0\0\0",
        b"Q" + struct.pack("!i", 12) + b"SELECT 1",  # without its end
        b"Q" + struct.pack("!i", 14) + b"SELECT\x001\0x",  # with two
        b"P" + struct.pack("!i", 12) + b"\0\0\x7f\xff\0\0\0\0",
    ],
)
async def test_w03_counts_lengths_and_ends_that_do_not_fit_end_the_connection(
    wire: tuple[World, int], message: bytes
) -> None:
    async with session(wire[0]) as client:
        client.writer.write(message)
        assert errors(await client.to_the_end())[-1][0] == "08P01"


@pytest.mark.parametrize(
    "parameters",
    [
        (("user", "a"), ("user", "b")),
        (("user", ""),),
        (("database", "shop"),),
        (("user", "a"), ("database", "shop"), ("options", "-c search_path=x -c role=postgres")),
        (("user", "a"), ("database", "shop"), ("replication", "true")),
        (("user", "a"), ("database", "shop"), ("replication", "database")),
        (("user", "a"), ("database", "shop"), ("search_path", "x")),
        (("user", "a"), ("database", "shop"), ("session_authorization", "postgres")),
        (("user", "a"), ("database", "shop"), ("role", "postgres")),
        (("user", "a+"), ("database", "shop")),
        (("user", "a+shop"), ("database", "other")),
        (("user", "a"), ("database", "shop"), ("application_name", "x" * 11_000)),
    ],
)
async def test_w04_startup_parameters_are_an_allow_list(
    wire: tuple[World, int], parameters: tuple[tuple[str, str], ...]
) -> None:
    hello = f.StartupMessage(f.PROTOCOL_3_0, parameters).encode()
    sqlstate, _ = await last_error(wire[0].listener, hello)
    assert sqlstate in ("42501", "08P01")


@pytest.mark.parametrize(
    ("version", "options", "spoken"),
    [
        (196608, (), None),
        (196610, (), None),
        (196617, (), 196610),
        (196608, ("_pq_.x",), 196608),
        (196610, ("_pq_.x",), 196610),
    ],
)
async def test_w04_versions_and_protocol_options_are_negotiated_down(
    wire: tuple[World, int], version: int, options: tuple[str, ...], spoken: int | None
) -> None:
    async with opened(wire[0].listener) as client:
        asked = tuple((name, "1") for name in options)
        client.send(f.StartupMessage(version, (("user", "a"), ("database", "shop"), *asked)))
        first = await client.reply()
        if spoken is None:
            assert isinstance(first, b.AuthenticationRequest)
        else:
            assert first == b.NegotiateProtocolVersion(spoken, options)


@pytest.mark.parametrize(
    "instead",
    [
        HELLO,
        f.Query("SELECT 1").encode(),
        f.Password("").encode(),
        f.Password("x" * 70_000).encode(),
        f.SaslInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x").encode(),
        f.Password("ostiary_0123456789abcdef_" + "A" * 43).encode(),
    ],
)
async def test_w05_nothing_but_a_good_token_ends_the_login(
    wire: tuple[World, int], instead: bytes
) -> None:
    async with opened(wire[0].listener) as client:
        client.writer.write(HELLO)
        assert isinstance(await client.reply(), b.AuthenticationRequest)
        client.writer.write(instead + f.Query("SELECT 1").encode())
        seen = await client.to_the_end()
    assert tags(seen) == "E"
    assert errors(seen)[0][0] in ("08P01", "28P01")


async def test_w05_a_second_login_ends_the_session(wire: tuple[World, int]) -> None:
    for again in (HELLO, f.Password("again").encode()):
        async with session(wire[0]) as client:
            client.writer.write(again)
            assert errors(await client.to_the_end())[-1][0] == "08P01"


async def test_w06_only_the_right_key_cancels_and_only_its_own_session(
    wire: tuple[World, int],
) -> None:
    world, _ = wire
    async with session(world) as running, session(world) as ended, world.direct() as direct:
        key = ended.key
        assert key is not None
        assert running.key is not None
        running.send(f.Query(BUSY))
        await until(direct, ACTIVE, 1)
        ended.send(f.Terminate())
        await ended.to_the_end()
        wrong = [
            (key.process, key.secret),  # of a session that is over
            (running.key.process, key.secret),
            (running.key.process, bytes(32)),
            (key.process, running.key.secret + bytes(252)),
        ]
        for process, secret in wrong:
            assert await said_to(world.listener, f.CancelRequest(process, secret).encode()) == b""
        assert await direct.fetchval(ACTIVE) == 1
        right = f.CancelRequest(running.key.process, running.key.secret).encode()
        assert await said_to(world.listener, right) == b""
        assert errors(await running.until_ready())[0][0] == "57014"


async def test_w07_what_has_no_place_is_refused(wire: tuple[World, int]) -> None:
    async with session(wire[0]) as client:
        client.send(f.FunctionCall(bytes(10)))
        assert errors(await client.until_ready())[0][0] == "42501"
        client.send(f.CopyData(b"1\n"), f.CopyDone(), f.CopyFail("x"), f.Query("SELECT 1"))
        assert tags(await client.until_ready()) == "TDCZI"
        client.writer.write(b"!" + struct.pack("!i", 4))
        assert errors(await client.to_the_end())[-1][0] == "08P01"


async def test_w08_what_runs_is_what_a_name_stands_for_now(wire: tuple[World, int]) -> None:
    harmless, refused = "SELECT 1", "TRUNCATE orders"
    async with session(wire[0]) as client:
        client.send(f.Parse("s", harmless), f.Bind("", "s"), f.Sync())
        await client.until_ready()
        client.send(f.Close("S", "s"), f.Parse("s", refused))
        client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
        assert errors(await client.until_ready())[0][0] == "42501"
        run = (f.Parse("", harmless), f.Bind("", ""), f.Execute(""))
        client.send(*(run * 10), f.Parse("", refused), *(run * 10), f.Sync())
        assert tags(await client.until_ready()) == "12DC" * 10 + "EZI"
    async with wire[0].direct() as direct:
        assert await direct.fetchval("SELECT count(*) FROM orders") == 300


async def test_w09_sql_in_a_parameter_does_not_run(wire: tuple[World, int]) -> None:
    async with session(wire[0]) as client:
        text = "SELECT query_to_xml($1, true, true, '')"
        client.send(f.Parse("", text), f.Bind("", "", (), (b"TABLE customers",)), f.Execute(""))
        client.send(f.Sync())
        assert errors(await client.until_ready())[0][0] == "42501"


async def test_w10_several_statements_none_and_one_in_a_batch(wire: tuple[World, int]) -> None:
    async with session(wire[0]) as client:
        assert tags(await client.query("SELECT 1; SELECT 2")) == "TDCTDCZI"
        assert tags(await client.query("SELECT 1; TRUNCATE orders")) == "EZI"
        assert tags(await client.query("")) == "IZI"
        client.send(f.Parse("", "SELECT 1"), f.Query("TRUNCATE orders"))
        assert tags(await client.until_ready()) == "1EZI"


async def test_w11_a_byte_a_segment_is_the_same_as_all_at_once(wire: tuple[World, int]) -> None:
    async with session(wire[0]) as client:
        plain = client.writer.get_extra_info("socket")
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f.Query("SELECT 1").encode():
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        assert tags(await client.until_ready()) == "TDCZI"
        client.send(*[f.Query("SELECT 1")] * 100)
        assert tags(await client.until_ready(100)) == " ".join(["TDCZI"] * 100)


async def test_w12_who_says_nothing_holds_up_nobody(wire: tuple[World, int]) -> None:
    world, encrypted = wire
    silent = [socket.create_connection(("127.0.0.1", world.listener)) for _ in range(100)]
    silent += [socket.create_connection(("127.0.0.1", encrypted)) for _ in range(100)]
    for each in silent[::2]:
        each.send(HELLO[:5])
    try:
        async with session(world) as client:
            assert tags(await client.query("SELECT 1")) == "TDCZI"
        silent[0].settimeout(20)
        assert silent[0].recv(1) == b""  # the first to come was the first to go
    finally:
        for each in silent:
            each.close()


async def test_w14_nothing_of_a_session_is_there_in_the_next(wire: tuple[World, int]) -> None:
    async with session(wire[0]) as client:
        await client.query("SET search_path TO pg_catalog")
        await client.query("BEGIN")
        client.send(f.Parse("mine", "SELECT 1"), f.Sync())
        await client.until_ready()
    async with session(wire[0]) as client:
        client.send(f.Bind("", "mine"), f.Execute(""), f.Sync())
        assert tags(await client.until_ready()) == "EZI"
        assert tags(await client.query("SELECT count(*) FROM orders")) == "TDCZI"


def states(replies: list[Reply]) -> list[str]:
    return [reply.status for reply in replies if isinstance(reply, b.ReadyForQuery)]


async def test_w15_a_refusal_in_a_transaction_fails_the_transaction(
    wire: tuple[World, int],
) -> None:
    async with session(wire[0]) as client:
        assert states(await client.query("BEGIN")) == ["T"]
        assert states(await client.query("TRUNCATE orders")) == ["E"]
        assert errors(await client.query("SELECT 1"))[0][0] == "25P02"
        assert states(await client.query("COMMIT")) == ["I"]
        client.send(f.Query("BEGIN"), f.Parse("", "TRUNCATE orders"), f.Sync())
        assert states(await client.until_ready(2)) == ["T", "E"]


async def test_j10_a_token_says_who_one_is_whatever_the_user_name_says(
    wire: tuple[World, int],
) -> None:
    world, _ = wire
    made = world.cli("rita", "token", "--target", "shop")
    async with opened(world.listener) as client:
        await client.log_in(made.stdout.strip(), {"user": "victor", "database": "shop"})
        listed = world.cli("rita", "sessions", "list", "--live").stdout
    assert "demo:rita" in listed
    assert "victor" not in listed
