"""One client of the listener: its socket, and its messages as they come. Decides nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import FrontendReader, NeedData

READ_BYTES: Final = 64 * 1024
UNSENT_BYTES: Final = 64 * 1024  # that a client may leave unread before anybody waits for it
# What a client may send ahead; the socket is not read beyond it until some of it was taken.
AHEAD_BYTES: Final = 1024 * 1024
LINGER: Final = 1.0  # seconds for a client to take in the last message, and to close
LINGER_BYTES: Final = 16 * 1024 * 1024  # what it may send meanwhile


class ClientGone(Exception):
    """The client closed its connection."""


@dataclass(slots=True)
class Client:
    """`pump` reads ahead, so that a client that leaves is noticed while a statement runs."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    codec: FrontendReader = field(default_factory=FrontendReader)
    address: str = ""
    encrypted: bool = False
    certificate: bytes = b""
    _inbox: deque[f.Command] = field(default_factory=deque)
    _bytes: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    async def login_message(self) -> f.FrontendMessage:
        """The next message before the session begins. Raises `ClientGone`, `ProtocolError`."""
        while isinstance(message := self.codec.next_event(), NeedData):
            await self._receive()
        return message

    async def pump(self) -> None:
        """Read until the client is gone, which is raised as `ClientGone`."""
        while True:
            while not isinstance(message := self.codec.next_command(), NeedData):
                self._inbox.append(message)
            if self._inbox:
                self._arrived.set()
            while self._bytes > AHEAD_BYTES and self._inbox:
                self._room.clear()
                await self._room.wait()
            self._bytes += await self._receive()

    async def take(self) -> list[f.Command]:
        """Every complete message that has come; waits for one."""
        await self._arrived.wait()
        self._arrived.clear()
        messages = list(self._inbox)
        self._inbox.clear()
        self._bytes = 0
        self._room.set()
        return messages

    async def _receive(self) -> int:
        try:
            received = await self.reader.read(READ_BYTES)
        except OSError:
            raise ClientGone from None
        if not received:
            raise ClientGone
        self.codec.receive_data(received)
        return len(received)

    def put(self, content: bytes) -> bool:
        """Write; whether the client takes it in, else `drain`. Raises `ClientGone`."""
        transport = self.writer.transport
        if transport.is_closing():
            raise ClientGone
        transport.write(content)
        return transport.get_write_buffer_size() < UNSENT_BYTES

    async def drain(self) -> None:
        """Wait while the client is slow. Raises `ClientGone`."""
        try:
            await self.writer.drain()
        except OSError:
            raise ClientGone from None

    async def write(self, *parts: bytes) -> None:
        """Write, and wait while the client is slow. Raises `ClientGone`."""
        self.writer.writelines(_present(parts))
        await self.drain()

    async def close(self) -> None:
        """Let what was written out, and what was sent in, within a second, and close.

        A socket that is closed with bytes unread resets the connection, and the client may lose
        the message that says why. So it is told that nothing more comes, and read to its end.
        """
        try:
            async with asyncio.timeout(LINGER):
                if self.writer.can_write_eof():
                    self.writer.write_eof()
                    await self._drain()
                self.writer.close()
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            pass
        finally:
            self.writer.transport.abort()

    async def _drain(self) -> None:
        """Read what the client still sends, and look at none of it."""
        for _ in range(LINGER_BYTES // READ_BYTES):
            if not await self.reader.read(READ_BYTES):
                return


def _present(parts: Iterable[bytes]) -> list[bytes]:
    return [part for part in parts if part]


def expect_password(message: f.FrontendMessage) -> str:
    """The token that the client sent as its password."""
    if not isinstance(message, f.Password):
        raise ProtocolError("expected a password")
    return message.password
