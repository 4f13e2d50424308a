"""What the MCP door and the command line ask of the gateway: one call, tickets, targets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from policies.errors import BackendUnavailable, Denied, Refusal
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Connect,
    DecideApproval,
    Decision,
    Effect,
    Principal,
    SqlStatement,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from recordings.events import Results
from server import records
from server.approvals.approvals import Approvals
from server.approvals.refusals import unknown_ticket
from server.approvals.tickets import Ticket
from server.backends import Backend
from server.gate import Gate, Session
from tools.gateway import TargetView, TicketView

PROBED_TABLES: Final = 20
VERBS: Final = (
    ("read rows", "select", SqlEffect.READ),
    ("insert", "insert", SqlEffect.WRITE),
    ("update", "update", SqlEffect.WRITE),
    ("delete", "delete", SqlEffect.WRITE),
    ("change the schema", "ddl", SqlEffect.DDL),
)


@dataclass(frozen=True, slots=True)
class Performance:
    """An action under way."""

    opened: Session
    events: Results

    @property
    def session(self) -> str:
        return self.opened.id

    @property
    def writes(self) -> bool:
        """Whether it needed more than a read-only transaction; known once it was granted."""
        return self.opened.writes


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers for one gate. Who may see or decide what is asked of the gate each time."""

    gate: Gate
    approvals: Approvals

    @asynccontextmanager
    async def perform(
        self, principal: Principal, target: str, action: Action, *, channel: Channel, reason: str
    ) -> AsyncIterator[Performance]:
        """One session of one action; leaving the context cancels it.

        Raises `Denied` and `BackendUnavailable`, on entry or while iterating.
        """
        async with (
            self.gate.open(principal, target, channel=channel, reason=reason) as session,
            session.perform(action) as events,
        ):
            yield Performance(session, events)

    async def refused(self, principal: Principal, tool: str, refusal: Refusal) -> None:
        """Record a call that never became an action: unknown tool, wrong arguments."""
        await self.gate.journal.commit(records.refused_call(principal, tool, refusal))

    async def targets(self, principal: Principal) -> Sequence[TargetView]:
        """The targets that this principal may connect to, with what each verb will meet there."""
        views = []
        for name, backend in sorted(self.gate.backends.items()):
            if self._decide(principal, backend, Connect(), None).effect is not Effect.PERMIT:
                continue
            target = backend.target
            notes = await self._notes(principal, backend)
            views.append(TargetView(name, target.kind, target.environment, notes))
        return views

    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        """A ticket of one's own, or that one may decide. Raises `Denied` (TICKET_UNKNOWN)."""
        return view(await self._visible(principal, ticket))

    async def wait(self, principal: Principal, ticket: str, seconds: float) -> TicketView:
        """The ticket once it is no longer pending, or as it is after `seconds`."""
        await self._visible(principal, ticket)
        return view(await self.approvals.wait(ticket, seconds))

    async def may_review(self, principal: Principal) -> bool:
        """Whether this principal may decide on anybody's tickets at all."""
        return any(self._may_decide(principal, backend) for backend in self.gate.backends.values())

    async def reviewable(self, principal: Principal) -> Sequence[TicketView]:
        """Pending tickets that this principal may decide, oldest first."""
        pending = await self.approvals.tickets(principal, "pending")
        return [view(t) for t in reversed(pending) if self._decidable(principal, t)]

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]:
        """The newest tickets that are one's own or that one may decide, or might have."""
        tickets = await self.approvals.tickets(principal, state)
        return [view(t) for t in tickets if self._sees(principal, t)]

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        """Record the principal's decision; the ticket as it is then. Raises `Denied`."""
        found = await self._visible(principal, ticket)
        action = DecideApproval(ticket, approve, _storable(comment[:2000]))
        own = found.principal == principal.id and found.self_confirmation
        if not own:
            await self.gate.authorize(principal, action, channel=channel, target=found.target)
        async with self._recording_refusals(principal):
            return view(await self.approvals.decide(principal, action, channel=channel))

    async def _visible(self, principal: Principal, ticket: str) -> Ticket:
        async with self._recording_refusals(principal):
            found = await self.approvals.get(ticket)
            if not self._sees(principal, found):
                raise Denied(unknown_ticket(ticket))
            return found

    @asynccontextmanager
    async def _recording_refusals(self, principal: Principal) -> AsyncIterator[None]:
        """What a ticket refuses is recorded here; what policy refuses, by the gate."""
        try:
            yield
        except Denied as denied:
            await self.refused(principal, "approval", denied.refusal)
            raise

    def _sees(self, principal: Principal, ticket: Ticket) -> bool:
        if principal.id == ticket.principal:
            return True
        groups = frozenset[str]().union(*(r.groups for r in ticket.requirements))
        return bool(groups & principal.groups)

    def _decidable(self, principal: Principal, ticket: Ticket) -> bool:
        backend = self.gate.backends.get(ticket.target)
        if backend is None or not ticket.decidable_by(principal):
            return False
        return principal.id == ticket.principal or self._may_decide(principal, backend)

    def _may_decide(self, principal: Principal, backend: Backend) -> bool:
        channels = (Channel.ELICITATION, Channel.API)
        probe = DecideApproval(ticket="", approve=True)
        decisions = (self._decide(principal, backend, probe, None, c) for c in channels)
        return any(d.effect is Effect.PERMIT for d in decisions)

    async def _notes(self, principal: Principal, backend: Backend) -> tuple[str, ...]:
        try:
            await self.gate.facts(backend, "SELECT 1")
        except BackendUnavailable:
            return ("it can't be reached now",)
        tables = [r.name for r in backend.catalog.relations.values() if r.kind in "rp"]
        own = [t for t in tables if t.schema in backend.catalog.search_path]
        return tuple(
            f"{words}: {self._verdict(principal, backend, verb, effect, own)}"
            for words, verb, effect in VERBS
        )

    def _verdict(
        self,
        principal: Principal,
        backend: Backend,
        verb: str,
        effect: SqlEffect,
        tables: Sequence[TableName],
    ) -> str:
        probes = (
            SqlFacts(effect, frozenset({verb}), (TableUse(table, verb),))
            for table in sorted(tables)[:PROBED_TABLES]
        )
        decisions = [self._decide(principal, backend, SqlStatement(""), f) for f in probes]
        return _summary(decisions)

    def _decide(
        self,
        principal: Principal,
        backend: Backend,
        action: Action,
        facts: SqlFacts | None,
        channel: Channel = Channel.MCP,
    ) -> Decision:
        """What policy would say; asks, and records nothing, because nothing happens."""
        return self.gate.decide(
            AccessRequest(
                principal=principal,
                target=backend.target,
                action=action,
                channel=channel,
                now=datetime.now(UTC),
                session="",
                facts=facts,
            )
        )


def _storable(text: str) -> str:
    """The text without what PostgreSQL keeps in no text: NUL, and half characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def view(ticket: Ticket) -> TicketView:
    """A ticket as tools and the command line show it."""
    action = ticket.document["action"]
    assert isinstance(action, dict)  # noqa: S101 -- written by server.approvals.tickets.bind
    parameters = action.get("parameters") or []
    last = ticket.decisions[-1] if ticket.decisions else None
    return TicketView(
        id=ticket.id,
        state=ticket.state,
        requester=ticket.principal_name,
        requester_id=ticket.principal,
        agent=ticket.agent,
        target=ticket.target,
        text=str(action.get("text", action["kind"])),
        digest=ticket.digest.hex(),
        expires_at=ticket.expires_at,
        parameters=tuple(None if p is None else str(p) for p in parameters)
        if isinstance(parameters, list)
        else (),
        facts=tuple(_fact_lines(ticket.document.get("facts"))),
        policies=tuple(f"{r.policy}: {r.sentence}" for r in ticket.requirements),
        reason=str(ticket.document.get("reason") or ""),
        decided_by=last.name if last else "",
        comment=last.comment if last else "",
        self_confirmation=ticket.self_confirmation,
    )


def _fact_lines(facts: object) -> Iterable[str]:
    """What policy saw, one line a table."""
    if not isinstance(facts, dict):
        return
    yield f"effect: {facts['effect']}"
    for use in facts["tables"]:
        columns = ", ".join(use["columns"]) or "no column"
        labels = f"; labels: {', '.join(use['labels'])}" if use["labels"] else ""
        yield f"{use['verb']} {use['table']} ({columns}{labels})"
    if not facts["has_where"]:
        yield "no WHERE that narrows the rows"


def _summary(decisions: Sequence[Decision]) -> str:
    """One phrase for what a verb meets on the target's tables."""
    words = sorted({_phrase(d) for d in decisions}) or ["no table to use"]
    return words[0] if len(words) == 1 else "by table: " + "; ".join(words)


def _phrase(decision: Decision) -> str:
    if decision.effect is not Effect.PERMIT:
        return "not permitted"
    phrases = ["permitted"]
    if decision.approvals:
        groups = sorted({g for r in decision.approvals for g in r.groups})
        own = all(r.self_confirmation for r in decision.approvals)
        phrases = [
            f"needs {'your own confirmation' if own else 'approval by ' + ', '.join(groups)}"
        ]
    if decision.masked_labels:
        phrases.append(f"{', '.join(sorted(decision.masked_labels))} masked")
    if decision.row_limit is not None:
        phrases.append(f"at most {decision.row_limit} rows")
    return ", ".join(phrases)
