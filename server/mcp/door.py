"""The MCP door: tools over Streamable HTTP and stdio, in both eras of the protocol.

The low-level server of the SDK is used: the higher one drops unknown arguments, decodes strings
as JSON and advertises prompts and resources that are not there (its `func_metadata`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from mcp.server import CacheHint
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import (
    StreamableHTTPASGIApp,
    StreamableHTTPSessionManager,
)
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl, ConfigDict, TypeAdapter
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import BaseRoute, Route

from server.mcp.calls import Calls, Gateway, Performed, Timing
from server.mcp.disconnects import Disconnects
from server.mcp.identity import Caller, TokenVerifier, Verifier, http_caller, stdio_caller
from tools.cursor import Cursors

__all__ = [
    "Gateway",
    "McpSettings",
    "Performed",
    "Timing",
    "Verifier",
    "build",
    "http_app",
    "serve_stdio",
]

NAME: Final = "ostiary"
STATE_SECONDS: Final = 3600.0
"""How long a form may stay open before its answer is too old."""

_URL: Final = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))
"""A slash at the end would make another issuer of it: issuers are compared exactly (RFC 8414)."""

INSTRUCTIONS: Final = (
    "Governed access to databases. Calls are decided by policy, some wait for a person's approval,"
    " results may be masked, and everything is recorded. A refusal says why and what to do next."
)


@dataclass(frozen=True, slots=True)
class McpSettings:
    """`public_url` is the gateway's, without a path; `issuers` are those of its tokens.

    `keys` are the key ring's keys for request state (32 bytes or more, newest first).
    `allowed_hosts` and `allowed_origins` come in addition to those of `public_url`.
    """

    public_url: str
    keys: Sequence[bytes]
    issuers: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    timing: Timing = field(default_factory=Timing)
    version: str = ""

    @property
    def resource(self) -> str:
        """The door's own URL, which is what tokens are issued for (RFC 8707)."""
        return self.public_url.rstrip("/") + "/mcp"


def build(gateway: Gateway, settings: McpSettings, caller: Caller = http_caller) -> Server[Any]:
    """The MCP server over a gateway. `caller` says who makes a call."""
    calls = Calls(gateway, caller, Cursors(settings.keys), settings.timing)
    server: Server[Any] = Server(
        NAME,
        title="Ostiary",
        version=settings.version,
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=0, scope="private")},
        # No tool takes Mcp-Param headers; a look-up here would tell hidden tools from unknown ones.
        get_tool_input_schema=lambda _name: None,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
    )
    security = RequestStateSecurity(keys=list(settings.keys), ttl=STATE_SECONDS)
    server.middleware.append(RequestStateBoundary(security, default_audience=NAME))
    return server


def http_app(
    server: Server[Any],
    verifier: Verifier,
    settings: McpSettings,
    *,
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The door as an ASGI application at /mcp, with RFC 9728 metadata.

    `routes` are served beside it and are not authenticated by it. The application's lifespan
    must run.
    """
    sessions = StreamableHTTPSessionManager(app=server, security_settings=_security(settings))
    resource = _URL.validate_python(settings.resource)
    door = RequireAuthMiddleware(
        Disconnects(StreamableHTTPASGIApp(sessions)), [], build_resource_metadata_url(resource)
    )
    metadata = create_protected_resource_routes(
        resource,
        [_URL.validate_python(issuer) for issuer in settings.issuers],
        resource_name="Ostiary",
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with sessions.run():
            yield

    identified = AuthenticationMiddleware(
        AuthContextMiddleware(door), backend=BearerAuthBackend(TokenVerifier(verifier))
    )
    app = Starlette(
        routes=[Route("/mcp", endpoint=identified), *metadata, *routes], lifespan=lifespan
    )
    app.router.redirect_slashes = False  # it would send callers to whatever Host they named
    return app


def _security(settings: McpSettings) -> TransportSecuritySettings:
    """The allow-lists against DNS rebinding; never off, whatever address is listened on."""
    public = urlsplit(settings.public_url)
    hosts = [public.netloc, *settings.allowed_hosts]
    origins = [f"{public.scheme}://{public.netloc}", *settings.allowed_origins]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
    )


async def serve_stdio(
    gateway: Gateway, verifier: Verifier, settings: McpSettings, *, token: str
) -> None:
    """Serve one client on standard input and output as the token's principal.

    Raises `Unauthenticated` at once for a token that is not valid; each call verifies it again.
    """
    caller = stdio_caller(verifier, token)
    await caller()
    server = build(gateway, settings, caller)
    async with AsyncExitStack() as lifetime:
        read, write = await lifetime.enter_async_context(stdio_server())
        await server.run(read, write, server.create_initialization_options())
