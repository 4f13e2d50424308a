"""What the MCP door, the API and the approval page ask of the gateway: calls, tickets, targets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from policies.errors import Denied, Refusal
from policies.model import (
    Action,
    Channel,
    DecideApproval,
    Effect,
    Principal,
    Requested,
    RevokeApproval,
    SqlStatement,
    WithdrawApproval,
)
from recordings.events import Results
from server import records
from server.approvals.approvals import Approvals
from server.approvals.refusals import unknown_ticket
from server.approvals.tickets import Ticket
from server.approvals.views import Rights, view
from server.backends import Backend
from server.dry_runs import DryRuns
from server.gate import Gate, Session
from server.previews.stored import Preview, StoredPreviews
from server.previews.views import preview_view
from server.recorded_input import kept_text
from server.target_views import TargetViews, would_decide
from tools.gateway import DryRunView, TargetView, TicketView

_OWN_WORD: Final = (Channel.API, Channel.WEB)
_ANY_WORD: Final = (Channel.ELICITATION, *_OWN_WORD)


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
    """Answers for one gate. Who may see or decide what is asked of the gate each time.

    `public_url` is where the approval page is reached; empty where there is none.
    """

    gate: Gate
    approvals: Approvals
    public_url: str = ""

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

    async def dry_run(
        self,
        principal: Principal,
        target: str,
        statement: SqlStatement,
        *,
        channel: Channel,
        reason: str,
    ) -> DryRunView:
        """What would happen to a statement; nothing runs. Raises `Denied`, `BackendUnavailable`."""
        asked = DryRuns(self.gate)
        return await asked.dry_run(principal, target, statement, channel=channel, reason=reason)

    async def refused(self, principal: Principal, tool: str, refusal: Refusal) -> None:
        """Record a call that never became an action: unknown tool, wrong arguments."""
        await self.gate.journal.commit(records.refused_call(principal, tool, refusal))

    async def targets(self, principal: Principal) -> Sequence[TargetView]:
        """The targets that this principal may connect to, with what each verb will meet there."""
        return await TargetViews(self.gate).of(principal)

    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        """A ticket of one's own, or that one may decide. Raises `Denied` (TICKET_UNKNOWN)."""
        return await self._view(principal, await self._visible(principal, ticket))

    async def wait(self, principal: Principal, ticket: str, seconds: float) -> TicketView:
        """The ticket once it is no longer pending, or as it is after `seconds`."""
        await self._visible(principal, ticket)
        return await self._view(principal, await self.approvals.wait(ticket, seconds))

    async def may_review(self, principal: Principal) -> bool:
        """Whether this principal may decide on anybody's tickets at all."""
        asked = Requested(_SOMEBODY, frozenset(), destroys=False, own=False)
        return any(
            self._may(principal, backend, DecideApproval("", True, asked), *_ANY_WORD)
            for backend in self.gate.backends.values()
        )

    async def reviewable(self, principal: Principal) -> Sequence[TicketView]:
        """Pending tickets that this principal may decide, oldest first."""
        pending = await self.approvals.tickets(principal, "pending")
        views = await self._views(principal, tuple(reversed(pending)))
        return [each for each in views if each.may_decide]

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]:
        """The newest tickets that are one's own or that one may decide, or might have."""
        tickets = await self.approvals.tickets(principal, state)
        return await self._views(principal, tickets)

    def is_let_in(self, principal: Principal) -> bool:
        """Whether nobody has blocked them. Raises `BackendUnavailable` where that is not known."""
        return self.gate.is_let_in(principal)

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        """Record the principal's decision; the ticket as it is then. Raises `Denied`."""
        found = await self._visible(principal, ticket)
        asked = found.requested(principal)
        action = DecideApproval(found.id, approve, asked, _storable(comment))
        await self.gate.authorize(principal, action, channel=channel, target=found.target)
        async with self._recording_refusals(principal):
            decided = await self.approvals.decide(principal, action, channel=channel)
        return await self._view(principal, decided)

    async def withdraw(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        """Take one's own request back before it is used. Raises `Denied`."""
        found = await self._visible(principal, ticket)
        action = WithdrawApproval(found.id, found.requested(principal), _storable(comment))
        return await self._end(principal, found, action, channel)

    async def revoke(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        """Take an approval back before it is used. Raises `Denied`."""
        found = await self._visible(principal, ticket)
        action = RevokeApproval(found.id, found.requested(principal), _storable(comment))
        return await self._end(principal, found, action, channel)

    async def _end(
        self,
        principal: Principal,
        found: Ticket,
        action: WithdrawApproval | RevokeApproval,
        channel: Channel,
    ) -> TicketView:
        await self.gate.authorize(principal, action, channel=channel, target=found.target)
        async with self._recording_refusals(principal):
            ended = await self.approvals.end(principal, action, channel=channel)
        return await self._view(principal, ended)

    async def _visible(self, principal: Principal, ticket: str) -> Ticket:
        async with self._recording_refusals(principal):
            found = await self.approvals.get(ticket)
            if principal.id != found.principal and not found.is_concern_of(principal):
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

    async def _view(self, principal: Principal, ticket: Ticket) -> TicketView:
        (shown,) = await self._views(principal, (ticket,))
        return shown

    async def _views(self, principal: Principal, tickets: Sequence[Ticket]) -> list[TicketView]:
        """As this principal may see them: previews are for those who decide."""
        decided_by_them = [t.id for t in tickets if t.previews_for(principal)]
        previews = await StoredPreviews(self.approvals.store).of(decided_by_them)
        shown = (view(t, self._url(t), self._rights(principal, t)) for t in tickets)
        return [self._with_preview(principal, each, previews.get(each.id)) for each in shown]

    def _with_preview(
        self, principal: Principal, shown: TicketView, preview: Preview | None
    ) -> TicketView:
        if preview is None:
            return shown
        backend = self.gate.backends.get(shown.target)
        return replace(shown, preview=preview_view(preview, self.gate, backend, principal))

    def _url(self, ticket: Ticket) -> str:
        base = self.public_url.rstrip("/")
        return f"{base}/approvals/{ticket.id}" if base else ""

    def _rights(self, principal: Principal, ticket: Ticket) -> Rights:
        """What the ticket and policy let this principal do; policy is not asked for nothing."""
        backend = self.gate.backends.get(ticket.target)
        if backend is None or not ticket.is_open:
            return Rights(by_form=False)
        asked = ticket.requested(principal)
        decide, withdraw = DecideApproval("", True, asked), WithdrawApproval("", asked)
        revoke, own = RevokeApproval("", asked), principal.id == ticket.principal
        decides = ticket.state == "pending" and bool(ticket.decidable_by(principal))
        revokes = ticket.revocable_by(principal)
        return Rights(
            decide=decides and self._may(principal, backend, decide, *_ANY_WORD),
            by_form=decides and self._may(principal, backend, decide, Channel.ELICITATION),
            withdraw=own and self._may(principal, backend, withdraw, *_OWN_WORD),
            revoke=revokes and self._may(principal, backend, revoke, *_OWN_WORD),
        )

    def _may(
        self, principal: Principal, backend: Backend, action: Action, *channels: Channel
    ) -> bool:
        """Whether policy would let it happen through one of these channels."""
        decisions = (
            would_decide(self.gate, principal, backend, action, channel=channel)
            for channel in channels
        )
        return any(d.effect is Effect.PERMIT and not d.obligations for d in decisions)


_SOMEBODY: Final = Principal(id="", name="", agent="")


def _storable(text: str) -> str:
    """A comment without secrets, and without what PostgreSQL keeps in no text: NUL, surrogates."""
    return kept_text(text[:2000].encode("utf-8", "replace").decode().replace("\0", ""))
