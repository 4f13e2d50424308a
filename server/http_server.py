"""uvicorn, ended by a signal so that the gateway behind it can be closed in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class HttpServer(uvicorn.Server):
    """Stops at SIGINT and SIGTERM, and returns.

    uvicorn's own raises the signal again at its end, and SIGTERM would end the process there:
    before sessions and streams of the recording are closed, and before an embedded store is.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        interrupt = signal.signal(signal.SIGINT, self.handle_exit)
        signal.signal(signal.SIGTERM, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has been heard
