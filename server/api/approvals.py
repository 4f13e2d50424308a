"""Approvals over the HTTP API: see, watch, decide, withdraw, revoke. `Desk` asks the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

import anyio
import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.errors import Denied, ProtocolError, Refusal
from policies.model import Channel, Principal
from server.api.answers import Lines, document
from server.api.requests import identifier, read_body
from tools.gateway import TicketView

WATCH_SECONDS: Final = 300.0
"""A watch ends after this long and its client asks again: with a token that still holds."""

MOST_WATCHES: Final = 10
"""Watches of one principal at a time, at one gateway process."""

_TOO_MANY_WATCHES: Final = Refusal(
    code="TOO_MANY_WATCHES",
    reason=f"{MOST_WATCHES} of your watches are open, and no more are at once.",
    next_step="End one of them.",
)

STATES: Final = frozenset(
    {"pending", "approved", "denied", "withdrawn", "revoked", "expired", "used", "void"}
)

Endpoint = Callable[[Request, Principal], Awaitable[Response]]
SignedIn = Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]


class Approvals(Protocol):
    """Tickets as one principal may see them and act on them. All but the looks ask the gate."""

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]:
        """The newest tickets that are one's own or that one may decide."""
        ...

    def is_let_in(self, principal: Principal) -> bool:
        """Whether nobody has blocked them since they came."""
        ...

    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        """One of them. Raises `Denied` (TICKET_UNKNOWN)."""
        ...

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        """Record the principal's decision; the ticket as it is then. Raises `Denied`."""
        ...

    async def withdraw(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        """Take one's own request back before it is used. Raises `Denied`."""
        ...

    async def revoke(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        """Take an approval back before it is used. Raises `Denied`."""
        ...


Comment = Annotated[str, StringConstraints(max_length=2000)]


class DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    approve: bool
    comment: Comment = ""


class EndBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    comment: Comment = ""


@dataclass(frozen=True, slots=True)
class ApprovalApi:
    """The endpoints; `signed_in` lets nobody past without a token."""

    approvals: Approvals
    signed_in: SignedIn
    watch_every: float
    _watches: Counter[str] = field(default_factory=Counter)

    def routes(self) -> list[Route]:
        """Every path."""
        guard, get, post = self.signed_in, ["GET"], ["POST"]
        return [
            Route("/api/approvals", guard(self._list), methods=get),
            Route("/api/approvals/watch", guard(self._watch), methods=get),
            Route("/api/approvals/{id}", guard(self._show), methods=get),
            Route("/api/approvals/{id}/decision", guard(self._decide), methods=post),
            Route("/api/approvals/{id}/withdrawal", guard(self._withdraw), methods=post),
            Route("/api/approvals/{id}/revocation", guard(self._revoke), methods=post),
        ]

    async def _list(self, request: Request, principal: Principal) -> Response:
        state = request.query_params.get("state")
        if state is not None and state not in STATES:
            raise ProtocolError(f"state is one of {', '.join(sorted(STATES))}")
        return document({"approvals": await self.approvals.seen_by(principal, state)})

    async def _show(self, request: Request, principal: Principal) -> Response:
        return document(await self.approvals.ticket(principal, _ticket(request)))

    async def _watch(self, _request: Request, principal: Principal) -> Response:
        return Lines(self._watched(principal), seconds=WATCH_SECONDS)

    @asynccontextmanager
    async def _watched(self, principal: Principal) -> AsyncIterator[AsyncIterator[bytes]]:
        """Counted: each looks at the store every few seconds, for minutes. Raises `Denied`."""
        if self._watches[principal.id] >= MOST_WATCHES:
            raise Denied(_TOO_MANY_WATCHES)
        self._watches[principal.id] += 1
        try:
            async with aclosing(self._changes(principal)) as changes:
                yield changes
        finally:
            self._watches[principal.id] -= 1
            if not self._watches[principal.id]:
                del self._watches[principal.id]

    async def _changes(self, principal: Principal) -> AsyncGenerator[bytes]:
        """The pending tickets, then each that is new or has changed, by looking again and again.

        It ends for who is blocked: who asks again is told so.
        """
        shown: dict[str, TicketView] = {}
        while self.approvals.is_let_in(principal):
            for ticket in reversed(await self.approvals.seen_by(principal, None)):
                is_news = ticket.state == "pending" or ticket.id in shown
                if is_news and shown.get(ticket.id) != ticket:
                    shown[ticket.id] = ticket
                    yield orjson.dumps(ticket, option=orjson.OPT_APPEND_NEWLINE)
            await anyio.sleep(self.watch_every)

    async def _decide(self, request: Request, principal: Principal) -> Response:
        ticket = _ticket(request)
        body = await read_body(request, DecisionBody)
        decided = await self.approvals.decide(
            principal, ticket, approve=body.approve, comment=body.comment, channel=Channel.API
        )
        return document(decided)

    async def _withdraw(self, request: Request, principal: Principal) -> Response:
        ticket = _ticket(request)
        body = await read_body(request, EndBody)
        ended = await self.approvals.withdraw(
            principal, ticket, comment=body.comment, channel=Channel.API
        )
        return document(ended)

    async def _revoke(self, request: Request, principal: Principal) -> Response:
        ticket = _ticket(request)
        body = await read_body(request, EndBody)
        ended = await self.approvals.revoke(
            principal, ticket, comment=body.comment, channel=Channel.API
        )
        return document(ended)


def _ticket(request: Request) -> str:
    return identifier(request, "TICKET_UNKNOWN")
