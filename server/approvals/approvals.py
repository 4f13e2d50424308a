"""Tickets in the store: ask, decide, expire, use once. What they mean stands in `tickets`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import orjson

from policies.errors import BackendUnavailable, Denied
from policies.model import (
    AccessRequest,
    Channel,
    DecideApproval,
    Principal,
    RequireApproval,
    RevokeApproval,
    WithdrawApproval,
)
from policies.people import address
from recordings.journal import Journal, Record
from recordings.store import STORE_ERRORS, Store
from server.approvals import entries
from server.approvals.notices import CHANNEL, LOOK_AGAIN, Notices
from server.approvals.refusals import (
    require_decidable,
    require_endable,
    too_many,
    unknown_ticket,
)
from server.approvals.rows import CONCERNS, SELECT, Connection, locked, ticket_of
from server.approvals.tickets import Binding, Ticket, requirement_document
from server.records import refused_call

MOST_PENDING: Final = 50
"""Tickets that one requester may have waiting: a flood tires approvers into saying yes.

Those that the requester has withdrawn count for `WITHDRAWN_COUNTS` more.
"""
WITHDRAWN_COUNTS: Final = timedelta(minutes=10)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ANY_RUN_OUT: Final = """
    SELECT EXISTS (SELECT FROM tickets
                   WHERE state IN ('pending', 'approved') AND expires_at <= clock_timestamp())
"""
_EXPIRE: Final = """
    UPDATE tickets SET state = 'expired' WHERE id IN (
        SELECT id FROM tickets
        WHERE state IN ('pending', 'approved') AND expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED)
    RETURNING id, document->>'session' AS session
"""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Keeps tickets. Each change is in the journal before it takes effect.

    `public_url` is where the approval page is reached; empty where there is none.
    """

    store: Store
    journal: Journal
    expire_after: timedelta
    public_url: str = ""
    _notices: Notices = field(default_factory=Notices)

    def page(self, ticket: str) -> str:
        """The URL of a ticket's approval page, or nothing."""
        base = self.public_url.rstrip("/")
        return f"{base}/approvals/{ticket}" if base else ""

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
        self,
        binding: Binding,
        requirements: tuple[RequireApproval, ...],
        *,
        stands: Callable[[Principal], bool],
    ) -> Ticket | None:
        """Take the approved ticket for this very request, if there is one: at most once.

        A ticket that is approved for less than policy asks now is void, and so is one that was
        approved by somebody whose word no longer `stands`.
        """
        await self._expire()
        found = await self._find("WHERE t.binding = $1 AND t.state = 'approved'", binding.digest)
        if not found:
            return None
        if not found[0].covers(requirements):
            await self._set_state(found[0], "void", because="policy asks for more now")
            return None
        if not all(stands(decision.by) for decision in found[0].decisions):
            await self._set_state(found[0], "void", because="who approved is blocked now")
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
            ticket = await locked(connection, action.ticket)
            meets = require_decidable(ticket, principal, approve=action.approve)
            await self.journal.commit(entries.decided(ticket, principal, action, channel))
            await _insert_decision(connection, principal, action, channel, meets)
            await self._conclude(connection, action)
        return await self.get(action.ticket)

    async def end(
        self,
        principal: Principal,
        action: WithdrawApproval | RevokeApproval,
        *,
        channel: Channel,
    ) -> Ticket:
        """Withdraw or revoke a ticket that is not used. Cedar has permitted the act.

        `use` takes a ticket by compare-and-set under the same lock: one of the two wins.
        """
        await self._expire()
        async with self._connection() as connection, connection.transaction():
            ticket = await locked(connection, action.ticket)
            require_endable(ticket, principal, action)
            await self.journal.commit(entries.ended(ticket, principal, action, channel))
            await connection.execute(
                "UPDATE tickets SET state = $2, ended_by = $3, ended_name = $4, ended_comment = $5"
                " WHERE id = $1",
                ticket.id,
                entries.ENDINGS[type(action)],
                principal.id,
                principal.name,
                action.comment,
            )
            await _notify(connection, ticket.id)
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
        return await self._find(CONCERNS, state, principal.id, sorted(principal.groups))

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
        async with self._notices.listening(self.store):
            yield

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self.store.pool.acquire(timeout=5.0) as connection:
                yield connection
        except STORE_ERRORS as error:
            raise BackendUnavailable("the approval store can't be reached; try again") from error

    async def _find(self, where: str, *values: object) -> list[Ticket]:
        async with self._connection() as connection:
            rows = await connection.fetch(SELECT + where, *values)
        return [ticket_of(row) for row in rows]

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
                await self.journal.commit(entries.asked(ticket, request, binding, requirements))
                await _notify(connection, ticket)

    async def _leave_room(self, connection: Connection, request: AccessRequest) -> None:
        """Refuse one more than `MOST_PENDING`: approvers must be able to read what they decide."""
        who = request.principal.id
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", who)
        waiting = await connection.fetchval(
            "SELECT count(*) FROM tickets WHERE principal = $1 AND (state = 'pending'"
            " OR state = 'withdrawn' AND asked_at > clock_timestamp() - $2::interval)",
            who,
            WITHDRAWN_COUNTS,
        )
        if waiting >= MOST_PENDING:
            refusal = too_many(waiting)
            document = refused_call(request.principal, "approval", refusal).document
            await self.journal.commit(Record(request.session, "decision", document))
            raise Denied(refusal)

    async def _conclude(self, connection: Connection, action: DecideApproval) -> None:
        """One denial denies, the last approval approves; then everybody who waits is told."""
        rows = await connection.fetch(SELECT + "WHERE t.id = $1", action.ticket)
        if not action.approve:
            await connection.execute(
                "UPDATE tickets SET state = 'denied' WHERE id = $1", action.ticket
            )
        elif not ticket_of(rows[0]).open_requirements:
            await connection.execute(
                "UPDATE tickets SET state = 'approved', expires_at = clock_timestamp() + $2"
                " WHERE id = $1",
                action.ticket,
                self.expire_after,
            )
        await _notify(connection, action.ticket)

    async def _set_state(self, ticket: Ticket, state: str, *, because: str) -> None:
        await self.journal.commit(entries.closed(ticket, state, because=because))
        async with self._connection() as connection:
            await connection.execute(
                "UPDATE tickets SET state = $2 WHERE id = $1 AND state = $3",
                ticket.id,
                state,
                ticket.state,
            )

    async def _expire(self) -> None:
        """Close what has run out, by the store's clock."""
        async with self._connection() as connection:
            if await connection.fetchval(_ANY_RUN_OUT):
                await self._close_expired(connection)

    async def _close_expired(self, connection: Connection) -> None:
        async with connection.transaction():
            gone = await connection.fetch(_EXPIRE)
            if gone:
                await self.journal.commit(*map(entries.expired, gone))


def _asked(requirements: tuple[RequireApproval, ...]) -> frozenset[RequireApproval]:
    return frozenset(requirements)


async def _insert_decision(
    connection: Connection,
    principal: Principal,
    action: DecideApproval,
    channel: Channel,
    meets: tuple[RequireApproval, ...],
) -> None:
    policies = [r.policy for r in meets] if action.approve else []
    await connection.execute(
        "INSERT INTO ticket_decisions"
        " (ticket, principal, principal_name, approve, comment, channel, policies, email, agent)"
        " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)",
        action.ticket,
        principal.id,
        principal.name,
        action.approve,
        action.comment,
        channel.value,
        policies,
        address(principal.email),
        principal.agent,
    )


async def _notify(connection: Connection, ticket: str) -> None:
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, ticket)
