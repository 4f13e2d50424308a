"""The messages a PostgreSQL client sends, protocol 3.0: values, and their bytes both ways.

Source: PostgreSQL documentation, "Message Formats". `encode` is the exact inverse of `decode`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from policies.errors import ProtocolError
from server.protocols.postgres import fields
from server.protocols.postgres.fields import FieldReader, frame

PROTOCOL_3_0: Final = 196608
PROTOCOL_3_2: Final = 196610
_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_CANCEL_REQUEST: Final = 80877102


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """`parameters` in the client's order, duplicates kept, so that the listener can refuse them."""

    version: int
    parameters: tuple[tuple[str, str], ...]

    def encode(self) -> bytes:
        pairs = b"".join(fields.string(k) + fields.string(v) for k, v in self.parameters)
        return _first(fields.uint32(self.version) + pairs + b"\0")


@dataclass(frozen=True, slots=True)
class SslRequest:
    def encode(self) -> bytes:
        return _first(fields.uint32(_SSL_REQUEST))


@dataclass(frozen=True, slots=True)
class GssRequest:
    def encode(self) -> bytes:
        return _first(fields.uint32(_GSS_REQUEST))


@dataclass(frozen=True, slots=True)
class CancelRequest:
    process: int
    secret: bytes

    def encode(self) -> bytes:
        return _first(fields.uint32(_CANCEL_REQUEST) + fields.uint32(self.process) + self.secret)


FirstMessage = StartupMessage | SslRequest | GssRequest | CancelRequest


def _first(body: bytes) -> bytes:
    return fields.int32(len(body) + 4) + body


def decode_first(body: bytes) -> FirstMessage:
    """Decode one of the messages that have no tag; `body` is what follows the length."""
    reader = FieldReader(body)
    match reader.uint32():
        case code if code == _CANCEL_REQUEST:
            return _cancel(reader)
        case code if code in (_SSL_REQUEST, _GSS_REQUEST):
            reader.end()
            return SslRequest() if code == _SSL_REQUEST else GssRequest()
        case version if version >> 16 == 3:
            return StartupMessage(version, _parameters(reader))
    raise ProtocolError("unknown protocol version")


def _cancel(reader: FieldReader) -> CancelRequest:
    process, secret = reader.uint32(), reader.rest()
    if not 4 <= len(secret) <= 256:
        raise ProtocolError("a cancel key has 4 to 256 bytes")
    return CancelRequest(process, secret)


def _parameters(reader: FieldReader) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    while name := reader.string():
        pairs.append((name, reader.string()))
    reader.end()
    return tuple(pairs)


@dataclass(frozen=True, slots=True)
class Query:
    tag: ClassVar[bytes] = b"Q"
    text: str

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.text))

    @classmethod
    def decode(cls, reader: FieldReader) -> Query:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class Parse:
    tag: ClassVar[bytes] = b"P"
    statement: str
    text: str
    types: tuple[int, ...] = ()

    def encode(self) -> bytes:
        names = fields.string(self.statement) + fields.string(self.text)
        types = b"".join(map(fields.uint32, self.types))
        return frame(self.tag, names + fields.uint16(len(self.types)) + types)

    @classmethod
    def decode(cls, reader: FieldReader) -> Parse:
        statement, text = reader.string(), reader.string()
        return cls(statement, text, tuple(reader.uint32() for _ in range(reader.uint16())))


@dataclass(frozen=True, slots=True)
class Bind:
    """Formats: none (all text), one for all, or one each; 0 is text and 1 is binary."""

    tag: ClassVar[bytes] = b"B"
    portal: str
    statement: str
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()

    def encode(self) -> bytes:
        values = b"".join(map(fields.value, self.parameters))
        return frame(
            self.tag,
            fields.string(self.portal)
            + fields.string(self.statement)
            + _write_formats(self.parameter_formats)
            + fields.uint16(len(self.parameters))
            + values
            + _write_formats(self.result_formats),
        )

    @classmethod
    def decode(cls, reader: FieldReader) -> Bind:
        portal, statement = reader.string(), reader.string()
        formats = _read_formats(reader)
        values = tuple(reader.value() for _ in range(reader.uint16()))
        if len(formats) not in (0, 1, len(values)):
            raise ProtocolError("Bind counts its formats and its parameters differently")
        return cls(portal, statement, formats, values, _read_formats(reader))


def _read_formats(reader: FieldReader) -> tuple[int, ...]:
    formats = tuple(reader.uint16() for _ in range(reader.uint16()))
    if any(f > 1 for f in formats):
        raise ProtocolError("unknown format code")
    return formats


def _write_formats(formats: tuple[int, ...]) -> bytes:
    return fields.uint16(len(formats)) + b"".join(map(fields.uint16, formats))


def format_of(formats: tuple[int, ...], index: int) -> int:
    """The format of one value, by the protocol's rule of none, one or each."""
    if len(formats) > 1:
        return formats[index]
    return formats[0] if formats else 0


def _read_kind(reader: FieldReader) -> str:
    kind = chr(reader.byte())
    if kind not in "SP":
        raise ProtocolError("neither a statement nor a portal")
    return kind


@dataclass(frozen=True, slots=True)
class Describe:
    """`kind` is "S" for a statement and "P" for a portal."""

    tag: ClassVar[bytes] = b"D"
    kind: str
    name: str

    def encode(self) -> bytes:
        return frame(self.tag, self.kind.encode() + fields.string(self.name))

    @classmethod
    def decode(cls, reader: FieldReader) -> Describe:
        return cls(_read_kind(reader), reader.string())


@dataclass(frozen=True, slots=True)
class Close:
    """`kind` is "S" for a statement and "P" for a portal."""

    tag: ClassVar[bytes] = b"C"
    kind: str
    name: str

    def encode(self) -> bytes:
        return frame(self.tag, self.kind.encode() + fields.string(self.name))

    @classmethod
    def decode(cls, reader: FieldReader) -> Close:
        return cls(_read_kind(reader), reader.string())


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a portal; at most `max_rows` rows, 0 for all."""

    tag: ClassVar[bytes] = b"E"
    portal: str
    max_rows: int = 0

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.portal) + fields.int32(self.max_rows))

    @classmethod
    def decode(cls, reader: FieldReader) -> Execute:
        return cls(reader.string(), reader.int32())


@dataclass(frozen=True, slots=True)
class Flush:
    tag: ClassVar[bytes] = b"H"

    def encode(self) -> bytes:
        return frame(self.tag, b"")

    @classmethod
    def decode(cls, reader: FieldReader) -> Flush:
        return cls()


@dataclass(frozen=True, slots=True)
class Sync:
    tag: ClassVar[bytes] = b"S"

    def encode(self) -> bytes:
        return frame(self.tag, b"")

    @classmethod
    def decode(cls, reader: FieldReader) -> Sync:
        return cls()


@dataclass(frozen=True, slots=True)
class Terminate:
    tag: ClassVar[bytes] = b"X"

    def encode(self) -> bytes:
        return frame(self.tag, b"")

    @classmethod
    def decode(cls, reader: FieldReader) -> Terminate:
        return cls()


@dataclass(frozen=True, slots=True)
class CopyData:
    tag: ClassVar[bytes] = b"d"
    content: bytes

    def encode(self) -> bytes:
        return frame(self.tag, self.content)

    @classmethod
    def decode(cls, reader: FieldReader) -> CopyData:
        return cls(reader.rest())


@dataclass(frozen=True, slots=True)
class CopyDone:
    tag: ClassVar[bytes] = b"c"

    def encode(self) -> bytes:
        return frame(self.tag, b"")

    @classmethod
    def decode(cls, reader: FieldReader) -> CopyDone:
        return cls()


@dataclass(frozen=True, slots=True)
class CopyFail:
    tag: ClassVar[bytes] = b"f"
    message: str

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.message))

    @classmethod
    def decode(cls, reader: FieldReader) -> CopyFail:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """Kept unread: nothing but its refusal is ever made of it."""

    tag: ClassVar[bytes] = b"F"
    content: bytes

    def encode(self) -> bytes:
        return frame(self.tag, self.content)

    @classmethod
    def decode(cls, reader: FieldReader) -> FunctionCall:
        return cls(reader.rest())


@dataclass(frozen=True, slots=True)
class Password:
    tag: ClassVar[bytes] = b"p"
    password: str

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.password))

    @classmethod
    def decode(cls, reader: FieldReader) -> Password:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class SaslInitialResponse:
    tag: ClassVar[bytes] = b"p"
    mechanism: str
    response: bytes | None

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.mechanism) + fields.value(self.response))

    @classmethod
    def decode(cls, reader: FieldReader) -> SaslInitialResponse:
        return cls(reader.string(), reader.value())


@dataclass(frozen=True, slots=True)
class SaslResponse:
    tag: ClassVar[bytes] = b"p"
    response: bytes

    def encode(self) -> bytes:
        return frame(self.tag, self.response)

    @classmethod
    def decode(cls, reader: FieldReader) -> SaslResponse:
        return cls(reader.rest())


Authentication = Password | SaslInitialResponse | SaslResponse
Command = (
    Query
    | Parse
    | Bind
    | Describe
    | Close
    | Execute
    | Flush
    | Sync
    | Terminate
    | CopyData
    | CopyDone
    | CopyFail
    | FunctionCall
)
FrontendMessage = FirstMessage | Authentication | Command

_COMMANDS: Final = (
    *(Query, Parse, Bind, Describe, Close, Execute, Flush, Sync),
    *(Terminate, CopyData, CopyDone, CopyFail, FunctionCall),
)
COMMANDS: Final[Mapping[bytes, Callable[[FieldReader], Command]]] = {
    kind.tag: kind.decode for kind in _COMMANDS
}
