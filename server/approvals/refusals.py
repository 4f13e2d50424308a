"""What a ticket refuses, in words. Whether policy lets one decide at all is the gate's to say."""

from __future__ import annotations

from policies.errors import Denied, Refusal
from policies.model import Principal, RequireApproval
from server.approvals.tickets import Ticket


def unknown_ticket(ticket: str) -> Refusal:
    return Refusal(
        code="TICKET_UNKNOWN",
        reason=f"There is no ticket {ticket[:64]!r} that you may see.",
        next_step="Check the id; repeat the call that asked for approval to get its ticket again.",
    )


def require_decidable(ticket: Ticket, principal: Principal) -> tuple[RequireApproval, ...]:
    if ticket.state != "pending":
        raise Denied(already_closed(ticket.id, ticket.state))
    meets = ticket.decidable_by(principal)
    if meets:
        return meets
    own = principal.id == ticket.principal
    groups = sorted({g for r in ticket.open_requirements for g in r.groups})
    raise Denied(
        Refusal(
            code="APPROVAL_NOT_YOURS",
            policy=ticket.open_requirements[0].policy if ticket.open_requirements else "built-in",
            reason="Nobody approves their own request."
            if own
            else "You are in none of the groups that may decide on this request.",
            subject=ticket.id,
            next_step=f"Ask somebody in {', '.join(groups) or 'the approving groups'} to decide.",
        )
    )


def too_many(waiting: int) -> Refusal:
    return Refusal(
        code="APPROVALS_TOO_MANY",
        reason=f"{waiting} of your requests wait for a decision already.",
        next_step="Wait until they are decided or expire, then call again.",
    )


def already_closed(ticket: str, state: str) -> Refusal:
    return Refusal(
        code="TICKET_CLOSED",
        reason=f"Ticket {ticket} is {state} already; nothing was changed.",
        next_step="If the request is still wanted, its requester repeats the call.",
    )
