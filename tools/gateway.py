"""What the tools need of the gateway, as protocols, and the views it answers with. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from policies.model import Channel, Principal, SqlStatement


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target that one principal may connect to. `notes` say what will need approval."""

    name: str
    kind: str
    environment: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of the target's plan: how, on what, and how many rows the target expects of it."""

    depth: int
    node: str
    relation: str
    rows: int


@dataclass(frozen=True, slots=True)
class DryRunView:
    """What would happen to a statement that policy does not refuse; nothing has run.

    `approvals` say who must agree first, `obligations` what the gateway will do to the results;
    `facts` are what policy saw. Without a `plan`, `no_plan` says why.
    """

    approvals: tuple[str, ...]
    obligations: tuple[str, ...]
    facts: Mapping[str, JsonValue]
    plan: tuple[PlanStep, ...]
    no_plan: str
    session: str


@dataclass(frozen=True, slots=True)
class PreviewView:
    """What a change did when it was tried out and rolled back, for approvers alone.

    `rows` is None where that is not known; `sentence` then says why. Up to five rows as they were
    `before`, and the same rows `after`, in text form with labelled values masked; none where the
    one who looks may not read the table, or where they can't be told.
    """

    sentence: str
    rows: int | None = None
    columns: tuple[str, ...] = ()
    before: tuple[tuple[str | None, ...], ...] = ()
    after: tuple[tuple[str | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class TicketView:
    """An approval ticket as one principal may see it.

    `state` is pending, approved, denied, withdrawn, revoked, expired, used or void. `text` is the
    exact action, not escaped; `parameters` are in text form. `facts` are one line each, as policy
    saw them. `self_confirmation`: the requester's own confirmation is enough for all that is still
    open. `decided_by` and `comment` are of who spoke last. `url` is the approval page, empty where
    there is none; `progress` is what is still needed, one line a requirement; `decisions` are who
    said what. What the principal that looks may do about it now: `may_decide`, `may_withdraw`,
    `may_revoke`; `may_decide_by_form` is false where policy takes no decision from this client's
    forms. `preview` is never there for the requester.
    """

    id: str
    state: str
    requester: str
    requester_id: str
    agent: str
    target: str
    text: str
    digest: str
    expires_at: datetime
    parameters: tuple[str | None, ...] = ()
    facts: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    reason: str = ""
    decided_by: str = ""
    comment: str = ""
    self_confirmation: bool = False
    url: str = ""
    progress: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    may_decide: bool = False
    may_decide_by_form: bool = True
    may_withdraw: bool = False
    may_revoke: bool = False
    preview: PreviewView | None = None


class Targets(Protocol):
    async def targets(self, principal: Principal) -> Sequence[TargetView]:
        """The targets that this principal may connect to, by name."""
        ...


class Tickets(Protocol):
    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        """A ticket of one's own, or that one may decide. Raises `Denied` (TICKET_UNKNOWN)."""
        ...

    async def wait(self, principal: Principal, ticket: str, seconds: float) -> TicketView:
        """The ticket once it is no longer pending, or as it is after `seconds`."""
        ...


class Reviews(Protocol):
    async def may_review(self, principal: Principal) -> bool:
        """Whether this principal may decide on anybody's tickets at all."""
        ...

    async def reviewable(self, principal: Principal) -> Sequence[TicketView]:
        """Pending tickets that this principal may decide, oldest first."""
        ...

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        """Record the principal's decision; the ticket as it is then. Raises `Denied`."""
        ...


class DryRuns(Protocol):
    async def dry_run(
        self,
        principal: Principal,
        target: str,
        statement: SqlStatement,
        *,
        channel: Channel,
        reason: str,
    ) -> DryRunView:
        """What would happen to a statement; it does not run, and asks nobody for approval.

        Raises `Denied` where policy would refuse it, `BackendUnavailable` where that is not known.
        """
        ...


class Gateway(Targets, Tickets, Reviews, DryRuns, Protocol):
    """All that tools ask of the gateway besides performing an action."""
