"""Who calls the MCP door: the principal of a request's token, over HTTP and over stdio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import ASGIApp, Receive, Scope, Send

from policies.errors import BackendUnavailable, Unauthenticated
from policies.model import Principal
from server.mcp.boundary import Note, turned_away

Caller = Callable[[], Awaitable[Principal]]
"""Who makes the current call. Raises `Unauthenticated`."""


class Verifier(Protocol):
    async def verify(self, token: str) -> Principal:
        """Who presents this token. Raises `Unauthenticated`."""
        ...


class PrincipalToken(AccessToken):
    """The SDK's token, with the principal that was proved by it.

    The SDK binds sessions and request state to `client_id` and `subject`: agent and principal.
    """

    principal: Principal


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """Our verifier as the SDK's: no principal, no token, and a 401."""

    verifier: Verifier

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            principal = await self.verifier.verify(token)
        except (Unauthenticated, BackendUnavailable):  # a refusal that can't be recorded is one
            return None
        return _token(principal)


@lru_cache(maxsize=1024)
def _token(principal: Principal) -> PrincipalToken:
    # The token itself is not kept: nothing downstream needs it.
    return PrincipalToken(
        token="",
        client_id=principal.agent,
        scopes=[],
        subject=principal.id,
        principal=principal,
    )


@dataclass(frozen=True, slots=True)
class Strangers:
    """ASGI middleware: records calls that carry no token. One that fails, its verifier records."""

    app: ASGIApp
    note: Note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not isinstance(scope.get("user"), AuthenticatedUser) and not _bears(scope):
            self.note(*turned_away("no_token"))
        await self.app(scope, receive, send)


def _bears(scope: Scope) -> bool:
    credentials = [value for name, value in scope["headers"] if name == b"authorization"]
    return any(value[:7].lower() == b"bearer " for value in credentials)


async def http_caller() -> Principal:
    """The principal of the current HTTP request."""
    token = get_access_token()
    if not isinstance(token, PrincipalToken):
        raise Unauthenticated("this call carries no valid token")
    return token.principal


def stdio_caller(verifier: Verifier, token: str) -> Caller:
    """The principal of the process's own token, verified anew for each call: tokens expire."""

    async def caller() -> Principal:
        return await verifier.verify(token)

    return caller
