"""One authenticated connection to a PostgreSQL server: sockets, TLS, login, cancel.

What is said over it is `conversation`'s; who may say it is the gate's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scramp import ScramException

from policies.errors import BackendUnavailable, ProtocolError
from recordings.events import Event
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader, NeedData
from server.protocols.postgres.conversation import Conversation, Ended
from server.protocols.postgres.startup import Login, LoginRefused
from server.protocols.postgres.target import Place, PostgresTarget

log = logging.getLogger("ostiary.postgres")

# What one read may bring: the stream stops reading the socket beyond it, and the server waits.
READ_BYTES: Final = 256 * 1024
CANCEL_TIMEOUT: Final = 5.0  # seconds


def unavailable(target: str) -> BackendUnavailable:
    """What a caller is told; the reason goes to the log alone."""
    return BackendUnavailable(f"target {target} can't be reached now")


@dataclass(slots=True, eq=False)
class Link:
    """A connection that has logged in; `parameters` are the server's at that moment."""

    target: PostgresTarget
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    login: Login
    conversation: Conversation
    parameters: Mapping[str, str] = field(default_factory=dict)

    async def event(self) -> Event | Ended:
        """The conversation's next event; waits for the server as long as it takes.

        Raises `ConnectionError` when the server went away, `ProtocolError` when it makes no sense.
        """
        while isinstance(event := self.conversation.next_event(), NeedData):
            await self._receive()
        return event

    async def _receive(self) -> None:
        received = await self.reader.read(READ_BYTES)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        self.conversation.receive_data(received)

    def write(self, content: bytes) -> None:
        self.writer.write(content)

    async def drain(self) -> None:
        await self.writer.drain()

    async def finish_turn(self) -> list[Event]:
        """Take what is left of the oldest turn."""
        events: list[Event] = []
        while not isinstance(event := await self.event(), Ended):
            events.append(event)
        return events

    async def usable(self) -> bool:
        """Nothing is outstanding, and the server has neither gone nor spoken up meanwhile."""
        conversation = self.conversation
        if self.writer.is_closing() or not conversation.idle or conversation.status != "I":
            return False
        try:
            async with asyncio.timeout(0):
                await self.reader.read(1)
        except TimeoutError:
            return True
        except OSError:
            pass
        return False

    async def cancel(self) -> None:
        """Ask the server to cancel what runs; it answers by closing, in at most 5 s.

        That the statement has ended is known only from its own connection.
        """
        if self.login.key is None:
            return
        request = f.CancelRequest(self.login.key.process, self.login.key.secret)
        async with asyncio.timeout(CANCEL_TIMEOUT):
            reader, writer = await _open(self.target)
            try:
                writer.write(request.encode())
                await writer.drain()
                await reader.read()
            finally:
                writer.transport.abort()

    def close(self) -> None:
        """Drop the connection now; the server rolls back what was open."""
        if not self.writer.is_closing():
            with contextlib.suppress(RuntimeError):
                self.writer.write(f.Terminate().encode())
        self.writer.close()


async def open_link(
    target: PostgresTarget, account: tuple[str, str], settings: Mapping[str, str]
) -> Link:
    """Connect and log in. Raises `BackendUnavailable` after `target.connect_timeout`."""
    try:
        async with asyncio.timeout(target.connect_timeout):
            return await _log_in(target, account, settings)
    except (OSError, TimeoutError, ProtocolError, LoginRefused, ScramException) as error:
        log.warning("target %s: login failed: %s: %s", target.name, type(error).__name__, error)
        raise unavailable(target.name) from None


async def _log_in(
    target: PostgresTarget, account: tuple[str, str], settings: Mapping[str, str]
) -> Link:
    reader, writer = await _open(target)
    try:
        login = Login(*account, channel=writer.get_extra_info("ssl_object"))
        writer.write(login.first(target.database, settings))
        await _until_ready(login, reader, writer)
    except BaseException:
        writer.transport.abort()
        raise
    conversation = Conversation(parameters=dict(login.parameters))
    conversation.check_pinned()
    return Link(target, reader, writer, login, conversation, dict(login.parameters))


async def _until_ready(
    login: Login, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    codec = BackendReader()
    while not login.ready:
        message = codec.next_event()
        if isinstance(message, NeedData):
            received = await reader.read(READ_BYTES)
            if not received:
                raise ConnectionResetError("the server closed the connection during login")
            codec.receive_data(received)
        else:
            writer.write(login.answer(message))
    if not codec.empty:
        raise ProtocolError("the server goes on after it said it was ready")


async def _open(target: PostgresTarget) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = target.place()
    if place.is_socket:
        return await asyncio.open_unix_connection(place.socket_path, limit=READ_BYTES)
    if target.tls == "disable":
        return await asyncio.open_connection(place.host, place.port, limit=READ_BYTES)
    raw = await _dial(place)
    try:
        await _ask_for_tls(raw)
        context = ssl.create_default_context(cafile=str(target.ca) if target.ca else None)
        return await asyncio.open_connection(
            sock=raw, ssl=context, server_hostname=place.host, limit=READ_BYTES
        )
    except BaseException:
        raw.close()
        raise


async def _dial(place: Place) -> socket.socket:
    """A connected socket of the first address that answers."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    refusal: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in found:
        raw = socket.socket(family, kind, protocol)
        raw.setblocking(False)
        try:
            await loop.sock_connect(raw, address)
        except OSError as error:
            raw.close()
            refusal = error
        except BaseException:
            raw.close()
            raise
        else:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return raw
    raise refusal


async def _ask_for_tls(raw: socket.socket) -> None:
    """Exactly one byte is read in clear: what was injected behind it meets TLS and fails."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, f.SslRequest().encode())
    if await loop.sock_recv(raw, 1) != b"S":
        raise ProtocolError("the server does not offer TLS")
