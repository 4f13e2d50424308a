"""One authenticated connection to a PostgreSQL server: sockets, TLS, login, cancel.

What is said over it is `conversation`'s; who may say it is the gate's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from scramp import ScramException

from policies.errors import BackendUnavailable, ProtocolError
from recordings.events import Event
from server.protocols.postgres import frontend as f
from server.protocols.postgres.awaited import Ended
from server.protocols.postgres.codec import NEED_DATA, BackendReader, NeedData
from server.protocols.postgres.conversation import Conversation
from server.protocols.postgres.startup import Login, LoginRefused
from server.protocols.postgres.target import Place, PostgresTarget
from server.protocols.postgres.wire import Wire

log = logging.getLogger("ostiary.postgres")

CANCEL_TIMEOUT: Final = 5.0  # seconds


def unavailable(target: str) -> BackendUnavailable:
    """What a caller is told; the reason goes to the log alone."""
    return BackendUnavailable(f"target {target} can't be reached now")


@dataclass(slots=True, eq=False)
class Link:
    """A connection that has logged in; `parameters` are the server's at that moment.

    `checks`: names of the checks of facts that the server has ready, with their plans.
    """

    target: PostgresTarget
    wire: Wire
    login: Login
    conversation: Conversation
    parameters: Mapping[str, str] = field(default_factory=dict)
    checks: frozenset[str] = frozenset()

    async def event(self) -> Event | Ended:
        """The conversation's next event; waits for the server as long as it takes.

        Raises `ConnectionError` when the server went away, `ProtocolError` when it makes no sense.
        """
        while (event := self.conversation.next_event()) is NEED_DATA:
            await self.receive()
        return event

    async def events(self) -> tuple[list[Event], bool]:
        """The next events that come together, and whether the turn has ended. Raises as `event`."""
        while True:
            events, ended = self.conversation.next_events()
            if events or ended:
                return events, ended
            await self.receive()

    async def receive(self) -> None:
        """Wait for more of the server's bytes, and hand them to the conversation."""
        received = await self.wire.receive()
        if not received:
            raise ConnectionResetError("the server closed the connection")
        self.conversation.receive_data(received)

    def overhear(self) -> None:
        """Take in what the server has said unasked. Raises as `event` does.

        What it says while a turn is open is for who waits for it, and would wait for ever.
        """
        if self.conversation.oldest is None:
            self.conversation.overhear(self.wire.taken())

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """A server that is silent for longer has gone: the connection is dropped."""
        timer = asyncio.get_running_loop().call_later(seconds, self.wire.abort)
        try:
            yield
        finally:
            timer.cancel()

    def write(self, content: bytes) -> None:
        self.wire.write(content)

    async def drain(self) -> None:
        await self.wire.drain()

    async def finish_turn(self) -> list[Event]:
        """Take what is left of the oldest turn."""
        events: list[Event] = []
        while not isinstance(event := await self.event(), Ended):
            events.append(event)
        return events

    @property
    def usable(self) -> bool:
        """Nothing is outstanding, and the server has neither gone nor spoken up meanwhile."""
        conversation = self.conversation
        return self.wire.quiet and conversation.idle and conversation.status == "I"

    async def cancel(self) -> None:
        """Ask the server to cancel what runs; it answers by closing, in at most 5 s.

        That the statement has ended is known only from its own connection.
        """
        if self.login.key is None:
            return
        request = f.CancelRequest(self.login.key.process, self.login.key.secret)
        async with asyncio.timeout(CANCEL_TIMEOUT):
            wire = await _open(self.target)
            try:
                wire.write(request.encode())
                while await wire.receive():
                    pass
            finally:
                wire.abort()

    def close(self) -> None:
        """Drop the connection now; the server rolls back what was open."""
        self.wire.close(f.Terminate().encode())


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
    wire = await _open(target)
    try:
        login = Login(*account, channel=wire.tls)
        wire.write(login.first(target.database, settings))
        await _until_ready(login, wire)
    except BaseException:
        wire.abort()
        raise
    conversation = Conversation(parameters=dict(login.parameters))
    conversation.check_pinned()
    return Link(target, wire, login, conversation, dict(login.parameters))


async def _until_ready(login: Login, wire: Wire) -> None:
    codec = BackendReader()
    while not login.ready:
        message = codec.next_event()
        if isinstance(message, NeedData):
            received = await wire.receive()
            if not received:
                raise ConnectionResetError("the server closed the connection during login")
            codec.receive_data(received)
        else:
            wire.write(login.answer(message))
    if not codec.empty:
        raise ProtocolError("the server goes on after it said it was ready")


async def _open(target: PostgresTarget) -> Wire:
    place, loop = target.place(), asyncio.get_running_loop()
    if place.is_socket:
        _, wire = await loop.create_unix_connection(Wire, place.socket_path)
        return wire
    if target.tls == "disable":
        _, wire = await loop.create_connection(Wire, place.host, place.port)
        return wire
    raw = await _dial(place)
    try:
        await _ask_for_tls(raw)
        context = ssl.create_default_context(cafile=str(target.ca) if target.ca else None)
        _, wire = await loop.create_connection(
            Wire, sock=raw, ssl=context, server_hostname=place.host
        )
    except BaseException:
        raw.close()
        raise
    return wire


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
