"""Rows as PostgreSQL's COPY sends them: one CopyData message a row, its line as text or CSV.

A codec is named after all that its layout depends on, so that a recording can be read by the name.
Source: PostgreSQL 18, "File Formats" under COPY, and what its src/backend/commands/copyto.c writes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from policies.errors import ProtocolError
from policies.sql.copied import CopyLayout
from recordings.cuts import Cell, Cut, wrong_width

Row = list[Cell]


class Lines(NamedTuple):
    """A line without its end -> cells, and back; and fields as they are written, and back.

    `fields` does not look into values: what COPY does not write may pass there. `bare`: whether
    each field of the line is its value, by a glance.
    """

    cells: Callable[[bytes], Row]
    line: Callable[[Sequence[Cell]], bytes]
    fields: Callable[[bytes], list[bytes]]
    value: Callable[[bytes], Cell]
    bare: Callable[[bytes], bool]
    spliced: Callable[[list[bytes], Sequence[tuple[int, Cell]]], bytes]


PREFIX: Final = "postgres-copy"
_HEADER: Final = struct.Struct(">ci")  # type, length without the type byte
_ESCAPES: Final = {b"\b": b"b", b"\f": b"f", b"\n": b"n", b"\r": b"r", b"\t": b"t", b"\v": b"v"}
_ESCAPE: Final = re.compile(rb"\\(.?)", re.DOTALL)
_END_OF_COPY: Final = rb"\."
"""Alone on a line it once ended a COPY, so CSV quotes it there."""
_CONTROLS: Final = {letter: control for control, letter in _ESCAPES.items()}


def codec_name(layout: CopyLayout) -> str:
    """All of the layout: "postgres-copy:csv:2c::22:22:" has its signs in hexadecimal."""
    signs = (layout.delimiter, layout.null, layout.quote, layout.escape)
    written = (sign.encode().hex() for sign in signs)
    return ":".join((PREFIX, layout.format, *written, "quoted" if layout.quoted else ""))


def layout_named(name: str) -> CopyLayout | None:
    """The inverse of `codec_name`; None for any other name."""
    match name.split(":"):
        case [kind, ("text" | "csv") as format_, *signs, quoted] if kind == PREFIX:
            try:
                delimiter, null, quote, escape = (bytes.fromhex(s).decode() for s in signs)
            except ValueError:
                return None
            layout = CopyLayout(format_, delimiter, null, quote, escape, quoted == "quoted")
            return layout if codec_name(layout) == name else None
        case _:
            return None


@lru_cache(maxsize=64)
def lines_of(layout: CopyLayout) -> Lines:
    """How lines in this layout are read and written."""
    if layout.format == "text":
        text = _Text.of(layout)
        return Lines(text.cells, text.line, text.fields, text.value, text.bare, text.spliced)
    csv = _Csv.of(layout)
    return Lines(csv.cells, csv.line, csv.fields, csv.value, csv.bare, csv.spliced)


def decode(layout: CopyLayout, frames: bytes) -> list[Row]:
    """Cells of CopyData messages; `None` is NULL. Raises `ProtocolError`."""
    cells = lines_of(layout).cells
    return [cells(frames[start + 5 : end - 1]) for start, end in _lines(frames)]


def encode(layout: CopyLayout, rows: Sequence[Sequence[Cell]]) -> bytes:
    """CopyData messages as the server would write them. Raises `ProtocolError`."""
    line = lines_of(layout).line
    return b"".join(_frame(line(row)) for row in rows)


def cut(layout: CopyLayout, frames: bytes, width: int, wanted: Sequence[int]) -> Cut:
    """The cells of the wanted columns of `width`; `wanted` rises.

    Raises `ProtocolError` for anything but whole lines, `MaskingFailed` for another width.
    """
    lines = lines_of(layout)
    fields_of, value, bare = lines.fields, lines.value, lines.bare
    found = Cut(frames, width, wanted, columns=[[] for _ in wanted])
    pairs = list(zip(wanted, found.columns, strict=True))
    for start, end in _lines(frames):
        line = frames[start + 5 : end - 1]
        fields = fields_of(line)
        if len(fields) != width:
            raise wrong_width()
        found.starts.append(start)
        if bare(line):
            for number, column in pairs:
                column.append(fields[number])
        else:
            for number, column in pairs:
                column.append(value(fields[number]))
    return found


def splice(layout: CopyLayout, cut: Cut, changed: Sequence[int]) -> bytes:
    """The messages with the cut's cells in these rows (rising). Raises `ProtocolError`."""
    lines, frames, kept = lines_of(layout), cut.frames, 0
    ends = [*cut.starts[1:], len(frames)]
    pieces = []
    pairs = list(zip(cut.wanted, cut.columns, strict=True))
    for row in changed:
        start, end = cut.starts[row], ends[row]
        cells = [(number, column[row]) for number, column in pairs]
        fields = lines.fields(frames[start + 5 : end - 1])
        pieces += [frames[kept:start], _frame(lines.spliced(fields, cells))]
        kept = end
    return b"".join([*pieces, frames[kept:]])


def names_line(layout: CopyLayout, names: Sequence[str]) -> bytes:
    """The message that HEADER puts before the rows."""
    plain = CopyLayout(layout.format, layout.delimiter, layout.null, layout.quote, layout.escape)
    return encode(plain, [[name.encode() for name in names]])


def _frame(line: bytes) -> bytes:
    try:
        return _HEADER.pack(b"d", len(line) + 5) + line + b"\n"
    except struct.error:
        raise ProtocolError("a row is too large") from None


def _lines(frames: bytes) -> Iterator[tuple[int, int]]:
    """Where each message begins and ends."""
    position = 0
    while position < len(frames):
        if len(frames) - position < _HEADER.size:
            raise ProtocolError("a row is cut short")
        kind, length = _HEADER.unpack_from(frames, position)
        end = position + 1 + length
        if kind != b"d" or length < 5 or end > len(frames) or frames[end - 1] != 0x0A:
            raise ProtocolError("not a whole line of COPY")
        yield position, end
        position = end


@dataclass(frozen=True, slots=True)
class _Text:
    """`edges`: delimiters, and escapes, which may hold one. `special`: what is escaped."""

    delimiter: bytes
    null: bytes
    edges: re.Pattern[bytes]
    special: re.Pattern[bytes]

    @classmethod
    def of(cls, layout: CopyLayout) -> _Text:
        delimiter = layout.delimiter.encode()
        sign = re.escape(delimiter)
        edges = re.compile(rb"\\.|" + sign, re.DOTALL)
        return cls(delimiter, layout.null.encode(), edges, _any(rb"\x08-\x0d\\" + sign))

    def cells(self, line: bytes) -> Row:
        return [self.value(field) for field in self.fields(line)]

    def fields(self, line: bytes) -> list[bytes]:
        if b"\n" in line:
            raise ProtocolError("a line of COPY has an end inside")
        if self.delimiter == b"\t" or b"\\" not in line:
            return line.split(self.delimiter)  # a tab of a value's own is written with a letter
        found = self.edges.finditer(line)
        cuts = [edge.start() for edge in found if edge[0] == self.delimiter]
        starts = [0, *(cut + 1 for cut in cuts)]
        return [line[a:b] for a, b in zip(starts, [*cuts, len(line)], strict=True)]

    def value(self, field: bytes) -> Cell:
        if field == self.null:
            return None
        return _ESCAPE.sub(self._character, field) if b"\\" in field else field

    def _character(self, escape: re.Match[bytes]) -> bytes:
        if escape[1] in _CONTROLS:
            return _CONTROLS[escape[1]]
        if escape[1] and escape[1] in (b"\\", self.delimiter):
            return escape[1]
        raise ProtocolError("an escape that COPY does not write")

    def line(self, row: Sequence[Cell]) -> bytes:
        return self.delimiter.join(map(self._field, row))

    def bare(self, line: bytes) -> bool:
        return b"\\" not in line and b"\\" in self.null

    def spliced(self, fields: list[bytes], cells: Sequence[tuple[int, Cell]]) -> bytes:
        for number, cell in cells:
            if cell != fields[number] or b"\\" in fields[number]:
                fields[number] = self._field(cell)
        return self.delimiter.join(fields)

    def _field(self, cell: Cell) -> bytes:
        return self.null if cell is None else self.special.sub(_escaped, cell)


def _escaped(sign: re.Match[bytes]) -> bytes:
    return b"\\" + _ESCAPES.get(sign[0], sign[0])


@dataclass(frozen=True, slots=True)
class _Csv:
    """`special`: what makes a value stand in quotes. `doubled`: what is escaped in them."""

    delimiter: bytes
    null: bytes
    quote: bytes
    escape: bytes
    quoted: bool
    inside: re.Pattern[bytes]
    special: re.Pattern[bytes]
    doubled: re.Pattern[bytes]
    escaped: re.Pattern[bytes]

    @classmethod
    def of(cls, layout: CopyLayout) -> _Csv:
        signs = (layout.delimiter, layout.null, layout.quote, layout.escape)
        delimiter, null, quote, escape = (sign.encode() for sign in signs)
        sign, before, both = re.escape(quote), re.escape(escape), re.escape(quote + escape)
        inside = sign + b"((?:[^" + both + b"]++|" + before + b"[" + both + b"])*+)" + sign
        return cls(
            *(delimiter, null, quote, escape, layout.quoted),
            inside=re.compile(inside, re.DOTALL),
            special=_any(b"\n\r" + re.escape(delimiter) + sign),
            doubled=_any(both),
            escaped=re.compile(before + b"(.)", re.DOTALL),
        )

    def cells(self, line: bytes) -> Row:
        return [self.value(field) for field in self.fields(line)]

    def fields(self, line: bytes) -> list[bytes]:
        if self.quote not in line:
            if b"\n" in line:
                raise ProtocolError("a line of COPY has an end inside")
            return line.split(self.delimiter)
        fields = []
        position = -1
        while position < len(line):
            start = position + 1
            position = self._end(line, start)
            fields.append(line[start:position])
        return fields

    def value(self, field: bytes) -> Cell:
        """What `fields` found: in quotes from end to end, or not at all."""
        if field[:1] != self.quote:
            return self._plain(field)
        return self.escaped.sub(rb"\1", field[1:-1])

    def _plain(self, field: bytes) -> Cell:
        if self.special.search(field):
            raise ProtocolError("a value of CSV should have been quoted")
        return None if field == self.null else field

    def _end(self, line: bytes, start: int) -> int:
        """Where the field ends that begins here: at a delimiter or with the line."""
        if line[start : start + 1] != self.quote:
            end = line.find(self.delimiter, start)
            return len(line) if end < 0 else end
        inside = self.inside.match(line, start)
        end = inside.end() if inside else 0
        if inside is None or (end < len(line) and line[end : end + 1] != self.delimiter):
            raise ProtocolError("a quoted value of CSV does not end")
        return end

    def line(self, row: Sequence[Cell]) -> bytes:
        if len(row) == 1 and row[0] == _END_OF_COPY:
            return self._in_quotes(_END_OF_COPY)
        return self.delimiter.join(map(self._field, row))

    def bare(self, line: bytes) -> bool:
        return False  # a field is looked at for what should have been quoted

    def spliced(self, fields: list[bytes], cells: Sequence[tuple[int, Cell]]) -> bytes:
        if len(fields) == 1 and cells:
            return self.line([cells[0][1]])
        for number, cell in cells:
            fields[number] = self._field(cell)
        return self.delimiter.join(fields)

    def _field(self, cell: Cell) -> bytes:
        if cell is None:
            return self.null
        bare = cell != self.null and not self.quoted
        return cell if bare and not self.special.search(cell) else self._in_quotes(cell)

    def _in_quotes(self, cell: bytes) -> bytes:
        return self.quote + self.doubled.sub(self._behind_escape, cell) + self.quote

    def _behind_escape(self, sign: re.Match[bytes]) -> bytes:
        return self.escape + sign[0]


def _any(signs: bytes) -> re.Pattern[bytes]:
    return re.compile(b"[" + signs + b"]")
