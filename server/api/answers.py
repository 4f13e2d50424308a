"""How the HTTP API words answers and the five exceptions: JSON and lines of JSON, never HTML."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import anyio
import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from policies.errors import BackendUnavailable, Denied, ProtocolError, Refusal, Unauthenticated

_log = logging.getLogger(__name__)

Answered = (Unauthenticated, Denied, ProtocolError, BackendUnavailable)
"""What a caller is told about; anything else is a bug, and gets an id instead."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNKNOWN_CODES: Final = frozenset({"TICKET_UNKNOWN", "SESSION_UNKNOWN", "PRINCIPAL_UNKNOWN"}) | {
    "WEBHOOK_UNKNOWN",
    "DELIVERY_UNKNOWN",
    "TOKEN_UNKNOWN",
}


def document(content: object, *, status: int = 200) -> Response:
    """Dataclasses, dates and plain values as one JSON document."""
    return Response(
        orjson.dumps(content),
        status_code=status,
        media_type="application/json",
        headers=_HEADERS,
    )


def refused(refusal: Refusal, *, status: int) -> Response:
    return document({"error": refusal}, status=status)


def answer_to(error: Exception, *, challenge: str) -> Response:
    """The answer to one of `Answered`; `challenge` is the WWW-Authenticate of a 401."""
    match error:
        case Unauthenticated():
            answer = _sentence(401, "UNAUTHENTICATED", str(error), "Run `ostiary login`.")
            answer.headers["WWW-Authenticate"] = challenge
            return answer
        case Denied(refusal=refusal):
            return refused(refusal, status=404 if refusal.code in _UNKNOWN_CODES else 403)
        case ProtocolError():
            return _sentence(400, "BAD_REQUEST", str(error), "Change the request.")
        case BackendUnavailable():
            return _sentence(503, "BACKEND_UNAVAILABLE", str(error), "Try again in a moment.")
        case _:
            return _bug(error)


def _bug(error: Exception) -> Response:
    identifier = secrets.token_hex(6)
    _log.error("API request failed, id %s", identifier, exc_info=error)
    return _sentence(
        500, "INTERNAL", f"The gateway failed, id {identifier}.", "Tell its operator this id."
    )


def _sentence(status: int, code: str, reason: str, next_step: str) -> Response:
    return refused(Refusal(code=code, reason=reason, next_step=next_step), status=status)


class Lines(Response):
    """A stream of lines, each a JSON document, that ends with its caller or after `seconds`.

    A source that fails midway aborts the response, so that a part never looks like the whole.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        source: AbstractAsyncContextManager[AsyncIterator[bytes]],
        *,
        seconds: float | None = None,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._source = source
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as lifetime:
            try:
                lines = await lifetime.enter_async_context(self._source)
            except Answered as error:
                await answer_to(error, challenge="Bearer")(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._until_gone(lines, receive, send)

    async def _until_gone(self, lines: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
            with anyio.move_on_after(self._seconds):
                async for line in lines:
                    await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
