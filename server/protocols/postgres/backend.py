"""The messages a PostgreSQL server sends, protocol 3.0: values, and their bytes both ways.

Source: PostgreSQL documentation, "Message Formats". `encode` is the exact inverse of `decode`.
DataRow and CopyData are not here: rows stay in their frames (`codec.RowRun`, `codec.CopyRun`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, Self

from policies.errors import ProtocolError
from recordings.events import Column
from server.protocols.postgres import fields
from server.protocols.postgres.fields import FieldReader, frame


@dataclass(frozen=True, slots=True)
class AuthenticationRequest:
    """`code` says what the server wants: 0 nothing more, 3 a password, 10 to 12 SASL."""

    tag: ClassVar[bytes] = b"R"
    code: int
    content: bytes = b""

    def encode(self) -> bytes:
        return frame(self.tag, fields.uint32(self.code) + self.content)

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(reader.uint32(), reader.rest())

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms of a request with code 10."""
        reader, names = FieldReader(self.content), []
        while name := reader.string():
            names.append(name)
        reader.end()
        return tuple(names)


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    tag: ClassVar[bytes] = b"K"
    process: int
    secret: bytes

    def encode(self) -> bytes:
        return frame(self.tag, fields.uint32(self.process) + self.secret)

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(reader.uint32(), reader.rest())


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    tag: ClassVar[bytes] = b"S"
    name: str
    value: str

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.name) + fields.string(self.value))

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(reader.string(), reader.string())


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    tag: ClassVar[bytes] = b"v"
    version: int
    options: tuple[str, ...] = ()

    def encode(self) -> bytes:
        names = b"".join(map(fields.string, self.options))
        return frame(
            self.tag, fields.uint32(self.version) + fields.uint32(len(self.options)) + names
        )

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        version, count = reader.uint32(), reader.uint32()
        if count > reader.left:
            raise ProtocolError("more options than the message can hold")
        return cls(version, tuple(reader.string() for _ in range(count)))


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """`status`: I idle, T in a transaction, E in a failed one."""

    tag: ClassVar[bytes] = b"Z"
    status: str

    def encode(self) -> bytes:
        return frame(self.tag, self.status.encode())

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        status = chr(reader.byte())
        if status not in "ITE":
            raise ProtocolError("unknown transaction status")
        return cls(status)


@dataclass(frozen=True, slots=True)
class RowDescription:
    tag: ClassVar[bytes] = b"T"
    columns: tuple[Column, ...]

    def encode(self) -> bytes:
        columns = b"".join(map(_write_column, self.columns))
        return frame(self.tag, fields.uint16(len(self.columns)) + columns)

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        body = reader.rest()
        return cls(_columns(body) if len(body) <= _REMEMBERED_BYTES else _read_columns(body))


_REMEMBERED_BYTES: Final = 4096


@lru_cache(maxsize=512)
def _columns(body: bytes) -> tuple[Column, ...]:
    """The same statements come again and again, and a column costs more than the rest of them."""
    return _read_columns(body)


def _read_columns(body: bytes) -> tuple[Column, ...]:
    reader = FieldReader(body)
    columns = tuple(_read_column(reader) for _ in range(reader.uint16()))
    reader.end()
    return columns


def _read_column(reader: FieldReader) -> Column:
    name, table, number = reader.string(), reader.uint32(), reader.int16()
    type_, size, modifier = reader.uint32(), reader.int16(), reader.int32()
    format_ = reader.uint16()
    if format_ > 1:
        raise ProtocolError("unknown format code")
    return Column(name, type_, table, number, modifier, size, binary=format_ == 1)


def _write_column(column: Column) -> bytes:
    return (
        fields.string(column.name)
        + fields.uint32(column.table)
        + fields.int16(column.number)
        + fields.uint32(column.type)
        + fields.int16(column.size)
        + fields.int32(column.modifier)
        + fields.uint16(column.binary)
    )


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    tag: ClassVar[bytes] = b"t"
    types: tuple[int, ...]

    def encode(self) -> bytes:
        types = b"".join(map(fields.uint32, self.types))
        return frame(self.tag, fields.uint16(len(self.types)) + types)

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(tuple(reader.uint32() for _ in range(reader.uint16())))


@dataclass(frozen=True, slots=True)
class CommandComplete:
    tag: ClassVar[bytes] = b"C"
    command: str

    def encode(self) -> bytes:
        return frame(self.tag, fields.string(self.command))

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class _Empty:
    tag: ClassVar[bytes]

    def encode(self) -> bytes:
        return self.tag + b"\0\0\0\x04"

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class ParseComplete(_Empty):
    tag: ClassVar[bytes] = b"1"


@dataclass(frozen=True, slots=True)
class BindComplete(_Empty):
    tag: ClassVar[bytes] = b"2"


@dataclass(frozen=True, slots=True)
class CloseComplete(_Empty):
    tag: ClassVar[bytes] = b"3"


@dataclass(frozen=True, slots=True)
class NoData(_Empty):
    tag: ClassVar[bytes] = b"n"


@dataclass(frozen=True, slots=True)
class PortalSuspended(_Empty):
    tag: ClassVar[bytes] = b"s"


@dataclass(frozen=True, slots=True)
class EmptyQueryResponse(_Empty):
    tag: ClassVar[bytes] = b"I"


@dataclass(frozen=True, slots=True)
class CopyOutDone(_Empty):
    tag: ClassVar[bytes] = b"c"


@dataclass(frozen=True, slots=True)
class _Report:
    """Fields by their one-letter codes; values stay bytes, as they may be in any encoding."""

    tag: ClassVar[bytes]
    fields: tuple[tuple[str, bytes], ...]

    def encode(self) -> bytes:
        pairs = (code.encode("latin-1") + fields.terminated(text) for code, text in self.fields)
        return frame(self.tag, b"".join(pairs) + b"\0")

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        pairs: list[tuple[str, bytes]] = []
        while code := reader.byte():
            pairs.append((chr(code), reader.terminated()))
        return cls(tuple(pairs))

    def text(self, code: str) -> str:
        """One field as text, empty where the server sent none."""
        found = next((value for name, value in self.fields if name == code), b"")
        return found.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class ErrorResponse(_Report):
    tag: ClassVar[bytes] = b"E"

    @property
    def position(self) -> int:
        """Character offset in the statement, 1-based; 0 if the server gave none."""
        text = self.text("P")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0

    @property
    def fatal(self) -> bool:
        """Whether the server ends the connection; V is never translated, S may be."""
        return (self.text("V") or self.text("S")) in ("FATAL", "PANIC")


@dataclass(frozen=True, slots=True)
class NoticeResponse(_Report):
    tag: ClassVar[bytes] = b"N"


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    tag: ClassVar[bytes] = b"A"
    process: int
    channel: str
    payload: str

    def encode(self) -> bytes:
        names = fields.string(self.channel) + fields.string(self.payload)
        return frame(self.tag, fields.uint32(self.process) + names)

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(reader.uint32(), reader.string(), reader.string())


@dataclass(frozen=True, slots=True)
class _CopyResponse:
    tag: ClassVar[bytes]
    format: int
    columns: tuple[int, ...]

    def encode(self) -> bytes:
        columns = b"".join(map(fields.uint16, self.columns))
        return frame(self.tag, bytes([self.format]) + fields.uint16(len(self.columns)) + columns)

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        format_ = reader.byte()
        return cls(format_, tuple(reader.uint16() for _ in range(reader.uint16())))


@dataclass(frozen=True, slots=True)
class CopyInResponse(_CopyResponse):
    tag: ClassVar[bytes] = b"G"


@dataclass(frozen=True, slots=True)
class CopyOutResponse(_CopyResponse):
    tag: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class CopyBothResponse(_CopyResponse):
    tag: ClassVar[bytes] = b"W"


@dataclass(frozen=True, slots=True)
class FunctionCallResponse:
    tag: ClassVar[bytes] = b"V"
    result: bytes | None

    def encode(self) -> bytes:
        return frame(self.tag, fields.value(self.result))

    @classmethod
    def decode(cls, reader: FieldReader) -> Self:
        return cls(reader.value())


BackendMessage = (
    AuthenticationRequest
    | BackendKeyData
    | ParameterStatus
    | NegotiateProtocolVersion
    | ReadyForQuery
    | RowDescription
    | ParameterDescription
    | CommandComplete
    | ParseComplete
    | BindComplete
    | CloseComplete
    | NoData
    | PortalSuspended
    | EmptyQueryResponse
    | ErrorResponse
    | NoticeResponse
    | NotificationResponse
    | CopyInResponse
    | CopyOutResponse
    | CopyBothResponse
    | CopyOutDone
    | FunctionCallResponse
)

_MESSAGES: Final = (
    *(AuthenticationRequest, BackendKeyData, ParameterStatus, NegotiateProtocolVersion),
    *(ReadyForQuery, RowDescription, ParameterDescription, CommandComplete),
    *(ParseComplete, BindComplete, CloseComplete, NoData, PortalSuspended, EmptyQueryResponse),
    *(ErrorResponse, NoticeResponse, NotificationResponse),
    *(CopyInResponse, CopyOutResponse, CopyBothResponse, CopyOutDone),
    FunctionCallResponse,
)
MESSAGES: Final[Mapping[bytes, Callable[[FieldReader], BackendMessage]]] = {
    kind.tag: kind.decode for kind in _MESSAGES
}

KNOWN: Final[Mapping[bytes, BackendMessage]] = {
    message.encode(): message
    for message in (
        *(ParseComplete(), BindComplete(), CloseComplete(), NoData(), PortalSuspended()),
        *(EmptyQueryResponse(), CopyOutDone()),
    )
}
"""Messages without a body, by their bytes."""
