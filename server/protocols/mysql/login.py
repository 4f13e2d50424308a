"""Logging in to a MySQL or MariaDB server, up to its OK. No input or output.

The server speaks first. Neither does it prove that it knows the password, in any of these methods:
that it is the right one is TLS's matter, and a password in clear goes over verified TLS alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from policies.errors import ProtocolError
from server.protocols.mysql import answers as a
from server.protocols.mysql import authentication as methods
from server.protocols.mysql import capabilities as c
from server.protocols.mysql.codec import NEED_DATA, NeedData
from server.protocols.mysql.handshake import (
    CLEAR_PASSWORD,
    NATIVE_PASSWORD,
    AuthMoreData,
    AuthSwitch,
    Greeting,
    HandshakeResponse,
    SslRequest,
)
from server.protocols.mysql.packets import PacketReader, framed

CACHING_SHA2: Final = "caching_sha2_password"
ED25519: Final = "client_ed25519"
METHODS: Final = (ED25519, CACHING_SHA2, NATIVE_PASSWORD)
"""Those that are spoken unless fewer are configured; the password in clear only if it is."""

MAX_REPLY: Final = 64 * 1024
MAX_SWITCHES: Final = 2
_FAST_DONE: Final = b"\x03"
_FULL: Final = b"\x04"


class LoginRefused(Exception):
    """The server did not let us in; the text is the server's, for the log alone."""


class Stage(Enum):
    GREETING = auto()
    TLS = auto()
    ANSWER = auto()
    READY = auto()
    FAILED = auto()


class Channel(Enum):
    """What a login goes over."""

    CLEAR = auto()  # TCP as it is
    LOCAL = auto()  # a Unix socket
    TLS = auto()  # asked for after the greeting, and verified by who does the I/O


@dataclass(slots=True)
class Login:
    """One login. Feed it with `receive_data`; `next_output` is what to write, until `ready`.

    While `stage` is TLS: begin TLS now, then call `secured`. `wanted`: capabilities that are asked
    for where the server has them. `server_key`: its RSA key (PEM), for a login without TLS.
    """

    user: str
    password: str = field(repr=False)
    database: str = ""
    channel: Channel = Channel.TLS
    wanted: int = c.OWN
    methods: tuple[str, ...] = METHODS
    server_key: bytes | None = None
    charset: int = 45
    capabilities: int = 0
    greeting: Greeting | None = None
    status: int = c.AUTOCOMMIT
    stage: Stage = Stage.GREETING
    _reader: PacketReader = field(default_factory=lambda: PacketReader(MAX_REPLY))
    _method: str = ""
    _salt: bytes = b""
    _switches: int = 0
    _full: bool = False

    @property
    def ready(self) -> bool:
        return self.stage is Stage.READY

    @property
    def empty(self) -> bool:
        """Whether everything received was taken: a server that is ready says no more."""
        return self._reader.empty

    @property
    def sequence(self) -> int:
        """The number of the next packet that either side sends."""
        return self._reader.sequence

    def receive_data(self, content: bytes) -> None:
        self._reader.receive_data(content)

    def next_output(self) -> bytes | NeedData:
        """What to write for the next message of the server's; nothing, where it asks for nothing.

        Raises `LoginRefused` or `ProtocolError`, then and ever after.
        """
        if self.stage in (Stage.TLS, Stage.READY, Stage.FAILED):
            raise ProtocolError("nothing is expected of the server now")
        try:
            payload = self._reader.next_payload()
            return NEED_DATA if payload is None else self._answer(payload)
        except (ProtocolError, LoginRefused):
            self.stage = Stage.FAILED
            self._reader.clear()
            raise

    def secured(self) -> bytes:
        """What to write once TLS has begun."""
        if self.stage is not Stage.TLS:
            raise ProtocolError("TLS was not asked for")
        self.stage = Stage.ANSWER
        return self._first_answer()

    def _answer(self, payload: bytes) -> bytes:
        first = payload[:1]
        if first == b"\xff":
            error = a.Err.decode(payload)
            raise LoginRefused(f"{error.code} {error.sqlstate} {error.message}")
        if self.stage is Stage.GREETING:
            return self._greeted(Greeting.decode(payload))
        match first:
            case b"\0":
                return self._accepted(payload)
            case b"\xfe" if len(payload) > 1:
                return self._switch(AuthSwitch.decode(payload))
            case b"\x01":
                return self._more(AuthMoreData.decode(payload).content)
            case b"\xfe":
                raise LoginRefused("the server asks for a password of MySQL before 4.1")
        raise ProtocolError("unexpected message during login")

    def _greeted(self, greeting: Greeting) -> bytes:
        self.greeting = greeting
        self._method, self._salt = greeting.plugin, greeting.salt
        flags = self.wanted & c.OFFERED & greeting.capabilities | c.LONG_PASSWORD | c.REQUIRED
        flags &= ~(c.CONNECT_WITH_DB | c.CONNECT_ATTRS)
        if self.database and greeting.capabilities & c.CONNECT_WITH_DB:
            flags |= c.CONNECT_WITH_DB
        self.capabilities = flags
        if self.channel is not Channel.TLS:
            self.stage = Stage.ANSWER
            return self._first_answer()
        if not greeting.capabilities & c.SSL:
            raise LoginRefused("the server does not offer TLS")
        if not self._reader.empty:
            raise ProtocolError("the server goes on before TLS has begun")
        self.capabilities |= c.SSL
        self.stage = Stage.TLS
        return self._write(SslRequest(flags, self.charset).encode())

    def _first_answer(self) -> bytes:
        """By the server's own method, or by ours: then it asks to switch."""
        if self._method not in (CACHING_SHA2, NATIVE_PASSWORD) or self._method not in self.methods:
            self._method = NATIVE_PASSWORD if NATIVE_PASSWORD in self.methods else self.methods[0]
            answer = b""
        else:
            answer = self._proof()
        response = HandshakeResponse(
            *(self.capabilities, self.user, answer, self.database, self._method),
            charset=self.charset,
        )
        return self._write(response.encode())

    def _proof(self) -> bytes:
        password = self.password.encode()
        match self._method:
            case method if method == NATIVE_PASSWORD:
                return methods.native_password(password, self._salt)
            case method if method == CACHING_SHA2:
                return methods.caching_sha2(password, self._salt)
            case method if method == ED25519:
                return methods.ed25519(password, self._salt)
            case method if method == CLEAR_PASSWORD and self.channel is Channel.TLS:
                return password + b"\0"
        raise LoginRefused("the server asks for a password in clear, without TLS")

    def _switch(self, switch: AuthSwitch) -> bytes:
        self._switches += 1
        if self._switches > MAX_SWITCHES:
            raise ProtocolError("the server goes from method to method")
        if switch.plugin not in self.methods:
            raise LoginRefused(f"the server asks for method {switch.plugin[:64]!r}")
        self._method, self._salt, self._full = switch.plugin, switch.content, False
        return self._write(self._proof())

    def _more(self, content: bytes) -> bytes:
        if self._method != CACHING_SHA2 or self._full:
            raise ProtocolError("a step of another method")
        if content == _FAST_DONE:
            return b""
        if content != _FULL:
            raise ProtocolError("an unknown step of the authentication")
        self._full = True
        password = self.password.encode()
        if self.channel is not Channel.CLEAR:
            return self._write(password + b"\0")
        if self.server_key is None:
            raise LoginRefused("the server asks for the password itself, without TLS")
        return self._write(methods.encrypted_password(password, self._salt, self.server_key))

    def _accepted(self, payload: bytes) -> bytes:
        if not self._method:
            raise ProtocolError("the server lets in whom it has not asked")
        self.status = a.Ok.decode(payload, self.capabilities).status
        self.stage = Stage.READY
        return b""

    def _write(self, payload: bytes) -> bytes:
        packets = framed(payload, self._reader.sequence)
        self._reader.sequence = (self._reader.sequence + 1) & 0xFF
        return packets
