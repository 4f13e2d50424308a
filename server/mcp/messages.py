"""JSON-RPC messages as they come in, read strictly before the SDK reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp.types as t
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.mcp.strict_json import NotStrict, read_strictly

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_ID: Final = 256
"""Characters of a request's id, which is kept for as long as the request runs."""

_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})


class NotAMessage(ValueError):
    """The body is JSON, and no single JSON-RPC message."""


def read_message(body: bytes) -> Mapping[str, Any]:
    """One JSON-RPC message. Raises `NotStrict` or `NotAMessage`, with words for its sender."""
    document = read_strictly(body)
    if not isinstance(document, dict):
        raise NotAMessage("the body is not a single JSON-RPC message")
    if unknown := document.keys() - _MEMBERS:
        raise NotAMessage(f"{len(unknown)} of its members are none of JSON-RPC's")
    if broken := [name for name, fits in _SHAPE.items() if not fits(document)]:
        raise NotAMessage(f"it does not fit JSON-RPC 2.0: {', '.join(broken)}")
    return document


def _is_addressed(document: Mapping[str, Any]) -> bool:
    """A request has a method; an answer has the id of what it answers, if that could be read."""
    if "method" in document:
        return isinstance(document["method"], str) and not document.keys() & {"result", "error"}
    return "id" in document and ("result" in document) != ("error" in document)


def _is_id(value: object) -> bool:
    match value:
        case bool():
            return False
        case str():
            return len(value) <= MOST_ID
        case int():
            return True
        case _:
            return False


def _is_error(value: object) -> bool:
    if not isinstance(value, dict) or isinstance(value.get("code"), bool):
        return False
    return isinstance(value.get("code"), int) and isinstance(value.get("message"), str)


_SHAPE: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "jsonrpc": lambda document: document.get("jsonrpc") == "2.0",
    "method": _is_addressed,
    "id": lambda document: _is_id(document.get("id", "")) or "error" in document,
    "params": lambda document: isinstance(document.get("params", {}), dict),
    "result": lambda document: isinstance(document.get("result", {}), dict),
    "error": lambda document: "error" not in document or _is_error(document["error"]),
}
"""What each member must be; the SDK's own words for what is not would tell of its insides."""


@dataclass(frozen=True, slots=True)
class Messages:
    """ASGI middleware of the MCP endpoint; also keeps ids in flight apart.

    A legacy session answers each request on the stream of its id: a second request with an id
    that is still in flight would take over the first one's stream, and leave that open.
    """

    app: ASGIApp
    in_flight: set[tuple[str, str, str]] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(_not_resumed(scope), receive, send)
            return
        try:
            body = await _whole(receive)
            if body is None:
                await PlainTextResponse("Request body too large", 413)(scope, receive, send)
                return
            message = read_message(body)
        except ClientDisconnect:
            return  # nothing was asked, nobody is to be told
        except NotStrict as error:
            await _error(t.PARSE_ERROR, f"Parse error: {error}")(scope, receive, send)
        except NotAMessage as error:
            await _error(t.INVALID_REQUEST, f"Invalid request: {error}")(scope, receive, send)
        else:
            await self._pass_on(scope, _replayed(body, receive), send, message)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, message: Mapping[str, Any]
    ) -> None:
        key = _key(scope, message)
        if key is None:
            await self.app(scope, receive, send)
        elif key in self.in_flight:
            refusal = "Invalid request: this id is in use by a request that is still in flight"
            await _error(t.INVALID_REQUEST, refusal)(scope, receive, send)
        else:
            self.in_flight.add(key)
            try:
                await self.app(scope, receive, send)
            finally:
                self.in_flight.discard(key)


def _not_resumed(scope: Scope) -> Scope:
    """Nothing is kept to be sent again, and the SDK fails where it is asked to."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"last-event-id"]
    return {**scope, "headers": kept}


def _key(scope: Scope, message: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Whose session and which request; none for the modern era, which has no sessions."""
    if "method" not in message or "id" not in message:
        return None
    session = next((v for k, v in scope["headers"] if k == b"mcp-session-id"), None)
    if session is None:
        return None
    user = scope.get("user")
    who = getattr(getattr(user, "access_token", None), "subject", None)
    return (str(who), session.decode("latin-1"), str(message["id"]))


async def _whole(receive: Receive) -> bytes | None:
    """The body, None where it is too large. Raises `ClientDisconnect`."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What was read, and then whatever comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


def _error(code: int, message: str) -> Response:
    document = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return JSONResponse(document, 400)
