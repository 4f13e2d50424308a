"""One authenticated connection to a MySQL or MariaDB server: sockets, TLS, login, settings, KILL.

What is said over it is `conversation`'s; who may say it is the gate's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from policies.errors import BackendUnavailable, ProtocolError
from recordings.events import Event, Failed, Rows
from recordings.rows import row_codec
from server.credentials import Role
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.awaited import Ended
from server.protocols.mysql.catalog_queries import Row
from server.protocols.mysql.codec import NEED_DATA
from server.protocols.mysql.conversation import Conversation
from server.protocols.mysql.login import Channel, Login, LoginRefused, Stage
from server.protocols.mysql.packets import HEADER
from server.protocols.mysql.target import SQL_MODE, MysqlTarget, Place
from server.protocols.postgres.wire import Wire

log = logging.getLogger("ostiary.mysql")

CANCEL_TIMEOUT: Final = 5.0  # seconds
_GREETING: Final = 64 * 1024
# One result a statement, said in one way; what a session does is set by the gateway alone.
_WANTED: Final = c.OFFERED & ~(
    c.QUERY_ATTRIBUTES
    | c.SESSION_TRACK
    | c.MULTI_RESULTS
    | c.PS_MULTI_RESULTS
    | c.FOUND_ROWS
    | c.INTERACTIVE
    | c.ODBC
)
_SEEN: Final = """SELECT @@sql_mode, @@character_set_client, @@character_set_connection,
 @@character_set_results, @@time_zone, @@autocommit, @@sql_safe_updates, @@lc_messages, DATABASE(),
 CONNECTION_ID()"""
_UTF8: Final = "utf8mb4"


def unavailable(target: str) -> BackendUnavailable:
    """What a caller is told; the reason goes to the log alone."""
    return BackendUnavailable(f"target {target} can't be reached now")


@dataclass(slots=True, eq=False)
class Link:
    """A connection that has logged in, with the settings of its role.

    `state` is what the server said of the session then: it comes back to that before it is used
    again.
    """

    target: MysqlTarget
    role: Role
    wire: Wire
    conversation: Conversation
    account: tuple[str, str] = field(repr=False)
    state: Row = ()
    closed: bool = False

    async def event(self) -> Event | Ended:
        """The conversation's next event; waits for the server as long as it takes.

        Raises `ConnectionError` when the server went away, `ProtocolError` when it makes no sense.
        """
        while (event := self.conversation.next_event()) is NEED_DATA:
            received = await self.wire.receive()
            if not received:
                raise ConnectionResetError("the server closed the connection")
            self.conversation.receive_data(received)
        return event

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """A server that is silent for longer has gone: the connection is dropped."""
        timer = asyncio.get_running_loop().call_later(seconds, self.wire.abort)
        try:
            yield
        finally:
            timer.cancel()

    async def send(self, command: m.Command, owner: object = None) -> None:
        """Send a command in a turn of its own."""
        self.conversation.begin(owner)
        self.wire.write(self.conversation.send(command))
        await self.wire.drain()

    async def finish_turn(self) -> list[Event]:
        """Take what is left of the oldest turn."""
        events: list[Event] = []
        while not isinstance(event := await self.event(), Ended):
            events.append(event)
        return events

    async def command(self, *texts: str) -> None:
        """Run statements of the gateway's own. Raises `ProtocolError` if one fails."""
        for text in texts:
            await self.own(m.Query(text))

    async def own(self, command: m.Command) -> None:
        """A command of the gateway's own. Raises `ProtocolError` if it fails."""
        await self.send(command)
        _check(await self.finish_turn())

    async def fetch(self, text: str) -> list[Row]:
        """All rows of one of the gateway's own queries. Raises `ProtocolError` if it fails."""
        await self.send(m.Query(text))
        events = await self.finish_turn()
        _check(events)
        return [row for event in events if isinstance(event, Rows) for row in _decoded(event)]

    @property
    def usable(self) -> bool:
        """Nothing is outstanding, and the server has neither gone nor spoken up meanwhile."""
        return not self.closed and self.wire.quiet and self.conversation.idle

    async def configure(self) -> None:
        """Pin what a session of this role begins with. Raises `ProtocolError`."""
        settings = ", ".join(f"{name} = {value}" for name, value in self.target.settings().items())
        access = "READ ONLY" if self.role == "reader" else "READ WRITE"
        await self.command(
            f"SET NAMES {_UTF8}",
            f"SET SESSION {settings}",
            f"SET SESSION TRANSACTION {access}",
        )

    async def reset(self) -> None:
        """Make the session as it was after login. Raises `ProtocolError` if it is not."""
        await self.own(m.ResetConnection())
        await self.own(m.InitDb(self.target.database))
        await self.configure()
        if await self.seen() != self.state or self.conversation.in_transaction:
            raise ProtocolError("the connection did not come back as it was")

    async def seen(self) -> Row:
        """What the server says of the session; checks what statements' meaning depends on."""
        (row,) = await self.fetch(_SEEN)
        if row[0] != SQL_MODE or row[1:4] != (_UTF8, _UTF8, _UTF8):
            raise ProtocolError("the server does not read statements as they are judged")
        return row

    @property
    def number(self) -> int:
        """The server's own number of this connection."""
        return int(self.state[-1] or 0)

    async def cancel(self) -> None:
        """Have the server stop what runs, by a connection of its own; at most 5 s.

        That the statement has ended is known only from its own connection.
        """
        async with asyncio.timeout(CANCEL_TIMEOUT):
            other = await _log_in(self.target, self.account, self.role)
            try:
                await other.command(f"KILL QUERY {self.number}")
            finally:
                other.close()

    def close(self) -> None:
        """Drop the connection now; the server rolls back what was open."""
        self.closed = True
        self.wire.close(b"\x01\0\0\0\x01")  # COM_QUIT


def _check(events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, Failed):
            raise ProtocolError(f"the server refuses: {event.code} {event.message}")


def _decoded(rows: Rows) -> list[Row]:
    codec = row_codec(rows.codec)
    if codec is None:
        raise ProtocolError("rows that nobody can read")
    return [
        tuple(None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in row)
        for row in codec.decode(rows.frames)
    ]


async def open_link(
    target: MysqlTarget, account: tuple[str, str], role: Role, wanted: int = _WANTED
) -> Link:
    """Connect, log in and pin. Raises `BackendUnavailable` after `target.connect_timeout`.

    `wanted`: capabilities that are asked for where the server has them.
    """
    try:
        async with asyncio.timeout(target.connect_timeout):
            link = await _log_in(target, account, role, wanted)
            try:
                await link.configure()
                link.state = await link.seen()
            except BaseException:
                link.wire.abort()
                raise
            return link
    except (OSError, TimeoutError, ProtocolError, LoginRefused) as error:
        log.warning("target %s: login failed: %s: %s", target.name, type(error).__name__, error)
        raise unavailable(target.name) from None


async def _log_in(
    target: MysqlTarget, account: tuple[str, str], role: Role, wanted: int = _WANTED
) -> Link:
    place = target.place()
    raw = await _dial(place)
    channel = _channel(target, place)
    login = Login(*account, database=target.database, channel=channel, wanted=wanted)
    try:
        wire = await _greeted(raw, login, target, place)
    except BaseException:
        raw.close()
        raise
    try:
        while not login.ready:
            if (output := login.next_output()) is NEED_DATA:
                received = await wire.receive()
                if not received:
                    raise ConnectionResetError("the server closed the connection during login")
                login.receive_data(received)
            elif isinstance(output, bytes) and output:
                wire.write(output)
        if not login.empty:
            raise ProtocolError("the server goes on after it said it was ready")
    except BaseException:
        wire.abort()
        raise
    conversation = Conversation(login.capabilities, login.status, target.database)
    return Link(target, role, wire, conversation, account)


def _channel(target: MysqlTarget, place: Place) -> Channel:
    if place.is_socket:
        return Channel.LOCAL
    return Channel.CLEAR if target.tls == "disable" else Channel.TLS


async def _greeted(raw: socket.socket, login: Login, target: MysqlTarget, place: Place) -> Wire:
    """Hear the greeting, to the byte: what was injected behind it meets TLS and fails."""
    loop = asyncio.get_running_loop()
    header = await _exactly(raw, HEADER)
    size = int.from_bytes(header[:3], "little")
    if size > _GREETING:
        raise ProtocolError("not a greeting")
    login.receive_data(header + await _exactly(raw, size))
    answer = login.next_output()
    if not isinstance(answer, bytes):
        raise ProtocolError("not a whole greeting")
    await loop.sock_sendall(raw, answer)
    if login.stage is not Stage.TLS:
        _, wire = await loop.create_connection(Wire, sock=raw)
        return wire
    context = ssl.create_default_context(cafile=str(target.ca) if target.ca else None)
    _, wire = await loop.create_connection(Wire, sock=raw, ssl=context, server_hostname=place.host)
    wire.write(login.secured())
    return wire


async def _exactly(raw: socket.socket, size: int) -> bytes:
    loop, received = asyncio.get_running_loop(), b""
    while len(received) < size:
        part = await loop.sock_recv(raw, size - len(received))
        if not part:
            raise ConnectionResetError("the server closed the connection before it greeted")
        received += part
    return received


async def _dial(place: Place) -> socket.socket:
    """A connected socket of the first address that answers."""
    loop = asyncio.get_running_loop()
    if place.is_socket:
        return await _connected(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), place.host)
    found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    refusal: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in found:
        try:
            raw = await _connected(socket.socket(family, kind, protocol), address)
        except OSError as error:
            refusal = error
        else:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return raw
    raise refusal


async def _connected(raw: socket.socket, address: Any) -> socket.socket:
    raw.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(raw, address)
    except BaseException:
        raw.close()
        raise
    return raw
