"""A client that costs little: one prepared request, again and again, over kept connections.

An HTTP library spends more on a call than the servers that are measured here; the same bytes go
to both of them, and of the answers only the end is looked for, and that they are no errors.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

GOOD: Final = b'"isError":false'
LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, ready to be sent."""

    host: str
    port: int
    content: bytes

    @classmethod
    def post(cls, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
        place, content = urlsplit(url), json.dumps(body).encode()
        lines = [f"POST {place.path} HTTP/1.1", f"Host: {place.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        head = "\r\n".join(lines) + "\r\n\r\n"
        return cls(place.hostname or "", place.port or 80, head.encode() + content)


class Caller(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._transport: asyncio.WriteTransport | None = None
        self._answer = b""
        self._done: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no subclass

    async def call(self) -> None:
        """Send the request, and wait for the whole answer."""
        assert self._transport is not None
        self._answer, self._done = b"", asyncio.get_running_loop().create_future()
        self._transport.write(self._request.content)
        answer = await self._done
        assert answer.startswith(b"HTTP/1.1 200 "), answer.decode()
        assert GOOD in answer, answer.decode()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._done is not None and _whole(self._answer):
            self._done.set_result(self._answer)
            self._done = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionResetError("the server closed"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    _, named, rest = head.lower().partition(b"content-length:")
    if named:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(LAST_CHUNK)


@asynccontextmanager
async def connected(request: Request) -> AsyncIterator[Caller]:
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(lambda: Caller(request), request.host, request.port)
    try:
        yield caller
    finally:
        caller.close()


async def latencies(request: Request, calls: int) -> list[float]:
    """Milliseconds of each of so many calls, one after another."""
    taken = []
    async with connected(request) as caller:
        for _ in range(calls):
            begun = time.perf_counter()
            await caller.call()
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def throughput(request: Request, *, clients: int, calls: int) -> float:
    """Calls a second while so many clients make so many calls each."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_calls(request, calls))
    return clients * calls / (time.perf_counter() - begun)


async def _calls(request: Request, calls: int) -> None:
    async with connected(request) as caller:
        for _ in range(calls):
            await caller.call()
