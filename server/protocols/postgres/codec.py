"""PostgreSQL's wire protocol as two machines: bytes in, messages out. No input or output.

`receive_data` only stores, `next_event` takes one message off the front and steps the state.
Whatever comes in, the result is a message, `NEED_DATA` or a `ProtocolError`, and after an error
the machine stays failed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from policies.errors import ProtocolError
from server.protocols.postgres import backend, frontend
from server.protocols.postgres.backend import BackendMessage
from server.protocols.postgres.fields import FieldReader
from server.protocols.postgres.frontend import (
    Authentication,
    CancelRequest,
    Command,
    FirstMessage,
    FrontendMessage,
    GssRequest,
    Password,
    SaslInitialResponse,
    SaslResponse,
    SslRequest,
    StartupMessage,
)

# PostgreSQL's own bound on a startup packet (MAX_STARTUP_PACKET_LENGTH).
MAX_STARTUP: Final = 10_000
# Tokens of 40 KB travel as passwords; PostgreSQL's own bound is 65,535.
MAX_PASSWORD: Final = 65_535
# A statement or a COPY chunk that one session may make the gateway hold.
MAX_COMMAND: Final = 16 * 1024 * 1024
# A row is held whole, because a mask needs all of it.
MAX_ROW: Final = 64 * 1024 * 1024
MAX_REPLY: Final = 16 * 1024 * 1024
# One chunk of rows: large enough that Python's cost per chunk vanishes, small enough to hold.
ROW_CHUNK: Final = 64 * 1024

_Message = TypeVar("_Message")
_LENGTH: Final = struct.Struct("!i")
_HEADER: Final = 5
_DATA_ROW: Final = ord("D")
_COPY_DATA: Final = ord("d")


class NeedData(Enum):
    NEED_DATA = auto()


NEED_DATA: Final = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class RowRun:
    """Consecutive DataRow messages in their own frames."""

    frames: bytes
    count: int


@dataclass(frozen=True, slots=True)
class CopyRun:
    """Consecutive CopyData messages in their own frames: the server sends each row in one."""

    frames: bytes
    count: int

    def encode(self) -> bytes:
        return self.frames


ServerMessage = BackendMessage | RowRun | CopyRun


class FrontendState(Enum):
    """What the server side expects of its client next."""

    STARTUP = auto()
    PASSWORD = auto()
    SASL_FIRST = auto()
    SASL = auto()
    READY = auto()
    CLOSED = auto()
    FAILED = auto()


_AUTHENTICATION: Final[Mapping[FrontendState, Callable[[FieldReader], Authentication]]] = {
    FrontendState.PASSWORD: Password.decode,
    FrontendState.SASL_FIRST: SaslInitialResponse.decode,
    FrontendState.SASL: SaslResponse.decode,
}


class FrontendReader:
    """The server's side: decodes what a client sends, from its first byte on."""

    def __init__(self, state: FrontendState = FrontendState.STARTUP) -> None:
        self.state = state
        self._buffer = bytearray()
        self._encryption_asked: set[type[FirstMessage]] = set()

    def receive_data(self, content: bytes) -> None:
        self._buffer += content

    def expect(self, state: FrontendState) -> None:
        """Say what was asked of the client; only the owner knows which authentication that is."""
        if self.state is not FrontendState.FAILED:
            self.state = state

    def next_event(self) -> FrontendMessage | NeedData:
        """One message, or `NEED_DATA`. Raises `ProtocolError`, then and ever after."""
        try:
            return self._next()
        except ProtocolError:
            self.state = FrontendState.FAILED
            self._buffer.clear()
            raise

    def next_command(self) -> Command | NeedData:
        """One message of a client that has logged in. Raises `ProtocolError`."""
        if self.state is not FrontendState.READY:
            raise ProtocolError("the client has not logged in")
        message = self.next_event()
        if isinstance(message, FirstMessage | Authentication):
            raise ProtocolError("a login message after login")
        return message

    @property
    def empty(self) -> bool:
        """Whether everything received was taken."""
        return not self._buffer

    def _next(self) -> FrontendMessage | NeedData:
        match self.state:
            case FrontendState.FAILED | FrontendState.CLOSED:
                raise ProtocolError("the connection has ended")
            case FrontendState.STARTUP:
                return self._first()
            case FrontendState.READY:
                return self._command()
            case _:
                return self._authentication()

    def _first(self) -> FirstMessage | NeedData:
        if len(self._buffer) < 4:
            return NEED_DATA
        length = _length(self._buffer, 0, MAX_STARTUP)
        if length < 8:
            raise ProtocolError("a startup message has at least 8 bytes")
        if len(self._buffer) < length:
            return NEED_DATA
        body = bytes(self._buffer[4:length])
        del self._buffer[:length]
        message = frontend.decode_first(body)
        self._after_first(message)
        return message

    def _after_first(self, message: FirstMessage) -> None:
        match message:
            case SslRequest() | GssRequest():
                # What follows in the same read was sent in clear before the answer.
                if type(message) in self._encryption_asked or self._buffer:
                    raise ProtocolError("encryption was asked for twice or not waited for")
                self._encryption_asked.add(type(message))
            case StartupMessage():
                self.state = FrontendState.PASSWORD
            case CancelRequest():
                self.state = FrontendState.CLOSED

    def _authentication(self) -> Authentication | NeedData:
        if not self._buffer:
            return NEED_DATA
        if self._buffer[0] != ord("p"):
            raise ProtocolError("expected an answer to the authentication request")
        body = _take_body(self._buffer, MAX_PASSWORD)
        return NEED_DATA if body is None else _decode(_AUTHENTICATION[self.state], body)

    def _command(self) -> Command | NeedData:
        if not self._buffer:
            return NEED_DATA
        decode = frontend.COMMANDS.get(bytes(self._buffer[:1]))
        if decode is None:
            raise ProtocolError("unknown message type")
        body = _take_body(self._buffer, MAX_COMMAND)
        return NEED_DATA if body is None else _decode(decode, body)


class BackendReader:
    """The client's side: decodes what a server sends, rows as runs of frames.

    What was taken is cut off when more comes, not message by message.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._failed = False

    def receive_data(self, content: bytes) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += content

    @property
    def empty(self) -> bool:
        """Whether everything received was taken."""
        return self._position == len(self._buffer)

    def took(self, expected: bytes) -> bool:
        """Whether exactly these bytes come next; then they are taken, and nobody decodes them."""
        if self._failed or not self._buffer.startswith(expected, self._position):
            return False
        self._position += len(expected)
        return True

    def next_event(self) -> ServerMessage | NeedData:
        """One message, or `NEED_DATA`. Raises `ProtocolError`, then and ever after."""
        if self._failed:
            raise ProtocolError("the connection has ended")
        try:
            return self._next()
        except ProtocolError:
            self._failed = True
            self._buffer.clear()
            self._position = 0
            raise

    def _next(self) -> ServerMessage | NeedData:
        buffer, start = self._buffer, self._position
        if start == len(buffer):
            return NEED_DATA
        known = backend.KNOWN.get(bytes(buffer[start : start + _HEADER]))
        if known is not None:
            self._position += _HEADER
            return known
        if buffer[start] == _DATA_ROW:
            run = self._run(_DATA_ROW)
            return NEED_DATA if run is None else RowRun(*run)
        if buffer[start] == _COPY_DATA:
            run = self._run(_COPY_DATA)
            return NEED_DATA if run is None else CopyRun(*run)
        decode = backend.MESSAGES.get(bytes(buffer[start : start + 1]))
        if decode is None:
            raise ProtocolError("unknown message type")
        body = self._body()
        return NEED_DATA if body is None else _decode(decode, body)

    def _run(self, tag: int) -> tuple[bytes, int] | None:
        start = self._position
        end, count = walk_rows(self._buffer, start, limit=ROW_CHUNK, tag=tag)
        if not count:
            return None
        self._position = end
        return bytes(self._buffer[start:end]), count

    def _body(self) -> bytes | None:
        start = self._position
        if len(self._buffer) < start + _HEADER:
            return None
        end = start + 1 + _length(self._buffer, start + 1, MAX_REPLY)
        if len(self._buffer) < end:
            return None
        self._position = end
        return bytes(self._buffer[start + _HEADER : end])


def walk_rows(
    frames: bytes | bytearray,
    start: int = 0,
    *,
    limit: int,
    rows: int = -1,
    tag: int = _DATA_ROW,
) -> tuple[int, int]:
    """Walk complete frames of one type from `start`: where they end, and how many they are.

    Stops at another message, at an incomplete one, once `limit` bytes are passed, or after `rows`.
    """
    position, count, length_at = start, 0, _LENGTH.unpack_from
    last_header, enough = len(frames) - _HEADER, start + limit
    while position <= last_header and position < enough and count != rows:
        if frames[position] != tag:
            break
        (length,) = length_at(frames, position + 1)
        if not 4 <= length <= MAX_ROW:
            raise ProtocolError("message length out of range")
        end = position + 1 + length
        if end > len(frames):
            break
        position, count = end, count + 1
    return position, count


def _length(buffer: bytes | bytearray, position: int, limit: int) -> int:
    length = int(_LENGTH.unpack_from(buffer, position)[0])
    if not 4 <= length <= limit:
        raise ProtocolError("message length out of range")
    return length


def _take_body(buffer: bytearray, limit: int) -> bytes | None:
    if len(buffer) < _HEADER:
        return None
    end = 1 + _length(buffer, 1, limit)
    if len(buffer) < end:
        return None
    body = bytes(buffer[_HEADER:end])
    del buffer[:end]
    return body


def _decode(decode: Callable[[FieldReader], _Message], body: bytes) -> _Message:
    reader = FieldReader(body)
    message = decode(reader)
    reader.end()
    return message
