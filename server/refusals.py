"""The gate's own refusals, and the words for them; those of policies carry their author's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from policies.errors import Refusal
from policies.model import AccessRequest, Decision, Effect, LimitRows, SqlStatement
from recordings.text import escaped
from server.approvals.tickets import Ticket


def not_approved(ticket: Ticket) -> Refusal:
    """Why a ticket lets nothing through."""
    reason, next_step = _ENDINGS.get(ticket.state, _EXPIRED)
    said = next((d for d in ticket.decisions if not d.approve), None)
    who, comment = (said.name, said.comment) if said else (ticket.ended_name, ticket.ended_comment)
    because = f": {escaped(comment)}" if comment else "."
    return Refusal(
        code=f"APPROVAL_{ticket.state.upper()}",
        policy=ticket.requirements[0].policy,
        reason=reason.format(ticket=ticket.id, who=escaped(who)) + because,
        subject=ticket.id,
        next_step=next_step,
    )


_EXPIRED: Final = (
    "Nobody approved the request in time: ticket {ticket} has expired",
    "Repeat the call to ask again, if it is still wanted.",
)
_ENDINGS: Final[Mapping[str, tuple[str, str]]] = {
    "denied": (
        "{who} denied the request",
        "Do not repeat the call unchanged; ask the approver what would be acceptable.",
    ),
    "withdrawn": (
        "Ticket {ticket} was withdrawn by its requester",
        "Do not repeat the call unless your user asks for it again.",
    ),
    "revoked": (
        "{who} revoked the approval",
        "Do not repeat the call unchanged; ask the approver what would be acceptable.",
    ),
    "used": (
        "The approved call has run already, for an equal call that waited for it too",
        "Repeat the call only if it is to run once more: it needs an approval of its own.",
    ),
    "void": (
        "Policy asks for something else now: ticket {ticket} is void",
        "Repeat the call to ask again.",
    ),
}


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
    if 0 < action.max_rows <= left:
        return request, decision
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


CATALOG_UNSETTLED: Final = Refusal(
    code="CATALOG_UNSETTLED",
    reason="The target's tables, views or functions keep changing while the statement is judged.",
    next_step="Repeat the call when the target's schema has settled. Nothing has run.",
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


def by_itself(request: AccessRequest, decision: Decision) -> tuple[AccessRequest, Decision]:
    """Deny what needs approval and is named: a ticket would not be bound to what the name means."""
    named = request.facts.named if request.facts else None
    if decision.effect is not Effect.PERMIT or not decision.approvals or named is None:
        return request, decision
    if not named.makes and not named.runs:
        return request, decision
    refusal = Refusal(
        code="APPROVAL_BY_NAME",
        policy=decision.approvals[0].policy,
        reason=f"The statement needs approval, and {named.kind.upper()} gives or uses only a name.",
        next_step="Send the statement itself, without a name, and have that approved.",
    )
    return request, replace(decision, effect=Effect.DENY, obligations=(), refusal=refusal)


def together(request: AccessRequest, decision: Decision) -> tuple[AccessRequest, Decision]:
    """Deny what can't be one of several statements in a message.

    A ticket is for one exact message, and rows are copied in or out under one statement's grant.
    """
    if decision.effect is not Effect.PERMIT:
        return request, decision
    copies = request.facts is not None and "copy" in request.facts.kinds
    if not copies and not decision.approvals:
        return request, decision
    why = "copies rows in or out" if copies else "needs approval"
    refusal = Refusal(
        code="SQL_MULTIPLE_STATEMENTS",
        policy="" if copies else decision.approvals[0].policy,
        reason=f"One of the statements {why}, and is sent by itself. None of them has run.",
        next_step="Send each statement in a message of its own.",
    )
    return request, replace(decision, effect=Effect.DENY, obligations=(), refusal=refusal)
