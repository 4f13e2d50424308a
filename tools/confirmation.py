"""Self-confirmation: the requester's own user confirms a call, where policy says that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from policies.model import Channel, Principal
from tools.gateway import Gateway, TicketView
from tools.tickets import MAX_SHOWN, full_text, not_yet
from tools.tool import Ask, Call, Choice, Problem, Reply

FORM: Final[Mapping[str, JsonValue]] = {
    "type": "object",
    "properties": {
        "comment": {"type": "string", "title": "Comment (recorded)", "maxLength": 500},
    },
}
"""Accepting the form is the confirmation: clients turn a required field into a cancellation."""


def confirmation(ticket: TicketView, call: Call) -> Ask | None:
    """The form for the requester's own user, where that may and can be asked."""
    own = ticket.requester_id == call.principal.id and ticket.self_confirmation
    if not (own and ticket.may_decide_by_form and call.can_ask):
        return None
    message = "Your agent wants to do this in your name. Confirm?\n" + full_text(ticket)
    return Ask(message, FORM, ticket.id) if len(message) <= MAX_SHOWN else None


async def confirmed(
    gateway: Gateway, principal: Principal, ticket: str, reply: Reply
) -> Problem | None:
    """Record the user's answer; None when the ticket is approved, else why the call did not run."""
    view = await gateway.ticket(principal, ticket)
    if view.state == "pending" and view.self_confirmation and reply.choice is not Choice.CANCEL:
        view = await gateway.decide(
            principal,
            ticket,
            approve=reply.choice is Choice.ACCEPT,
            comment=reply.text("comment"),
            channel=Channel.ELICITATION,
        )
    return None if view.state == "approved" else not_yet(view)
