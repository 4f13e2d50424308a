"""The MCP door: tools over Streamable HTTP and stdio, in both eras of the protocol.

The low-level server of the SDK is used: the higher one drops unknown arguments, decodes strings
as JSON and advertises prompts and resources that are not there (its `func_metadata`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import mcp.types as t
from mcp.server import CacheHint
from mcp.server.auth.handlers.metadata import ProtectedResourceMetadataHandler
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.shared.auth import ProtectedResourceMetadata
from pydantic import AnyHttpUrl, ConfigDict, TypeAdapter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from server.mcp.boundary import Allowed, Boundary, Note
from server.mcp.calls import Calls, Gateway, Performed
from server.mcp.disconnects import Disconnects
from server.mcp.identity import (
    Caller,
    Strangers,
    TokenVerifier,
    Verifier,
    http_caller,
    stdio_caller,
)
from server.mcp.in_flight import InFlight
from server.mcp.messages import Messages
from server.mcp.sessions import SessionLimits, Sessions
from server.mcp.task_methods import TaskMethods
from server.mcp.tasks import Tasks
from server.mcp.waiting import Timing
from tools.cursor import Cursors
from tools.registry import TOOLS
from tools.tool import Tool

__all__ = [
    "Gateway",
    "InFlight",
    "McpSettings",
    "Performed",
    "SessionLimits",
    "Tasks",
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
    sessions: SessionLimits = field(default_factory=SessionLimits)
    version: str = ""

    @property
    def resource(self) -> str:
        """The door's own URL, which is what tokens are issued for (RFC 8707)."""
        return self.public_url.rstrip("/") + "/mcp"


def build(
    gateway: Gateway,
    settings: McpSettings,
    tasks: Tasks,
    *,
    in_flight: InFlight | None = None,
    caller: Caller = http_caller,
    tools: Sequence[Tool] = TOOLS,
) -> Server[Any]:
    """The MCP server over a gateway. `caller` says who makes a call.

    `tasks` must be running while it serves; `in_flight` ends its calls when the process stops.
    """
    calls = Calls(
        gateway,
        caller,
        Cursors(settings.keys),
        settings.timing,
        tasks,
        in_flight or InFlight(),
        tools,
    )
    server: Server[Any] = Server(
        NAME,
        title="Ostiary",
        version=settings.version,
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=0, scope="private")},
        # No tool takes Mcp-Param headers; a look-up here would tell hidden tools from unknown ones.
        get_tool_input_schema=lambda _name: None,
        on_list_tools=calls.list_tools,
    )
    # Not as `on_call_tool`, whose type knows no tasks.
    server.add_request_handler("tools/call", t.CallToolRequestParams, calls.call_tool)
    security = RequestStateSecurity(keys=list(settings.keys), ttl=STATE_SECONDS)
    # Alone: the SDK's spans cost every call, and nothing here exports them.
    server.middleware = [RequestStateBoundary(security, default_audience=NAME)]
    TaskMethods(tasks, caller).register(server)
    return server


def http_app(
    server: Server[Any],
    verifier: Verifier,
    settings: McpSettings,
    note: Note,
    *,
    routes: Sequence[BaseRoute] = (),
    in_front: Callable[[ASGIApp], ASGIApp] | None = None,
) -> Starlette:
    """The door as an ASGI application at /mcp, with RFC 9728 metadata.

    `routes` are served beside it, behind the same boundary, and are not authenticated by it.
    `in_front` may answer a request to /mcp before it is authenticated.
    What is turned away before it has a name goes to `note`. The application's lifespan must run.
    """
    sessions = Sessions(server, settings.sessions)
    resource = _URL.validate_python(settings.resource)
    door = RequireAuthMiddleware(
        Messages(Disconnects(StreamableHTTPASGIApp(sessions))),
        [],
        build_resource_metadata_url(resource),
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with sessions.run():
            yield

    identified = AuthenticationMiddleware(
        AuthContextMiddleware(Strangers(door, note)),
        backend=BearerAuthBackend(TokenVerifier(verifier)),
    )
    endpoint = in_front(identified) if in_front else identified
    app = Starlette(
        routes=[Route("/mcp", endpoint=endpoint), _metadata(settings), *routes],
        middleware=[_boundary(settings, note)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # it would send callers to whatever Host they named
    return app


def _metadata(settings: McpSettings) -> Route:
    """Where tokens come from (RFC 9728); without the SDK's leave for every other origin."""
    resource = _URL.validate_python(settings.resource)
    document = ProtectedResourceMetadata(
        resource=resource,
        authorization_servers=[_URL.validate_python(issuer) for issuer in settings.issuers],
        resource_name="Ostiary",
    )
    path = urlsplit(str(build_resource_metadata_url(resource))).path
    return Route(path, ProtectedResourceMetadataHandler(document).handle, methods=["GET"])


def _boundary(settings: McpSettings, note: Note) -> Middleware:
    """The allow-lists against DNS rebinding; never off, whatever address is listened on."""
    public = urlsplit(settings.public_url)
    return Middleware(
        Boundary,
        hosts=Allowed.of([public.netloc, *settings.allowed_hosts]),
        origins=Allowed.of([f"{public.scheme}://{public.netloc}", *settings.allowed_origins]),
        note=note,
    )


async def serve_stdio(
    gateway: Gateway, verifier: Verifier, settings: McpSettings, tasks: Tasks, *, token: str
) -> None:
    """Serve one client on standard input and output as the token's principal.

    Raises `Unauthenticated` at once for a token that is not valid; each call verifies it again.
    """
    caller = stdio_caller(verifier, token)
    await caller()
    server = build(gateway, settings, tasks, caller=caller)
    async with AsyncExitStack() as lifetime:
        await lifetime.enter_async_context(tasks.running())
        read, write = await lifetime.enter_async_context(stdio_server())
        await server.run(read, write, server.create_initialization_options())
