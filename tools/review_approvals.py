"""review_approvals: what waits for this reviewer, and a form to decide on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from pydantic import Field, JsonValue

from policies.model import Channel
from tools.escaping import fenced, visible
from tools.gateway import Gateway, Reviews, TicketView
from tools.tickets import MAX_SHOWN, full_text, preview_lines, state_sentence
from tools.tool import (
    Answer,
    Arguments,
    Ask,
    Audience,
    Call,
    Choice,
    Hints,
    Inquiry,
    Output,
    Problem,
    Reply,
    Tool,
    parse,
)

FORM: Final[Mapping[str, JsonValue]] = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "Decision",
            "enum": ["approve", "deny", "skip"],
        },
        "comment": {"type": "string", "title": "Comment (recorded)", "maxLength": 500},
    },
    "required": ["decision"],
}

MOST_LISTED: Final = 20
"""Tickets in one answer, oldest first: a flood must not drown the reviewer's client."""

_TO_DECIDE: Final = "To decide, open its page, or run: ostiary approvals approve|deny ID"


class ReviewApprovalsArguments(Arguments):
    approval_id: Annotated[
        str, Field(max_length=128, description="Only this one, e.g. ap_x1; empty: the oldest")
    ] = ""


class WaitingTicket(Output):
    approval_id: str
    requester: str
    agent: str
    target: str
    text: str
    parameters: list[str | None]
    facts: list[str]
    preview: list[str]
    policies: list[str]
    reason: str
    digest: str
    expires_at: str
    needed: list[str]
    approval_page: str


class ReviewApprovalsOutput(Output):
    decided: str
    waiting: list[WaitingTicket]
    next_step: str


def prepare(raw: Mapping[str, JsonValue], call: Call) -> Inquiry:
    arguments = parse(ReviewApprovalsArguments, raw)

    async def answer(gateway: Gateway) -> Answer | Problem | Ask:
        waiting = await _waiting(gateway, call, arguments.approval_id)
        if not waiting and arguments.approval_id:
            await gateway.ticket(call.principal, arguments.approval_id)  # refuses, and records it
            return _UNKNOWN
        forms = filter(None, map(_form, waiting)) if call.can_ask else iter(())
        return next(forms, None) or _listing("", waiting)

    async def resume(gateway: Reviews, state: str, reply: Reply) -> Answer | Problem:
        decided = await _decide(gateway, call, state, reply)
        return _listing(decided, await _waiting(gateway, call, ""))

    return Inquiry(answer, resume)


async def _waiting(gateway: Reviews, call: Call, ticket: str) -> list[TicketView]:
    """One's own requests are not offered, unless one's own confirmation is enough."""
    return [
        view
        for view in await gateway.reviewable(call.principal)
        if (view.requester_id != call.principal.id or view.self_confirmation)
        and ticket in ("", view.id)
    ]


def _form(ticket: TicketView) -> Ask | None:
    if not ticket.may_decide_by_form:
        return None
    shown = full_text(ticket)
    return Ask(shown, FORM, ticket.id) if len(shown) <= MAX_SHOWN else None


async def _decide(gateway: Reviews, call: Call, ticket: str, reply: Reply) -> str:
    decision = reply.text("decision") if reply.choice is Choice.ACCEPT else "skip"
    if decision not in ("approve", "deny"):
        return f"No decision was made on {ticket}."
    view = await gateway.decide(
        call.principal,
        ticket,
        approve=decision == "approve",
        comment=reply.text("comment"),
        channel=Channel.ELICITATION,
    )
    return state_sentence(view)


def _listing(decided: str, waiting: Sequence[TicketView]) -> Answer:
    step = _TO_DECIDE if waiting else "Nothing else waits for you."
    if len(waiting) > MOST_LISTED:
        step += f" {len(waiting) - MOST_LISTED} more wait: ostiary approvals list."
    waiting = waiting[:MOST_LISTED]
    shown = [fenced(_shown(view)) for view in waiting]
    text = "\n\n".join([part for part in (decided, *shown, step) if part])
    outputs = [_output(view) for view in waiting]
    return Answer(text, ReviewApprovalsOutput(decided=decided, waiting=outputs, next_step=step))


def _shown(ticket: TicketView) -> str:
    return _cut(full_text(ticket), ticket)


def _cut(text: str, ticket: TicketView) -> str:
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}\n[cut: read all of it with ostiary approvals show {ticket.id}]"


def _output(ticket: TicketView) -> WaitingTicket:
    return WaitingTicket(
        approval_id=ticket.id,
        requester=visible(ticket.requester),
        agent=visible(ticket.agent),
        target=ticket.target,
        text=_cut(_lines(ticket.text), ticket),
        parameters=[None if p is None else visible(p) for p in ticket.parameters],
        facts=[visible(fact) for fact in ticket.facts],
        preview=preview_lines(ticket.preview),
        policies=list(ticket.policies),
        reason=visible(ticket.reason),
        digest=ticket.digest,
        expires_at=ticket.expires_at.isoformat(),
        needed=[visible(each) for each in ticket.progress],
        approval_page=ticket.url,
    )


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


_UNKNOWN: Final = Problem(
    {
        "code": "TICKET_UNKNOWN",
        "reason": "No ticket of this id waits for your decision.",
        "next_step": "Call review_approvals without arguments to see what does.",
    }
)

REVIEW_APPROVALS: Final = Tool(
    name="review_approvals",
    title="Review approvals",
    description=(
        "Show the requests that wait for your user's approval, and ask your user to decide on"
        " one. Only the user decides, never you."
    ),
    arguments=ReviewApprovalsArguments,
    output=ReviewApprovalsOutput,
    hints=Hints(read_only=False, destructive=True, idempotent=False, open_world=False),
    prepare=prepare,
    audience=Audience.REVIEWERS,
)
