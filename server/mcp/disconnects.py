"""Notices that the caller of a POST has gone, and cancels the call that it made.

The SDK does this in the modern era only: in the legacy era a call whose POST was dropped runs
to its end, and its result goes nowhere. Cancelling here does no harm where the SDK does it too.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Departure:
    """One POST's caller. `scope` is cancelled when the caller has gone."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


# The SDK runs a call in another task, but in a copy of its POST's context.
_departure: Final[ContextVar[Departure | None]] = ContextVar("ostiary_departure", default=None)


def cancelled_on_departure() -> anyio.CancelScope:
    """The scope that is cancelled when the caller of the current POST goes; entered once."""
    departure = _departure.get()
    return departure.scope if departure is not None else anyio.CancelScope()


@dataclass(frozen=True, slots=True)
class Disconnects:
    """ASGI middleware that watches every POST for its caller's departure."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        departure = Departure()
        answered = False

        async def watched() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not answered:
                departure.scope.cancel()
            return message

        async def answering(message: Message) -> None:
            nonlocal answered
            await send(message)
            # The server calls the end of every answer a disconnect: nothing is left to cancel.
            answered = message["type"] == "http.response.body" and not message.get("more_body")

        token = _departure.set(departure)
        try:
            await self.app(scope, watched, answering)
        except ClientDisconnect:
            pass  # it left before its request was whole: nothing was asked, nobody is to be told
        finally:
            _departure.reset(token)
