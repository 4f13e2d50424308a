"""Legacy sessions, of which one principal may have only so many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions there may be, and after how many seconds an idle one ends."""

    a_principal: int = 32
    all: int = 5000
    idle: float = 1800.0


class Sessions(StreamableHTTPSessionManager):
    """The SDK's, with a limit for each principal: one who reconnects for ever must not use up
    everybody's. Past it, the answer is a 503 until one has ended or was idle for long enough.
    """

    def __init__(self, server: Server[Any], limits: SessionLimits) -> None:
        # Host and Origin are checked in front of all routes, see `boundary`.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        super().__init__(
            app=server,
            security_settings=unchecked,
            session_idle_timeout=limits.idle,
            max_sessions=limits.all,
        )
        self._most = limits.a_principal

    def _admit_session(
        self, requestor: AuthorizationContext | None
    ) -> StreamableHTTPServerTransport | None:
        if requestor is None:
            return None  # nobody has a session without an identity
        whose = [owner["subject"] for owner in self._session_owners.values()]
        if whose.count(requestor["subject"]) >= self._most:
            return None
        return super()._admit_session(requestor)
