"""The PostgreSQL door: clients log in with a token as their password and speak to the gate.

It identifies, translates and words; it decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from hashlib import sha256
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
from server.gate import Gate
from server.native.accepting import accepting, hang_up
from server.native.live import LiveSessions
from server.native.login import KnownClient, Presented
from server.native.stay import Stay
from server.native.waiting_room import WaitingRoom
from server.native_session import NativeSession, open_native
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.arriving import arrived, require_encryption
from server.protocols.postgres.client import LINGER, Client, ClientGone, expect_password
from server.protocols.postgres.codec import FrontendState
from server.protocols.postgres.greeting import Hello, first_message, hello, welcome
from server.protocols.postgres.native import PostgresNativeConnection
from server.protocols.postgres.relay import Relay
from server.protocols.postgres.wording import fatal, report

log = logging.getLogger("ostiary.postgres.listener")

PROTOCOL: Final = "postgres"
LOGIN_TIMEOUT: Final = 30.0  # seconds from connecting to the token
MAX_SESSIONS: Final = 500
ASKING: Final = 2  # cancel requests of which the store is asked at once: anybody may send them
WRONG_KEY: Final = 1.0  # seconds that a cancel request by a wrong key holds its connection
DRAIN: Final = 5.0  # seconds for what runs to end, when the gateway stops
CUT_OFF: Final = 2.0  # seconds for the rest to be told

Identify = Callable[[Presented], Awaitable[KnownClient]]
_EXPECTED: Final = (Denied, Unauthenticated, ProtocolError, BackendUnavailable, ConfigError)
_Key = tuple[int, bytes]


@dataclass(slots=True)
class PostgresListener:
    """`identify` turns what a client shows into a principal, or raises `Unauthenticated`, `Denied`.

    With `tls` nobody is asked for a token in clear. `approval_wait`: seconds that a statement waits
    for a person.
    """

    gate: Gate
    identify: Identify
    tls: ssl.SSLContext | None = None
    live: LiveSessions | None = None
    approval_wait: float = 0.0
    room: WaitingRoom = field(default_factory=WaitingRoom)
    _sessions: dict[_Key, tuple[Relay, Stay]] = field(default_factory=dict)
    _clients: set[asyncio.Task[None]] = field(default_factory=set)
    _asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ASKING))

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
        for relay, stay in running:
            relay.stop(stay, STOPPING)
        await self._ended(DRAIN if running else 0)
        for _, stay in tuple(self._sessions.values()):
            stay.end(Denied(STOPPING))
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
        task = asyncio.current_task()
        deadline = asyncio.get_running_loop().time() + LOGIN_TIMEOUT
        with ExitStack() as seat:
            if task is not None:
                seat.enter_context(self.room.seat(address, task.cancel))
            try:
                async with asyncio.timeout_at(deadline):
                    client = await arrived(connection, self.tls, address)
            except (ClientGone, TimeoutError):
                hang_up(connection)
                return
            except Exception:
                hang_up(connection)
                log.exception("nobody was let in from %s", address)
                return
            except BaseException:
                hang_up(connection)
                raise
            await self._client(client, seat, deadline)

    async def _client(self, client: Client, seat: ExitStack, deadline: float) -> None:
        """The connection boundary: whatever happens ends this client's connection only."""
        try:
            await self._serve(client, seat, deadline)
        except ClientGone:
            pass
        except _EXPECTED as error:
            await _say(client, fatal(error))
        except Exception:
            number = secrets.token_hex(4)
            log.exception("error %s", number)
            await _say(client, report("FATAL", "XX000", f"internal error {number}", {}))
        finally:
            await client.close()

    async def _serve(self, client: Client, seat: ExitStack, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                admitted = await self._log_in(client)
        except TimeoutError:
            raise ProtocolError("the client took too long to log in") from None
        if admitted is None:
            return
        seat.close()
        known, asked = admitted
        gate = open_native(self.gate, known.principal, asked.target, channel=Channel.POSTGRES)
        stay = Stay()
        async with (
            stay.until(known.refused_from - time(), known.expired),
            gate as session,
            self._among_the_live(session, known, client),
        ):
            await self._session(client, session, asked, stay)

    def _among_the_live(
        self, session: NativeSession, known: KnownClient, client: Client
    ) -> AbstractAsyncContextManager[None]:
        if self.live is None:
            return nullcontext()
        return self.live.during(session, known, client.address)

    async def _log_in(self, client: Client) -> tuple[KnownClient, Hello] | None:
        message = await first_message(client)
        if isinstance(message, f.CancelRequest):
            await self._cancel(message)
            return None
        require_encryption(client, self.tls)
        if len(self._sessions) >= MAX_SESSIONS:
            raise BackendUnavailable("the gateway has too many clients now")
        asked: Hello = hello(message)
        known = await self.identify(
            Presented(
                await _secret(client, asked),
                asked.target,
                PROTOCOL,
                client.address,
                client.certificate,
            )
        )
        client.codec.expect(FrontendState.READY)
        return known, asked

    async def _cancel(self, request: f.CancelRequest) -> None:
        """Cancel by key; an unknown key is not answered either, and has its client wait."""
        session = self._sessions.get((request.process, request.secret))
        if session is not None:
            await session[0].cancel()
        elif not await self._cancel_elsewhere(request):
            await asyncio.sleep(WRONG_KEY)

    async def _cancel_elsewhere(self, request: f.CancelRequest) -> bool:
        """Whether another gateway on the store has the session, and was told."""
        if self.live is None:
            return False
        name = _digest(request)
        async with self._asking:
            session = await self.live.known(name, Channel.POSTGRES)
            if session:
                await self.live.cancel(session)
        return bool(session)

    async def _session(
        self, client: Client, session: NativeSession, asked: Hello, stay: Stay
    ) -> None:
        connection = session.connection
        if not isinstance(connection, PostgresNativeConnection):
            raise ProtocolError("the target does not speak PostgreSQL's protocol")
        key = b.BackendKeyData(secrets.randbits(31), secrets.token_bytes(asked.key_bytes))
        target = connection.link.target
        relay = Relay(
            client,
            session,
            connection,
            target.native_idle_in_transaction,
            quiet_limit=target.native_idle,
            approval_wait=self.approval_wait,
            process=key.process,
        )
        self._sessions[key.process, key.secret] = relay, stay
        try:
            if self.live is not None:
                names = [_digest(f.CancelRequest(key.process, key.secret))]
                await self.live.reachable(session.id, names, relay.cancel)
            await client.write(welcome(connection.parameters, key, asked.notices))
            async with Stay().until(target.native_session, SESSION_LIMIT):
                await _first_to_end(relay.feed(), relay.answer(), client.leaves())
        finally:
            del self._sessions[key.process, key.secret]


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


async def _secret(client: Client, asked: Hello) -> str:
    """The password; nobody who has shown a certificate is asked for one."""
    if client.certificate:
        await client.write(asked.answer)
        return ""
    await client.write(asked.answer, b.AuthenticationRequest(3).encode())
    return expect_password(await client.login_message())


def _digest(request: f.CancelRequest) -> str:
    """What the store knows of the key in a cancel request."""
    return sha256(request.encode()).hexdigest()


async def _first_to_end(*parts: Coroutine[None, None, None]) -> None:
    """Run all of them until one ends; the others are cancelled, and its error, if any, raised.

    Of several that end at once the error of the first counts: what a client said before it left.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        over = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in over:
        task.result()


async def _say(client: Client, message: bytes) -> None:
    with suppress(ClientGone, TimeoutError):
        async with asyncio.timeout(LINGER):
            await client.write(message)
