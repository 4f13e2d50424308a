"""Approval tickets in words, for those who ask and for those who decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from tools.escaping import quoted, visible
from tools.gateway import PreviewView, TicketView
from tools.tool import Problem

MAX_SHOWN: Final = 16_000
"""Characters of a ticket that a form can show: nobody is asked about what they can't see."""

MAX_PREVIEW: Final = 4_000
"""Characters of rows of a preview among the rest."""

_NEXT_STEPS: Final = {
    "approved": "Repeat the exact call with the same arguments; the approval is good for one.",
    "denied": "Do not retry.",
    "withdrawn": "Do not retry unless your user asks for it again.",
    "revoked": "Do not retry.",
    "expired": "Nobody decided in time. Repeat the call to ask again, if it is still wanted.",
    "used": "The approved call has run. Repeating it needs a new approval.",
    "void": "Policy asks for something else now. Repeat the call to ask again.",
}


def next_step(ticket: TicketView) -> str:
    """What the requester's agent does now."""
    if ticket.state in _NEXT_STEPS:
        return _NEXT_STEPS[ticket.state]
    waiting = f'Call approval_wait(approval_id="{ticket.id}"), then repeat this exact call.'
    if ticket.self_confirmation:
        return f"Ask your user to {to_decide(ticket)}. {waiting}"
    return f"{_told(ticket)}{waiting}"


def to_decide(ticket: TicketView) -> str:
    """What a person does who decides on it: the page where there is one, or the command."""
    command = f"run: ostiary approvals approve|deny {ticket.id}"
    return f"open {ticket.url} or {command}" if ticket.url else command


def _told(ticket: TicketView) -> str:
    return f"It is decided on {ticket.url} . Tell your user. " if ticket.url else ""


def state_sentence(ticket: TicketView) -> str:
    """The ticket's state, who decided and why."""
    by = f" by {visible(ticket.decided_by)}" if ticket.decided_by else ""
    because = f": {visible(ticket.comment)}" if ticket.comment else ""
    return f"{ticket.id} is {ticket.state}{by}{because}."


def not_yet(ticket: TicketView) -> Problem:
    """The answer to a call whose ticket is not approved: why it did not run, and what next."""
    pending = ticket.state == "pending"
    document: dict[str, JsonValue] = {
        "status": "pending_approval" if pending else ticket.state,
        "code": f"APPROVAL_{ticket.state.upper()}",
        "approval_id": ticket.id,
        "reason": _why(ticket),
        "policies": list(ticket.policies),
        **_where(ticket),
        "expires_at": ticket.expires_at.isoformat(),
        "next_step": next_step(ticket),
    }
    return Problem(document)


def _where(ticket: TicketView) -> dict[str, JsonValue]:
    """What is still needed, and the page, where there is one."""
    found: dict[str, JsonValue] = {}
    if ticket.progress:
        found["needed"] = list(ticket.progress)
    if ticket.url:
        found["approval_page"] = ticket.url
    return found


def _why(ticket: TicketView) -> str:
    if ticket.state == "pending":
        return "The call waits for a person's approval. It has not run."
    return f"{state_sentence(ticket)} The call has not run."


def full_text(ticket: TicketView) -> str:
    """All that an approver must see, escaped, with the exact action line by line."""
    lines = [
        f"Request {ticket.id} on target {visible(ticket.target)}",
        f"Requester: {visible(ticket.requester)} ({visible(ticket.requester_id)}),"
        f" agent: {visible(ticket.agent)}",
        "Action:",
        quoted(ticket.text),
        *_parameters(ticket),
        *(f"Fact: {visible(fact)}" for fact in ticket.facts),
        *preview_lines(ticket.preview),
        f"Policies: {visible(', '.join(ticket.policies))}",
        *(f"Needed: {visible(each)}" for each in ticket.progress),
        *(f"Decision: {visible(each)}" for each in ticket.decisions),
        f"Reason given: {visible(ticket.reason) or '(none)'}",
        f"Digest: {ticket.digest}",
        f"Expires: {ticket.expires_at.isoformat()}",
        *([f"Page: {ticket.url}"] if ticket.url else []),
    ]
    return "\n".join(lines)


def preview_lines(preview: PreviewView | None) -> list[str]:
    """What trying it out did, for an approver: the count, and rows before and after."""
    if preview is None:
        return []
    lines = [f"Preview: {visible(preview.sentence)}"]
    if not preview.before:
        return lines
    rows = [f"Columns: {_row(preview.columns)}"]
    rows += [f"Before: {_row(row)}" for row in preview.before]
    rows += [f"After: {_row(row)}" for row in preview.after]
    if sum(map(len, rows)) > MAX_PREVIEW:  # they must not push out what is to be decided on
        return [*lines, "Its rows are too long for here; they are on the page."]
    return lines + rows


def _row(cells: Sequence[str | None]) -> str:
    return " | ".join("NULL" if cell is None else visible(cell) for cell in cells)


def _parameters(ticket: TicketView) -> list[str]:
    return [
        f"${number} = {'NULL' if value is None else visible(repr(value))}"
        for number, value in enumerate(ticket.parameters, start=1)
    ]
