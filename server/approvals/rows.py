"""Tickets as the store keeps them: the queries that find them, and rows -> values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from policies.errors import Denied
from server.approvals.refusals import already_closed, unknown_ticket
from server.approvals.tickets import Ticket, TicketDecision, requirement_from

Connection = asyncpg.pool.PoolConnectionProxy

SELECT: Final = """
    SELECT t.*, coalesce((SELECT jsonb_agg(to_jsonb(d) ORDER BY d.decided_at)
                          FROM ticket_decisions d WHERE d.ticket = t.id), '[]') AS decisions
    FROM tickets t
"""
CONCERNS: Final = """
    WHERE ($1::text IS NULL OR t.state = $1)
      AND (t.principal = $2
           OR EXISTS (SELECT FROM jsonb_array_elements(t.requirements) AS r
                      WHERE r -> 'groups' ?| $3::text[])
           OR EXISTS (SELECT FROM ticket_decisions d WHERE d.ticket = t.id AND d.principal = $2))
    ORDER BY t.asked_at DESC LIMIT 200
"""
"""A state or NULL, a principal and their groups: their own, what they may decide or have."""


async def locked(connection: Connection, ticket: str) -> Ticket:
    """The ticket as nobody else changes it now. Raises `Denied` (TICKET_UNKNOWN, TICKET_CLOSED)."""
    current = await connection.fetchval(
        "SELECT expires_at > clock_timestamp() FROM tickets WHERE id = $1 FOR UPDATE", ticket
    )
    if current is None:
        raise Denied(unknown_ticket(ticket))
    rows = await connection.fetch(SELECT + "WHERE t.id = $1", ticket)
    found = ticket_of(rows[0])
    if found.is_open and not current:
        raise Denied(already_closed(ticket, "expired"))
    return found


def ticket_of(row: asyncpg.Record) -> Ticket:
    """One row of `SELECT`."""
    return Ticket(
        id=row["id"],
        state=row["state"],
        principal=row["principal"],
        principal_name=row["principal_name"],
        agent=row["agent"],
        target=row["target"],
        digest=bytes(row["binding"]),
        document=orjson.loads(row["document"]),
        requirements=tuple(map(requirement_from, orjson.loads(row["requirements"]))),
        asked_at=row["asked_at"],
        expires_at=row["expires_at"],
        decisions=tuple(map(_decision, orjson.loads(row["decisions"]))),
        ended_by=row["ended_by"],
        ended_name=row["ended_name"],
        ended_comment=row["ended_comment"],
    )


def _decision(document: Mapping[str, object]) -> TicketDecision:
    policies = document["policies"]
    assert isinstance(policies, list)  # noqa: S101 -- a text[] column
    return TicketDecision(
        principal=str(document["principal"]),
        name=str(document["principal_name"]),
        approve=document["approve"] is True,
        comment=str(document["comment"]),
        channel=str(document["channel"]),
        policies=frozenset(map(str, policies)),
        at=datetime.fromisoformat(str(document["decided_at"])),
        email=str(document["email"]),
        agent=str(document["agent"]),
    )
