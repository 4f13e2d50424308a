"""Previews in the store, one a ticket: begun once, ended once, the sample deleted by retention."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg
import orjson

from policies.errors import BackendUnavailable
from policies.sql.facts import TableName
from recordings.store import STORE_ERRORS, Store
from server.approvals.notices import CHANNEL

ABANDONED: Final = timedelta(seconds=30)
"""A preview takes a few seconds; one that has run for longer was left by a gateway that ended."""

_BEGIN: Final = """
    INSERT INTO previews (ticket, state, why) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING ticket
"""
_END: Final = """
    UPDATE previews SET state = $2, why = $3, changed = $4, sample = $5::jsonb
    WHERE ticket = $1 AND state = 'running'
"""
_FIND: Final = """
    SELECT ticket, CASE WHEN state = 'running' AND begun_at < clock_timestamp() - $2::interval
                        THEN 'abandoned' ELSE state END AS state,
           why, changed, sample, sample_deleted_at
    FROM previews WHERE ticket = ANY ($1::text[])
"""

Cells = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A few rows before and after, masked; `labels` are those of all columns shown."""

    table: TableName
    columns: tuple[str, ...]
    labels: frozenset[str]
    before: tuple[Cells, ...]
    after: tuple[Cells, ...]

    def encoded(self) -> bytes:
        return orjson.dumps(
            {
                "schema": self.table.schema,
                "table": self.table.name,
                "columns": self.columns,
                "labels": sorted(self.labels),
                "before": self.before,
                "after": self.after,
            }
        )


@dataclass(frozen=True, slots=True)
class Preview:
    """`state` is running, done, none (`why` says the reason) or abandoned."""

    ticket: str
    state: str
    why: str = ""
    changed: int | None = None
    sample: Sample | None = None
    sample_deleted: bool = False


@dataclass(frozen=True, slots=True)
class StoredPreviews:
    """Raises `BackendUnavailable` where the store is away."""

    store: Store

    async def begin(self, ticket: str) -> bool:
        """Whether this is the first preview of the ticket: there is no second one."""
        return await self._begin(ticket, "running", "")

    async def leave_out(self, ticket: str, why: str) -> None:
        """Say why there is none."""
        await self._begin(ticket, "none", why)

    async def end(self, preview: Preview) -> None:
        """Keep what came of it, and wake whoever waits for news of the ticket."""
        sample = preview.sample.encoded().decode() if preview.sample else None
        async with self._connection() as connection, connection.transaction():
            await connection.execute(
                _END, preview.ticket, preview.state, preview.why, preview.changed, sample
            )
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, preview.ticket)

    async def of(self, tickets: Sequence[str]) -> Mapping[str, Preview]:
        """The previews of these tickets, as far as there are any."""
        if not tickets:
            return {}
        async with self._connection() as connection:
            rows = await connection.fetch(_FIND, list(tickets), ABANDONED)
        return {row["ticket"]: _preview(row) for row in rows}

    async def _begin(self, ticket: str, state: str, why: str) -> bool:
        async with self._connection() as connection:
            return await connection.fetchval(_BEGIN, ticket, state, why) is not None

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]:
        try:
            async with self.store.pool.acquire(timeout=5.0) as connection:
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the approval store can't be reached; try again") from error


def _preview(row: asyncpg.Record) -> Preview:
    sample = orjson.loads(row["sample"]) if row["sample"] is not None else None
    return Preview(
        ticket=row["ticket"],
        state=row["state"],
        why=row["why"],
        changed=row["changed"],
        sample=_sample(sample) if sample else None,
        sample_deleted=row["sample_deleted_at"] is not None,
    )


def _sample(document: Mapping[str, list[str]]) -> Sample:
    return Sample(
        table=TableName(str(document["schema"]), str(document["table"])),
        columns=tuple(document["columns"]),
        labels=frozenset(document["labels"]),
        before=tuple(tuple(row) for row in document["before"]),
        after=tuple(tuple(row) for row in document["after"]),
    )
