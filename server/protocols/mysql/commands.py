"""The commands of a MySQL client: values, and their payloads both ways. An allow-list.

What shapes a payload besides its bytes is what the two sides have agreed on (`capabilities`).
Source: MySQL's protocol documentation, "Command Phase". `encode` is the exact inverse of `decode`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from policies.errors import ProtocolError
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import fields
from server.protocols.mysql.fields import FieldReader, NotText
from server.protocols.mysql.handshake import Attributes, read_attributes, write_attributes
from server.protocols.mysql.parameters import (
    MAX_PARAMETERS,
    Parameter,
    read_types,
    read_values,
    write_types,
    write_values,
)

NO_CURSOR: Final = 0
CURSOR_READ_ONLY: Final = 1
PARAMETER_COUNT_AVAILABLE: Final = 8


@dataclass(frozen=True, slots=True)
class _Bare:
    """A command without fields."""

    code: ClassVar[int]

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,))


@dataclass(frozen=True, slots=True)
class Quit(_Bare):
    code: ClassVar[int] = 0x01

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> Quit:
        return cls()


@dataclass(frozen=True, slots=True)
class InitDb:
    code: ClassVar[int] = 0x02
    database: str

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,)) + fields.encode_text(self.database)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> InitDb:
        return cls(fields.decode_text(reader.rest()))


@dataclass(frozen=True, slots=True)
class Query:
    """`attributes` stand before the text where that was agreed on."""

    code: ClassVar[int] = 0x03
    text: str
    attributes: tuple[Parameter, ...] = ()

    def encode(self, capabilities: int) -> bytes:
        code, text = bytes((self.code,)), fields.encode_text(self.text)
        if not capabilities & c.QUERY_ATTRIBUTES:
            return code + text
        count = len(self.attributes)
        before = fields.length(count) + b"\x01"
        if count:
            nulls, values = write_values(self.attributes)
            before += nulls + b"\x01" + write_types(self.attributes, named=True) + values
        return code + before + text

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> Query:
        attributes: tuple[Parameter, ...] = ()
        if capabilities & c.QUERY_ATTRIBUTES:
            count = reader.length()
            if reader.length() != 1 or count > MAX_PARAMETERS:
                raise ProtocolError("attributes of a query that can't be read")
            if count:
                attributes = _attributes(reader, count)
        return cls(fields.decode_text(reader.rest()), attributes)


def _attributes(reader: FieldReader, count: int) -> tuple[Parameter, ...]:
    nulls = reader.take((count + 7) // 8)
    if reader.byte() != 1:
        raise ProtocolError("attributes of a query come without their types")
    return read_values(reader, nulls, read_types(reader, count, named=True))


@dataclass(frozen=True, slots=True)
class FieldList:
    """Deprecated: the columns of a table, of which the wildcard names some."""

    code: ClassVar[int] = 0x04
    table: str
    wildcard: str = ""

    def encode(self, capabilities: int) -> bytes:
        wildcard = fields.encode_text(self.wildcard)
        return bytes((self.code,)) + fields.string(self.table) + wildcard

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> FieldList:
        return cls(reader.string(), fields.decode_text(reader.rest()))


@dataclass(frozen=True, slots=True)
class Statistics(_Bare):
    code: ClassVar[int] = 0x09

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> Statistics:
        return cls()


@dataclass(frozen=True, slots=True)
class ProcessKill:
    code: ClassVar[int] = 0x0C
    connection: int

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,)) + fields.number(self.connection, 4)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> ProcessKill:
        return cls(reader.number(4))


@dataclass(frozen=True, slots=True)
class Ping(_Bare):
    code: ClassVar[int] = 0x0E

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> Ping:
        return cls()


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """A new login over the same connection."""

    code: ClassVar[int] = 0x11
    user: str
    answer: bytes = field(default=b"", repr=False)
    database: str = ""
    charset: int = 45
    plugin: str = ""
    attributes: Attributes = ()

    def encode(self, capabilities: int) -> bytes:
        parts = [
            *(bytes((self.code,)), fields.string(self.user)),
            *(fields.number(len(self.answer), 1), self.answer),
            *(fields.string(self.database), fields.number(self.charset, 2)),
        ]
        if capabilities & c.PLUGIN_AUTH:
            parts.append(fields.string(self.plugin))
        if capabilities & c.CONNECT_ATTRS:
            parts.append(write_attributes(self.attributes))
        return b"".join(parts)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> ChangeUser:
        user, answer = reader.string(), reader.take(reader.byte())
        database, charset = reader.string(), reader.number(2)
        plugin = reader.string() if capabilities & c.PLUGIN_AUTH else ""
        attributes = read_attributes(reader) if capabilities & c.CONNECT_ATTRS else ()
        return cls(user, answer, database, charset, plugin, attributes)


@dataclass(frozen=True, slots=True)
class StmtPrepare:
    code: ClassVar[int] = 0x16
    text: str

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,)) + fields.encode_text(self.text)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> StmtPrepare:
        return cls(fields.decode_text(reader.rest()))


@dataclass(frozen=True, slots=True)
class StmtExecute:
    """`body` holds the parameters: only who knows the statement can read it (`statements`)."""

    code: ClassVar[int] = 0x17
    statement: int
    flags: int = NO_CURSOR
    body: bytes = b""

    def encode(self, capabilities: int) -> bytes:
        numbers = fields.number(self.statement, 4) + fields.number(self.flags, 1)
        return bytes((self.code,)) + numbers + b"\x01\0\0\0" + self.body

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> StmtExecute:
        statement, flags = reader.number(4), reader.byte()
        if flags & ~(CURSOR_READ_ONLY | PARAMETER_COUNT_AVAILABLE):
            raise ProtocolError("an unknown kind of cursor")
        if reader.number(4) != 1:
            raise ProtocolError("a statement is executed once at a time")
        return cls(statement, flags, reader.rest())


@dataclass(frozen=True, slots=True)
class StmtSendLongData:
    """A piece of a parameter's value; it has no answer."""

    code: ClassVar[int] = 0x18
    statement: int
    parameter: int
    content: bytes = b""

    def encode(self, capabilities: int) -> bytes:
        numbers = fields.number(self.statement, 4) + fields.number(self.parameter, 2)
        return bytes((self.code,)) + numbers + self.content

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> StmtSendLongData:
        return cls(reader.number(4), reader.number(2), reader.rest())


@dataclass(frozen=True, slots=True)
class StmtClose:
    """It has no answer."""

    code: ClassVar[int] = 0x19
    statement: int

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,)) + fields.number(self.statement, 4)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> StmtClose:
        return cls(reader.number(4))


@dataclass(frozen=True, slots=True)
class StmtReset:
    """Forgets the statement's long data and its cursor."""

    code: ClassVar[int] = 0x1A
    statement: int

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,)) + fields.number(self.statement, 4)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> StmtReset:
        return cls(reader.number(4))


@dataclass(frozen=True, slots=True)
class SetOption:
    """0 turns several statements in one text on, 1 off."""

    code: ClassVar[int] = 0x1B
    option: int

    def encode(self, capabilities: int) -> bytes:
        return bytes((self.code,)) + fields.number(self.option, 2)

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> SetOption:
        return cls(reader.number(2))


@dataclass(frozen=True, slots=True)
class StmtFetch:
    """So many more rows of the statement's cursor."""

    code: ClassVar[int] = 0x1C
    statement: int
    rows: int

    def encode(self, capabilities: int) -> bytes:
        numbers = fields.number(self.statement, 4) + fields.number(self.rows, 4)
        return bytes((self.code,)) + numbers

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> StmtFetch:
        return cls(reader.number(4), reader.number(4))


@dataclass(frozen=True, slots=True)
class ResetConnection(_Bare):
    code: ClassVar[int] = 0x1F

    @classmethod
    def decode(cls, reader: FieldReader, capabilities: int) -> ResetConnection:
        return cls()


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A command that nobody here knows; its fields were dropped."""

    code: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A command whose text is not UTF-8, which was agreed on; it was dropped."""

    code: int


Listed = (
    Quit
    | InitDb
    | Query
    | FieldList
    | Statistics
    | ProcessKill
    | Ping
    | ChangeUser
    | StmtPrepare
    | StmtExecute
    | StmtSendLongData
    | StmtClose
    | StmtReset
    | SetOption
    | StmtFetch
    | ResetConnection
)
Command = Listed | Unlisted | Unreadable

UNANSWERED: Final = (Quit, StmtSendLongData, StmtClose)
"""What a server says nothing to."""

COMMANDS: Final[Mapping[int, Callable[[FieldReader, int], Listed]]] = {
    Quit.code: Quit.decode,
    InitDb.code: InitDb.decode,
    Query.code: Query.decode,
    FieldList.code: FieldList.decode,
    Statistics.code: Statistics.decode,
    ProcessKill.code: ProcessKill.decode,
    Ping.code: Ping.decode,
    ChangeUser.code: ChangeUser.decode,
    StmtPrepare.code: StmtPrepare.decode,
    StmtExecute.code: StmtExecute.decode,
    StmtSendLongData.code: StmtSendLongData.decode,
    StmtClose.code: StmtClose.decode,
    StmtReset.code: StmtReset.decode,
    SetOption.code: SetOption.decode,
    StmtFetch.code: StmtFetch.decode,
    ResetConnection.code: ResetConnection.decode,
}


def decode_command(payload: bytes, capabilities: int) -> Command:
    """One command. Raises `ProtocolError`."""
    reader = FieldReader(payload)
    code = reader.byte()
    decode = COMMANDS.get(code)
    if decode is None:
        return Unlisted(code)
    try:
        command = decode(reader, capabilities)
    except NotText:
        return Unreadable(code)
    reader.end()
    return command
