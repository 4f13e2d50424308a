"""HTTP/1.1 connections as uvicorn serves them, with bounds on what comes before a request.

Neither uvicorn nor its parser bounds the head of a request, in bytes or in time: anybody could
fill the gateway's memory, or keep its connections, without a token.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


class BoundedConnection(HttpToolsProtocol):
    """A head may be `MOST_HEAD` bytes long, and one read more, and must come within `HEAD_SECONDS`.

    So must the next head where an answer has been given before its request was whole.
    """

    MOST_HEAD: ClassVar[int] = 64 * 1024
    HEAD_SECONDS: ClassVar[float] = 20.0

    _in_head = True
    _heads = 0
    _head_bytes = 0
    _late: asyncio.TimerHandle | None = None

    # uvicorn narrows the type in this way itself
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        began_in_head, heads = self._in_head, self._heads
        super().data_received(data)
        if not (began_in_head and self._in_head) or heads != self._heads:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > self.MOST_HEAD:
            self._turn_away()
        else:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads += 1
        self._head_came()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head:
            self._await_head()  # of a body that nobody reads, bytes may come for ever

    def _await_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.HEAD_SECONDS, self._close_late)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close_late(self) -> None:
        """Close, unless an earlier request of the connection is being answered."""
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self._await_head()

    def _turn_away(self) -> None:
        """Answer, unless the bytes could be taken for part of another answer."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
        self.transport.close()
