"""What a MySQL server answers to commands: values, and their payloads both ways.

What shapes a payload besides its bytes is what the two sides have agreed on (`capabilities`).
Source: MySQL's protocol documentation, "Generic Response Packets" and "Column Definition".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.errors import ProtocolError
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import fields
from server.protocols.mysql.fields import FieldReader

OK: Final = 0x00
END: Final = 0xFE
ERROR: Final = 0xFF
LOCAL_INFILE: Final = 0xFB
FULL: Final = 0xFFFFFF
MAX_COLUMNS: Final = 4096
"""MySQL's own bound."""
_FIXED_FIELDS: Final = 12

SYSTEM_VARIABLES: Final = 0
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement has changed in its session: `kind` and its content as it came."""

    kind: int
    content: bytes

    def schema(self) -> str | None:
        """The database that is the current one from now on."""
        if self.kind != SCHEMA:
            return None
        reader = FieldReader(self.content)
        name = reader.text()
        reader.end()
        return name

    def variables(self) -> tuple[tuple[str, str], ...]:
        """Names of system variables, and what they are from now on."""
        if self.kind != SYSTEM_VARIABLES:
            return ()
        reader, pairs = FieldReader(self.content), []
        while reader.left:
            pairs.append((reader.text(), reader.text()))
        return tuple(pairs)


@dataclass(frozen=True, slots=True)
class Ok:
    """`ends_rows`: it stands where an EOF stood, with that one's first byte."""

    affected: int = 0
    insert_id: int = 0
    status: int = c.AUTOCOMMIT
    warnings: int = 0
    info: bytes = b""
    changes: tuple[Change, ...] = ()
    ends_rows: bool = False

    def encode(self, capabilities: int) -> bytes:
        tracked = capabilities & c.SESSION_TRACK
        status = self.status | (c.SESSION_STATE_CHANGED if self.changes else 0)
        parts = [
            bytes((END if self.ends_rows else OK,)),
            *(fields.length(self.affected), fields.length(self.insert_id)),
            *(fields.number(status, 2), fields.number(self.warnings, 2)),
        ]
        if not tracked:
            parts.append(self.info)
        elif self.info or status & c.SESSION_STATE_CHANGED:
            parts.append(fields.counted(self.info))
            if status & c.SESSION_STATE_CHANGED:
                parts.append(fields.counted(b"".join(map(_write_change, self.changes))))
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes, capabilities: int) -> Ok:
        reader = FieldReader(payload)
        first = reader.byte()
        if first not in (OK, END):
            raise ProtocolError("neither OK nor the end of rows")
        affected, insert_id = reader.length(), reader.length()
        status, warnings = reader.number(2), reader.number(2)
        info = b""
        changes: tuple[Change, ...] = ()
        if not capabilities & c.SESSION_TRACK:
            info = reader.rest()
        elif reader.left:
            info = reader.counted()
            if status & c.SESSION_STATE_CHANGED:
                changes = _read_changes(reader.counted())
        reader.end()
        return cls(affected, insert_id, status, warnings, info, changes, first == END)


def _write_change(change: Change) -> bytes:
    return fields.number(change.kind, 1) + fields.counted(change.content)


def _read_changes(content: bytes) -> tuple[Change, ...]:
    reader, changes = FieldReader(content), []
    while reader.left:
        changes.append(Change(reader.byte(), reader.counted()))
    return tuple(changes)


@dataclass(frozen=True, slots=True)
class Eof:
    """The end of column definitions or of rows, where nobody has agreed that OK is."""

    warnings: int = 0
    status: int = c.AUTOCOMMIT

    def encode(self, capabilities: int) -> bytes:
        return b"\xfe" + fields.number(self.warnings, 2) + fields.number(self.status, 2)

    @classmethod
    def decode(cls, payload: bytes) -> Eof:
        reader = FieldReader(payload)
        if reader.byte() != END:
            raise ProtocolError("not the end of rows")
        eof = cls(reader.number(2), reader.number(2))
        reader.end()
        return eof


@dataclass(frozen=True, slots=True)
class Err:
    """`sqlstate` is empty before anything was agreed on: the server may have no room for us."""

    code: int
    sqlstate: str
    message: str

    def encode(self, capabilities: int) -> bytes:
        state = (
            b"#" + fields.encode_text(self.sqlstate)[:5].ljust(5, b"0") if self.sqlstate else b""
        )
        return b"\xff" + fields.number(self.code, 2) + state + fields.encode_text(self.message)

    @classmethod
    def decode(cls, payload: bytes) -> Err:
        """What is not UTF-8 in the message is replaced: it quotes what a statement had in it."""
        reader = FieldReader(payload)
        if reader.byte() != ERROR:
            raise ProtocolError("not an error")
        code, rest = reader.number(2), reader.rest()
        if code == 0xFFFF:
            raise ProtocolError("progress that nobody asked for")
        sqlstate = ""
        if rest[:1] == b"#":
            if len(rest) < 6:
                raise ProtocolError("an error is cut short")
            sqlstate, rest = rest[1:6].decode("ascii", "replace"), rest[6:]
        return cls(code, sqlstate, rest.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column of a result (ColumnDefinition41); `default` is told by COM_FIELD_LIST alone."""

    name: str
    type: int
    schema: str = ""
    table: str = ""
    org_table: str = ""
    org_name: str = ""
    charset: int = 45
    length: int = 0
    flags: int = 0
    decimals: int = 0
    default: bytes | None = None

    def encode(self, capabilities: int) -> bytes:
        names = (self.schema, self.table, self.org_table, self.name, self.org_name)
        return b"".join(
            (
                *(b"\x03def", *map(fields.text, names), b"\x0c"),
                *(fields.number(self.charset, 2), fields.number(self.length, 4)),
                *(fields.number(self.type, 1), fields.number(self.flags, 2)),
                *(fields.number(self.decimals, 1), b"\0\0"),
                b"" if self.default is None else self.default,
            )
        )

    @classmethod
    def decode(cls, payload: bytes) -> ColumnDefinition:
        reader = FieldReader(payload)
        if reader.counted() != b"def":
            raise ProtocolError("a column of an unknown catalog")
        schema, table, org_table = reader.text(), reader.text(), reader.text()
        name, org_name = reader.text(), reader.text()
        if reader.length() != _FIXED_FIELDS:
            raise ProtocolError("a column definition of an unknown kind")
        charset, length, kind = reader.number(2), reader.number(4), reader.byte()
        flags, decimals = reader.number(2), reader.byte()
        reader.take(2)
        default = reader.rest() if reader.left else None
        return cls(
            *(name, kind, schema, table, org_table, org_name),
            *(charset, length, flags, decimals, default),
        )


@dataclass(frozen=True, slots=True)
class PrepareOk:
    """A statement was prepared; definitions of its parameters and of its columns follow."""

    statement: int
    columns: int
    parameters: int
    warnings: int = 0

    def encode(self, capabilities: int) -> bytes:
        counts = fields.number(self.columns, 2) + fields.number(self.parameters, 2)
        head = b"\0" + fields.number(self.statement, 4) + counts
        return head + b"\0" + fields.number(self.warnings, 2)

    @classmethod
    def decode(cls, payload: bytes) -> PrepareOk:
        reader = FieldReader(payload)
        if reader.byte() != OK:
            raise ProtocolError("a statement was neither prepared nor refused")
        statement, columns, parameters = reader.number(4), reader.number(2), reader.number(2)
        reader.take(1)
        warnings = reader.number(2)
        reader.end()
        if columns > MAX_COLUMNS:
            raise ProtocolError("more columns than a result can have")
        return cls(statement, columns, parameters, warnings)


@dataclass(frozen=True, slots=True)
class ColumnCount:
    """A result with so many columns begins."""

    count: int

    def encode(self, capabilities: int) -> bytes:
        return fields.length(self.count)

    @classmethod
    def decode(cls, payload: bytes) -> ColumnCount:
        reader = FieldReader(payload)
        count = reader.length()
        reader.end()
        if not 0 < count <= MAX_COLUMNS:
            raise ProtocolError("a result with no columns, or more than it can have")
        return cls(count)


@dataclass(frozen=True, slots=True)
class Text:
    """What COM_STATISTICS is answered with."""

    content: bytes

    def encode(self, capabilities: int) -> bytes:
        return self.content


Answer = Ok | Eof | Err | ColumnDefinition | PrepareOk | ColumnCount | Text
