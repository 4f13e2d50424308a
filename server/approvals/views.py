"""Tickets as tools, the API and the approval page show them. Nothing is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.model import RequireApproval
from recordings.chain import Json
from server.approvals.tickets import Ticket, TicketDecision
from tools.gateway import TicketView


@dataclass(frozen=True, slots=True)
class Rights:
    """What one principal may do about one ticket now; `by_form`: also in a form of this client."""

    decide: bool = False
    by_form: bool = False
    withdraw: bool = False
    revoke: bool = False


def view(ticket: Ticket, url: str, rights: Rights) -> TicketView:
    """A ticket in full, for somebody with these rights."""
    action = ticket.document["action"]
    assert isinstance(action, dict)  # noqa: S101 -- written by server.approvals.tickets.bind
    parameters = action.get("parameters") or []
    decided_by, comment = _last_word(ticket)
    return TicketView(
        id=ticket.id,
        state=ticket.state,
        requester=ticket.principal_name,
        requester_id=ticket.principal,
        agent=ticket.agent,
        target=ticket.target,
        text=str(action.get("text", action["kind"])),
        digest=ticket.digest.hex(),
        expires_at=ticket.expires_at,
        parameters=tuple(None if p is None else str(p) for p in parameters)
        if isinstance(parameters, list)
        else (),
        facts=(
            *_fact_lines(ticket.document.get("facts")),
            *_types_line(action),
            *_removed_line(ticket.document),
        ),
        policies=tuple(f"{r.policy}: {r.sentence}" for r in ticket.requirements),
        reason=str(ticket.document.get("reason") or ""),
        decided_by=decided_by,
        comment=comment,
        self_confirmation=ticket.self_confirmation,
        url=url,
        progress=tuple(_progress(ticket)) if ticket.state == "pending" else (),
        decisions=tuple(_decision_line(d) for d in ticket.decisions),
        may_decide=rights.decide,
        may_decide_by_form=rights.by_form,
        may_withdraw=rights.withdraw,
        may_revoke=rights.revoke,
    )


def _last_word(ticket: Ticket) -> tuple[str, str]:
    """Who spoke last, and their comment."""
    if ticket.ended_by:
        return ticket.ended_name, ticket.ended_comment
    last = ticket.decisions[-1] if ticket.decisions else None
    return (last.name, last.comment) if last else ("", "")


def _progress(ticket: Ticket) -> Iterable[str]:
    for requirement in ticket.open_requirements:
        yield f"{requirement.policy}: {_needed(ticket, requirement)}"


def _needed(ticket: Ticket, requirement: RequireApproval) -> str:
    groups = " or ".join(sorted(requirement.groups))
    if requirement.self_confirmation:
        return "the requester's own confirmation" + (f", or 1 of {groups}" if groups else "")
    return f"{ticket.missing(requirement)} more of {groups}"


def _decision_line(decision: TicketDecision) -> str:
    word = "approved" if decision.approve else "denied"
    through = f"{decision.channel}, {decision.agent}" if decision.agent else decision.channel
    comment = f": {decision.comment}" if decision.comment else ""
    return f"{decision.name} {word} ({through}) at {decision.at:%Y-%m-%d %H:%M:%SZ}{comment}"


def _types_line(action: Mapping[str, Json]) -> Iterable[str]:
    """A value does one thing as text and another as a number."""
    match action.get("types"):
        case [*oids]:
            yield f"parameter types declared (OIDs, 0: none): {', '.join(map(str, oids))}"


def _removed_line(document: Mapping[str, Json]) -> Iterable[str]:
    """What the approver does not see is bound all the same, and they are told that it is there."""
    match document.get("removed"):
        case {"count": int(count)}:
            yield f"secrets not shown here, bound by the digest: {count}"


def _fact_lines(facts: object) -> Iterable[str]:
    """What policy saw, one line a table."""
    if not isinstance(facts, dict):
        return
    yield f"effect: {facts['effect']}"
    for use in facts["tables"]:
        columns = ", ".join(use["columns"]) or "no column"
        labels = f"; labels: {', '.join(use['labels'])}" if use["labels"] else ""
        yield f"{use['verb']} {use['table']} ({columns}{labels})"
    if not facts["has_where"]:
        yield "no WHERE that narrows the rows"
