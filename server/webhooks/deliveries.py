"""Deliveries in the store: which event of which ticket is owed to whom, tries, and dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg

from policies.errors import BackendUnavailable
from recordings.store import STORE_ERRORS, Store
from server.approvals.notices import CHANNEL
from server.webhooks.settings import Webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    _Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

AT_ONCE: Final = 16
"""Deliveries of one webhook that one gateway has under way."""

_NOTICED_AT_ONCE: Final = 500
_LISTED: Final = 200
_ACQUIRE_WITHIN: Final = 2.0  # seconds

# An event that the state does not tell any more is told by what came after it: who used a ticket
# had its approval.
_NOTICE: Final = """
    INSERT INTO deliveries (id, webhook, ticket, event)
    SELECT 'msg_' || replace(gen_random_uuid()::text, '-', ''), w.name, t.id, e.event
    FROM webhooks w
    JOIN tickets t ON t.asked_at >= w.since AND t.expires_at > clock_timestamp() - interval '1 day'
    CROSS JOIN LATERAL unnest(CASE t.state
        WHEN 'pending' THEN ARRAY['asked']
        WHEN 'used' THEN ARRAY['asked', 'approved', 'used']
        ELSE ARRAY['asked', t.state] END) AS e (event)
    WHERE w.name = $1 AND e.event = ANY($2::text[])
      AND NOT EXISTS (
           SELECT FROM previews p WHERE p.ticket = t.id AND p.state = 'running'
           AND p.begun_at > clock_timestamp() - interval '10 seconds')
      AND ($3::text[] = '{}' OR EXISTS (
           SELECT FROM jsonb_array_elements(t.requirements) AS r WHERE r -> 'groups' ?| $3::text[]))
      AND NOT EXISTS (
           SELECT FROM deliveries d
           WHERE d.webhook = w.name AND d.ticket = t.id AND d.event = e.event)
    LIMIT $4
    ON CONFLICT DO NOTHING
"""
_CLAIM: Final = """
    UPDATE deliveries SET tries = tries + 1, due_at = clock_timestamp() + $2::interval
    WHERE id IN (SELECT id FROM deliveries
                 WHERE webhook = $1 AND state = 'waiting' AND due_at <= clock_timestamp()
                 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id, webhook, ticket, event, tries, noticed_at, clock_timestamp() AS now
"""
_STATUS: Final = """
    SELECT w.name,
           count(d.id) FILTER (WHERE d.state = 'waiting') AS waiting,
           count(d.id) FILTER (WHERE d.state = 'delivered') AS delivered,
           count(d.id) FILTER (WHERE d.state = 'dead') AS dead,
           min(d.noticed_at) FILTER (WHERE d.state = 'waiting') AS waiting_since,
           (array_agg(d.why ORDER BY d.due_at DESC) FILTER (WHERE d.why <> ''))[1] AS trouble
    FROM unnest($1::text[]) AS w (name) LEFT JOIN deliveries d ON d.webhook = w.name
    GROUP BY w.name ORDER BY w.name
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try that is ours for the length of its lease; `now` is the store's time of the claim."""

    id: str
    webhook: str
    ticket: str
    event: str
    tries: int
    noticed_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be delivered, and why in our own words."""

    id: str
    webhook: str
    ticket: str
    event: str
    tries: int
    ended_at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How it stands with one webhook. `trouble` is why the last try that failed did."""

    name: str
    waiting: int
    delivered: int
    dead: int
    waiting_since: datetime | None
    trouble: str


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Reads tickets, keeps deliveries. Every method raises `BackendUnavailable`."""

    store: Store

    async def introduce(self, names: Iterable[str]) -> None:
        """From now on these are told of new tickets."""
        async with self._connection() as connection:
            await connection.execute(
                "INSERT INTO webhooks (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
                list(names),
            )

    async def notice(self, webhook: Webhook) -> None:
        """Write down what this webhook is to be told and has not been yet."""
        async with self._connection() as connection:
            await connection.execute(
                _NOTICE,
                webhook.name,
                list(webhook.events),
                list(webhook.groups),
                _NOTICED_AT_ONCE,
            )

    async def claim(self, name: str, lease: timedelta) -> Sequence[Delivery]:
        """Take what is due; nobody else does before the lease ends."""
        async with self._connection() as connection:
            rows = await connection.fetch(_CLAIM, name, lease, AT_ONCE)
        return [Delivery(**row) for row in rows]

    async def next_due(self, name: str) -> float | None:
        """Seconds until something is due, `None` where nothing waits."""
        async with self._connection() as connection:
            left: timedelta | None = await connection.fetchval(
                "SELECT min(due_at) - clock_timestamp() FROM deliveries"
                " WHERE webhook = $1 AND state = 'waiting'",
                name,
            )
        return None if left is None else max(0.0, left.total_seconds())

    async def delivered(self, delivery: Delivery) -> None:
        """The receiver has taken it."""
        await self._end(delivery, "delivered", "")

    async def bury(self, delivery: Delivery, why: str) -> None:
        """It is a dead letter now."""
        await self._end(delivery, "dead", why)

    async def postpone(self, delivery: Delivery, wait: timedelta, why: str) -> None:
        """Try again after `wait`."""
        async with self._connection() as connection:
            await connection.execute(
                "UPDATE deliveries SET due_at = clock_timestamp() + $3::interval, why = $4"
                " WHERE id = $1 AND tries = $2 AND state = 'waiting'",
                delivery.id,
                delivery.tries,
                wait,
                why,
            )

    async def counts(self, names: Iterable[str]) -> Sequence[Counts]:
        """How it stands with these webhooks, by name."""
        async with self._connection() as connection:
            rows = await connection.fetch(_STATUS, list(names))
        return [Counts(**{**row, "trouble": row["trouble"] or ""}) for row in rows]

    async def dead(self) -> Sequence[DeadLetter]:
        """The newest 200 dead letters."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT id, webhook, ticket, event, tries, ended_at, why FROM deliveries"
                " WHERE state = 'dead' ORDER BY ended_at DESC LIMIT $1",
                _LISTED,
            )
        return [DeadLetter(**row) for row in rows]

    async def revive(self, names: Iterable[str], delivery: str | None = None) -> int:
        """Begin again with one dead letter of these webhooks, or with all: how many."""
        async with self._connection() as connection, connection.transaction():
            status = await connection.execute(
                "UPDATE deliveries SET state = 'waiting', tries = 0, ended_at = NULL,"
                " due_at = clock_timestamp()"
                " WHERE state = 'dead' AND webhook = ANY($1::text[])"
                " AND ($2::text IS NULL OR id = $2)",
                list(names),
                delivery,
            )
            await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
        return int(status.rpartition(" ")[2])

    async def _end(self, delivery: Delivery, state: str, why: str) -> None:
        """Only by the try that is still the last: one that comes back late changes nothing."""
        async with self._connection() as connection:
            await connection.execute(
                "UPDATE deliveries SET state = $3, why = $4, ended_at = clock_timestamp()"
                " WHERE id = $1 AND tries = $2 AND state = 'waiting'",
                delivery.id,
                delivery.tries,
                state,
                why,
            )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with self.store.pool.acquire(timeout=_ACQUIRE_WITHIN) as connection:
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the store can't be reached; try again") from error
