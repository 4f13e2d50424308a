"""The bytes of one connection: written at once, read when somebody asks for them.

What nobody has asked for yet is held up to `READ_BYTES`; beyond it the socket is not read, and
the other side waits. asyncio's streams do the same with a lock and a task switch more a read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

READ_BYTES: Final = 256 * 1024


class Wire(asyncio.Protocol):
    """One connection; one task reads, and one writes."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._error: Exception | None = None
        self._holds = False
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._lost = asyncio.get_running_loop().create_future()
        self._over = asyncio.get_running_loop().create_future()
        self.unasked: Callable[[], None] | None = None
        """Called when something comes that nobody waits for."""

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= READ_BYTES and not self._holds:
            self._holds = True
            self.transport.pause_reading()
        self._announce()

    def eof_received(self) -> bool | None:
        self._ended = True
        _wake(self._over)
        self._announce()
        return None  # nothing more is to be said to it either

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error = True, exc
        _wake(self._lost)
        _wake(self._over)
        self._announce()
        _wake(self._room)

    def _announce(self) -> None:
        _wake(self._arrival)
        if self._arrival is None and self.unasked is not None:
            self.unasked()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._room)
        self._room = None

    # -- called by the connection's owner

    @property
    def transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionResetError("not connected")
        return self._transport

    @property
    def quiet(self) -> bool:
        """Whether the connection is there, and nothing has come that was not asked for."""
        return not (self._ended or self._chunks or self.transport.is_closing())

    async def receive(self) -> bytes:
        """What has come, at least one byte; empty at the end. Raises `OSError`."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._arrived()
        return self.taken()

    def taken(self) -> bytes:
        """What has come, if anything has. Raises `OSError` where no more will come."""
        if self._ended and not self._chunks:
            raise self._error or ConnectionResetError("the server closed the connection")
        content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._size = [], 0
        if self._holds:
            self._holds = False
            self.transport.resume_reading()
        return content

    async def _arrived(self) -> None:
        self._arrival = asyncio.get_running_loop().create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    def write(self, content: bytes) -> None:
        """Raises `ConnectionResetError` where this side has closed: a transport may keep silent."""
        if self.transport.is_closing():
            raise ConnectionResetError("the connection has ended")
        self.transport.write(content)

    async def drain(self) -> None:
        """Wait while the transport holds more than it likes to. Raises `OSError`."""
        if self._room is not None:
            await self._room
        if self.transport.is_closing():
            raise self._error or ConnectionResetError("the connection has ended")

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS connection, where there is one."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        return found

    def close(self, farewell: bytes = b"") -> None:
        """Close after a last word; does nothing where it is closed already."""
        if not self.transport.is_closing():
            self.transport.write(farewell)
            self.transport.close()

    async def ended(self) -> None:
        """Wait until the other side says no more, whatever of it is still to be read."""
        await asyncio.shield(self._over)

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._lost)

    def abort(self) -> None:
        self.transport.abort()


class ClientWire(Wire):
    """One whose other side may have said all that it has to say, and wait for the answer."""

    def eof_received(self) -> bool | None:
        super().eof_received()
        return self.tls is None  # by TLS both directions end together


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
