"""One client of the listener: its socket, and its commands one by one. Decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from server.protocols.mysql.answers import Answer
from server.protocols.mysql.codec import FrontendReader, NeedData
from server.protocols.mysql.commands import Command
from server.protocols.mysql.handshake import (
    AuthAnswer,
    AuthSwitch,
    Greeting,
    HandshakeResponse,
    SslRequest,
)
from server.protocols.mysql.packets import FULL, renumbered

READ_BYTES: Final = 64 * 1024
# What a client may send ahead; the socket is not read beyond it until some of it was taken.
AHEAD_BYTES: Final = 1024 * 1024
LINGER: Final = 1.0  # seconds for a client to take in the last message, and to close
LINGER_BYTES: Final = 16 * 1024 * 1024  # what it may send meanwhile


class ClientGone(Exception):
    """The client closed its connection."""


@dataclass(slots=True)
class Client:
    """`pump` reads ahead, so that a client that leaves is noticed while a statement runs.

    What was read is decoded when it is taken: packets of an answer are numbered behind those of
    their command.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    codec: FrontendReader
    address: str = ""
    encrypted: bool = False
    certificate: bytes = b""
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _wanting: bool = False

    async def login_message(self) -> HandshakeResponse | SslRequest | AuthAnswer:
        """The next message before the session begins. Raises `ClientGone`, `ProtocolError`."""
        while isinstance(message := self.codec.next_event(), NeedData):
            await self._receive()
        if not isinstance(message, HandshakeResponse | SslRequest | AuthAnswer):
            raise ProtocolError("a command before the login")
        return message

    async def pump(self) -> None:
        """Read until the client is gone, which is raised as `ClientGone`."""
        while True:
            while self.codec.held > AHEAD_BYTES and not self._wanting:
                self._room.clear()
                await self._room.wait()
            await self._receive()
            self._arrived.set()

    async def take(self) -> Command:
        """The next command; waits for it, however long it is. Raises `ProtocolError`."""
        while isinstance(command := self.codec.next_command(), NeedData):
            self._wanting = True
            self._room.set()
            self._arrived.clear()
            await self._arrived.wait()
        self._wanting = False
        if self.codec.held <= AHEAD_BYTES:
            self._room.set()
        return command

    async def _receive(self) -> None:
        try:
            received = await self.reader.read(READ_BYTES)
        except OSError:
            raise ClientGone from None
        if not received:
            raise ClientGone
        self.codec.receive_data(received)

    def packets(self, *answers: Answer | AuthSwitch | Greeting) -> bytes:
        """Answers as packets that go on where the last one ended."""
        flags = self.codec.capabilities
        payloads = (
            each.encode() if isinstance(each, AuthSwitch | Greeting) else each.encode(flags)
            for each in answers
        )
        return b"".join(map(self.codec.answer, payloads))

    def passed(self, frames: bytes, count: int = 0) -> bytes:
        """Whole packets of the target's, numbered as this client expects them.

        `count` rows have a packet each, unless there is a long one among them.
        """
        codec = self.codec
        if count and len(frames) < FULL and frames[3] == codec.sequence:
            codec.sequence = (codec.sequence + count) & 0xFF
            return frames
        frames, codec.sequence = renumbered(frames, codec.sequence)
        return frames

    async def write(self, content: bytes) -> None:
        """Write, and wait while the client is slow. Raises `ClientGone`."""
        if not content:
            return
        try:
            self.writer.write(content)
            await self.writer.drain()
        except OSError:
            raise ClientGone from None

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
