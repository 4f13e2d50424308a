"""Reads and writes the field types that PostgreSQL's messages are made of. No input or output."""

from __future__ import annotations

import struct
from typing import Final

from policies.errors import ProtocolError

_INT16: Final = struct.Struct("!h")
_UINT16: Final = struct.Struct("!H")
_INT32: Final = struct.Struct("!i")
_UINT32: Final = struct.Struct("!I")


class FieldReader:
    """Takes fields off one message body, front to back; an odd body is a `ProtocolError`."""

    __slots__ = ("_body", "_position")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def take(self, count: int) -> bytes:
        end = self._position + count
        if count < 0 or end > len(self._body):
            raise ProtocolError("a field is longer than its message")
        taken = self._body[self._position : end]
        self._position = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def int16(self) -> int:
        return int(_INT16.unpack(self.take(2))[0])

    def uint16(self) -> int:
        return int(_UINT16.unpack(self.take(2))[0])

    def int32(self) -> int:
        return int(_INT32.unpack(self.take(4))[0])

    def uint32(self) -> int:
        return int(_UINT32.unpack(self.take(4))[0])

    def terminated(self) -> bytes:
        """Bytes up to a NUL, which is taken too."""
        end = self._body.find(b"\0", self._position)
        if end < 0:
            raise ProtocolError("a string has no terminator")
        taken = self._body[self._position : end]
        self._position = end + 1
        return taken

    def string(self) -> str:
        return decode_text(self.terminated())

    def value(self) -> bytes | None:
        """A length and so many bytes; length -1 is NULL."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._position)

    @property
    def left(self) -> int:
        return len(self._body) - self._position

    def end(self) -> None:
        if self.left:
            raise ProtocolError("a message is longer than its fields")


def decode_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a string is not UTF-8") from None


def string(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise ProtocolError("a string can't be written as UTF-8") from None
    return terminated(encoded)


def terminated(content: bytes) -> bytes:
    if b"\0" in content:
        raise ProtocolError("a string contains a NUL")
    return content + b"\0"


def value(content: bytes | None) -> bytes:
    return int32(-1) if content is None else int32(len(content)) + content


def int16(number: int) -> bytes:
    return _INT16.pack(number)


def uint16(number: int) -> bytes:
    try:
        return _UINT16.pack(number)
    except struct.error:
        raise ProtocolError("more fields than a message can count") from None


def int32(number: int) -> bytes:
    return _INT32.pack(number)


def uint32(number: int) -> bytes:
    return _UINT32.pack(number)


def frame(tag: bytes, body: bytes) -> bytes:
    """A message as it goes over the wire: tag, length (its own four bytes included), body."""
    return tag + _INT32.pack(len(body) + 4) + body
