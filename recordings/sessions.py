"""Reading what was recorded: the list of sessions, and one session's records in causal order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
import orjson

from policies.errors import BackendUnavailable, ProtocolError
from recordings.chain import Json
from recordings.rows import Row, row_codec
from recordings.store import STORE_ERRORS, Store

_AT_ONCE: Final = 64  # rows; a body can have 64 KiB and more
_MAX_SESSIONS: Final = 1000

_OPENED: Final = """
SELECT at, session, document FROM records
WHERE kind = 'session_opened' AND at < $1
ORDER BY at DESC LIMIT $2
"""

# A quotation mark inside a JSON text is escaped, so this finds the member itself and nothing else.
_COUNTS: Final = """
SELECT session,
    count(*) FILTER (WHERE kind = 'intent' AND document NOT LIKE '%"action":{"kind":"Connect"}%')
        AS statements,
    count(*) FILTER (WHERE kind = 'decision' AND document LIKE '%"effect":"deny"%') AS refused,
    (array_agg(at ORDER BY at) FILTER (WHERE kind = 'session_closed'))[1] AS closed,
    (array_agg(document ORDER BY at) FILTER (WHERE kind = 'session_closed'))[1] AS ending
FROM records WHERE session = ANY($1) GROUP BY session
"""

_REQUESTS: Final = """
SELECT r.*, b.body, b.deleted_at
FROM records r LEFT JOIN bodies b ON b.stream = r.stream AND b.sequence = r.sequence
WHERE r.session = $1 AND r.kind = ANY($2)
ORDER BY r.at DESC, r.stream DESC, r.sequence DESC LIMIT $3
"""

_READ: Final = """
SELECT r.*, b.body, b.deleted_at
FROM records r LEFT JOIN bodies b ON b.stream = r.stream AND b.sequence = r.sequence
WHERE r.session = $1 AND (r.at, r.stream, r.sequence) > ($2, $3, $4)
ORDER BY r.at, r.stream, r.sequence LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of the list. `closed` is `None`, and `end` empty, while it is open."""

    id: str
    principal: str
    agent: str
    target: str
    channel: str
    opened: datetime
    closed: datetime | None
    end: str
    statements: int
    refused: int


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions to list; an empty text is any. `before` is for the next page."""

    principal: str = ""
    target: str = ""
    before: datetime | None = None


ALL_SESSIONS: Final = SessionFilter()


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is kept. `body` is `None` where retention, or somebody, has deleted it.

    `at` is in microseconds since 1970 by the store's clock.
    """

    stream: int
    sequence: int
    at: int
    session: str
    kind: str
    document: Mapping[str, Json]
    body: bytes | None
    body_deleted: bool
    digest: bytes
    hash: bytes

    @property
    def time(self) -> datetime:
        return when(self.at)


def when(at: int) -> datetime:
    """Microseconds since 1970 as a time in UTC, exactly."""
    seconds, microseconds = divmod(at, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def decoded_rows(record: StoredRecord) -> list[Row] | None:
    """The rows that a record holds; `None` where it holds none that can be read."""
    codec = row_codec(str(record.document.get("codec")))
    if record.kind not in ("rows", "answer") or codec is None or record.body is None:
        return None
    try:
        return codec.decode(record.body)
    except ProtocolError:
        return None


async def list_sessions(
    store: Store, *, limit: int = 50, only: SessionFilter = ALL_SESSIONS
) -> list[SessionSummary]:
    """The newest sessions first. Raises `BackendUnavailable`."""
    limit = min(limit, _MAX_SESSIONS)
    opened: list[asyncpg.Record] = []
    before = (1 << 62) if only.before is None else _microseconds(only.before)
    try:
        while len(opened) < limit:
            rows = await store.pool.fetch(_OPENED, before, limit)
            opened += [row for row in rows if _wanted(row, only)]
            if len(rows) < limit:
                break
            before = rows[-1]["at"]
        return await _summaries(store, opened[:limit])
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be read now; try again") from error


async def read_session(store: Store, session: str) -> AsyncIterator[StoredRecord]:
    """One session's records in causal order, read in pages; none if there is no such session.

    Raises `BackendUnavailable`.
    """
    after = (0, 0, 0)
    while True:
        try:
            rows = await store.pool.fetch(_READ, session, *after, _AT_ONCE)
        except STORE_ERRORS as error:
            raise BackendUnavailable("the recordings can't be read now; try again") from error
        for row in rows:
            yield _stored(row)
        if len(rows) < _AT_ONCE:
            return
        after = (rows[-1]["at"], rows[-1]["stream"], rows[-1]["sequence"])


async def read_requests(store: Store, last: int) -> AsyncIterator[StoredRecord]:
    """The newest requests, session by session: who opened it, then what was asked, in order.

    Raises `BackendUnavailable`.
    """
    before = 1 << 62
    try:
        while rows := await store.pool.fetch(_OPENED, before, _AT_ONCE):
            for opened in rows:
                session = opened["session"]
                opening = await store.pool.fetch(_REQUESTS, session, ["session_opened"], 1)
                asked = await store.pool.fetch(_REQUESTS, session, ["intent", "decision"], last)
                for row in (*opening, *reversed(asked)):
                    yield _stored(row)
                last -= len(asked)
                if last <= 0:
                    return
            before = rows[-1]["at"]
    except STORE_ERRORS as error:
        raise BackendUnavailable("the recordings can't be read now; try again") from error


async def _summaries(store: Store, opened: Sequence[asyncpg.Record]) -> list[SessionSummary]:
    counts = await store.pool.fetch(_COUNTS, [row["session"] for row in opened])
    by_session = {row["session"]: row for row in counts}
    return [_summary(row, by_session[row["session"]]) for row in opened]


def _summary(opened: asyncpg.Record, counts: asyncpg.Record) -> SessionSummary:
    document = orjson.loads(opened["document"])
    ending = orjson.loads(counts["ending"]) if counts["ending"] else {}
    principal = document.get("principal") or {}
    return SessionSummary(
        id=opened["session"],
        principal=str(principal.get("id", "")),
        agent=str(principal.get("agent", "")),
        target=str(document.get("target", "")),
        channel=str(document.get("channel", "")),
        opened=when(opened["at"]),
        closed=None if counts["closed"] is None else when(counts["closed"]),
        end=str(ending.get("end", "")),
        statements=counts["statements"],
        refused=counts["refused"],
    )


def _wanted(row: asyncpg.Record, only: SessionFilter) -> bool:
    document = orjson.loads(row["document"])
    principal = (document.get("principal") or {}).get("id", "")
    return only.principal in ("", principal) and only.target in ("", document.get("target"))


def _stored(row: asyncpg.Record) -> StoredRecord:
    has_body = bool(row["digest"])
    return StoredRecord(
        stream=row["stream"],
        sequence=row["sequence"],
        at=row["at"],
        session=row["session"],
        kind=row["kind"],
        document=orjson.loads(row["document"]),
        body=row["body"] if has_body else b"",
        body_deleted=row["deleted_at"] is not None,
        digest=row["digest"],
        hash=row["hash"],
    )


def _microseconds(time: datetime) -> int:
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
