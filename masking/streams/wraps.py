"""Which lines may be pieces of one: a terminal, `fold` or a mail program has wrapped it.

Where the terminal's width is known, a line is wrapped where it fills it. Else it is taken for
wrapped where the next one is not longer and it is as long as a neighbour or the longest of the
last few, unless the next one begins as an entry of its own does; between two digits any line may
be. That is a guess towards joining: lines that were never one are only searched once more, and
only what spans their break counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from masking.streams.dumps import is_dump

NARROW: Final = 2
"""Columns: lines of so few characters are a spelled text, with its blanks as lines too."""

SPELLED: Final = 8
"""Narrow lines that make a spelled text: no value that is looked for has fewer characters."""

_REMEMBERED: Final = 8  # lines whose widths tell how wide the terminal may be

_LIKELY: Final = 20
"""Columns that make one line, longer than all of the last few, look like a full one."""

_JOINS: Final = frozenset("+/=_@%.-:$*#&!~^")
_ENTRY: Final = re.compile(
    r"[A-Za-z_][\w./-]{0,63}\s{0,3}(?::(?=\s|\Z)|=(?=[^=\s]))"
    r"|[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}|[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:"
)
"""`name: value`, `NAME=value`, or a time stamp."""


def width(shown: str) -> int:
    """Columns on a terminal (Unicode Annex 11)."""
    return len(shown) if shown.isascii() else sum(map(_columns, shown))


def _widths(lines: Sequence[str]) -> Iterable[int]:
    return map(len, lines) if all(map(str.isascii, lines)) else map(width, lines)


def _but_last(widths: Sequence[int]) -> Iterable[tuple[int, int]]:
    return enumerate(widths[:-1])


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _in_value(character: str) -> bool:
    return character.isalnum() or character in _JOINS


class Widths:
    """What is known of the width that lines are wrapped at; it learns from the lines it is shown.

    `columns`: the terminal's width, or 0 where nobody knows.
    """

    def __init__(self, columns: int = 0) -> None:
        self.columns = columns
        self._last: tuple[int, ...] = ()

    def may_go_on(self, shown: str) -> bool:
        """Whether the line after this one may be its other half."""
        if self.columns:
            return bool(shown) and width(shown) >= self.columns - 1
        return bool(shown) and (
            len(shown) <= NARROW or _in_value(shown[-1]) or is_dump(shown) is not None
        )

    def joins(self, lines: Sequence[str]) -> list[bool]:
        """For each line but the last, whether it and the next may be pieces of one."""
        widths = [*self._last, *_widths(lines)]
        before = len(self._last)
        if self.columns:
            return [w >= self.columns - 1 and bool(lines[i]) for i, w in _but_last(widths[before:])]
        found = [False] * max(0, len(lines) - 1)
        for index in range(len(found)):
            found[index] = self._joined(widths, before + index, lines[index], lines[index + 1])
        return found

    def _joined(self, widths: Sequence[int], index: int, line: str, following: str) -> bool:
        if not line or not following:
            return False
        last, first = line[-1], following[0]
        if last.isdecimal() and first.isdecimal() and is_dump(line) is None:
            return not _ENTRY.match(following)
        if widths[index] < widths[index + 1]:
            return False
        if widths[index] <= NARROW:
            return True
        if self._fills(widths, index) and _in_value(last) and _in_value(first):
            return not _ENTRY.match(following)
        return is_dump(line) is not None and is_dump(following) is not None

    def _fills(self, widths: Sequence[int], index: int) -> bool:
        here = widths[index]
        last = widths[max(0, index - _REMEMBERED) : index]
        if here == widths[index + 1] or (last and here == last[-1]):
            return True
        return here >= max(last, default=0) and (here >= _LIKELY or here in last)

    def passed(self, lines: Sequence[str]) -> None:
        """These lines are over."""
        last = (*self._last, *map(width, lines[-_REMEMBERED:]))
        self._last = last[-_REMEMBERED:]
