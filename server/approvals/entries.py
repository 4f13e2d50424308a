"""What happens to tickets -> journal records, each in the session that asked for the approval."""

from __future__ import annotations

from typing import Final

import asyncpg

from policies.model import (
    AccessRequest,
    Channel,
    DecideApproval,
    Principal,
    RequireApproval,
    RevokeApproval,
    WithdrawApproval,
)
from recordings.journal import Json, Record
from server.approvals.tickets import Binding, Ticket, requirement_document

ENDINGS: Final = {WithdrawApproval: "withdrawn", RevokeApproval: "revoked"}
"""The state that each act of ending a ticket leads to."""


def asked(
    ticket: str,
    request: AccessRequest,
    binding: Binding,
    requirements: tuple[RequireApproval, ...],
) -> Record:
    document: dict[str, Json] = {
        "ticket": ticket,
        "principal": request.principal.id,
        "agent": request.principal.agent,
        "digest": binding.digest.hex(),
        "requirements": [requirement_document(r) for r in requirements],
    }
    return Record(request.session, "approval_asked", document)


def decided(
    ticket: Ticket, principal: Principal, action: DecideApproval, channel: Channel
) -> Record:
    document = _act(ticket, principal, channel)
    document |= {"approve": action.approve, "comment": action.comment}
    return Record(ticket.session, "approval_decided", document)


def ended(
    ticket: Ticket,
    principal: Principal,
    action: WithdrawApproval | RevokeApproval,
    channel: Channel,
) -> Record:
    """`approval_withdrawn` or `approval_revoked`, with the state that it ended."""
    document = _act(ticket, principal, channel)
    document |= {"was": ticket.state, "comment": action.comment}
    return Record(ticket.session, f"approval_{ENDINGS[type(action)]}", document)


def closed(ticket: Ticket, state: str, *, because: str) -> Record:
    """The gateway itself closed it."""
    return Record(ticket.session, f"approval_{state}", {"ticket": ticket.id, "because": because})


def expired(row: asyncpg.Record) -> Record:
    return Record(row["session"] or "", "approval_expired", {"ticket": row["id"]})


def _act(ticket: Ticket, principal: Principal, channel: Channel) -> dict[str, Json]:
    return {
        "ticket": ticket.id,
        "digest": ticket.digest.hex(),
        "principal": principal.id,
        "agent": principal.agent,
        "channel": channel.value,
    }
