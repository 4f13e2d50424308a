"""Terminal control sequences (ECMA-48, xterm): what they are, and what a line shows with them.

A line with controls has several readings: what is printed, in order (`Reading.STRIPPED`); each
piece between carriage returns by itself; and what stands there in the end, after backspaces,
overwrites and cursor movements within the line. A value may stand in any of them. Not read:
movements between lines, which can put characters in any order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
"""Characters without a shape of their own (Unicode: Default_Ignorable_Code_Point)."""

_CSI: Final = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
_STRING: Final = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
_SHORT: Final = r"\x1b[ -/]*[0-OQ-WYZ\\`-~]"
_LOST: Final = r"\x1b"

CONTROL: Final = re.compile(
    rf"{_CSI}|{_STRING}|{_SHORT}|{_LOST}|[\x00-\x08\x0b-\x1f\x7f-\x9f{INVISIBLE}]"
)
"""One control: a sequence, a control character, or a character that can't be seen."""

ANY: Final = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{INVISIBLE}]|\r(?!\n)")
"""A line without one of these is what it looks like. A carriage return ends most lines."""

_ORDINARY: Final = bytes((9, 10, *range(0x20, 0x7F)))


def is_plain(text: str) -> bool:
    """Whether all of a text is what it looks like."""
    if text.isascii() and "\r" not in text:
        return not text.encode().translate(None, _ORDINARY)
    return ANY.search(text) is None


UNFINISHED: Final = re.compile(
    r"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)|\x9b[0-?]*[ -/]*)\Z"
)
"""The beginning of a sequence whose end is still to come."""

_HARMLESS: Final = re.compile(r"(?:\x1b\[|\x9b)[?>=!]?[0-9;:]{0,24}[ !\"$']?[@-~]")
_NUMBER: Final = re.compile(r"[0-9]{5}|(?:[0-9][^0-9]*){16}")
_CLIPBOARD: Final = re.compile(r"(?:\x1b\]|\x9d)5[02];?")
_TITLE: Final = re.compile(r"(?:\x1b\]|\x9d)[0-9]{1,4}(?:;|(?=[\x07\x1b\x9c]))")
_LONGEST_TITLE: Final = 2048

_LOOKS: Final = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]{0,24}m|\r?\n")
"""What stays inside a value that goes: colours, which would else never end, and line breaks."""


_Places = tuple[Sequence[int], Sequence[int]]


class Reading:
    """A text, and for each of its characters where it stands in the raw one: from, to.

    The places are worked out when they are asked for: most texts have nothing in them.
    """

    __slots__ = ("_made", "_make", "text")

    def __init__(self, text: str, make: Callable[[], _Places]) -> None:
        self.text = text
        self._make = make
        self._made: _Places | None = None

    @property
    def places(self) -> _Places:
        """Where the characters begin, and where they end."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def starts(self) -> Sequence[int]:
        return self.places[0]

    @property
    def ends(self) -> Sequence[int]:
        return self.places[1]

    def range(self, start: int, end: int) -> tuple[int, int]:
        """The raw characters that make up a part of the text."""
        return min(self.starts[start:end]), max(self.ends[start:end])


def unmoved(text: str, start: int) -> Reading:
    """A text that stands there as it is, from `start` on."""
    last = start + len(text)
    return Reading(text, lambda: (range(start, last), range(start + 1, last + 1)))


def kept(raw: str) -> str:
    """What stays of a masked piece: its colours and line breaks."""
    return "".join(m[0] for m in _LOOKS.finditer(raw))


def harmful(raw: str) -> Iterator[tuple[int, int]]:
    """Sequences that are not passed on: they carry text that nobody can search.

    Those of a device's own (DCS, APC, PM, SOS), the clipboard's, overlong titles, and parameters
    too long to be any. Titles and links stay; their text is searched as any other.
    """
    for match in CONTROL.finditer(raw):
        if len(match[0]) > 2 and not _is_harmless(match[0]):
            yield match.span()


def _is_harmless(sequence: str) -> bool:
    if _TITLE.match(sequence):
        return len(sequence) <= _LONGEST_TITLE and not _CLIPBOARD.match(sequence)
    if sequence[1] in "[" or sequence[0] == "\x9b":
        return bool(_HARMLESS.fullmatch(sequence)) and not _NUMBER.search(sequence)
    return len(sequence) <= 4


_SIMPLE: Final = re.compile(r"\x1b\[(?:[0-9]{1,3};){0,4}[0-9]{0,3}[A-Za-z]")


def coloured(raw: str, start: int) -> Reading | None:
    """A line whose only controls are short and move nothing in it, as most are; else None."""
    text = _SIMPLE.sub("", raw)
    if not is_plain(text) or _MOVES.search(raw):
        return None
    return Reading(text, lambda: _stripped(raw, start, 0, len(raw)).places)


def titles(raw: str, start: int) -> Iterator[Reading]:
    """The texts of titles and links in a line; `start`: where the line begins."""
    for match in CONTROL.finditer(raw):
        title = _TITLE.match(match[0])
        if title:
            first = start + match.start() + title.end()
            yield unmoved(match[0][title.end() :].rstrip("\x07\x1b\\\x9c"), first)


def readings(raw: str, start: int) -> list[Reading]:
    """What a line with controls says, without readings that say the same."""
    stripped = _stripped(raw, start, 0, len(raw))
    found = {stripped.text: stripped}
    if "\r" in raw or "\b" in raw or _MOVES.search(raw):
        for reading in (*_segments(raw, start), _rendered(raw, start)):
            found.setdefault(reading.text, reading)
    return [reading for reading in found.values() if reading.text.strip()]


_WRAPPED: Final = re.compile(r" \r(?!\n)")
"""How line editors make a terminal wrap at its edge: a blank on the next line, and back."""


def _stripped(raw: str, start: int, first: int, last: int) -> Reading:
    def places() -> _Places:
        kept: list[int] = []
        position = first
        for match in _REMOVED.finditer(raw, first, last):
            kept.extend(range(position + start, match.start() + start))
            position = match.end()
        kept.extend(range(position + start, last + start))
        return kept, [place + 1 for place in kept]

    return Reading(_REMOVED.sub("", raw[first:last]), places)


_REMOVED: Final = re.compile(f"{_WRAPPED.pattern}|{CONTROL.pattern}")


def _segments(raw: str, start: int) -> Iterator[Reading]:
    first = 0
    for match in re.finditer(r"\r+", raw):
        yield _stripped(raw, start, first, match.start())
        first = match.end()
    yield _stripped(raw, start, first, len(raw))


_MOVES: Final = re.compile(r"(?:\x1b\[|\x9b)[0-9;]*[CDGKP@X`aj]")
_WIDEST: Final = 4096
"""Columns of the widest terminal; movements beyond it stay there."""

_Cell = tuple[str, int, int]


class _Line:
    """One line of a terminal: cells under a cursor."""

    def __init__(self) -> None:
        self.cells: list[_Cell | None] = []
        self.column = 0

    def put(self, character: str, place: int) -> None:
        self.cells += [None] * (self.column + 1 - len(self.cells))
        under = self.cells[self.column]
        low, high = (under[1], under[2]) if under else (place, place + 1)
        self.cells[self.column] = (character, min(low, place), max(high, place + 1))
        self.column += 1

    def move(self, column: int) -> None:
        self.column = max(0, min(column, _WIDEST))

    def erase(self, first: int, last: int) -> None:
        for index in range(max(0, first), min(last, len(self.cells))):
            self.cells[index] = None


def _rendered(raw: str, start: int) -> Reading:
    line = _Line()
    position = 0
    for match in CONTROL.finditer(raw):
        for place in range(position, match.start()):
            line.put(raw[place], start + place)
        _act(line, match[0])
        position = match.end()
    for place in range(position, len(raw)):
        line.put(raw[place], start + place)
    return _of_cells(line.cells, start)


def _act(line: _Line, control: str) -> None:
    match control[-1]:
        case "\b":
            line.move(line.column - 1)
        case "\r":
            line.move(0)
        case "C" | "a":
            line.move(line.column + _parameter(control))
        case "D" | "j":
            line.move(line.column - _parameter(control))
        case "G" | "`":
            line.move(_parameter(control) - 1)
        case "K" if len(control) > 1:
            _erase(line, control)
        case "X":
            line.erase(line.column, line.column + _parameter(control))
        case "P" if len(control) > 1:
            del line.cells[line.column : line.column + _parameter(control)]
        case "@" if len(control) > 1:
            line.cells[line.column : line.column] = [None] * min(_parameter(control), _WIDEST)
        case _:
            pass


def _erase(line: _Line, control: str) -> None:
    last = len(line.cells)
    match control[-2]:
        case "1":
            line.erase(0, line.column + 1)
        case "2":
            line.erase(0, last)
        case _:
            line.erase(line.column, last)


def _parameter(control: str) -> int:
    digits = re.search(r"([0-9]{1,5})[^0-9]?\Z", control)
    return max(1, int(digits[1])) if digits else 1


def _of_cells(cells: Sequence[_Cell | None], start: int) -> Reading:
    starts: list[int] = []
    ends: list[int] = []
    for cell in cells:
        _, low, high = cell or (" ", starts[-1] if starts else start, start)
        starts.append(low)
        ends.append(high)
    text = "".join(cell[0] if cell else " " for cell in cells)
    return Reading(text, lambda: (starts, ends))
