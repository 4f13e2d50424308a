"""The loopback end of a sign-in in the browser: one port, one path, one answer (RFC 8252)."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_MAX_HEAD: Final = 16 * 1024
_READ_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Redirect:
    """Waits for the browser to come back to `uri` with our own `state`."""

    uri: str
    answer: asyncio.Future[Mapping[str, str]]


@asynccontextmanager
async def expect_redirect(state: str) -> AsyncIterator[Redirect]:
    """Listen on a free loopback port while open; a request with another state is turned away."""
    answer: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            parameters = await _read_parameters(reader)
            ours = hmac.compare_digest(parameters.get("state", "").encode(), state.encode())
            if ours and not answer.done():
                answer.set_result(parameters)
            writer.write(_reply("200 OK", "You can close this window.") if ours else _NOT_FOUND)
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
            pass  # whatever came to this port, it was not the redirect
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=_MAX_HEAD)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Redirect(f"http://127.0.0.1:{port}/callback", answer)


async def _read_parameters(reader: asyncio.StreamReader) -> dict[str, str]:
    """The query of `GET /callback`; empty for any other request."""
    async with asyncio.timeout(_READ_SECONDS):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return {}
    method, target, *_ = head.decode("ascii").split(" ", 2)
    parts = urlsplit(target)
    if method != "GET" or parts.path != "/callback":
        return {}
    pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=16)
    return dict(pairs) if len(dict(pairs)) == len(pairs) else {}


def _reply(status: str, sentence: str) -> bytes:
    body = (sentence + "\n").encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_NOT_FOUND: Final = _reply("404 Not Found", "Nothing here.")
