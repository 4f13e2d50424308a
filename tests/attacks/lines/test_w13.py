"""Line W13: a PostgreSQL server that breaks its protocol, behind a whole gateway.

The server is the real one; somebody on the way changes what it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import pytest

from server.protocols.postgres import frontend as f
from server.protocols.postgres.fields import frame
from tests.e2e.world import BACKEND_PASSWORD, World, free_port
from tests.server.protocols.raw_client import RawClient, errors, tags

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

Changed = tuple[bytes, bool]
"""What is passed on in place of an answer, and whether the connection ends behind it."""

SECRET: Final = b"somebody else's row"
ROW: Final = frame(b"D", b"\0\1" + len(SECRET).to_bytes(4, "big") + SECRET)
READY: Final = frame(b"Z", b"I")
GATEWAY_LIVES: Final = "SELECT 'all is well' AS said"


def without_sqlstate(_answer: bytes) -> Changed:
    return frame(b"E", b"SERROR\0Mno code\0\0") + READY, False


def without_fields(_answer: bytes) -> Changed:
    return frame(b"E", b"\0") + READY, False


def endless_notice(answer: bytes) -> Changed:
    return b"N" + (1 << 30).to_bytes(4, "big") + b"SNOTICE\0M" + b"x" * (1 << 20) + answer, False


def many_notices(answer: bytes) -> Changed:
    return frame(b"N", b"SNOTICE\0M" + b"x" * 60_000 + b"\0\0") * 500 + answer, False


def another_encoding(answer: bytes) -> Changed:
    return frame(b"S", b"client_encoding\0SQL_ASCII\0") + answer, False


def other_strings(answer: bytes) -> Changed:
    return frame(b"S", b"standard_conforming_strings\0off\0") + answer, False


def asks_for_a_password(answer: bytes) -> Changed:
    return frame(b"R", (3).to_bytes(4, "big")) + answer, False


def asks_for_scram(answer: bytes) -> Changed:
    return frame(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0") + answer, False


def ready_too_early(answer: bytes) -> Changed:
    return READY + answer, False


def ready_among_the_rows(answer: bytes) -> Changed:
    end = answer.rindex(b"C\0\0")
    return answer[:end] + READY + ROW + answer[end:], False


def rows_behind_the_end(answer: bytes) -> Changed:
    return answer + ROW, False


def another_answer_behind_the_end(answer: bytes) -> Changed:
    return answer + answer.replace(b"marked", b"forged"), False


def broken_off_in_a_row(answer: bytes) -> Changed:
    return answer[: answer.index(b"marked") + 3], True


def no_end(answer: bytes) -> Changed:
    return answer[: answer.rindex(b"Z")], True


def a_length_that_is_none(_answer: bytes) -> Changed:
    return b"T\0\0\0\3" + ROW, False


def an_unknown_message(answer: bytes) -> Changed:
    return frame(b"!", b"") + answer, False


HOSTILE: Final = (
    *(endless_notice, another_encoding, other_strings, asks_for_a_password),
    *(asks_for_scram, ready_too_early, ready_among_the_rows, rows_behind_the_end),
    *(another_answer_behind_the_end, broken_off_in_a_row, no_end, a_length_that_is_none),
    an_unknown_message,
)


@dataclass(slots=True)
class Meddler:
    """Stands between the gateway and its server: changes the answers to what is marked."""

    socket: str
    change: Callable[[bytes], Changed] | None = None
    sent: bytearray = field(default_factory=bytearray)
    """What the gateway sent from the marked statement on."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server = await asyncio.open_unix_connection(self.socket)
        marked = asyncio.Event()
        parts = (self._up(reader, server[1], marked), self._down(server[0], writer, marked))
        tasks = [asyncio.create_task(part) for part in parts]
        with suppress(ConnectionError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for each in (writer, server[1]):
            each.transport.abort()
            with suppress(ConnectionError):
                await each.wait_closed()
        self.connections -= 1
        self.ended.set()

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, marked: asyncio.Event
    ) -> None:
        while content := await reader.read(1 << 16):
            if b"marked" in content:
                marked.set()
            if marked.is_set():
                self.sent += content
            writer.write(content)

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, marked: asyncio.Event
    ) -> None:
        answer = b""
        while content := await reader.read(1 << 16):
            if self.change is None or not marked.is_set():
                writer.write(content)
                continue
            answer += content
            if answer.endswith(READY):
                changed, ends = self.change(answer)
                self.change, answer = None, b""
                writer.write(changed)
                with suppress(ConnectionError):
                    await writer.drain()
                if ends:
                    return


@pytest.fixture(scope="module")
async def between(module_worlds: Callable[..., World]) -> AsyncIterator[tuple[World, Meddler]]:
    world, port = module_worlds(), free_port()
    server = world.postgres
    meddler = Meddler(f"{server.socket_directory}/.s.PGSQL.{server.port}")
    target = {**world.configuration()["targets"]["shop"], "address": f"127.0.0.1:{port}"}
    world.settings = {"targets": {"shop": target}}
    async with await asyncio.start_server(meddler.connected, "127.0.0.1", port):
        await asyncio.to_thread(world.start)
        yield world, meddler
        await asyncio.to_thread(world.stop)
        while meddler.connections:
            meddler.ended.clear()
            await meddler.ended.wait()


@asynccontextmanager
async def session(world: World) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    client = RawClient(reader, writer)
    try:
        await client.log_in(world.token("rita"), {"user": "rita", "database": "shop"})
        yield client
    finally:
        writer.transport.abort()


async def others_are_well(world: World) -> None:
    async with session(world) as other:
        other.send(f.Query(GATEWAY_LIVES))
        replies = await other.until_ready()
        assert tags(replies) == "TDCZI"
        assert b"all is well" in said(replies)
        assert SECRET not in said(replies)


def said(replies: list[object]) -> bytes:
    found = (getattr(each, "frames", None) or each.encode() for each in replies)  # type: ignore[attr-defined]
    return b"".join(found)


@pytest.mark.parametrize("change", HOSTILE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
async def test_w13_a_server_that_breaks_the_protocol_ends_its_session_and_hurts_nobody(
    between: tuple[World, Meddler], change: Callable[[bytes], Changed], extended: bool
) -> None:
    world, meddler = between
    async with session(world) as client:
        assert tags(await client.query("SELECT 1")) == "TDCZI"
        meddler.change = change
        meddler.sent.clear()
        text = "SELECT 'marked' AS one"
        if extended:
            client.send(f.Parse("", text), f.Bind("", ""), f.Describe("P", ""), f.Execute(""))
            client.send(f.Sync())
        else:
            client.send(f.Query(text))
        replies = await client.to_the_end() if change not in BEHIND else await behind(client)
        assert SECRET not in said([*replies])
        assert b"forged" not in said([*replies])
    assert errors(replies), "its client is told"
    assert BACKEND_PASSWORD.encode() not in meddler.sent
    assert b"SCRAM" not in meddler.sent
    meddler.change = None
    await others_are_well(world)
    assert "Traceback" not in world.log.read_text()


BEHIND: Final = (
    *(rows_behind_the_end, another_answer_behind_the_end),
    *(ready_too_early, ready_among_the_rows),
)


async def behind(client: RawClient) -> list[object]:
    """What came as asked for, and then what comes of the next statement."""
    client.send(f.Query("SELECT 'the next'"))
    return [*await client.to_the_end()]


@pytest.mark.parametrize(
    "change", [without_sqlstate, without_fields, many_notices], ids=lambda c: c.__name__
)
async def test_w13_what_is_odd_and_harmless_passes(
    between: tuple[World, Meddler], change: Callable[[bytes], Changed]
) -> None:
    world, meddler = between
    async with session(world) as client:
        meddler.change = change
        replies = await client.query("SELECT 'marked' AS one")
        assert tags(replies) == ("TDCZI" if change is many_notices else "EZI")
        assert all(len(code) == 5 for code, _ in errors(replies))
        assert tags(await client.query(GATEWAY_LIVES)) == "TDCZI"
    assert "Traceback" not in world.log.read_text()


async def test_w13_bytes_of_messages_in_a_value_are_a_value(
    between: tuple[World, Meddler],
) -> None:
    """In binary, so that they are on the wire as they are."""
    value = READY + ROW + READY
    async with session(between[0]) as client:
        text = f"SELECT '\\x{value.hex()}'::bytea AS one"
        client.send(f.Parse("", text), f.Bind("", "", (), (), (1,)), f.Execute(""), f.Sync())
        replies = await client.until_ready()
        assert tags(replies) == "12DCZI"
        assert value in said([*replies])
