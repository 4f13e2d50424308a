"""Passes a PostgreSQL client's bytes on to a server unchanged, and keeps the statements in them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_ENCRYPTION: Final = (80877103, 80877104)
_CANCEL: Final = 80877102


@dataclass(slots=True)
class Sent:
    """One text that a client sent, as a Query ("simple") or a Parse ("extended").

    `failed`: the server answered it with an error, for it was made for another version perhaps.
    """

    protocol: str
    sql: str
    failed: bool = False


@dataclass(slots=True)
class Proxy:
    """What was sent over all connections since `taken` was called last."""

    socket: str
    sent: list[Sent] = field(default_factory=list)

    def taken(self) -> list[Sent]:
        found, self.sent = self.sent, []
        return found

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Yields the port on loopback."""
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_unix_connection(self.socket)
        answers = asyncio.create_task(self._answers(behind, writer))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._messages(reader, to_server)
        to_server.close()
        await answers
        writer.close()

    async def _answers(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            # The answer to a request for encryption is a single byte.
            while (tag := await server.readexactly(1)) == b"N":
                writer.write(tag)
            while True:
                writer.write(tag)
                length = await server.readexactly(4)
                writer.write(length + await server.readexactly(struct.unpack("!i", length)[0] - 4))
                if tag == b"E" and self.sent:
                    self.sent[-1].failed = True
                await writer.drain()
                tag = await server.readexactly(1)

    async def _messages(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        code = _ENCRYPTION[0]
        while code in _ENCRYPTION:
            first = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!i", first)[0] - 4)
            (code,) = struct.unpack("!i", body[:4])
            server.write(first + body)
        while code != _CANCEL:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
            self._keep(head[:1], body)
            server.write(head + body)
            await server.drain()

    def _keep(self, tag: bytes, body: bytes) -> None:
        match tag:
            case b"Q":
                self.sent.append(Sent("simple", body[:-1].decode()))
            case b"P":
                self.sent.append(Sent("extended", body.split(b"\0")[1].decode()))
            case _:
                pass
