"""approval_wait: wait for a person's decision on a ticket, for clients that can't be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, JsonValue

from tools.gateway import Tickets, TicketView
from tools.tickets import next_step, state_sentence
from tools.tool import Answer, Arguments, Call, Hints, Inquiry, Output, Tool, parse

MAX_WAIT: Final = 45
"""Seconds; several clients give up on a call after 60."""


class ApprovalWaitArguments(Arguments):
    approval_id: Annotated[
        str, Field(max_length=128, description="From a pending_approval answer, e.g. ap_x1")
    ]
    wait_seconds: Annotated[
        int, Field(ge=0, le=MAX_WAIT, description="Seconds to wait at most, e.g. 30")
    ] = 30


class ApprovalWaitOutput(Output):
    approval_id: str
    status: str
    decided_by: str
    comment: str
    expires_at: str
    needed: list[str]
    approval_page: str
    next_step: str


def prepare(raw: Mapping[str, JsonValue], call: Call) -> Inquiry:
    arguments = parse(ApprovalWaitArguments, raw)

    async def answer(gateway: Tickets) -> Answer:
        ticket = await gateway.wait(
            call.principal, arguments.approval_id, float(arguments.wait_seconds)
        )
        return Answer(f"{state_sentence(ticket)} {_next(ticket)}", _output(ticket))

    return Inquiry(answer)


def _next(ticket: TicketView) -> str:
    if ticket.state == "pending":
        where = f" It is decided on {ticket.url} ." if ticket.url else ""
        return f"Still waiting: call approval_wait again.{where}"
    return next_step(ticket)


def _output(ticket: TicketView) -> ApprovalWaitOutput:
    return ApprovalWaitOutput(
        approval_id=ticket.id,
        status=ticket.state,
        decided_by=ticket.decided_by,
        comment=ticket.comment,
        expires_at=ticket.expires_at.isoformat(),
        needed=list(ticket.progress),
        approval_page=ticket.url,
        next_step=_next(ticket),
    )


APPROVAL_WAIT: Final = Tool(
    name="approval_wait",
    title="Wait for approval",
    description=(
        "Wait until a person has decided on a pending call, then report the decision."
        " When approved, repeat the exact call."
    ),
    arguments=ApprovalWaitArguments,
    output=ApprovalWaitOutput,
    hints=Hints(read_only=True, destructive=False, idempotent=True, open_world=False),
    prepare=prepare,
)
