"""Logging in to a PostgreSQL server, up to its first ReadyForQuery. No input or output."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scramp import ScramClient, ScramException

from policies.errors import ProtocolError
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import ServerMessage

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"


class LoginRefused(Exception):
    """The server did not let us in; the text is the server's, for the log alone."""


@dataclass(slots=True)
class Login:
    """One login; `channel` is the TLS connection that SCRAM-SHA-256-PLUS binds to, if there is one.

    A password in clear goes over verified TLS only. `parameters` and `key` are the server's.
    """

    user: str
    password: str = field(repr=False)
    channel: ssl.SSLObject | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    key: b.BackendKeyData | None = None
    ready: bool = False
    _scram: ScramClient | None = None
    _authenticated: bool = False

    def first(self, database: str, settings: Mapping[str, str]) -> bytes:
        """The startup message."""
        pairs = {"user": self.user, "database": database, **settings}
        return f.StartupMessage(f.PROTOCOL_3_0, tuple(pairs.items())).encode()

    def answer(self, message: ServerMessage) -> bytes:
        """The bytes to answer a message with. Raises `LoginRefused` or `ProtocolError`."""
        match message:
            case b.AuthenticationRequest():
                return self._authenticate(message)
            case b.ErrorResponse():
                raise LoginRefused(f"{message.text('C')} {message.text('M')}")
            case b.NoticeResponse() | b.NegotiateProtocolVersion():
                return b""
            case _ if not self._authenticated:
                raise ProtocolError("the server speaks before it has authenticated us")
            case b.ParameterStatus(name, value):
                self.parameters[name] = value
            case b.BackendKeyData():
                self.key = message
            case b.ReadyForQuery():
                self.ready = True
            case _:
                raise ProtocolError("unexpected message during login")
        return b""

    def _authenticate(self, request: b.AuthenticationRequest) -> bytes:
        match request.code:
            case 0:
                return self._accepted()
            case 3 if self.channel is not None:
                return f.Password(self.password).encode()
            case 10:
                return self._begin_scram(request.mechanisms)
            case 11 | 12 if self._scram is not None:
                return self._continue_scram(request, self._scram)
        raise LoginRefused(f"the server asks for authentication method {request.code}")

    def _accepted(self) -> bytes:
        if self._scram is not None and self._scram.stage != 4:
            raise ProtocolError("the server has not proved that it knows the password")
        self._authenticated = True
        return b""

    def _begin_scram(self, offered: tuple[str, ...]) -> bytes:
        usable = [m for m in (SCRAM, SCRAM_PLUS) if m in offered and self._may_use(m)]
        if not usable or self._scram is not None:
            raise LoginRefused("the server offers no SCRAM-SHA-256")
        binding = ("tls-server-end-point", self.channel) if self.channel else None
        self._scram = ScramClient(usable, self.user, self.password, channel_binding=binding)
        first = str(self._scram.get_client_first()).encode()
        return f.SaslInitialResponse(str(self._scram.mechanism_name), first).encode()

    def _may_use(self, mechanism: str) -> bool:
        return mechanism != SCRAM_PLUS or self.channel is not None

    def _continue_scram(self, request: b.AuthenticationRequest, scram: ScramClient) -> bytes:
        try:
            if request.code == 12:
                scram.set_server_final(request.content.decode())
                return b""
            scram.set_server_first(request.content.decode())
            return f.SaslResponse(str(scram.get_client_final()).encode()).encode()
        except (ScramException, UnicodeDecodeError):
            raise LoginRefused("SCRAM failed") from None
