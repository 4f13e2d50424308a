"""One client of the listener: its socket, and its messages as they come. Decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import FrontendReader, NeedData
from server.protocols.postgres.wire import Wire

UNSENT_BYTES: Final = 64 * 1024  # that a client may leave unread before anybody waits for it
LINGER: Final = 1.0  # seconds for a client to take in the last message, and to close
LINGER_BYTES: Final = 16 * 1024 * 1024  # what it may send meanwhile


class ClientGone(Exception):
    """The client closed its connection."""


@dataclass(slots=True)
class Client:
    """What it sends ahead waits in the connection, which is not read beyond `READ_BYTES`."""

    wire: Wire
    codec: FrontendReader = field(default_factory=FrontendReader)
    address: str = ""
    encrypted: bool = False
    certificate: bytes = b""

    async def login_message(self) -> f.FrontendMessage:
        """The next message before the session begins. Raises `ClientGone`, `ProtocolError`."""
        while isinstance(message := self.codec.next_event(), NeedData):
            await self._receive()
        return message

    async def leaves(self) -> None:
        """Wait until the client is gone, also while a statement runs; raised as `ClientGone`."""
        await self.wire.ended()
        raise ClientGone

    async def take(self) -> list[f.Command]:
        """Every complete message that has come; waits for one.

        Raises `ClientGone`, and `ProtocolError` for what is none.
        """
        while True:
            messages: list[f.Command] = []
            while not isinstance(message := self.codec.next_command(), NeedData):
                messages.append(message)
            if messages:
                return messages
            await self._receive()

    async def _receive(self) -> None:
        try:
            received = await self.wire.receive()
        except OSError:
            raise ClientGone from None
        if not received:
            raise ClientGone
        self.codec.receive_data(received)

    def put(self, content: bytes) -> bool:
        """Write; whether the client takes it in, else `drain`. Raises `ClientGone`."""
        try:
            self.wire.write(content)
        except OSError:
            raise ClientGone from None
        return self.wire.transport.get_write_buffer_size() < UNSENT_BYTES

    async def drain(self) -> None:
        """Wait while the client is slow. Raises `ClientGone`."""
        try:
            await self.wire.drain()
        except OSError:
            raise ClientGone from None

    async def write(self, *parts: bytes) -> None:
        """Write, and wait while the client is slow. Raises `ClientGone`."""
        self.put(b"".join(parts))
        await self.drain()

    async def close(self) -> None:
        """Let what was written out, and what was sent in, within a second, and close.

        A socket that is closed with bytes unread resets the connection, and the client may lose
        the message that says why. So it is told that nothing more comes, and read to its end.
        """
        transport = self.wire.transport
        try:
            async with asyncio.timeout(LINGER):
                if transport.can_write_eof() and not transport.is_closing():
                    transport.write_eof()
                    await self._drain()
                transport.close()
                await self.wire.closed()
        except (OSError, TimeoutError):
            pass
        finally:
            transport.abort()

    async def _drain(self) -> None:
        """Read what the client still sends, and look at none of it."""
        left = LINGER_BYTES
        while left > 0 and (received := await self.wire.receive()):
            left -= len(received)


def expect_password(message: f.FrontendMessage) -> str:
    """The token that the client sent as its password."""
    if not isinstance(message, f.Password):
        raise ProtocolError("expected a password")
    return message.password
