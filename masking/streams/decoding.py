"""Bytes to text and back without loss, and what of it can't be read.

UTF-8 first. Bytes that are none are carried as lone surrogates (PEP 383), so that every byte comes
out as it came in, and are read as Latin-1. UTF-16 is known by its byte order mark, or told.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, Protocol

UNREADABLE: Final = "UNREADABLE"
"""The entity of a line that is no text in any charset, so that nobody can say what is in it."""

_LATIN_1: Final = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BINARY: Final = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f\udc80-\udc9f\ufffd]")

_MOST_BINARY: Final = 3
"""Control characters in bytes that are no UTF-8 either: a file with more of them is no text."""


def readable(raw: str) -> str:
    """The text with as many characters, its undecodable bytes read as Latin-1."""
    if raw.isascii() or not _SURROGATE.search(raw):
        return raw
    return raw.translate(_LATIN_1)


def is_binary(line: str) -> bool:
    """Whether a line is neither UTF-8 nor Latin-1: compressed, encrypted, or a program."""
    if line.isascii() or not _SURROGATE.search(line):
        return False
    return len(_BINARY.findall(line)) > _MOST_BINARY


class Charset(Protocol):
    def text(self, piece: bytes) -> str:
        """What can be read so far; the beginning of a character waits for its end."""
        ...

    def end(self) -> str:
        """What is left when nothing more comes."""
        ...

    def encoded(self, text: str) -> bytes:
        """The same text as bytes again."""
        ...


class Utf8:
    """UTF-8 and whatever else: every byte comes out again."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def text(self, piece: bytes) -> str:
        return self._decoder.decode(piece)

    def end(self) -> str:
        return self._decoder.decode(b"", final=True)

    def encoded(self, text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")


class Utf16:
    """UTF-16 of one byte order; a lone surrogate or half a unit becomes U+FFFD."""

    def __init__(self, order: str) -> None:
        self._name = f"utf-16-{order}"
        self._decoder = codecs.getincrementaldecoder(self._name)("replace")

    def text(self, piece: bytes) -> str:
        return self._decoder.decode(piece)

    def end(self) -> str:
        return self._decoder.decode(b"", final=True)

    def encoded(self, text: str) -> bytes:
        return text.encode(self._name, "replace")


class ByMark:
    """UTF-16 where the stream begins with a byte order mark, else UTF-8."""

    def __init__(self) -> None:
        self._chosen: Charset | None = None
        self._begun = b""

    def text(self, piece: bytes) -> str:
        if self._chosen is None:
            self._begun += piece
            if len(self._begun) < 2 and self._begun in (b"\xff", b"\xfe", b""):
                return ""
            piece, self._begun = self._begun, b""
            self._chosen = _by_mark(piece)
        return self._chosen.text(piece)

    def end(self) -> str:
        if self._chosen is None:
            self._chosen = Utf8()
        begun, self._begun = self._begun, b""
        return self._chosen.text(begun) + self._chosen.end()

    def encoded(self, text: str) -> bytes:
        return (self._chosen or Utf8()).encoded(text)


def _by_mark(piece: bytes) -> Charset:
    if piece.startswith(codecs.BOM_UTF16_LE):
        return Utf16("le")
    return Utf16("be") if piece.startswith(codecs.BOM_UTF16_BE) else Utf8()


def charset(name: str) -> Charset:
    """The charset of a Content-Type; an unknown one is read by its bytes, or not at all."""
    match name.strip().lower().replace("_", "-"):
        case "utf-16le":
            return Utf16("le")
        case "utf-16be":
            return Utf16("be")
        case _:
            return ByMark()
