"""What comes before a request has an end, in bytes and in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from server.http_connection import BoundedConnection
from tests.fixtures.mcp import Serving

pytestmark = pytest.mark.anyio
GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MOST_READ = 512 * 1024


class Hasty(BoundedConnection):
    HEAD_SECONDS = 0.05


@dataclass(slots=True)
class App:
    """Answers once it may; `read` says how much of the body came."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    read: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.may.wait()
        if scope["path"] == "/body":
            while (message := await receive()).get("more_body"):
                self.read += len(message["body"])
            self.read += len(message["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


Open = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def served(connection: type[BoundedConnection], app: App) -> AsyncIterator[Open]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=connection, ws="none", lifespan="off", log_level="error")
        config.timeout_graceful_shutdown = 1
        server = Serving(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(20):
                await server.up.wait()
                yield lambda: asyncio.open_connection(*listener.getsockname())
        finally:
            app.may.set()
            server.should_exit = True
            await serving


@pytest.fixture
def app() -> App:
    app = App()
    app.may.set()
    return app


async def sent_until_cut(writer: asyncio.StreamWriter, piece: bytes) -> int:
    """How many bytes the other side took before it closed; four times what it may take at most."""
    taken = 0
    try:
        while taken < 8 * MOST_READ:
            writer.write(piece)
            await writer.drain()
            taken += len(piece)
    except ConnectionError:
        pass
    return taken


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 10,
        GOOD + b"GET /",
    ],
)
async def test_a_head_has_an_end(app: App, start: bytes) -> None:
    async with served(BoundedConnection, app) as connect:
        reader, writer = await connect()
        writer.write(start)
        piece = b"x: y\r\n" * 2_000 if start.endswith(b"\n") else b"a" * 12_000
        await sent_until_cut(writer, piece)
        answer = b""
        while chunk := await _read(reader):
            answer += chunk
        writer.close()
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 431 " in answer or answer in (b"", b"HTTP/1.1 204 No Content\r\n\r\n")


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(4096)
    except ConnectionError:
        return b""


async def test_a_head_that_is_too_large_is_told_so(app: App) -> None:
    async with served(BoundedConnection, app) as connect:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * (BoundedConnection.MOST_HEAD + 1))
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_large_body_is_no_head(app: App) -> None:
    size = 8 * MOST_READ
    async with served(BoundedConnection, app) as connect:
        reader, writer = await connect()
        head = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        for _ in range(2):
            writer.write(head + b"a" * size)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
    assert app.read == 2 * size


@pytest.mark.parametrize("start", [b"", b"\r\n", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(app: App, start: bytes) -> None:
    async with served(Hasty, app) as connect:
        reader, writer = await connect()
        writer.write(start)
        assert await reader.read() == b""
        writer.close()
    assert not app.asked.is_set()


async def test_a_body_that_nobody_reads_keeps_no_connection(app: App) -> None:
    async with served(Hasty, app) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        cut = asyncio.create_task(_read(reader))
        while not cut.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"a")
                await writer.drain()
            await asyncio.wait({cut}, timeout=0.01)
        writer.close()
    assert await cut == b""


async def test_a_call_that_takes_long_is_answered_whatever_comes_behind_it() -> None:
    app, late = App(), asyncio.Event()

    class Watched(Hasty):
        def _close_late(self) -> None:
            super()._close_late()
            late.set()

    async with served(Watched, app) as connect:
        reader, writer = await connect()
        writer.write(GOOD)
        await app.asked.wait()
        writer.write(b"GET ")
        await late.wait()
        app.may.set()
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 204")
