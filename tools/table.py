"""Rows -> what a model reads and what a program reads, cut together at one bound in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from policies.errors import ProtocolError
from recordings.events import Column, Rows
from recordings.rows import row_codec
from tools.cells import cell_text, json_value
from tools.escaping import visible

MAX_BYTES: Final = 24 * 1024
"""Of text in one answer: clients begin to warn at some 10,000 tokens."""
MAX_CELL: Final = 8 * 1024  # characters


@dataclass(slots=True)
class Table:
    """The rows of one answer. `full`: rows were left out; `shortened`: parts of cells were."""

    columns: tuple[Column, ...] = ()
    lines: list[str] = field(default_factory=list)
    rows: list[list[JsonValue]] = field(default_factory=list)
    size: int = 0
    full: bool = False
    shortened: bool = False

    def add(self, rows: Rows) -> None:
        """Take the rows that fit; a first row that does not is shortened, later ones left out."""
        codec = row_codec(rows.codec)
        if codec is None:
            raise ProtocolError("rows that nobody can read")
        for cells in codec.decode(rows.frames):
            if self.full:
                return
            self._add([_text(*pair) for pair in zip(cells, self.columns, strict=True)])

    def text(self) -> str:
        """Tab-separated lines as COPY writes them: `\\N` for NULL, escapes for tab and newline."""
        return "\n".join(["\t".join(map(_heading, self.columns)), *self.lines])

    def _add(self, cells: Sequence[str | None]) -> None:
        texts = [_short(text, MAX_CELL) for text in cells]
        line = _line(texts)
        if not self.rows and _size(line) > MAX_BYTES:
            texts = [_short(text, MAX_BYTES // (8 * len(cells))) for text in cells]
            line = _line(texts)
        elif self.size + _size(line) > MAX_BYTES:
            self.full = True
            return
        self._keep(line, texts)
        self.shortened |= texts != list(cells)

    def _keep(self, line: str, texts: Sequence[str | None]) -> None:
        self.size += _size(line)
        self.lines.append(line)
        pairs = zip(texts, self.columns, strict=True)
        self.rows.append([None if text is None else json_value(text, c) for text, c in pairs])


def _text(cell: bytes | None, column: Column) -> str | None:
    return None if cell is None else cell_text(cell, column)


def _short(text: str | None, room: int) -> str | None:
    if text is None or len(text) <= room:
        return text
    return f"{text[:room]}…[{len(text) - room} more characters]"


def _line(texts: Sequence[str | None]) -> str:
    return "\t".join("\\N" if text is None else _field(text) for text in texts)


def _field(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return visible(escaped.replace("\t", "\\t").replace("\r", "\\r"))


def _heading(column: Column) -> str:
    masked = f" [masked: {column.masked}]" if column.masked else ""
    return _field(column.name + masked)


def _size(line: str) -> int:
    return len(line.encode()) + 1
