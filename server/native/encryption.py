"""TLS at native doors: the context, and streams over a socket of which nothing was read ahead.

What a client sends in clear before its handshake is never taken for what it sends inside.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from policies.errors import ConfigError

_log = logging.getLogger("ostiary.native")

HANDSHAKE_WITHIN: Final = 15.0  # seconds


def server_context(certificate: Path, key: Path, protocols: Sequence[str] = ()) -> ssl.SSLContext:
    """TLS 1.2 and later, with a certificate in PEM. Raises `ConfigError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(certificate, key, password=_none)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(f"the certificate {certificate} with its key: {what}") from None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def _none() -> str:
    raise ValueError("the key is encrypted")


async def streams(
    connection: socket.socket, limit: int, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Read and write on the socket, encrypted if so; raises `OSError` for a failed handshake."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = await handshaken(connection, protocol, tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def handshaken(
    connection: socket.socket, protocol: asyncio.Protocol, tls: ssl.SSLContext | None = None
) -> asyncio.Transport:
    """What the protocol reads and writes by, encrypted if so. Raises `OSError`: no handshake."""
    within = HANDSHAKE_WITHIN if tls is not None else None
    address = connection.getpeername()
    try:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol, connection, ssl=tls, ssl_handshake_timeout=within
        )
    except ssl.SSLCertVerificationError as error:
        _log.info("%s: the client's certificate is not taken: %s", address, error.verify_message)
        raise
    return transport


def certificate_of(transport: asyncio.BaseTransport) -> bytes:
    """What the client showed of itself and the handshake verified, in DER; empty for nothing."""
    session = transport.get_extra_info("ssl_object")
    return (session.getpeercert(binary_form=True) if session is not None else None) or b""


async def received(connection: socket.socket, count: int) -> bytes:
    """Exactly so many bytes; fewer at the end of the stream. What follows stays in the socket."""
    loop, content = asyncio.get_running_loop(), b""
    while len(content) < count:
        more = await loop.sock_recv(connection, count - len(content))
        if not more:
            break
        content += more
    return content


async def first_byte(connection: socket.socket) -> bytes:
    """The byte that comes next, left where it is; empty at the end of the stream."""
    while True:
        await _readable(connection)
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue


def said_more(connection: socket.socket) -> bool:
    """Whether anything has come that was not read yet."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except (BlockingIOError, InterruptedError):
        return False


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(connection, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
