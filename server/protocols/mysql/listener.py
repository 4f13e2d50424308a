"""The MySQL door: clients log in with a token as their password and speak to the gate.

It identifies, translates and words; it decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from time import time
from typing import Final

from policies.errors import (
    BackendUnavailable,
    ConfigError,
    Denied,
    ProtocolError,
    Refusal,
    Unauthenticated,
)
from policies.model import Channel
from recordings.events import Outcome
from recordings.journal import Record
from server.gate import Gate
from server.native.accepting import accepting, hang_up
from server.native.live import LiveSessions
from server.native.login import KnownClient, Presented
from server.native.stay import Stay
from server.native.waiting_room import WaitingRoom
from server.native_session import NativeSession, open_native
from server.protocols.mysql import answers as a
from server.protocols.mysql.client import LINGER, Client, ClientGone
from server.protocols.mysql.codec import FrontendState
from server.protocols.mysql.commands import ChangeUser
from server.protocols.mysql.greeting import Hello, Kind, arrived, changed, hello
from server.protocols.mysql.handshake import CLEAR_PASSWORD, AuthAnswer, AuthSwitch
from server.protocols.mysql.native import MysqlNativeConnection
from server.protocols.mysql.packets import framed
from server.protocols.mysql.relay import Relay, first_to_end
from server.protocols.mysql.wording import ended, error, fatal

log = logging.getLogger("ostiary.mysql.listener")

PROTOCOL: Final = "mysql"
LOGIN_TIMEOUT: Final = 30.0  # seconds from connecting to the token
MAX_SESSIONS: Final = 500
DRAIN: Final = 5.0  # seconds for what runs to end, when the gateway stops
CUT_OFF: Final = 2.0  # seconds for the rest to be told

Identify = Callable[[Presented], Awaitable[KnownClient]]
_EXPECTED: Final = (Denied, Unauthenticated, ProtocolError, BackendUnavailable, ConfigError)


@dataclass(frozen=True, slots=True)
class _Open:
    """A session that clients of the same principal on its target may stop by its number."""

    principal: str
    relay: Relay
    stay: Stay

    @property
    def place(self) -> tuple[str, str]:
        """Whose it is, and on which target."""
        return self.principal, self.relay.connection.target.name

    async def kill(self, whole: bool) -> None:
        if whole:
            self.stay.end(Denied(KILLED))
        else:
            await self.relay.cancel()


@dataclass(slots=True)
class MysqlListener:
    """`identify` turns what a client shows into a principal, or raises `Unauthenticated`, `Denied`.

    With `tls` nobody is asked for a token in clear. `target`: the only one, if not empty. `kind`:
    whose version is told before it is known which target is meant. `approval_wait`: seconds that a
    statement waits for a person.
    """

    gate: Gate
    identify: Identify
    tls: ssl.SSLContext | None = None
    live: LiveSessions | None = None
    approval_wait: float = 0.0
    target: str = ""
    kind: Kind = "mysql"
    room: WaitingRoom = field(default_factory=WaitingRoom)
    _sessions: dict[int, _Open] = field(default_factory=dict)
    _clients: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def serving(
        self, host: str, port: int, sockets: Sequence[socket.socket] = ()
    ) -> AsyncIterator[tuple[str, int]]:
        """Accept clients for as long as the context lasts; yields the address, for port 0.

        `sockets`: those that listen already. Then what runs may end, within a bound. Raises
        `ConfigError` for an address in use.
        """
        try:
            async with accepting(host, port, self._accept, sockets) as address:
                yield address
        finally:
            await self._drain()

    async def _drain(self) -> None:
        running = tuple(self._sessions.values())
        for each in running:
            each.relay.stop(each.stay, STOPPING)
        await self._ended(DRAIN if running else 0)
        for each in tuple(self._sessions.values()):
            each.stay.end(Denied(STOPPING))
        await self._ended(CUT_OFF if self._sessions else 0)
        for client in self._clients:
            client.cancel()
        while self._clients:
            await asyncio.wait(tuple(self._clients))

    async def _ended(self, within: float) -> None:
        """Wait for sessions to end; those who have not logged in are not waited for."""
        deadline = asyncio.get_running_loop().time() + within
        while self._sessions and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait(
                tuple(self._clients), timeout=0.1, return_when=asyncio.FIRST_COMPLETED
            )

    def _accept(self, connection: socket.socket, address: str) -> None:
        client = asyncio.get_running_loop().create_task(self._arrived(connection, address))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _arrived(self, connection: socket.socket, address: str) -> None:
        """Who has not said who they are has a seat until somebody else needs it."""
        number = self._number()
        deadline = asyncio.get_running_loop().time() + LOGIN_TIMEOUT
        with ExitStack() as seat:
            seat.enter_context(self._seat(address))
            try:
                async with asyncio.timeout_at(deadline):
                    client = await arrived(connection, self.tls, address, self.kind, number)
            except Denied as denied:
                await _refused(connection, denied)
                return
            except (ClientGone, ProtocolError, TimeoutError):
                hang_up(connection)
                return
            except Exception:
                hang_up(connection)
                log.exception("nobody was let in from %s", address)
                return
            except BaseException:
                hang_up(connection)
                raise
            await self._client(client, seat, deadline, number)

    def _seat(self, address: str) -> AbstractContextManager[None]:
        task = asyncio.current_task()
        return nullcontext() if task is None else self.room.seat(address, task.cancel)

    def _number(self) -> int:
        """A connection's own number, which its client may stop it by."""
        while (number := 1 + secrets.randbelow((1 << 31) - 1)) in self._sessions:
            pass
        return number

    async def _client(self, client: Client, seat: ExitStack, deadline: float, number: int) -> None:
        """The connection boundary: whatever happens ends this client's connection only."""
        try:
            await self._serve(client, seat, deadline, number)
        except ClientGone:
            pass
        except _EXPECTED as problem:
            await _say(client, fatal(problem))
        except Exception:
            known = secrets.token_hex(4)
            log.exception("error %s", known)
            await _say(client, error(1105, "HY000", f"internal error {known}"))
        finally:
            await client.close()

    async def _serve(self, client: Client, seat: ExitStack, deadline: float, number: int) -> None:
        known, asked = await self._in_time(self._log_in(client), deadline)
        seat.close()
        while (change := await self._stays(client, known, asked, number)) is not None:
            with self._seat(client.address):
                deadline = asyncio.get_running_loop().time() + LOGIN_TIMEOUT
                again = self._log_in_again(client, change, asked.target)
                known, asked = await self._in_time(again, deadline)

    async def _in_time(
        self, login: Awaitable[tuple[KnownClient, Hello]], deadline: float
    ) -> tuple[KnownClient, Hello]:
        try:
            async with asyncio.timeout_at(deadline):
                return await login
        except TimeoutError:
            raise ProtocolError("the client took too long to log in") from None

    async def _stays(
        self, client: Client, known: KnownClient, asked: Hello, number: int
    ) -> ChangeUser | None:
        """One session from its opening to its end; the change of user that ended it, if one did."""
        gate = open_native(self.gate, known.principal, asked.target, channel=Channel.MYSQL)
        stay = Stay()
        async with (
            stay.until(known.refused_from - time(), known.expired),
            gate as session,
            self._among_the_live(session, known, client),
        ):
            return await self._session(client, session, asked, stay, number)

    def _among_the_live(
        self, session: NativeSession, known: KnownClient, client: Client
    ) -> AbstractAsyncContextManager[None]:
        if self.live is None:
            return nullcontext()
        return self.live.during(session, known, client.address)

    async def _log_in(self, client: Client) -> tuple[KnownClient, Hello]:
        return await self._known(client, hello(await client.login_message(), self.target))

    async def _log_in_again(
        self, client: Client, change: ChangeUser, before: str
    ) -> tuple[KnownClient, Hello]:
        """A login like the first one, after the session before it has ended."""
        asked = changed(change, client.codec.capabilities, before, self.target)
        return await self._known(client, asked)

    async def _known(self, client: Client, asked: Hello) -> tuple[KnownClient, Hello]:
        if len(self._sessions) >= MAX_SESSIONS:
            raise BackendUnavailable("the gateway has too many clients now")
        secret = "" if client.certificate else await _secret(client)
        shown = (client.address, client.certificate)
        return await self.identify(Presented(secret, asked.target, PROTOCOL, *shown)), asked

    async def _session(
        self, client: Client, session: NativeSession, asked: Hello, stay: Stay, number: int
    ) -> ChangeUser | None:
        connection = session.connection
        if not isinstance(connection, MysqlNativeConnection):
            raise ProtocolError("the target does not speak MySQL's protocol")
        await connection.begin(asked.capabilities & client.codec.capabilities)
        target, who = connection.target, session.opened.request.principal.id
        relay = Relay(
            client,
            session,
            connection,
            lambda found, whole: self._kill(relay, who, found, whole),
            target.native_idle_in_transaction,
            quiet_limit=target.native_idle,
            approval_wait=self.approval_wait,
        )
        self._sessions[number] = _Open(who, relay, stay)
        try:
            if self.live is not None:
                names = [str(number), str(connection.link.number)]
                await self.live.reachable(session.id, names, relay.cancel)
            said = ended(Outcome(status=connection.status), rows=False, capabilities=0)
            await client.write(client.packets(said))
            client.codec.expect(FrontendState.READY)
            async with Stay().until(target.native_session, SESSION_LIMIT):
                await first_to_end(relay.serve(), client.pump())
            return relay.change
        finally:
            del self._sessions[number]

    async def _kill(self, asker: Relay, principal: str, number: int, whole: bool) -> bool:
        """By the number of the greeting, or by the one that CONNECTION_ID() tells."""
        target = asker.connection.target.name
        own = {n: e for n, e in self._sessions.items() if e.place == (principal, target)}
        by_target = (e for e in own.values() if e.relay.connection.link.number == number)
        known = own.get(number) or next(by_target, None)
        session = known.relay.session.id if known else ""
        if not session and self.live is not None:
            whose = {"principal": principal, "target": target}
            session = await self.live.known(str(number), Channel.MYSQL, **whose)
        if not session:
            return False
        document = {"session": session, "what": "session" if whole else "statement"}
        await self.gate.journal.accept(Record(asker.session.id, "killed", document))
        if known is not None:
            await known.kill(whole)
        elif self.live is not None:
            await (self.live.end(session, principal) if whole else self.live.cancel(session))
        return True


STOPPING: Final = Refusal(
    code="GATEWAY_STOPPING",
    reason="The gateway is stopping.",
    next_step="Connect again in a moment.",
)
SESSION_LIMIT: Final = Refusal(
    code="SESSION_LIMIT",
    reason="The session has lasted as long as sessions on this target may.",
    next_step="Connect again.",
)
KILLED: Final = Refusal(
    code="SESSION_ENDED",
    reason="The session was ended by KILL from another one of yours.",
    next_step="Connect again.",
)


async def _secret(client: Client) -> str:
    """The password, in clear: within TLS."""
    client.codec.expect(FrontendState.AUTHENTICATION)
    await client.write(client.packets(AuthSwitch(CLEAR_PASSWORD)))
    answer = await client.login_message()
    if not isinstance(answer, AuthAnswer):
        raise ProtocolError("expected a password")
    return answer.password


async def _refused(connection: socket.socket, denied: Denied) -> None:
    """Tell a client in clear, of which a login was not read, and close."""
    payload = fatal(denied).encode(0)
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(connection, framed(payload, 2))
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, 4096):
                pass
    connection.close()


async def _say(client: Client, said: a.Err) -> None:
    with suppress(ClientGone, TimeoutError):
        async with asyncio.timeout(LINGER):
            await client.write(client.packets(said))
