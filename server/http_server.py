"""uvicorn, ended by a signal so that the gateway behind it can be closed in order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from server.http_connection import BoundedConnection

GRACE: Final = 2.0
"""Seconds for calls in flight to end by themselves, of the 5 after which connections are cut."""


class HttpServer(uvicorn.Server):
    """Stops at SIGINT and SIGTERM, and returns.

    uvicorn's own raises the signal again at its end, and SIGTERM would end the process there:
    before sessions and streams of the recording are closed, and before an embedded store is.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        begins: Sequence[Callable[[], None]],
        end_calls: Callable[[float], Awaitable[None]],
    ) -> None:
        """`begins` are called once calls are taken; `end_calls` gives those in flight so many
        seconds, and then an answer."""
        super().__init__(config)
        self._begins = begins
        self._end_calls = end_calls
        AppStatus.enable_automatic_graceful_drain = False  # it cuts off event streams at once

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door."""
        await super().startup(sockets)
        for begin in self._begins:
            begin()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight, and then close connections."""
        await self._end_calls(GRACE)
        AppStatus.should_exit = True
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        interrupt = signal.signal(signal.SIGINT, self.handle_exit)
        signal.signal(signal.SIGTERM, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has been heard


class _BesideAnother(uvicorn.Server):
    """Leaves signals, and the application's lifespan, to the server of its door."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def among_workers(app: ASGIApp, place: Path) -> AsyncIterator[None]:
    """While open, the application answers other workers too, at a socket in their directory."""
    settings = uvicorn.Config(
        app,
        uds=str(place),
        lifespan="off",
        log_level="error",
        access_log=False,
        http=BoundedConnection,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = _BesideAnother(settings)
    task = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([task])
