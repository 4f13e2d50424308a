"""A client's first packets: what it is greeted with, TLS, and what its login asks for.

The server speaks first. With TLS nobody is asked for a password in clear, and not a byte more than
the request for TLS is read before TLS begins.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from dataclasses import dataclass
from typing import Final, Literal

from policies.errors import Denied, ProtocolError, Refusal
from server.native.encryption import certificate_of, received, streams
from server.native.targets import target_named
from server.protocols.mysql import capabilities as c
from server.protocols.mysql.client import READ_BYTES, Client, ClientGone
from server.protocols.mysql.codec import FrontendReader
from server.protocols.mysql.commands import ChangeUser
from server.protocols.mysql.handshake import (
    NATIVE_PASSWORD,
    SALT_BYTES,
    Greeting,
    HandshakeResponse,
    SslRequest,
)
from server.protocols.mysql.packets import HEADER, framed

Kind = Literal["mysql", "mariadb"]
VERSIONS: Final[dict[Kind, str]] = {
    "mysql": "8.0.42-ostiary",
    "mariadb": "5.5.5-10.11.11-MariaDB-ostiary",
}
# Attributes of a query are not passed on; the target's capabilities are known after the login.
OFFERED: Final = c.OFFERED & ~c.QUERY_ATTRIBUTES
_TLS_REQUEST: Final = 32
# Collations of utf8mb3: what is sent in it is utf8mb4 as well.
_UTF8MB3: Final = frozenset({33, 76, 83, *range(192, 224), 1057})


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client asked for, and what it can do (`capabilities`, that both sides have)."""

    target: str
    user: str
    capabilities: int


async def arrived(
    connection: socket.socket, tls: ssl.SSLContext | None, address: str, kind: Kind, number: int
) -> Client:
    """Greet, and begin TLS where there is a certificate.

    Raises `ClientGone`, `ProtocolError` and, for a client that goes on without TLS, `Denied`, to
    which it has been told.
    """
    offered = c.offered(OFFERED, tls=tls is not None) & ~c.QUERY_ATTRIBUTES
    codec = FrontendReader(offered)
    salt = fields_without_nul(SALT_BYTES)
    plugin = NATIVE_PASSWORD
    greeting = Greeting(VERSIONS[kind], number, salt, offered, plugin=plugin)
    try:
        await asyncio.get_running_loop().sock_sendall(connection, framed(greeting.encode(), 0))
        if tls is not None:
            await _asked_for_tls(connection, codec)
        reader, writer = await streams(connection, READ_BYTES, tls)
    except OSError:
        raise ClientGone from None
    shown = certificate_of(writer.transport)
    return Client(reader, writer, codec, address, encrypted=tls is not None, certificate=shown)


def fields_without_nul(count: int) -> bytes:
    """Random bytes as a salt has them: of seven bits, and none is NUL."""
    return bytes(1 + secrets.randbelow(127) for _ in range(count))


async def _asked_for_tls(connection: socket.socket, codec: FrontendReader) -> None:
    header = await received(connection, HEADER)
    if len(header) < HEADER:
        raise ClientGone
    if int.from_bytes(header[:3], "little") != _TLS_REQUEST:
        # A whole login, in clear: none of it is read.
        raise Denied(TLS_REQUIRED)
    codec.receive_data(header + await received(connection, _TLS_REQUEST))
    if not isinstance(codec.next_event(), SslRequest):
        raise Denied(TLS_REQUIRED)


def hello(message: HandshakeResponse | SslRequest | object, target: str = "") -> Hello:
    """Read a login. Raises `Denied` for what can't be granted, `ProtocolError` for what is odd.

    `target`: the one that this door is for, where it is for one alone.
    """
    if not isinstance(message, HandshakeResponse):
        raise ProtocolError("expected a login")
    if not message.user:
        raise ProtocolError("the login names no user")
    if not message.capabilities & c.PLUGIN_AUTH:
        raise Denied(TOO_OLD)
    check_charset(message.charset)
    database = "" if target and message.database == target else message.database
    if target and "+" not in message.user and not database:
        asked = target
    else:
        asked = target_named(message.user, message.database)
    if target and asked != target:
        raise Denied(_another_target(asked))
    return Hello(asked, message.user, message.capabilities)


def changed(change: ChangeUser, capabilities: int, before: str, target: str = "") -> Hello:
    """Read a change of user, which is a login; one that names no target stays `before` its own.

    Raises as `hello` does.
    """
    database = change.database or ("" if "+" in change.user else before)
    named = change.user, change.answer, database, change.plugin, change.attributes
    return hello(HandshakeResponse(capabilities, *named, change.charset), target)


def check_charset(collation: int) -> None:
    """Raises `Denied` for other character sets than the one that is spoken; 0 leaves it to us."""
    if collation and not c.utf8mb4(collation) and collation not in _UTF8MB3:
        raise Denied(CHARSET)


TLS_REQUIRED: Final = Refusal(
    code="TLS_REQUIRED",
    reason="Connections here need TLS, before anything else is said.",
    next_step="Connect with --ssl-mode=REQUIRED, or ssl-verify-server-cert.",
)
TOO_OLD: Final = Refusal(
    code="LOGIN_TOO_OLD",
    reason="The client can't be asked for a token: it knows no methods of authentication.",
    next_step="Use a client of MySQL 5.7, of MariaDB 10.2, or later.",
)
CHARSET: Final = Refusal(
    code="CHARSET_NOT_ALLOWED",
    reason="The client's character set is not utf8mb4, the only one that is spoken here.",
    next_step="Connect with --default-character-set=utf8mb4.",
)


def _another_target(asked: str) -> Refusal:
    return Refusal(
        code="TARGET_NOT_HERE",
        reason=f"This door is not for the target {asked[:64]!r}.",
        next_step="Name no database, or connect to that target's own door.",
    )
