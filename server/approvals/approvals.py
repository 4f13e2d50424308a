"""Tickets in the store: ask, decide, expire, use once. What they mean stands in `tickets`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import orjson

from policies.errors import BackendUnavailable, Denied
from policies.model import AccessRequest, Channel, DecideApproval, Principal, RequireApproval
from recordings.journal import Journal, Json, Record
from recordings.store import STORE_ERRORS, Store
from server.approvals.notices import Notices
from server.approvals.refusals import already_closed, require_decidable, too_many, unknown_ticket
from server.approvals.tickets import (
    Binding,
    Ticket,
    TicketDecision,
    requirement_document,
    requirement_from,
)
from server.records import refused_call

LOOK_AGAIN: Final = 5.0  # seconds: a waiter looks again even when no notice reaches it
CHANNEL: Final = "ostiary_tickets"
MOST_PENDING: Final = 50
"""Tickets that one requester may have waiting: a flood tires approvers into saying yes."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_Connection = asyncpg.pool.PoolConnectionProxy
_CONCERNS: Final = """
    WHERE ($1::text IS NULL OR t.state = $1)
      AND (t.principal = $2 OR EXISTS (
           SELECT FROM jsonb_array_elements(t.requirements) AS r WHERE r -> 'groups' ?| $3::text[]))
    ORDER BY t.asked_at DESC LIMIT 200
"""
_SELECT: Final = """
    SELECT t.*, coalesce((SELECT jsonb_agg(to_jsonb(d) ORDER BY d.decided_at)
                          FROM ticket_decisions d WHERE d.ticket = t.id), '[]') AS decisions
    FROM tickets t
"""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Keeps tickets. Each change is in the journal before it takes effect."""

    store: Store
    journal: Journal
    expire_after: timedelta
    _notices: Notices = field(default_factory=Notices)

    async def ask(
        self, request: AccessRequest, binding: Binding, requirements: tuple[RequireApproval, ...]
    ) -> Ticket:
        """The open ticket for this very request, or a new one."""
        await self._expire()
        found = await self._find("WHERE t.binding = $1 AND t.state = 'pending'", binding.digest)
        if found and _asked(found[0].requirements) == _asked(requirements):
            return found[0]
        if found:
            await self._set_state(found[0], "void", because="policy asks for something else now")
        await self._insert(request, binding, requirements)
        return await self._open_ticket(binding)

    async def _open_ticket(self, binding: Binding) -> Ticket:
        """The one that is open now: ours, or that of a call that asked at the same moment."""
        found = await self._find(
            "WHERE t.binding = $1 AND t.state IN ('pending', 'approved')", binding.digest
        )
        if not found:
            raise BackendUnavailable("the ticket was closed while it was opened; call again")
        return found[0]

    async def use(
        self, binding: Binding, requirements: tuple[RequireApproval, ...]
    ) -> Ticket | None:
        """Take the approved ticket for this very request, if there is one: at most once.

        A ticket that is approved for less than policy asks now is void.
        """
        await self._expire()
        found = await self._find("WHERE t.binding = $1 AND t.state = 'approved'", binding.digest)
        if not found:
            return None
        if not found[0].covers(requirements):
            await self._set_state(found[0], "void", because="policy asks for more now")
            return None
        async with self._connection() as connection:
            taken = await connection.fetchval(
                "UPDATE tickets SET state = 'used', used_at = clock_timestamp()"
                " WHERE id = $1 AND state = 'approved' AND expires_at > clock_timestamp()"
                " RETURNING id",
                found[0].id,
            )
        return found[0] if taken is not None else None

    async def decide(
        self, principal: Principal, action: DecideApproval, *, channel: Channel
    ) -> Ticket:
        """Approve or deny a ticket. Cedar has permitted the act; here it is whose ticket it is.

        The ticket is locked first, so that only the decision that counts is in the journal.
        """
        await self._expire()
        async with self._connection() as connection, connection.transaction():
            ticket = await _locked(connection, action.ticket)
            meets = require_decidable(ticket, principal)
            await self.journal.commit(_decided_record(ticket, principal, action, channel))
            await self._record_decision(connection, ticket, principal, action, channel, meets)
            await _settle(connection, ticket.id)
        return await self.get(action.ticket)

    async def get(self, ticket: str) -> Ticket:
        """One ticket. Raises `Denied` (TICKET_UNKNOWN) where there is none."""
        found = await self._find("WHERE t.id = $1", ticket) if _ID.fullmatch(ticket) else []
        if not found:
            raise Denied(unknown_ticket(ticket))
        return found[0]

    async def tickets(self, principal: Principal, state: str | None = None) -> Sequence[Ticket]:
        """The newest 200 tickets that concern this principal, or those in one state.

        Filtered before they are counted: others' tickets push nobody's out of sight.
        """
        await self._expire()
        return await self._find(_CONCERNS, state, principal.id, sorted(principal.groups))

    async def latest(self, binding: Binding) -> Ticket | None:
        """The newest ticket for this very request, in whatever state."""
        found = await self._find(
            "WHERE t.binding = $1 ORDER BY t.asked_at DESC LIMIT 1", binding.digest
        )
        return found[0] if found else None

    async def wait(self, ticket: str, seconds: float) -> Ticket:
        """The ticket once it is no longer pending, or as it is after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            with self._notices.interest(ticket) as changed:
                await self._expire()
                now = await self.get(ticket)
                left = deadline - asyncio.get_running_loop().time()
                if now.state != "pending" or left <= 0:
                    return now
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, LOOK_AGAIN)):
                        await changed.wait()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While open, a decision made through any gateway on this store wakes the waiters here."""
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*STORE_ERRORS):
                await self._listen_once()
            await asyncio.sleep(LOOK_AGAIN)

    async def _listen_once(self) -> None:
        """Listen for as long as the connection lasts."""
        gone = asyncio.Event()
        async with self.store.pool.acquire() as connection:
            connection.add_termination_listener(lambda _connection: gone.set())
            await connection.add_listener(CHANNEL, self._notices.heard)
            try:
                await gone.wait()
            finally:
                await connection.remove_listener(CHANNEL, self._notices.heard)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with self.store.pool.acquire(timeout=2.0) as connection:
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the approval store can't be reached; try again") from error

    async def _find(self, where: str, *values: object) -> list[Ticket]:
        async with self._connection() as connection:
            rows = await connection.fetch(_SELECT + where, *values)
        return [_ticket(row) for row in rows]

    async def _insert(
        self,
        request: AccessRequest,
        binding: Binding,
        requirements: tuple[RequireApproval, ...],
    ) -> None:
        """Open the ticket, unless one is open. What is not in the journal is not there either."""
        ticket = "ap_" + secrets.token_urlsafe(12)
        document = orjson.dumps(dict(binding.document)).decode()
        required = orjson.dumps([requirement_document(r) for r in requirements]).decode()
        async with self._connection() as connection, connection.transaction():
            await self._leave_room(connection, request)
            opened = await connection.fetchval(
                "INSERT INTO tickets (id, principal, principal_name, agent, target, binding,"
                " document, requirements, expires_at)"
                " VALUES ($1,$2,$3,$4,$5,$6,$7,$8, clock_timestamp() + $9)"
                " ON CONFLICT (binding) WHERE state IN ('pending', 'approved') DO NOTHING"
                " RETURNING id",
                ticket,
                request.principal.id,
                request.principal.name,
                request.principal.agent,
                request.target.name if request.target else "",
                binding.digest,
                document,
                required,
                self.expire_after,
            )
            if opened is not None:
                await self.journal.commit(_asked_record(ticket, request, binding, requirements))
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, ticket)

    async def _leave_room(self, connection: _Connection, request: AccessRequest) -> None:
        """Refuse one more than `MOST_PENDING`: approvers must be able to read what they decide."""
        who = request.principal.id
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", who)
        waiting = await connection.fetchval(
            "SELECT count(*) FROM tickets WHERE principal = $1 AND state = 'pending'", who
        )
        if waiting >= MOST_PENDING:
            refusal = too_many(waiting)
            document = refused_call(request.principal, "approval", refusal).document
            await self.journal.commit(Record(request.session, "decision", document))
            raise Denied(refusal)

    async def _record_decision(
        self,
        connection: _Connection,
        ticket: Ticket,
        principal: Principal,
        action: DecideApproval,
        channel: Channel,
        meets: tuple[RequireApproval, ...],
    ) -> None:
        policies = [r.policy for r in meets] if action.approve else []
        await connection.execute(
            "INSERT INTO ticket_decisions"
            " (ticket, principal, principal_name, approve, comment, channel, policies)"
            " VALUES ($1,$2,$3,$4,$5,$6,$7)",
            ticket.id,
            principal.id,
            principal.name,
            action.approve,
            action.comment,
            channel.value,
            policies,
        )
        if action.approve and len(meets) == len(ticket.open_requirements):
            await connection.execute(
                "UPDATE tickets SET state = 'approved', expires_at = clock_timestamp() + $2"
                " WHERE id = $1",
                ticket.id,
                self.expire_after,
            )

    async def _set_state(self, ticket: Ticket, state: str, *, because: str) -> None:
        document: dict[str, Json] = {"ticket": ticket.id, "because": because}
        record = Record(ticket.session, f"approval_{state}", document)
        await self.journal.commit(record)
        async with self._connection() as connection:
            await connection.execute(
                "UPDATE tickets SET state = $2 WHERE id = $1 AND state = $3",
                ticket.id,
                state,
                ticket.state,
            )

    async def _expire(self) -> None:
        """Close what has run out, by the store's clock."""
        async with self._connection() as connection, connection.transaction():
            gone = await connection.fetch(
                "UPDATE tickets SET state = 'expired' WHERE id IN (SELECT id FROM tickets"
                " WHERE state IN ('pending', 'approved') AND expires_at <= clock_timestamp()"
                " FOR UPDATE SKIP LOCKED)"
                " RETURNING id, document->>'session' AS session"
            )
            if gone:
                await self.journal.commit(*map(_expired_record, gone))


def _expired_record(row: asyncpg.Record) -> Record:
    return Record(row["session"] or "", "approval_expired", {"ticket": row["id"]})


def _asked(requirements: tuple[RequireApproval, ...]) -> frozenset[RequireApproval]:
    return frozenset(requirements)


def _asked_record(
    ticket: str,
    request: AccessRequest,
    binding: Binding,
    requirements: tuple[RequireApproval, ...],
) -> Record:
    document: dict[str, Json] = {
        "ticket": ticket,
        "principal": request.principal.id,
        "agent": request.principal.agent,
        "digest": binding.digest.hex(),
        "requirements": [requirement_document(r) for r in requirements],
    }
    return Record(request.session, "approval_asked", document)


def _decided_record(
    ticket: Ticket, principal: Principal, action: DecideApproval, channel: Channel
) -> Record:
    document: dict[str, Json] = {
        "ticket": ticket.id,
        "digest": ticket.digest.hex(),
        "principal": principal.id,
        "agent": principal.agent,
        "channel": channel.value,
        "approve": action.approve,
        "comment": action.comment,
    }
    return Record(ticket.session, "approval_decided", document)


async def _locked(connection: _Connection, ticket: str) -> Ticket:
    """The ticket as nobody else changes it now. Raises `Denied` (TICKET_UNKNOWN, TICKET_CLOSED)."""
    current = await connection.fetchval(
        "SELECT expires_at > clock_timestamp() FROM tickets WHERE id = $1 FOR UPDATE", ticket
    )
    if current is None:
        raise Denied(unknown_ticket(ticket))
    if not current:
        raise Denied(already_closed(ticket, "expired"))
    rows = await connection.fetch(_SELECT + "WHERE t.id = $1", ticket)
    return _ticket(rows[0])


async def _settle(connection: _Connection, ticket: str) -> None:
    """One denial denies; then everybody who waits is told."""
    await connection.execute(
        "UPDATE tickets SET state = 'denied' WHERE id = $1 AND state = 'pending' AND EXISTS"
        " (SELECT FROM ticket_decisions d WHERE d.ticket = $1 AND NOT d.approve)",
        ticket,
    )
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, ticket)


def _ticket(row: asyncpg.Record) -> Ticket:
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
    )
