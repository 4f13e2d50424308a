"""Records as NDJSON, one line a record, with nothing lost.

Format version 1. `body` is text where `body_encoding` is "utf-8", base64 where it is "base64", and
null where it is "none" (there was no body), "deleted" (by retention) or "missing". `rows`, where
the body holds rows (kinds "rows" and "answer"), has each cell as text, as {"base64": …} if it is
not UTF-8, or null for NULL.
`document`, written as canonical JSON again, is what was hashed; see `recordings.chain`.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

import orjson

from recordings.chain import Json
from recordings.rows import Cell
from recordings.sessions import StoredRecord, decoded_rows

FORMAT: Final = "ostiary.recording"
VERSION: Final = 1


async def ndjson(records: AsyncIterable[StoredRecord]) -> AsyncIterator[bytes]:
    """Each record as one line, line feed included."""
    async for record in records:
        yield ndjson_line(record)


def ndjson_line(record: StoredRecord) -> bytes:
    """One record as one line of JSON in UTF-8, line feed included."""
    encoding, body = _body(record)
    line: dict[str, Json] = {
        "format": FORMAT,
        "version": VERSION,
        "stream": record.stream,
        "sequence": record.sequence,
        "at": record.at,
        "time": record.time.isoformat(timespec="microseconds"),
        "session": record.session,
        "kind": record.kind,
        "document": record.document,
        "body_encoding": encoding,
        "body": body,
        "digest": record.digest.hex(),
        "hash": record.hash.hex(),
    }
    rows = decoded_rows(record)
    if rows is not None:
        line["rows"] = [[_cell(cell) for cell in row] for row in rows]
    return orjson.dumps(line, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _body(record: StoredRecord) -> tuple[str, str | None]:
    if record.body is None:
        return ("deleted" if record.body_deleted else "missing"), None
    if not record.body:
        return "none", None
    try:
        return "utf-8", record.body.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(record.body).decode()


def _cell(cell: Cell) -> Json:
    if cell is None:
        return None
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(cell).decode()}
