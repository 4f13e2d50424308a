"""uvicorn, ended by a signal so that the gateway behind it can be closed in order."""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from sse_starlette.sse import AppStatus

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
        begun: Callable[[], None],
        end_calls: Callable[[float], Awaitable[None]],
    ) -> None:
        """`begun` is called once calls are taken; `end_calls` gives those in flight so many
        seconds, and then an answer."""
        super().__init__(config)
        self._begun = begun
        self._end_calls = end_calls
        AppStatus.enable_automatic_graceful_drain = False  # it cuts off event streams at once

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door."""
        await super().startup(sockets)
        self._begun()

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
