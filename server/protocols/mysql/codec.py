"""The server's side of MySQL's wire protocol: a client's bytes in, its messages out. No I/O.

`receive_data` only stores, `next_event` takes one message off the front and steps the state.
Whatever comes in, the result is a message, `NEED_DATA` or a `ProtocolError`, and after an error
the machine stays failed. The client's side is `login` and `conversation`, which know what a
server's packets are answers to: MySQL's tell no kind.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from policies.errors import ProtocolError
from server.protocols.mysql import capabilities as c
from server.protocols.mysql.commands import Command, decode_command
from server.protocols.mysql.handshake import (
    AuthAnswer,
    HandshakeResponse,
    LoginMessage,
    SslRequest,
    decode_login,
)
from server.protocols.mysql.packets import PacketReader, framed, packets_of

# A login with a token of 40 KB and connect attributes of 64 KiB.
MAX_LOGIN: Final = 128 * 1024
# Tokens of 40 KB travel as passwords.
MAX_PASSWORD: Final = 65_535
# A statement or a piece of a parameter that one session may make the gateway hold.
MAX_COMMAND: Final = 64 * 1024 * 1024

FrontendMessage = LoginMessage | Command


class NeedData(Enum):
    NEED_DATA = auto()


NEED_DATA: Final = NeedData.NEED_DATA


class FrontendState(Enum):
    """What the server side expects of its client next; `HELD`: nothing, until it was answered."""

    LOGIN = auto()
    HELD = auto()
    AUTHENTICATION = auto()
    READY = auto()
    CLOSED = auto()
    FAILED = auto()


_LIMITS: Final = {
    FrontendState.LOGIN: MAX_LOGIN,
    FrontendState.AUTHENTICATION: MAX_PASSWORD,
    FrontendState.READY: MAX_COMMAND,
}


class FrontendReader:
    """Decodes what a client sends, from its answer to the greeting on.

    `capabilities` are those that were offered, and from the login on those that both have. After a
    request for TLS the same reader goes on with what TLS brings.
    """

    def __init__(
        self, offered: int = c.OFFERED, state: FrontendState = FrontendState.LOGIN
    ) -> None:
        self.capabilities = offered
        self.state = state
        self.sequence = 1  # of the next packet that either side sends
        self._packets = PacketReader(MAX_LOGIN, 1)
        self._tls_asked = False

    def receive_data(self, content: bytes) -> None:
        self._packets.receive_data(content)

    def expect(self, state: FrontendState) -> None:
        """Say what was asked of the client, or that it is let in."""
        if self.state is not FrontendState.FAILED:
            self.state = state

    def answer(self, payload: bytes) -> bytes:
        """The packets of an answer, numbered behind what was said before."""
        packets = framed(payload, self.sequence)
        self.sequence = (self.sequence + packets_of(len(payload))) & 0xFF
        return packets

    def next_event(self) -> FrontendMessage | NeedData:
        """One message, or `NEED_DATA`. Raises `ProtocolError`, then and ever after."""
        try:
            return self._next()
        except ProtocolError:
            self.state = FrontendState.FAILED
            self._packets.clear()
            raise

    def next_command(self) -> Command | NeedData:
        """One command of a client that has logged in. Raises `ProtocolError`."""
        if self.state is not FrontendState.READY:
            raise ProtocolError("the client has not logged in")
        message = self.next_event()
        if isinstance(message, SslRequest | HandshakeResponse | AuthAnswer):
            raise ProtocolError("a login message after login")
        return message

    @property
    def empty(self) -> bool:
        """Whether everything received was taken."""
        return self._packets.empty

    @property
    def held(self) -> int:
        """How many bytes have come that nobody took."""
        return self._packets.held

    def _next(self) -> FrontendMessage | NeedData:
        limit = _LIMITS.get(self.state)
        if limit is None:
            if self.state is FrontendState.HELD:
                raise ProtocolError("the client goes on before it was answered")
            raise ProtocolError("the connection has ended")
        packets = self._packets
        packets.limit = limit
        if self.state is not FrontendState.READY:
            packets.sequence = self.sequence
        elif not packets.begun:
            packets.sequence = 0
        payload = packets.next_payload()
        if payload is None:
            return NEED_DATA
        self.sequence = packets.sequence
        match self.state:
            case FrontendState.READY:
                return decode_command(payload, self.capabilities)
            case FrontendState.AUTHENTICATION:
                self.state = FrontendState.HELD
                return AuthAnswer(payload)
            case _:
                return self._login(payload)

    def _login(self, payload: bytes) -> LoginMessage:
        message = decode_login(payload)
        if isinstance(message, SslRequest):
            # What follows in the same read was sent in clear before TLS began.
            if self._tls_asked or not self._packets.empty:
                raise ProtocolError("TLS was asked for twice or not waited for")
            if not self.capabilities & c.SSL:
                raise ProtocolError("TLS was asked for and not offered")
            self._tls_asked = True
        else:
            self.capabilities &= message.capabilities | c.LONG_PASSWORD
            self.state = FrontendState.HELD
        return message
