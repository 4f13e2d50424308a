"""The sockets of a native door: listens, accepts, and hands each connection on, unread."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from policies.errors import ConfigError

_log = logging.getLogger("ostiary.native")

BACKLOG: Final = 1024
_LEFT_ALREADY: Final = (errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO, errno.EINTR)
_PAUSE: Final = 0.5  # seconds without accepting, where the system has no room

Arrived = Callable[[socket.socket, str], None]


@asynccontextmanager
async def accepting(
    host: str, port: int, arrived: Arrived, sockets: Sequence[socket.socket] = ()
) -> AsyncIterator[tuple[str, int]]:
    """Call `arrived` with each connection and its client's address; yields where it listens.

    `sockets`: those that listen already. Raises `ConfigError`.
    """
    sockets = sockets or await listening(host, port)
    tasks = [asyncio.create_task(_accept(each, arrived)) for each in sockets]
    try:
        address = sockets[0].getsockname()
        yield str(address[0]), int(address[1])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for each in sockets:
            each.close()


async def listening(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen there, at each of the host's addresses. Raises `ConfigError`."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            taken = port or (sockets[0].getsockname()[1] if sockets else 0)
            place = (str(address[0]), int(taken))
            listener = socket.create_server(place, family=family, backlog=BACKLOG)
            listener.setblocking(False)
            sockets.append(listener)
    except OSError as error:
        for each in sockets:
            each.close()
        raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}") from None
    return sockets


async def _accept(listener: socket.socket, arrived: Arrived) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, address = await loop.sock_accept(listener)
        except OSError as error:
            if error.errno not in _LEFT_ALREADY:
                _log.warning("no connection can be accepted now: %s", error.strerror)
                await asyncio.sleep(_PAUSE)
            continue
        connection.setblocking(False)
        arrived(connection, str(address[0]))


def hang_up(connection: socket.socket) -> None:
    """End it, also where a transport has hold of it: one of uvloop's keeps a closed socket open."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
