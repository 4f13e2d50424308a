"""What a ticket refuses, in words. Whether policy lets one decide at all is the gate's to say."""

from __future__ import annotations

from policies.errors import Denied, Refusal
from policies.model import Principal, RequireApproval, RevokeApproval, WithdrawApproval
from policies.people import Person
from server.approvals.tickets import Ticket


def unknown_ticket(ticket: str) -> Refusal:
    return Refusal(
        code="TICKET_UNKNOWN",
        reason=f"There is no ticket {ticket[:64]!r} that you may see.",
        next_step="Check the id; repeat the call that asked for approval to get its ticket again.",
    )


def require_decidable(
    ticket: Ticket, principal: Principal, *, approve: bool
) -> tuple[RequireApproval, ...]:
    """The requirements that this person's word is on. Raises `Denied`."""
    if ticket.state != "pending":
        raise Denied(already_closed(ticket.id, ticket.state))
    if not approve and ticket.deniable_by(principal):
        return ()
    meets = ticket.decidable_by(principal)
    if meets and not ticket.has_decided(principal):
        return meets
    raise Denied(_not_yours(ticket, principal))


def require_endable(
    ticket: Ticket, principal: Principal, action: WithdrawApproval | RevokeApproval
) -> None:
    """Raises `Denied` unless it is this person's to withdraw or revoke, and still open."""
    match action:
        case WithdrawApproval():
            if principal.id != ticket.principal:
                raise Denied(_only_the_requester(ticket))
        case RevokeApproval():
            if not ticket.revocable_by(principal):
                raise Denied(_not_to_revoke(ticket, principal))
    if not ticket.is_open:
        raise Denied(already_closed(ticket.id, ticket.state))


def _not_yours(ticket: Ticket, principal: Principal) -> Refusal:
    groups = sorted({g for r in ticket.open_requirements for g in r.groups})
    ask = f"Ask somebody in {', '.join(groups) or 'the approving groups'} to decide."
    reason, next_step = _why_not_yours(ticket, principal)
    return Refusal(
        code="APPROVAL_NOT_YOURS",
        policy=ticket.open_requirements[0].policy if ticket.open_requirements else "built-in",
        reason=reason,
        subject=ticket.id,
        next_step=next_step or ask,
    )


def _why_not_yours(ticket: Ticket, principal: Principal) -> tuple[str, str]:
    person = Person.of(principal)
    if principal.id == ticket.principal:
        return "Nobody approves their own request.", ""
    if ticket.has_decided(principal):
        again = f"To take it back, run: ostiary approvals revoke {ticket.id}. Else somebody else"
        return "You have approved this request already.", f"{again} must decide too."
    if person.may_be(Person.of(ticket.requester)):
        return "Nothing proves that you are somebody else than the requester.", ""
    if any(r.groups & principal.groups for r in ticket.open_requirements):
        return "Nothing proves that you are somebody else than who approved already.", ""
    return "You are in none of the groups that may decide on this request.", ""


def _only_the_requester(ticket: Ticket) -> Refusal:
    return Refusal(
        code="APPROVAL_NOT_YOURS",
        reason="Only its requester withdraws a request.",
        subject=ticket.id,
        next_step="Deny it, or revoke its approval.",
    )


def _not_to_revoke(ticket: Ticket, principal: Principal) -> Refusal:
    own = principal.id == ticket.principal
    return Refusal(
        code="APPROVAL_NOT_YOURS",
        reason="Your own request is withdrawn, not revoked."
        if own
        else "You have not approved this request, and are in no group that may.",
        subject=ticket.id,
        next_step=f"Run: ostiary approvals withdraw {ticket.id}"
        if own
        else "Ask somebody who may decide on it.",
    )


def too_many(waiting: int) -> Refusal:
    return Refusal(
        code="APPROVALS_TOO_MANY",
        reason=f"{waiting} of your requests wait for a decision already, or were just withdrawn.",
        next_step="Wait until they are decided or expire, then call again.",
    )


def already_closed(ticket: str, state: str) -> Refusal:
    return Refusal(
        code="TICKET_CLOSED",
        reason=f"Ticket {ticket} is {state} already; nothing was changed.",
        next_step="If the request is still wanted, its requester repeats the call.",
    )
