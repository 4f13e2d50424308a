"""A receiver of webhooks: a real HTTP server that keeps what it was sent and answers as told."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

WITHIN: Final = 10.0
"""Seconds that a test waits for a request before it fails."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`never`: the connection stays open and silent; `endless`: the body has no end."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    never: bool = False
    endless: bool = False


@dataclass(slots=True)
class Receiver:
    """Answers by `answers`, then with `otherwise`."""

    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    otherwise: Answer = Answer()
    sent: list[Sent] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def requests(self, count: int) -> Sequence[Sent]:
        """So many requests, once they are there."""
        return await self.until(lambda sent: len(sent) >= count)

    async def until(self, enough: Callable[[list[Sent]], bool]) -> Sequence[Sent]:
        async with asyncio.timeout(WITHIN), self._news:
            await self._news.wait_for(lambda: enough(self.sent))
        return list(self.sent)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer."""
        try:
            sent = await _read(reader)
            answer = self.answers.popleft() if self.answers else self.otherwise
            async with self._news:
                self.sent.append(sent)
                self._news.notify_all()
            if answer.never:
                await reader.read()  # until the other side gives up
            else:
                writer.write(_worded(answer))
                await writer.drain()
            while answer.endless:
                writer.write(b"x" * 65536)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Sent:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Sent(first.split(" ")[1], headers, body)


def _worded(answer: Answer) -> bytes:
    length = {} if answer.endless else {"Content-Length": "0"}
    headers = {**answer.headers, **length, "Connection": "close"}
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    try:
        yield receiver
    finally:
        server.close()
