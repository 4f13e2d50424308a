"""A client's first bytes: which encryption it asks for, and gets. Reads not a byte too many.

PostgreSQL's documentation, "SSL Session Encryption" and "GSSAPI Session Encryption".
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from policies.errors import Denied, ProtocolError, Refusal
from server.native.encryption import certificate_of, first_byte, handshaken, received, said_more
from server.protocols.postgres import frontend as f
from server.protocols.postgres.client import Client, ClientGone
from server.protocols.postgres.wire import ClientWire

ALPN: Final = "postgresql"
_HANDSHAKE: Final = b"\x16"  # the first byte of a TLS handshake, and of no PostgreSQL message
_SSL: Final = f.SslRequest().encode()
_GSS: Final = f.GssRequest().encode()
_REQUEST: Final = len(_SSL)


async def arrived(connection: socket.socket, tls: ssl.SSLContext | None, address: str) -> Client:
    """The client, once it is settled whether it is encrypted. Raises `ClientGone`.

    One that breaks the protocol in clear gets no answer but its end, as from a failed handshake.
    """
    asked: set[bytes] = set()
    try:
        while True:
            if tls is not None and await first_byte(connection) == _HANDSHAKE:
                return await _encrypted(connection, tls, address, direct=ALPN)
            request = await received(connection, _REQUEST)
            if request not in (_SSL, _GSS):
                return await _plain(connection, request, address)
            if request in asked:
                raise ProtocolError("encryption was asked for twice")
            asked.add(request)
            await _answer(connection, b"S" if tls is not None and request == _SSL else b"N")
            if tls is not None and request == _SSL:
                return await _encrypted(connection, tls, address)
    except (OSError, ProtocolError) as error:
        raise ClientGone from error


async def _plain(connection: socket.socket, begun: bytes, address: str) -> Client:
    """A client that has said the first bytes of something else."""
    client = Client(ClientWire(), address=address)
    await handshaken(connection, client.wire)
    client.codec.receive_data(begun)
    return client


async def _answer(connection: socket.socket, letter: bytes) -> None:
    """Raises `ProtocolError` for a client that did not wait for the answer.

    Whatever it sent in clear behind its request could be somebody else's (CVE-2021-23222).
    """
    if said_more(connection):
        raise ProtocolError("the client did not wait for the answer about encryption")
    await asyncio.get_running_loop().sock_sendall(connection, letter)


async def _encrypted(
    connection: socket.socket, tls: ssl.SSLContext, address: str, *, direct: str = ""
) -> Client:
    """A client that begins with TLS must ask for this protocol: it may be meant for another."""
    wire = ClientWire()
    await handshaken(connection, wire, tls)
    if direct and (wire.tls is None or wire.tls.selected_alpn_protocol() != direct):
        wire.abort()
        raise ProtocolError("direct TLS without this protocol's name")
    shown = certificate_of(wire.transport)
    return Client(wire, address=address, encrypted=True, certificate=shown)


def require_encryption(client: Client, tls: ssl.SSLContext | None) -> None:
    """Before any token is asked for. Raises `Denied`."""
    if tls is not None and not client.encrypted:
        raise Denied(TLS_REQUIRED)


TLS_REQUIRED: Final = Refusal(
    code="TLS_REQUIRED",
    reason="This gateway speaks to encrypted connections only.",
    next_step="Connect with sslmode=verify-full.",
)
