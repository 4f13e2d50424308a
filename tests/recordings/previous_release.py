"""What the program of schema version 2 says to its store, word for word, in a gateway's order.

Kept so that a newer schema can be tried with an older program's statements: while gateways are
replaced one by one, those that still run say exactly this. Taken from `recordings/streams.py`,
`recordings/interrupted.py`, `recordings/sessions.py` and `server/approvals/approvals.py` as they
were when the newest step was 0002. Never brought up to date; a later release adds its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import asyncpg

VERSION: Final = 2

APPEND: Final = """
WITH owned AS (
    SELECT FROM streams WHERE number = $1 AND closed_at IS NULL
), written AS (
    INSERT INTO records (stream, sequence, at, session, kind, document, digest, hash)
    SELECT $1, r.* FROM owned, unnest(
        $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[]
    ) AS r
    RETURNING 1
), kept AS (
    INSERT INTO bodies (stream, sequence, body)
    SELECT $1, b.* FROM owned, unnest($9::bigint[], $10::bytea[]) AS b
)
SELECT (SELECT count(*) FROM written) AS written,
    (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS now
"""
LATEST: Final = """
SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS now,
    coalesce((
        SELECT max(latest.at)
        FROM (SELECT number FROM streams ORDER BY number DESC LIMIT 256) AS s,
        LATERAL (SELECT at FROM records WHERE stream = s.number ORDER BY sequence DESC LIMIT 1)
            AS latest
    ), 0) AS latest
"""
CLOSE: Final = """
UPDATE streams SET closed_at = clock_timestamp(),
    last_sequence = coalesce(h.sequence, 0), last_hash = h.hash
FROM (SELECT $1::bigint AS number) AS s LEFT JOIN LATERAL (
    SELECT sequence, hash FROM records WHERE stream = s.number ORDER BY sequence DESC LIMIT 1
) AS h ON true
WHERE streams.number = s.number AND closed_at IS NULL
"""
NEW_WRITER: Final = "INSERT INTO writers (gateway) VALUES ($1) RETURNING number"
NEW_STREAM: Final = (
    "INSERT INTO streams (id, writer, role, digest_key, opened_at)"
    " VALUES ($1, $2, $3, $4, $5) RETURNING number"
)
LOCK: Final = "SELECT pg_advisory_lock($1::int, $2::int)"
LOCK_CLASS: Final = 0x4F53_5452
MAYBE_DEAD: Final = """
SELECT number FROM writers w
WHERE ended_at IS NULL AND number <> $1 AND NOT EXISTS (
    SELECT FROM streams s
    WHERE s.writer = w.number AND s.closed_at IS NULL
        AND s.server_started <> pg_postmaster_start_time()
        AND clock_timestamp() < pg_postmaster_start_time() + interval '60 s'
)
ORDER BY number
"""
END_WRITER: Final = (
    "UPDATE writers SET ended_at = clock_timestamp(), ended_by = number"
    " WHERE number = $1 AND ended_at IS NULL"
)
READ: Final = """
SELECT r.*, b.body, b.deleted_at
FROM records r LEFT JOIN bodies b ON b.stream = r.stream AND b.sequence = r.sequence
WHERE r.session = $1 AND (r.at, r.stream, r.sequence) > ($2, $3, $4)
ORDER BY r.at, r.stream, r.sequence LIMIT $5
"""
EXPIRE: Final = (
    "UPDATE tickets SET state = 'expired' WHERE id IN (SELECT id FROM tickets"
    " WHERE state IN ('pending', 'approved') AND expires_at <= clock_timestamp()"
    " FOR UPDATE SKIP LOCKED)"
    " RETURNING id, document->>'session' AS session"
)
SELECT_TICKET: Final = """
    SELECT t.*, coalesce((SELECT jsonb_agg(to_jsonb(d) ORDER BY d.decided_at)
                          FROM ticket_decisions d WHERE d.ticket = t.id), '[]') AS decisions
    FROM tickets t
"""
ASK: Final = (
    "INSERT INTO tickets (id, principal, principal_name, agent, target, binding,"
    " document, requirements, expires_at)"
    " VALUES ($1,$2,$3,$4,$5,$6,$7,$8, clock_timestamp() + $9)"
    " ON CONFLICT (binding) WHERE state IN ('pending', 'approved') DO NOTHING"
    " RETURNING id"
)
DECIDE: Final = (
    "INSERT INTO ticket_decisions"
    " (ticket, principal, principal_name, approve, comment, channel, policies)"
    " VALUES ($1,$2,$3,$4,$5,$6,$7)"
)
APPROVE: Final = (
    "UPDATE tickets SET state = 'approved', expires_at = clock_timestamp() + $2 WHERE id = $1"
)
DENY: Final = (
    "UPDATE tickets SET state = 'denied' WHERE id = $1 AND state = 'pending' AND EXISTS"
    " (SELECT FROM ticket_decisions d WHERE d.ticket = $1 AND NOT d.approve)"
)
USE: Final = (
    "UPDATE tickets SET state = 'used', used_at = clock_timestamp()"
    " WHERE id = $1 AND state = 'approved' AND expires_at > clock_timestamp()"
    " RETURNING id"
)

TICKET_COLUMNS: Final = frozenset(
    {
        *("id", "state", "principal", "principal_name", "agent", "target", "binding", "document"),
        *("requirements", "asked_at", "expires_at", "used_at", "decisions"),
    }
)
"""What that program takes from a ticket's row, by name."""

RECORD_COLUMNS: Final = frozenset(
    {
        *("stream", "sequence", "at", "session", "kind", "document", "digest", "hash"),
        *("body", "deleted_at"),
    }
)


@dataclass(frozen=True, slots=True)
class PreviousProgram:
    """The statements, on one connection."""

    connection: asyncpg.Connection[asyncpg.Record]

    async def value(self, statement: str, *values: Any) -> Any:
        return await self.connection.fetchval(statement, *values)

    async def rows(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self.connection.fetch(statement, *values)
        return found
