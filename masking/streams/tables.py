"""CSV under masks, cell by cell, each with its column's name (RFC 4180)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from masking.scanning import ScanText
from masking.spans import Span, placeholder, substitute
from masking.streams.bounds import Bounds
from masking.streams.controls import CONTROL, is_plain
from masking.streams.decoding import readable
from masking.streams.names import is_hollow, says_secret
from masking.streams.searching import LineStream, Piece, Searches
from masking.streams.walking import BY_NAME, NAMED

_DELIMITERS: Final = ",;\t|"


class _Cell(NamedTuple):
    """Characters `start` to `end` of the held text; `ends_row`: a line break follows."""

    start: int
    end: int
    column: int
    ends_row: bool


class TableStream:
    """Rows as they come. The first one names the columns, and is searched as well.

    A row with more characters than a document may have is none, and is searched as one cell. In a
    cell with controls or undecodable bytes is what shows, and what any line of text would have.
    """

    def __init__(self, searches: Searches, bounds: Bounds) -> None:
        self._searches = searches
        self._bounds = bounds
        self._held = ""
        self._cells: re.Pattern[str] | None = None
        self._names: list[str] | None = None

    @property
    def waiting(self) -> bool:
        """Whether an unfinished row is held back; it has no bound in time."""
        return bool(self._held)

    async def feed(self, text: str) -> list[Piece]:
        """The rows that are complete now."""
        self._held += text
        if self._cells is None and "\n" in self._held:
            self._cells = _cells_of(self._held)
        cells = list(self._complete()) if self._cells else []
        if not cells and len(self._held) > self._bounds.document:
            cells = [_Cell(0, len(self._held), 0, True)]
        return await self._masked(cells)

    async def tick(self, now: float) -> list[Piece]:
        """Nothing: half a row is no row."""
        return []

    async def end(self) -> list[Piece]:
        """The last row, which may have no line break."""
        if self._cells is None:
            self._cells = _cells_of(self._held + "\n")
        return await self._masked([*self._split(self._held)])

    def _complete(self) -> Iterator[_Cell]:
        row: list[_Cell] = []
        for cell in self._split(self._held):
            row.append(cell)
            if cell.ends_row:
                yield from row
                row = []

    def _split(self, text: str) -> Iterator[_Cell]:
        column, position = 0, 0
        while self._cells is not None and position < len(text):
            match = self._cells.match(text, position)
            if match is None:  # a quote without its end
                yield _Cell(position, len(text), column, False)
                return
            yield _Cell(position, match.end(1), column, match[2][-1:] == "\n")
            column = 0 if match[2][-1:] == "\n" else column + 1
            position = match.end()

    async def _masked(self, cells: Sequence[_Cell]) -> list[Piece]:
        if not cells:
            return []
        text = self._held
        values = [_value(text[cell.start : cell.end]) for cell in cells]
        shown = values if is_plain(text) and readable(text) is text else [_shown(v) for v in values]
        if self._names is None:
            last = next((i for i, cell in enumerate(cells) if cell.ends_row), len(cells) - 1)
            self._names = shown[: last + 1]
        columns = [self._name(cell) for cell in cells]
        found = await self._searches.spans(
            [ScanText(v, n if v != n else "") for v, n in zip(shown, columns, strict=True)]
        )
        pieces: list[Piece] = []
        position = 0
        for number, cell in enumerate(cells):
            spans = self._by_name(shown[number], columns[number]) or found[number]
            changed = await self._changed(values[number], shown[number], spans)
            if changed is not None:
                raw = text[cell.start : cell.end]
                pieces.append(Piece(text[position : cell.start]))
                pieces.append(Piece(raw, changed.spans, _written(raw, changed.text)))
                position = cell.end
        end = _row_end(text, cells[-1])
        self._held = text[end:]
        return [*pieces, Piece(text[position:end])]

    async def _changed(self, value: str, shown: str, spans: Sequence[Span]) -> Piece | None:
        """What stands in a value's place, or None where it may stay."""
        if spans and len(value) == len(shown):
            return Piece(value, spans, substitute(value, spans))
        if spans:  # nobody knows where in the value
            return Piece(value, spans, placeholder(spans[0].entity))
        if value == shown:
            return None
        lines = LineStream(self._searches, self._bounds)
        pieces = [*await lines.feed(value), *await lines.end()]
        text = "".join(piece.text for piece in pieces)
        if text == value:
            return None
        return Piece(value, [span for piece in pieces for span in piece.spans], text)

    def _name(self, cell: _Cell) -> str:
        names = self._names or []
        return names[cell.column].strip() if cell.column < len(names) else ""

    def _by_name(self, value: str, name: str) -> list[Span]:
        if value == name or not self._searches.wants(NAMED):
            return []
        if not says_secret(name) or is_hollow(value):
            return []
        return [Span(0, len(value), NAMED, recognizer=BY_NAME)]


def _cells_of(text: str) -> re.Pattern[str]:
    """What matches a cell and what follows it, by the delimiter that the first line has most of."""
    first = text.split("\n", 1)[0]
    delimiter = re.escape(max(_DELIMITERS, key=first.count))
    quoted = rf'"(?:[^"]|"")*+"[^"{delimiter}\r\n]*'
    return re.compile(rf"({quoted}|[^\"{delimiter}\r\n][^{delimiter}\r\n]*|)({delimiter}|\r*\n|\Z)")


def _value(raw: str) -> str:
    stripped = raw.strip(" ")
    if len(stripped) > 1 and stripped[0] == '"' == stripped[-1]:
        return stripped[1:-1].replace('""', '"')
    return raw


def _shown(value: str) -> str:
    return CONTROL.sub("", readable(value))


def _written(raw: str, value: str) -> str:
    quoted = raw.lstrip(" ").startswith('"')
    if quoted or any(c in value for c in '",;\t|\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def _row_end(text: str, last: _Cell) -> int:
    if not last.ends_row:
        return len(text) if last.end >= len(text) else last.end
    return min(len(text), text.find("\n", last.end) + 1 or len(text))
