"""How the listener closes: the client gets the last message, whatever it was still sending."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import client as clients
from server.protocols.postgres.client import Client
from server.protocols.postgres.wire import READ_BYTES, Wire
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import errors

pytestmark = pytest.mark.anyio

MUCH = b"x" * (4 * 1024 * 1024)  # more than the sockets and the listener take without reading


async def test_a_client_that_is_still_sending_is_told_why_its_session_ends(door: Door) -> None:
    client = await door.client()
    client.writer.write(b"z" + struct.pack("!i", 4) + MUCH)
    async with asyncio.timeout(20):
        await client.writer.drain()
    replies = await client.to_the_end()  # a reset connection would raise here
    assert [code for code, _ in errors(replies)] == ["08P01"]


async def test_a_client_that_is_turned_away_is_told_so_whatever_it_sends_behind(
    door: Door,
) -> None:
    client = await door.connect()
    client.writer.write(struct.pack("!i", 3) + MUCH)
    async with asyncio.timeout(20):
        await client.writer.drain()
    assert isinstance((await client.to_the_end())[0], b.ErrorResponse)


@pytest.mark.parametrize("left", ["sending", "silent"])
async def test_a_client_that_does_not_leave_is_closed_on(
    monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """After so many bytes, or so much time."""
    monkeypatch.setattr(clients, "LINGER", 60.0 if left == "sending" else 0.05)
    monkeypatch.setattr(clients, "LINGER_BYTES", 2 * READ_BYTES)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    try:
        _, wire = await asyncio.get_running_loop().create_connection(Wire, sock=ours)
        client = Client(wire)
        async with asyncio.timeout(20):
            closing = asyncio.create_task(client.close())
            while left == "sending" and not closing.done():
                try:
                    theirs.send(b"x" * READ_BYTES)
                except (BlockingIOError, BrokenPipeError):
                    await asyncio.sleep(0)
            await closing
        assert ours.fileno() == -1
    finally:
        theirs.close()


async def test_a_close_that_is_cancelled_leaves_no_socket_open() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        _, wire = await asyncio.get_running_loop().create_connection(Wire, sock=ours)
        client = Client(wire)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        async with asyncio.timeout(20):
            while ours.fileno() != -1:
                await asyncio.sleep(0)
