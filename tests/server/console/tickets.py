"""Tickets, and a desk that keeps them in memory and speaks the page's `Desk`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from policies.errors import Denied, Refusal
from policies.model import Channel, Principal
from tools.gateway import TicketView

RITA = Principal("corp:rita", "Rita", "web", frozenset({"developers"}))
VICTOR = Principal("corp:victor", "Victor", "web", frozenset({"dba"}))
UNKNOWN = Refusal("TICKET_UNKNOWN", "There is no such ticket for you.", "Check the id.")
CLOSED = Refusal("TICKET_CLOSED", "The ticket is closed already.", "Ask again.")


def ticket(**changes: Any) -> TicketView:
    """A pending request of rita's that victor may decide, changed."""
    good: dict[str, Any] = {
        "id": "ap_1",
        "state": "pending",
        "requester": "Rita",
        "requester_id": RITA.id,
        "agent": "claude",
        "target": "shop",
        "text": "UPDATE orders SET total = 1",
        "digest": "d1" * 32,
        "expires_at": datetime(2030, 1, 1, 12, 30, tzinfo=UTC),
        "facts": ("effect: write",),
        "policies": ("changes-need-approval: A DBA looks at changes.",),
        "progress": ("changes-need-approval: 1 more of dba",),
        "may_decide": True,
    }
    return TicketView(**good | changes)


@dataclass
class MemoryDesk:
    """Lets everybody see, and do what the ticket says they may."""

    tickets: dict[str, TicketView] = field(default_factory=lambda: {"ap_1": ticket()})
    acts: list[tuple[str, str, str, str, Channel]] = field(default_factory=list)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    fails: Exception | None = None

    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        if self.fails is not None:
            raise self.fails
        if ticket not in self.tickets:
            raise Denied(UNKNOWN)
        return self.tickets[ticket]

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]:
        return [t for t in self.tickets.values() if state in (None, t.state)]

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        act, state = ("approve", "approved") if approve else ("deny", "denied")
        return self._act(principal, ticket, act, state, comment, channel)

    async def withdraw(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        return self._act(principal, ticket, "withdraw", "withdrawn", comment, channel)

    async def revoke(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        return self._act(principal, ticket, "revoke", "revoked", comment, channel)

    def _act(
        self,
        principal: Principal,
        ticket: str,
        act: str,
        state: str,
        comment: str,
        channel: Channel,
    ) -> TicketView:
        found = self.tickets[ticket]
        if found.state != "pending":
            raise Denied(CLOSED)
        self.acts.append((principal.id, ticket, act, comment, channel))
        self.tickets[ticket] = replace(found, state=state, may_decide=False, progress=())
        return self.tickets[ticket]

    async def refused(self, principal: Principal, tool: str, refusal: Refusal) -> None:
        self.refusals.append((principal.id, tool, refusal.code))
