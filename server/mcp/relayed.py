"""Legacy sessions among workers: each lives in one of them, whichever takes its requests.

A session's id begins with its worker's number. What belongs to another worker is passed on to it as
it is, and judged there: nothing is read here but the one header.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import httpx2
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION: Final = b"mcp-session-id"
_NAME: Final = re.compile(rb"([0-9]{1,4})\.(.*)", re.DOTALL)
_OF_ONE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade"}
)
"""Headers that are not passed on (RFC 9110, section 7.6.1)."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """An ASGI application in front of a worker's door; `place` says where another one listens."""

    app: ASGIApp
    own: int
    place: Callable[[int], Path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = next((v for name, v in scope["headers"] if name == SESSION), None)
        found = _NAME.fullmatch(session) if session is not None else None
        if found is not None and int(found[1]) != self.own:
            await self._relay(int(found[1]), scope, receive, send)
            return
        if found is not None:
            headers = [(n, found[2] if n == SESSION else v) for n, v in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self.app(scope, receive, self._named(send))

    def _named(self, send: Send) -> Send:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (n, b"%d.%s" % (self.own, v) if n.lower() == SESSION else v)
                    for n, v in message.get("headers", ())
                ]
                message = {**message, "headers": headers}
            await send(message)

        return named

    async def _relay(self, worker: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on for as long as both sides stay."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.place(worker)))
        body_ended = anyio.Event()
        names = {name for name, _ in scope["headers"]}
        has_body = bool(names & {b"content-length", b"transfer-encoding"})
        if not has_body:
            body_ended.set()
        async with (
            httpx2.AsyncClient(transport=transport, timeout=None) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_until_gone, receive, body_ended, group.cancel_scope)
            try:
                request = httpx2.Request(
                    scope["method"],
                    f"http://worker{scope['path']}",
                    headers=_passed_on(scope["headers"]),
                    content=_body(receive, body_ended) if has_body else None,
                )
                answer = await client.send(request, stream=True)
            except httpx2.TransportError:
                gone = PlainTextResponse("the session's worker is gone; begin a new one", 404)
                await gone(scope, receive, send)
            else:
                await _answer(answer, send)
            group.cancel_scope.cancel()


def _passed_on(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in _OF_ONE_CONNECTION]


async def _body(receive: Receive, ended: anyio.Event) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise httpx2.WriteError("the client is gone")
        if content := message.get("body", b""):
            yield content
        if not message.get("more_body", False):
            ended.set()
            return


async def _until_gone(receive: Receive, body_ended: anyio.Event, scope: anyio.CancelScope) -> None:
    """The worker hears of a client that has gone, as its own door would."""
    await body_ended.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _answer(answer: httpx2.Response, send: Send) -> None:
    headers = [(name.lower(), value) for name, value in _passed_on(answer.headers.raw)]
    start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
    await send(start)
    async for content in answer.aiter_raw():
        await send({"type": "http.response.body", "body": content, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
