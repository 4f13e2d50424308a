"""MySQL's login messages, of both sides: values, and their payloads both ways. No decisions.

Source: MySQL's protocol documentation, "Connection Phase".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import fields
from server.protocols.mysql.fields import FieldReader

NATIVE_PASSWORD: Final = "mysql_native_password"  # noqa: S105 -- the name of a method
CLEAR_PASSWORD: Final = "mysql_clear_password"  # noqa: S105
SALT_BYTES: Final = 20
# Connect attributes, which are for statistics; MySQL's own bound.
MAX_ATTRIBUTES: Final = 64 * 1024
MAX_PACKET: Final = 64 * 1024 * 1024
"""What we say we take; nobody asks for it."""
_VERSION: Final = 10
_SSL_REQUEST_BYTES: Final = 32

Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says first (HandshakeV10). `salt` has 20 bytes for most methods."""

    version: str
    connection: int
    salt: bytes
    capabilities: int
    charset: int = 45
    status: int = c.AUTOCOMMIT
    plugin: str = NATIVE_PASSWORD

    def encode(self) -> bytes:
        low, high = self.capabilities & 0xFFFF, self.capabilities >> 16
        return b"".join(
            (
                *(bytes((_VERSION,)), fields.string(self.version)),
                *(fields.number(self.connection, 4), self.salt[:8], b"\0"),
                *(fields.number(low, 2), fields.number(self.charset, 1)),
                *(fields.number(self.status, 2), fields.number(high, 2)),
                *(fields.number(len(self.salt) + 1, 1), bytes(10), self.salt[8:], b"\0"),
                fields.string(self.plugin),
            )
        )

    @classmethod
    def decode(cls, payload: bytes) -> Greeting:
        """Raises `ProtocolError` for what lacks `REQUIRED` too."""
        reader = FieldReader(payload)
        if reader.byte() != _VERSION:
            raise ProtocolError("not a greeting of protocol 10")
        version, connection, salt = reader.string(), reader.number(4), reader.take(8)
        reader.take(1)
        low, charset, status = reader.number(2), reader.byte(), reader.number(2)
        flags = low | reader.number(2) << 16
        if flags & c.REQUIRED != c.REQUIRED:
            raise ProtocolError("the server is older than MySQL 5.5.7")
        size = reader.byte()
        reader.take(10)
        second = reader.take(max(13, size - 8))
        plugin = reader.string()
        reader.end()
        return cls(version, connection, salt + second[:-1], flags, charset, status, plugin)


@dataclass(frozen=True, slots=True)
class SslRequest:
    """The beginning of a login, sent in clear: what follows it is TLS."""

    capabilities: int
    charset: int = 45
    max_packet: int = MAX_PACKET

    def encode(self) -> bytes:
        return _beginning(self.capabilities | c.SSL, self.max_packet, self.charset)


@dataclass(frozen=True, slots=True)
class HandshakeResponse:
    """A client's login (HandshakeResponse41). `capabilities` are all that it has set."""

    capabilities: int
    user: str
    answer: bytes = field(default=b"", repr=False)
    database: str = ""
    plugin: str = ""
    attributes: Attributes = ()
    charset: int = 45
    max_packet: int = MAX_PACKET

    def encode(self) -> bytes:
        flags = self.capabilities
        lenenc = flags & c.PLUGIN_AUTH_LENENC
        size = fields.length if lenenc else _short
        parts = [
            *(_beginning(flags, self.max_packet, self.charset), fields.string(self.user)),
            *(size(len(self.answer)), self.answer),
        ]
        if flags & c.CONNECT_WITH_DB:
            parts.append(fields.string(self.database))
        if flags & c.PLUGIN_AUTH:
            parts.append(fields.string(self.plugin))
        if flags & c.CONNECT_ATTRS:
            parts.append(write_attributes(self.attributes))
        return b"".join(parts)


def _short(value: int) -> bytes:
    return fields.number(value, 1)


def _beginning(flags: int, max_packet: int, charset: int) -> bytes:
    numbers = fields.number(flags, 4) + fields.number(max_packet, 4)
    return numbers + fields.number(charset, 1) + bytes(23)


def decode_login(payload: bytes) -> SslRequest | HandshakeResponse:
    """What a client sends first. Raises `ProtocolError`."""
    reader = FieldReader(payload)
    flags, max_packet, charset = reader.number(4), reader.number(4), reader.byte()
    if flags & c.REQUIRED & ~c.PLUGIN_AUTH != c.REQUIRED & ~c.PLUGIN_AUTH:
        raise ProtocolError("the client is older than MySQL 4.1")
    reader.take(23)
    if flags & c.SSL and len(payload) == _SSL_REQUEST_BYTES:
        return SslRequest(flags & ~c.SSL, charset, max_packet)
    user = reader.string()
    answer = reader.counted() if flags & c.PLUGIN_AUTH_LENENC else reader.take(reader.byte())
    database = reader.string() if flags & c.CONNECT_WITH_DB else ""
    plugin = reader.string() if flags & c.PLUGIN_AUTH else ""
    attributes = read_attributes(reader) if flags & c.CONNECT_ATTRS else ()
    if flags & c.ZSTD:
        reader.byte()  # a level for what is not offered
    reader.end()
    return HandshakeResponse(flags, user, answer, database, plugin, attributes, charset, max_packet)


def write_attributes(attributes: Attributes) -> bytes:
    pairs = b"".join(fields.text(name) + fields.text(value) for name, value in attributes)
    return fields.counted(pairs)


def read_attributes(reader: FieldReader) -> Attributes:
    """Names and values, in the client's order, duplicates kept."""
    size = reader.length()
    if size > MAX_ATTRIBUTES:
        raise ProtocolError("connect attributes are longer than 64 KiB")
    inner = FieldReader(reader.take(size))
    pairs: list[tuple[str, str]] = []
    while inner.left:
        pairs.append((inner.text(), inner.text()))
    return tuple(pairs)


@dataclass(frozen=True, slots=True)
class AuthSwitch:
    """The server asks for another method, by its own new salt."""

    plugin: str
    content: bytes = b""

    def encode(self) -> bytes:
        return b"\xfe" + fields.string(self.plugin) + self.content

    @classmethod
    def decode(cls, payload: bytes) -> AuthSwitch:
        reader = FieldReader(payload)
        if reader.byte() != 0xFE:
            raise ProtocolError("not a request for another method")
        return cls(reader.string(), reader.rest())


@dataclass(frozen=True, slots=True)
class AuthMoreData:
    """The server goes on with the method that is under way."""

    content: bytes

    def encode(self) -> bytes:
        return b"\x01" + self.content

    @classmethod
    def decode(cls, payload: bytes) -> AuthMoreData:
        reader = FieldReader(payload)
        if reader.byte() != 1:
            raise ProtocolError("not a step of an authentication")
        return cls(reader.rest())


@dataclass(frozen=True, slots=True)
class AuthAnswer:
    """A client's answer to one of these, as it came."""

    content: bytes = field(repr=False)

    def encode(self) -> bytes:
        return self.content

    @property
    def password(self) -> str:
        """What mysql_clear_password sends: the password and a NUL. Raises `ProtocolError`."""
        reader = FieldReader(self.content)
        password = reader.string()
        reader.end()
        return password


LoginMessage = SslRequest | HandshakeResponse | AuthAnswer
