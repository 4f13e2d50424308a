"""Text for a terminal: what was recorded can not steer it, reorder text or forge lines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""General categories: controls, formats (bidirectional ones too), surrogates, private, unassigned
and line separators. Source: Unicode Standard Annex 44, table 12."""

SHAPELESS: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0100-\U000e01ef\u0334-\u0338\u0488\u0489\u20d0-\u20f0]"
)
"""What counts as printable and can't be seen, or crosses out what can: default-ignorable letters
and marks (Unicode, DerivedCoreProperties), blanks, overlays and enclosing marks."""

_TAB: Final = "    "


def escaped(text: str) -> str:
    """One line of text with everything that a terminal would act on as `\\xNN` or `\\uNNNN`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE and not SHAPELESS.match(character):
        return character
    return (
        character.encode("ascii", "backslashreplace").decode()
        if ord(character) > 0x7F
        else (f"\\x{ord(character):02x}")
    )


def escaped_lines(text: str) -> list[str]:
    """Several lines: split at line feeds, which stay; tabs become spaces."""
    return [escaped(line) for line in text.replace("\r\n", "\n").replace("\t", _TAB).split("\n")]


def width(text: str) -> int:
    """Columns that escaped text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """At most so many columns of escaped text, ending in `…` where some was left out."""
    if width(text) <= columns:
        return text
    kept, used = [], 1
    for character in text:
        used += _character_width(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept) + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns under their names; every cell is escaped text."""
    widths = [max(map(width, column)) for column in zip(head, *rows, strict=True)]
    rule = "-+-".join("-" * w for w in widths)
    return [_table_line(head, widths), rule, *(_table_line(row, widths) for row in rows)]


def _table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (w - width(cell)) for cell, w in zip(cells, widths, strict=True))
    return " | ".join(padded).rstrip()
