"""A recorded session for a person's terminal. The exact bytes are in the export, not here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from recordings.chain import Json
from recordings.rows import Cell, Row
from recordings.sessions import StoredRecord, decoded_rows
from recordings.text import cut, escaped, escaped_lines, table

Document: TypeAlias = Mapping[str, Json]

MAX_ROWS: Final = 20
MAX_CELL: Final = 60  # columns of the terminal
_INDENT: Final = " " * 10
_GUTTER: Final = _INDENT + "| "
"""Before each line that was recorded, so that no recorded line looks like one of ours."""


@dataclass(slots=True)
class Replay:
    """Tells one session, record by record; it remembers the result that is being told."""

    max_rows: int = MAX_ROWS
    max_cell: int = MAX_CELL
    _names: list[str] = field(default_factory=list)
    _shown: int = 0
    _told: int = 0

    def lines(self, record: StoredRecord) -> Iterator[str]:
        """The record in lines without line ends, safe to print."""
        tell = _TELL.get(record.kind, Replay._anything)
        first, *rest = tell(self, record)
        yield f"{record.time:%H:%M:%S.%f}  {first}"
        yield from rest

    def _opened(self, record: StoredRecord) -> Iterator[str]:
        document = record.document
        who = _mapping(document, "principal")
        yield f"session {escaped(record.session)} on {_word(document, 'target')}"
        yield f"{_INDENT}{record.time:%Y-%m-%d} UTC, over {_word(document, 'channel')}"
        yield f"{_INDENT}{_word(who, 'name')} ({_word(who, 'id')}), by agent {_word(who, 'agent')}"
        if policies := _policies(document):
            yield f"{_INDENT}policies: {', '.join(policies)}"

    def _decision(self, record: StoredRecord) -> Iterator[str]:
        effect = _word(record.document, "effect")
        yield {"deny": "refused", "pending": "waits for approval"}.get(effect, effect) + _asked(
            record
        )
        yield from self._request(record)
        refusal = _mapping(record.document, "refusal")
        if refusal:
            yield f"{_INDENT}{_word(refusal, 'code')} by {_word(refusal, 'policy')}: " + (
                _word(refusal, "reason")
            )
            yield f"{_INDENT}next: {_word(refusal, 'next_step')}"

    def _intent(self, record: StoredRecord) -> Iterator[str]:
        yield "runs" + _asked(record)
        yield from self._request(record)

    def _request(self, record: StoredRecord) -> Iterator[str]:
        yield from _body_lines(record)
        for number, value in enumerate(_items(_mapping(record.document, "action"), "parameters")):
            yield f"{_GUTTER}${number + 1} = {_plain(value)}"
        if policies := _policies(record.document):
            yield f"{_INDENT}policies: {', '.join(policies)}"
        if ticket := _word(record.document, "ticket"):
            yield f"{_INDENT}approval: {ticket}"
        if reason := _word(record.document, "reason"):
            yield f"{_INDENT}reason given: {reason}"

    def _columns(self, record: StoredRecord) -> Iterator[str]:
        columns = [c for c in _items(record.document, "columns") if isinstance(c, Mapping)]
        self._names, self._shown, self._told = [_word(c, "name") for c in columns], 0, 0
        yield f"result of {len(columns)} columns"
        for column in columns:
            if column.get("masked"):
                yield f"{_INDENT}masked: {_word(column, 'name')}: {_word(column, 'masked')}"

    def _rows(self, record: StoredRecord) -> Iterator[str]:
        yield f"rows: {_word(record.document, 'count' if record.kind == 'rows' else 'rows')}"
        rows = decoded_rows(record)
        if rows is None:
            yield f"{_INDENT}({_why_no_body(record)})"
            return
        shown = rows[: max(self.max_rows - self._shown, 0)]
        self._told += len(rows)
        self._shown += len(shown)
        if shown:
            yield from (_GUTTER + line for line in self._table(shown))
        if len(shown) < len(rows):
            yield f"{_INDENT}({len(rows) - len(shown)} more rows are in the recording)"

    def _table(self, rows: list[Row]) -> list[str]:
        columns = max(map(len, rows))
        names = [*self._names, *(f"column {n + 1}" for n in range(len(self._names), columns))]
        cells = [[cut(_cell(c), self.max_cell) for c in row] for row in rows]
        filled = [[*row, *([""] * (len(names) - len(row)))] for row in cells]
        return table([cut(n, self.max_cell) for n in names], filled)

    def _done(self, record: StoredRecord) -> Iterator[str]:
        more = ", more was left unread" if record.document.get("more") else ""
        yield f"target: {_word(record.document, 'tag')}{more}"

    def _failed(self, record: StoredRecord) -> Iterator[str]:
        yield f"target: error {_word(record.document, 'sqlstate')}"
        yield from (_GUTTER + line for line in escaped_lines(_text(record.document, "message")))

    def _outcome(self, record: StoredRecord) -> Iterator[str]:
        document = record.document
        counts = ", ".join(f"{_word(document, k)} {k}" for k in ("rows", "bytes") if k in document)
        yield f"outcome: {_word(document, 'status')} ({counts})"
        masked = _mapping(document, "masked")
        if masked:
            yield f"{_INDENT}masked: " + ", ".join(
                f"{escaped(k)} {_plain(masked[k])}" for k in masked
            )
        by_column = _mapping(document, "masked_columns")
        for name in by_column:
            gone = _mapping(by_column, name)
            yield f"{_INDENT}masked in {escaped(name)}: " + ", ".join(
                f"{escaped(k)} {_plain(gone[k])}" for k in gone
            )

    def _answer(self, record: StoredRecord) -> Iterator[str]:
        """A whole answer: all that would stand in records of its own, were it larger."""
        parts = [self._done(record), self._outcome(record)]
        if "codec" in record.document:
            parts.insert(0, self._rows(record))
        if "columns" in record.document:
            parts.insert(0, self._columns(record))
        indent = ""
        for first, *rest in parts:
            yield indent + first
            yield from rest
            indent = _INDENT

    def _closed(self, record: StoredRecord) -> Iterator[str]:
        yield f"session ended: {_word(record.document, 'end')}"
        for intent in _items(record.document, "intents_without_outcome"):
            yield f"{_INDENT}outcome unknown: {_plain(intent)}"

    def _anything(self, record: StoredRecord) -> Iterator[str]:
        """Any other kind, by its document's members."""
        yield escaped(record.kind)
        for name, value in record.document.items():
            yield f"{_INDENT}{escaped(name)}: {_plain(value)}"
        yield from _body_lines(record)


_TELL: Final[Mapping[str, Callable[[Replay, StoredRecord], Iterator[str]]]] = {
    "session_opened": Replay._opened,
    "decision": Replay._decision,
    "intent": Replay._intent,
    "columns": Replay._columns,
    "rows": Replay._rows,
    "done": Replay._done,
    "failed": Replay._failed,
    "outcome": Replay._outcome,
    "answer": Replay._answer,
    "session_closed": Replay._closed,
}


async def terminal(
    records: AsyncIterable[StoredRecord], *, max_rows: int = MAX_ROWS
) -> AsyncIterator[str]:
    """A session in lines without line ends, safe to print: `max_rows` rows of each result."""
    replay = Replay(max_rows)
    async for record in records:
        for line in replay.lines(record):
            yield line


def _asked(record: StoredRecord) -> str:
    kind = _word(_mapping(record.document, "action"), "kind")
    return f": {kind}" if kind else ""


def _body_lines(record: StoredRecord) -> Iterator[str]:
    if record.body is None:
        yield f"{_INDENT}({_why_no_body(record)})"
    elif record.body:
        text = record.body.decode("utf-8", "backslashreplace")
        yield from (_GUTTER + line for line in escaped_lines(text))


def _why_no_body(record: StoredRecord) -> str:
    if record.body is not None:
        return f"{len(record.body)} bytes that can't be read as rows"
    return "deleted by retention" if record.body_deleted else "the body is missing"


def _cell(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    try:
        return escaped(cell.decode())
    except UnicodeDecodeError:
        return "\\x" + cell.hex()


def _policies(document: Document) -> list[str]:
    questions = [q for q in _items(document, "questions") if isinstance(q, Mapping)]
    named = {_plain(p): None for q in questions for p in _items(q, "policies")}
    return list(named)


def _mapping(document: Document, name: str) -> Document:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _items(document: Document, name: str) -> list[Json]:
    value = document.get(name)
    return list(value) if isinstance(value, list | tuple) else []


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _word(document: Document, name: str) -> str:
    value = document.get(name)
    return "" if value is None else _plain(value)


def _plain(value: Json) -> str:
    if isinstance(value, str):
        return escaped(value)
    return escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
