"""Reads and writes the field types that MySQL's messages are made of. No input or output.

Source: MySQL's protocol documentation, "Protocol::Integer" and "Protocol::String" types.
"""

from __future__ import annotations

from typing import Final

from policies.errors import ProtocolError

NULL: Final = 0xFB
"""Stands for a length where a value may be NULL."""
_WIDTHS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}


class NotText(ProtocolError):
    """Bytes where a text was expected, which are no UTF-8."""


class FieldReader:
    """Takes fields off one payload, front to back; an odd one is a `ProtocolError`."""

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

    def number(self, width: int) -> int:
        """An unsigned integer of so many bytes, the low one first."""
        return int.from_bytes(self.take(width), "little")

    def byte(self) -> int:
        return self.number(1)

    def length(self) -> int:
        """An integer of the length that its first byte tells; NULL is none."""
        first = self.byte()
        if first < NULL:
            return first
        width = _WIDTHS.get(first)
        if width is None:
            raise ProtocolError("not a length")
        return self.number(width)

    def counted(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.length())

    def text(self) -> str:
        """A text behind its length."""
        return decode_text(self.counted())

    def terminated(self) -> bytes:
        """Bytes up to a NUL, which is taken too."""
        end = self._body.find(b"\0", self._position)
        if end < 0:
            raise ProtocolError("a string has no terminator")
        taken = self._body[self._position : end]
        self._position = end + 1
        return taken

    def string(self) -> str:
        """A text up to a NUL, which is taken too."""
        return decode_text(self.terminated())

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
        raise NotText("a string is not UTF-8") from None


def encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ProtocolError("a string can't be written as UTF-8") from None


def number(value: int, width: int) -> bytes:
    """An unsigned integer in so many bytes, the low one first."""
    if value < 0 or value >> 8 * width:
        raise ProtocolError("a number is larger than its field")
    return value.to_bytes(width, "little")


def length(value: int) -> bytes:
    """An integer in as few bytes as it can have behind the one that tells how many."""
    if value < NULL:
        return number(value, 1)
    if value < 1 << 16:
        return b"\xfc" + number(value, 2)
    if value < 1 << 24:
        return b"\xfd" + number(value, 3)
    return b"\xfe" + number(value, 8)


def counted(content: bytes) -> bytes:
    return length(len(content)) + content


def text(content: str) -> bytes:
    return counted(encode_text(content))


def string(content: str) -> bytes:
    return terminated(encode_text(content))


def terminated(content: bytes) -> bytes:
    if b"\0" in content:
        raise ProtocolError("a string contains a NUL")
    return content + b"\0"
