"""Text inside a text: percent-encoded, escaped, in base64 or hexadecimal; numbers over two lines.

Only the standard library: the gateway's own process asks whether there is any. What is looked for
in it is `masking.recognizers.encoded`'s.

Left out, because it is unbounded or no text: an encoding in an encoding, compressed and binary
data, tokens that hold fewer than twelve ASCII characters in a row.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

# The base64 of printable ASCII: the first character of four is that of a byte from 0x20 to 0x7F,
# the second and third have the zero bit of the second and third byte in them (RFC 4648).
_FOUR: Final = r"[I-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_\-]"
_HEX_DIGIT: Final = "[0-9A-Fa-f]"

BASE64_TEXT: Final = rf"(?:{_FOUR}){{3}}"
HEX_TEXT: Final = rf"(?:[2-7]{_HEX_DIGIT}){{12}}"
PERCENT_TEXT: Final = r"%(?:2[0-9B-Fb-f]|3[0-9A-Da-d]|40|5[BDbd]|7[BDbd])"
BROKEN_NUMBER: Final = (
    r"[0-9]{2}[ \-.)]\r?\n ?[0-9(][0-9]"
    r"|[0-9]{4}\r?\n[0-9]{4}[ \-][0-9]{4}"
    r"|[ \-][0-9]{4}\r?\n[0-9]{4}"
)
ESCAPED_TEXT: Final = r"\\(?:[nrt][0-9+(A-Z]|u00[2-7][0-9A-Fa-f])"
NECESSARY: Final = (BASE64_TEXT, HEX_TEXT, PERCENT_TEXT, ESCAPED_TEXT, BROKEN_NUMBER)
"""Patterns without which a text has none inside. Digits, signs and a space (%20) alone are none."""

_ANY: Final = re.compile("|".join(f"(?:{pattern})" for pattern in NECESSARY))

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-]{12,}(?:\r?\n[A-Za-z0-9+/]{60,})*={0,2}")
_BASE64_SIGN: Final = re.compile(BASE64_TEXT)
_HEX: Final = re.compile(rf"(?:{_HEX_DIGIT}{{2}}){{12,}}")
_HEX_SIGN: Final = re.compile(HEX_TEXT)
_PERCENT: Final = re.compile(PERCENT_TEXT)
_ESCAPES: Final = re.compile(rf"(?:%{_HEX_DIGIT}{{2}})+")
_ESCAPE: Final = re.compile(r"\\(?:[nrt](?=[0-9+(A-Z])|u00[2-7][0-9A-Fa-f])")
_BREAK: Final = re.compile(
    r"(?<=[0-9]{2}[ \-.)])\r?\n ?(?=[0-9(][0-9])"
    r"|(?<=[0-9]{4})\r?\n(?=[0-9]{4}[ \-][0-9]{4}(?![0-9]))"
    r"|(?<=[ \-][0-9]{4})\r?\n(?=[0-9]{4}(?![0-9]))"
)
_LONGEST_NUMBER: Final = 24
"""Characters. A number has one line break in it: a column of numbers is not one long number."""

_MOSTLY: Final = 0.9
"""So much of a token must be printable: encoded text is, and other bytes seldom are."""


def may_hold_encoded(text: str) -> bool:
    return _ANY.search(text) is not None


@dataclass(frozen=True, slots=True)
class View:
    """A text that differs from the original in some places.

    `places` says where each character stands in the original, and the end; `steps` are the places
    in this text behind which it has just differed.
    """

    original: str
    text: str
    places: Sequence[int]
    steps: Sequence[int]

    def differs(self, start: int, end: int) -> bool:
        """Whether these characters of the view are not to be found in the original as they are."""
        step = bisect_left(self.steps, start)
        if step < len(self.steps) and self.steps[step] < end:
            return True
        return self.original[self.places[start] : self.places[end]] != self.text[start:end]


@dataclass(frozen=True, slots=True)
class Token:
    """Characters `start` to `end` of a text, decoded."""

    start: int
    end: int
    text: str


def views(text: str) -> Iterator[View]:
    """The text decoded (RFC 3986, section 2.1; RFC 8259, section 7), and its numbers unbroken.

    In JSON's own text a letter stands before what begins a line: `"\\n4111111111111111"`.
    """
    if _PERCENT.search(text):
        yield _rewritten(text, _ESCAPES, _unquoted)
    if _ESCAPE.search(text):
        yield _rewritten(text, _ESCAPE, _unescaped)
    if _BREAK.search(text):
        yield _rewritten(text, _BREAK, lambda _: "", apart=_LONGEST_NUMBER)


def tokens(text: str) -> Iterator[Token]:
    """What is text in base64, of both alphabets, and in hexadecimal (RFC 4648)."""
    yield from _decodable(text, _BASE64, _BASE64_SIGN, _from_base64)
    yield from _decodable(text, _HEX, _HEX_SIGN, bytes.fromhex)


def _unquoted(escapes: str) -> str:
    try:
        return unquote_to_bytes(escapes).decode()
    except UnicodeDecodeError:
        return escapes


def _unescaped(escape: str) -> str:
    return chr(int(escape[2:], 16)) if escape.startswith("\\u") else "\n"


def _rewritten(
    text: str, pattern: re.Pattern[str], write: Callable[[str], str], *, apart: int = 0
) -> View:
    """Every match written anew, but for those that are not so many characters apart."""
    pieces: list[str] = []
    places: list[int] = []
    steps: list[int] = []
    position = 0
    for match in pattern.finditer(text):
        if position and match.start() - position < apart:
            continue
        pieces.append(text[position : match.start()])
        places += range(position, match.start())
        written = write(match[0])
        pieces.append(written)
        length = match.end() - match.start()
        places += (match.start() + n * length // len(written) for n in range(len(written)))
        steps += [len(places)] if written != match[0] else []
        position = match.end()
    pieces.append(text[position:])
    places += range(position, len(text) + 1)
    return View(text, "".join(pieces), places, steps)


def _decodable(
    text: str, token: re.Pattern[str], sign: re.Pattern[str], decode: Callable[[str], bytes]
) -> Iterator[Token]:
    for match in token.finditer(text):
        decoded = _decoded(match[0], decode) if sign.search(match[0]) else None
        if decoded is not None:
            yield Token(match.start(), match.end(), decoded)


def _decoded(token: str, decode: Callable[[str], bytes]) -> str | None:
    """The text of a token; None where it is no text."""
    try:
        text = decode(token).decode()
    except ValueError:  # not that encoding, or no UTF-8
        return None
    printable = sum(c.isprintable() or c in "\t\r\n" for c in text)
    return text if printable >= _MOSTLY * len(text) else None


_PLAIN: Final = str.maketrans("-_", "+/", "=\r\n")


def _from_base64(token: str) -> bytes:
    """With padding or without; one character more than four can hold is no part of it."""
    plain = token.translate(_PLAIN)
    plain = plain[: len(plain) - 1] if len(plain) % 4 == 1 else plain
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
