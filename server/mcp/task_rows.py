"""Tasks in the store, so that every gateway on it can tell how one goes. Who runs them: `tasks`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import asyncpg
import asyncpg.pool
import orjson
from pydantic import JsonValue

from policies.errors import BackendUnavailable
from policies.model import Principal
from recordings.store import STORE_ERRORS, Store

MOST_OPEN: Final = 20
"""Tasks that one principal may have under way."""

LEASE: Final = timedelta(seconds=20)
"""A task whose gateway has not been heard of for this long has lost it."""

Document = Mapping[str, JsonValue]
_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as its owner sees it. `status` is the extension's word for it."""

    id: str
    status: str
    message: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    requests: Document
    result: Document | None = None
    error: Document | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What others did to an open task: asked for its end, or answered it."""

    cancel_asked: bool
    answers: Document


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended; at most one of `result` and `error`."""

    status: str
    message: str = ""
    result: Document | None = None
    error: Document | None = None


@dataclass(frozen=True, slots=True)
class StoredTasks:
    """The rows. Each method raises `BackendUnavailable` where the store can't be reached."""

    store: Store

    async def create(
        self, owner: Principal, task: str, ticket: str, message: str, expires_at: datetime
    ) -> TaskRow | None:
        """A new open task; None where its owner has `MOST_OPEN` already."""
        async with self._transaction() as connection:
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('task ' || $1, 0))", owner.id
            )
            row = await connection.fetchrow(
                "INSERT INTO tasks (id, principal, agent, ticket, message, alive_until, expires_at)"
                " SELECT $1, $2, $3, $4, $5, clock_timestamp() + $6, $7 WHERE (SELECT count(*)"
                " FROM tasks WHERE principal = $2 AND open AND alive_until > clock_timestamp())"
                " < $8 RETURNING *",
                task,
                owner.id,
                owner.agent,
                ticket,
                message,
                LEASE,
                expires_at,
                MOST_OPEN,
            )
        return _row(row) if row is not None else None

    async def get(self, owner: Principal, task: str, lost: Ending) -> TaskRow | None:
        """One's own task; it has ended as `lost` where its gateway is not heard of any more."""
        async with self._transaction() as connection:
            await connection.execute(
                "UPDATE tasks SET status = $2, message = $3, error = $4, requests = '{}',"
                " updated_at = clock_timestamp() WHERE id = $1 AND open"
                " AND alive_until <= clock_timestamp()",
                task,
                lost.status,
                lost.message,
                _written(lost.error),
            )
            row = await connection.fetchrow(
                "SELECT * FROM tasks WHERE id = $1 AND principal = $2 AND agent = $3"
                " AND expires_at > clock_timestamp()",
                task,
                owner.id,
                owner.agent,
            )
        return _row(row) if row is not None else None

    async def say(self, task: str, ticket: str, message: str, expires_at: datetime) -> None:
        """What an open task waits for now; it never expires earlier than it was said to."""
        async with self._transaction() as connection:
            await connection.execute(
                "UPDATE tasks SET ticket = $2, message = $3, updated_at = clock_timestamp(),"
                " expires_at = greatest(expires_at, $4) WHERE id = $1 AND open",
                task,
                ticket,
                message,
                expires_at,
            )

    async def require(self, task: str, requests: Document) -> None:
        """Put these requests to the client; with none, the task goes on working."""
        async with self._transaction() as connection:
            await connection.execute(
                "UPDATE tasks SET requests = $2, status = $3, updated_at = clock_timestamp()"
                " WHERE id = $1 AND open",
                task,
                _written(requests),
                "input_required" if requests else "working",
            )

    async def answer(self, task: str, answers: Document) -> Document:
        """Keep the answers to what was asked, each once; those that counted."""
        async with self._transaction() as connection:
            row = await connection.fetchrow(
                "SELECT requests, answers FROM tasks WHERE id = $1 AND open FOR UPDATE", task
            )
            asked = _read(row["requests"]) if row else {}
            counted = {key: value for key, value in answers.items() if key in asked}
            if row is None or not counted:
                return {}
            left = {key: value for key, value in asked.items() if key not in counted}
            await connection.execute(
                "UPDATE tasks SET requests = $2, answers = $3, status = $4,"
                " updated_at = clock_timestamp() WHERE id = $1",
                task,
                _written(left),
                _written({**_read(row["answers"]), **counted}),
                "input_required" if left else "working",
            )
        return counted

    async def cancel(self, task: str) -> None:
        """Ask whoever runs the task to end it."""
        async with self._transaction() as connection:
            await connection.execute("UPDATE tasks SET cancel_asked = true WHERE id = $1", task)

    async def finish(self, task: str, ending: Ending) -> None:
        """End a task, unless it has ended."""
        async with self._transaction() as connection:
            await connection.execute(
                "UPDATE tasks SET status = $2, message = $3, result = $4, error = $5,"
                " requests = '{}', answers = '{}', updated_at = clock_timestamp()"
                " WHERE id = $1 AND open",
                task,
                ending.status,
                ending.message,
                _written(ending.result),
                _written(ending.error),
            )

    async def renew(self, tasks: Sequence[str]) -> Mapping[str, Look]:
        """Say that these are still run here; those that are open, with what others did to them."""
        async with self._transaction() as connection:
            rows = await connection.fetch(
                "UPDATE tasks SET alive_until = clock_timestamp() + $2 WHERE id = ANY($1)"
                " AND open AND alive_until > clock_timestamp()"
                " RETURNING id, cancel_asked, answers",
                list(tasks),
                LEASE,
            )
        return {row["id"]: Look(row["cancel_asked"], _read(row["answers"])) for row in rows}

    async def sweep(self) -> None:
        """Delete what has expired, results included."""
        async with self._transaction() as connection:
            await connection.execute("DELETE FROM tasks WHERE expires_at <= clock_timestamp()")

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Connection]:
        try:
            async with self.store.pool.acquire(timeout=2.0) as connection, connection.transaction():
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store of tasks can't be reached; try again") from error


def _row(row: asyncpg.Record) -> TaskRow:
    return TaskRow(
        id=row["id"],
        status=row["status"],
        message=row["message"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        expires_at=row["expires_at"],
        requests=_read(row["requests"]),
        result=_read(row["result"]) if row["result"] is not None else None,
        error=_read(row["error"]) if row["error"] is not None else None,
    )


def _read(text: str) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = orjson.loads(text)
    return document


def _written(document: Document | None) -> str | None:
    return orjson.dumps(dict(document)).decode() if document is not None else None
