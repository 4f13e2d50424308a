"""The PostgreSQL door: clients log in with a token as their password and speak to the gate.

On loopback only, for there is no TLS here yet. It identifies, translates and words; it decides
nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
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
from server.gate import Gate, NativeSession
from server.identity.oidc import Identified
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.client import READ_BYTES, Client, ClientGone, expect_password
from server.protocols.postgres.codec import FrontendState
from server.protocols.postgres.greeting import Hello, first_message, hello, welcome
from server.protocols.postgres.native import PostgresNativeConnection
from server.protocols.postgres.relay import Relay
from server.protocols.postgres.wording import fatal, report

log = logging.getLogger("ostiary.postgres.listener")

LOGIN_TIMEOUT: Final = 30.0  # seconds from connecting to the token
MAX_CLIENTS: Final = 200

Identify = Callable[[str], Awaitable[Identified]]
TOKEN_EXPIRED: Final = Refusal(
    code="TOKEN_EXPIRED",
    reason="The token that this session began with has expired.",
    next_step="Sign in again, and connect with the new token.",
)
_EXPECTED: Final = (Denied, Unauthenticated, ProtocolError, BackendUnavailable, ConfigError)
_Key = tuple[int, bytes]


@dataclass(slots=True)
class PostgresListener:
    """`identify` turns a bearer token into a principal, or raises `Unauthenticated`, `Denied`."""

    gate: Gate
    identify: Identify
    _cancellable: dict[_Key, PostgresNativeConnection] = field(default_factory=dict)
    _clients: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Accept clients for as long as the context lasts; yields the address, for port 0.

        Raises `ConfigError` for an address that is not loopback, or is in use.
        """
        if not _is_loopback(host):
            raise ConfigError(f"the PostgreSQL listener has no TLS: {host} is not loopback")
        try:
            server = await asyncio.start_server(self._accept, host, port, limit=READ_BYTES)
        except OSError as error:
            raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}") from None
        try:
            address = server.sockets[0].getsockname()
            yield str(address[0]), int(address[1])
        finally:
            server.close()
            await self._end_clients()

    async def _end_clients(self) -> None:
        for client in self._clients:
            client.cancel()
        while self._clients:
            await asyncio.wait(tuple(self._clients))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.get_running_loop().create_task(self._client(Client(reader, writer)))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _client(self, client: Client) -> None:
        """The connection boundary: whatever happens ends this client's connection only."""
        try:
            await self._serve(client)
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

    async def _serve(self, client: Client) -> None:
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                admitted = await self._log_in(client)
        except TimeoutError:
            raise ProtocolError("the client took too long to log in") from None
        if admitted is not None:
            identified, asked = admitted
            who, target = identified.principal, asked.target
            gate = self.gate.open_native(who, target, channel=Channel.POSTGRES)
            async with _until(identified.refused_from), gate as session:
                await self._session(client, session, asked.notices)

    async def _log_in(self, client: Client) -> tuple[Identified, Hello] | None:
        message = await first_message(client)
        if isinstance(message, f.CancelRequest):
            await self._cancel(message)
            return None
        if len(self._clients) > MAX_CLIENTS:
            raise BackendUnavailable("the gateway has too many clients now")
        asked: Hello = hello(message)
        await client.write(asked.answer, b.AuthenticationRequest(3).encode())
        token = expect_password(await client.login_message())
        identified = await self.identify(token)
        client.codec.expect(FrontendState.READY)
        return identified, asked

    async def _cancel(self, request: f.CancelRequest) -> None:
        """Cancel by key; an unknown key is not answered either."""
        connection = self._cancellable.get((request.process, request.secret))
        if connection is not None:
            await connection.cancel()

    async def _session(self, client: Client, session: NativeSession, notices: bytes) -> None:
        connection = session.connection
        if not isinstance(connection, PostgresNativeConnection):
            raise ProtocolError("the target does not speak PostgreSQL's protocol")
        key = b.BackendKeyData(secrets.randbits(31), secrets.token_bytes(4))
        self._cancellable[key.process, key.secret] = connection
        try:
            await client.write(welcome(connection.parameters, key, notices))
            relay = Relay(client, session)
            await _first_to_end(relay.feed(), relay.answer(), client.pump())
        finally:
            del self._cancellable[key.process, key.secret]


@asynccontextmanager
async def _until(moment: float) -> AsyncIterator[None]:
    """A session lasts no longer than its token. Raises `Denied` at that moment (since 1970)."""
    ends = asyncio.timeout(moment - time())
    try:
        async with ends:
            yield
    except TimeoutError:
        if not ends.expired():
            raise
        raise Denied(TOKEN_EXPIRED) from None


async def _first_to_end(*parts: Coroutine[None, None, None]) -> None:
    """Run all of them until one ends; the others are cancelled, and its error, if any, raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _say(client: Client, message: bytes) -> None:
    with suppress(ClientGone):
        await client.write(message)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
