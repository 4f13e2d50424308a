"""A client of MySQL's protocol that says what no real one would, written apart from the codec."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from typing import Final, Self

from tests.e2e.world import World

FOUND_ROWS: Final = 2
COMPRESS: Final = 1 << 5
LOCAL_FILES: Final = 1 << 7
SSL: Final = 1 << 11
MULTI_STATEMENTS: Final = 1 << 16
CONNECT_ATTRS: Final = 1 << 20
QUERY_ATTRIBUTES: Final = 1 << 27
PLAIN: Final = 1 | 8 | 512 | 8192 | (1 << 15) | (1 << 17) | (1 << 18) | (1 << 19)
DEPRECATE_EOF: Final = 1 << 24
UTF8MB4: Final = 45


@dataclass(slots=True)
class Raw:
    """One connection; `greeting` is the first payload."""

    connection: socket.socket
    greeting: bytes = b""
    sequence: int = 0
    received: bytearray = field(default_factory=bytearray)

    @classmethod
    def open(cls, port: int) -> Self:
        made = cls(socket.create_connection(("127.0.0.1", port), timeout=15))
        made.greeting = made.read()
        return made

    def close(self) -> None:
        self.connection.close()

    @property
    def offered(self) -> int:
        after = self.greeting.index(b"\0", 1) + 1 + 4 + 9
        low, _, _, high = struct.unpack_from("<HBHH", self.greeting, after)
        return int(low | high << 16)

    def read(self) -> bytes:
        """One payload; empty where the connection has ended."""
        header = self._take(4)
        if len(header) < 4:
            return b""
        self.sequence = header[3] + 1 & 0xFF
        return self._take(int.from_bytes(header[:3], "little"))

    def _take(self, count: int) -> bytes:
        while len(self.received) < count:
            try:
                more = self.connection.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return b""
            self.received += more
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken

    def write(self, payload: bytes, sequence: int | None = None) -> None:
        number = self.sequence if sequence is None else sequence
        header = len(payload).to_bytes(3, "little") + bytes((number & 0xFF,))
        self.connection.sendall(header + payload)

    def command(self, payload: bytes) -> bytes:
        """The first packet of the answer."""
        self.write(payload, 0)
        return self.read()

    def query(self, text: str | bytes) -> bytes:
        return self.command(b"\x03" + (text if isinstance(text, bytes) else text.encode()))

    def rest(self) -> list[bytes]:
        """What follows a count of columns, up to the end of rows or an error (without EOFs)."""
        found: list[bytes] = []
        while payload := self.read():
            found.append(payload)
            if payload[0] == 0xFF or (payload[0] == 0xFE and len(payload) < 0xFFFFFF):
                break
        return found

    def say_who(self, flags: int, user: str, database: str, *, charset: int = UTF8MB4) -> bytes:
        """The login; what the server says to it."""
        head = struct.pack("<IIB", flags, 1 << 24, charset) + bytes(23)
        named = database.encode() + b"\0" if flags & 8 else b""
        attributes = b"\x00" if flags & CONNECT_ATTRS else b""
        plugin = b"mysql_native_password\0"
        self.write(head + user.encode() + b"\0\0" + named + plugin + attributes)
        return self.read()


def logged_in(
    here: World,
    flags: int = PLAIN | DEPRECATE_EOF,
    account: str = "rita",
    database: str = "stock-prod",
) -> Raw:
    raw = Raw.open(here.listener)
    switch = raw.say_who(flags, "somebody", database)
    assert switch.startswith(b"\xfemysql_clear_password\0"), switch
    raw.write(here.token(account).encode() + b"\0")
    answer = raw.read()
    assert answer[:1] == b"\0", answer
    return raw


def code(payload: bytes) -> int:
    """The number of an error; 0 for what is none."""
    return int.from_bytes(payload[1:3], "little") if payload[:1] == b"\xff" else 0
