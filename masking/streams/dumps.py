"""Lines that show bytes in other spellings: `xxd`, `hexdump`, `od`, and escapes in text.

Only complete lines of these tools' own layouts, and escapes that stand for one character each.
"""

from __future__ import annotations

import re
from typing import Final

from masking.streams.controls import Reading

DUMP: Final = re.compile(
    r"^(?:[0-9a-f]{6,16}:? {1,8}\S{1,8}(?: |$)|(?: (?:  [!-~]| \\[0-9a-z]|[0-7]{3})){2})",
    re.MULTILINE | re.IGNORECASE,
)
"""A text without a line like this has no dump in it."""

_XXD: Final = re.compile(r"[0-9a-f]{6,16}: ((?:[0-9a-f]{2,16} ){1,64}) +.{1,80}", re.I)
_CANONICAL: Final = re.compile(r"[0-9a-f]{7,16}  ((?:[0-9a-f]{2} {1,2}){1,64}) *\|.{1,80}\|", re.I)
_BYTES: Final = re.compile(r"[0-9a-f]{6,16}((?: {1,2}[0-9a-f]{2}){1,64}) *", re.I)
_WORDS: Final = re.compile(r"[0-9a-f]{7,16}((?: {1,4}[0-9a-f]{4}){1,32}) *", re.I)
_OCTAL: Final = re.compile(r"[0-7]{7,16}((?: [0-7]{6}){1,32}) *")
_OD_CHARACTERS: Final = re.compile(r"(?:[0-7]{7,16})?((?: (?:  .| \\.|[0-7]{3})){1,64}) *")
_OD_ESCAPES: Final = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\0": "\0", "": " "}


_AT_A_LINE: Final = re.compile(DUMP.pattern.replace("^", r"\n").replace("|$", r"|\n"), re.I)


def is_unusual(text: str) -> bool:
    """Whether there may be a dump or an escape in a text."""
    escaped = "\\" in text or "&#" in text or "=3" in text or "=4" in text
    if escaped and ESCAPED.search(text):
        return True
    return _AT_A_LINE.search(text) is not None or DUMP.match(text) is not None


def is_dump(line: str) -> str | None:
    """The text of a dump's line, its bytes as Latin-1; None where the line is none."""
    if not DUMP.match(line) and not line.startswith("       "):
        return None
    if found := _XXD.fullmatch(line) or _CANONICAL.fullmatch(line) or _BYTES.fullmatch(line):
        return _latin(found[1].replace(" ", ""))
    if found := _WORDS.fullmatch(line):
        return _latin("".join(word[2:] + word[:2] for word in found[1].split()))
    if found := _OCTAL.fullmatch(line):
        words = (int(word, 8) & 0xFFFF for word in found[1].split())
        return b"".join(word.to_bytes(2, "little") for word in words).decode("latin-1")
    if found := _OD_CHARACTERS.fullmatch(line):
        cells = found[1]
        return "".join(_od_character(cells[i : i + 4].strip()) for i in range(0, len(cells), 4))
    return None


def _latin(digits: str) -> str:
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1")


def _od_character(cell: str) -> str:
    if len(cell) == 3:
        return chr(int(cell, 8) & 0xFF)
    return _OD_ESCAPES.get(cell, cell[-1:])


_ESCAPE: Final = re.compile(
    r"\\u([0-9a-fA-F]{4}|\{[0-9a-fA-F]{2,6}\})|\\x([0-9a-fA-F]{2})"
    r"|&#([0-9]{2,7});|&#[xX]([0-9a-fA-F]{2,6});|=([0-9A-F]{2})"
)
ESCAPED: Final = re.compile(r"\\[ux][0-9a-fA-F{]|&#|=[2-7][0-9A-F]=[2-7]")
"""A text without one of these has no escapes."""


def unescaped(text: str, start: int) -> Reading | None:
    """A line with its escapes of JSON, C, HTML and quoted-printable read; None without any."""
    if not ESCAPED.search(text):
        return None
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for match in (*_ESCAPE.finditer(text), None):
        last = match.start() if match else len(text)
        characters.append(text[position:last])
        starts += range(start + position, start + last)
        ends += range(start + position + 1, start + last + 1)
        if match is not None:
            characters.append(_character(match))
            starts.append(start + match.start())
            ends.append(start + match.end())
            position = match.end()
    read = "".join(characters)
    return Reading(read, lambda: (starts, ends)) if len(characters) > 1 else None


def _character(match: re.Match[str]) -> str:
    hexadecimal = match[1] or match[2] or match[4] or match[5]
    number = int(hexadecimal.strip("{}"), 16) if hexadecimal else int(match[3])
    return chr(number) if 0x20 <= number < 0xD800 or 0xE000 <= number <= 0x10FFFF else " "
