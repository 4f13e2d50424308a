"""The gate's own refusals, and the words for them; those of policies carry their author's."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from policies.errors import Refusal
from policies.model import AccessRequest, Decision, Effect, LimitRows, SqlStatement
from recordings.text import escaped
from server.approvals.tickets import Ticket


def not_approved(ticket: Ticket) -> Refusal:
    """Why a ticket lets nothing through."""
    said = next((d for d in ticket.decisions if not d.approve), None)
    reason = f"The request was not approved: ticket {ticket.id} is {ticket.state}."
    if said is not None:
        words = f": {escaped(said.comment)}" if said.comment else "."
        reason = f"{escaped(said.name)} denied the request{words}"
    return Refusal(
        code="APPROVAL_DENIED" if said else "APPROVAL_EXPIRED",
        policy=ticket.requirements[0].policy,
        reason=reason,
        subject=ticket.id,
        next_step="Do not repeat the call unchanged; ask the approver what would be acceptable."
        if said
        else "Repeat the call to ask again.",
    )


def within_rows(request: AccessRequest, decision: Decision) -> tuple[AccessRequest, Decision]:
    """Cut the action to the rows that policy lets through over all pages of its result."""
    limit, action = decision.row_limit, request.action
    if not isinstance(action, SqlStatement) or decision.effect is not Effect.PERMIT:
        return request, decision
    if action.skip and not reads(request):
        return request, replace(decision, effect=Effect.DENY, obligations=(), refusal=NO_PAGES)
    if limit is None:
        return request, decision
    left = limit - action.skip
    if left > 0:
        narrowed = replace(action, max_rows=min(action.max_rows or left, left))
        return replace(request, action=narrowed), decision
    policy = next(o.policy for o in decision.obligations if isinstance(o, LimitRows))
    refusal = Refusal(
        code="ROW_LIMIT",
        policy=policy,
        reason=f"Policy lets through {limit} rows of one result, and they were all delivered.",
        next_step="Narrow the statement, or aggregate in the statement itself.",
    )
    return request, replace(decision, effect=Effect.DENY, obligations=(), refusal=refusal)


NO_PAGES: Final = Refusal(
    code="CURSOR_INVALID",
    reason="Only a read has more pages; this statement would run again.",
    next_step="Call again without the cursor if the statement is to run again.",
)


def reads(request: AccessRequest) -> bool:
    return request.facts is not None and request.facts.read_only


def unknown_target(target: str) -> Refusal:
    """One answer for a target that is not there and for one that is not yours."""
    return Refusal(
        code="TARGET_UNKNOWN",
        reason=f"There is no target {target[:64]!r} that you may use.",
        subject=target[:64],
        next_step="Call list_targets to see the targets that you may use.",
    )


def unmet(decision: Decision) -> Refusal:
    """An obligation that the gate can't meet here is a deny."""
    names = ", ".join(sorted(type(o).__name__ for o in decision.obligations))
    return Refusal(
        code="OBLIGATION_UNMET",
        reason=f"Policy asks for something that can't be done here: {names or 'unknown'}.",
        next_step="Ask the people who keep the policies.",
    )
