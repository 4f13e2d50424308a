"""The HTTP API of tokens for native doors, and of the sessions that are open there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.model import Channel, Principal
from server.api.answers import document
from server.api.requests import read_body
from server.native.desk import IssuedToken
from server.native.live import LiveSession
from server.native.tokens import GatewayToken

Endpoint = Callable[[Request, Principal], Awaitable[Response]]
Guard = Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]


class Desk(Protocol):
    """Each of these asks and records; all raise `Denied`."""

    async def issue(
        self, principal: Principal, target: str, *, seconds: float | None, channel: Channel
    ) -> IssuedToken: ...

    async def issued(self, principal: Principal, channel: Channel) -> Sequence[GatewayToken]: ...

    async def revoke(
        self, principal: Principal, token: str, *, channel: Channel
    ) -> GatewayToken: ...

    async def live(self, principal: Principal, channel: Channel) -> Sequence[LiveSession]: ...

    async def end(self, principal: Principal, session: str, *, channel: Channel) -> LiveSession: ...


class IssueBody(BaseModel):
    """`seconds`: how long it is to last; without it, as the gateway is configured."""

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    seconds: Annotated[float, Field(ge=1, le=10**9)] | None = None


class OneBody(BaseModel):
    """The id of a token or of a session."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]{1,64}$")]


@dataclass(frozen=True, slots=True)
class NativeApi:
    """The endpoints; `signed_in` lets nobody past without an access token of an issuer's."""

    desk: Desk
    signed_in: Guard

    def routes(self) -> list[Route]:
        get, post = ["GET"], ["POST"]
        return [
            Route("/api/tokens", self.signed_in(self._list), methods=get),
            Route("/api/tokens/issue", self.signed_in(self._issue), methods=post),
            Route("/api/tokens/revoke", self.signed_in(self._revoke), methods=post),
            Route("/api/live-sessions", self.signed_in(self._live), methods=get),
            Route("/api/live-sessions/end", self.signed_in(self._end), methods=post),
        ]

    async def _issue(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, IssueBody)
        issued = await self.desk.issue(
            principal, body.target, seconds=body.seconds, channel=Channel.API
        )
        return document(issued)

    async def _list(self, _request: Request, principal: Principal) -> Response:
        tokens = await self.desk.issued(principal, Channel.API)
        return document({"tokens": [_shown(token) for token in tokens]})

    async def _revoke(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, OneBody)
        return document(_shown(await self.desk.revoke(principal, body.id, channel=Channel.API)))

    async def _live(self, _request: Request, principal: Principal) -> Response:
        return document({"sessions": await self.desk.live(principal, Channel.API)})

    async def _end(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, OneBody)
        return document(await self.desk.end(principal, body.id, channel=Channel.API))


def _shown(token: GatewayToken) -> dict[str, object]:
    """Without its digest."""
    return {
        "id": token.id,
        "principal": token.principal.id,
        "principal_name": token.principal.name,
        "agent": token.principal.agent,
        "target": token.target,
        "protocol": token.protocol,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
    }
