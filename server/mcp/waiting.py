"""How one call waits for its approval: by form, as a task, by the approval page, or held."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import mcp.types as t

from policies.model import Principal
from server.mcp.elicitation import Client, Page, PageRound, Round
from server.mcp.tasks import Opening
from tools.confirmation import confirmation, confirmed
from tools.escaping import visible
from tools.gateway import Gateway, TicketView
from tools.tickets import not_yet
from tools.tool import Call, Choice, Problem

LEG_SECONDS: Final = 20.0
"""One look at a ticket by who waits without a client, and one round of a client that polls."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. No call takes 60, at which several clients give up.

    `hold`: how long a call waits for another person before it answers "pending", or a modern
    client's next round comes. `ask`: for what the user of a legacy client does. `poll`, `rounds`:
    how long at most, and how often, a client that has opened the page waits; clients stop after 10
    rounds, and the first asks for the page.
    """

    hold: float = 25.0
    ask: float = 50.0
    progress: float = 5.0
    poll: float = LEG_SECONDS
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class Deferred:
    """The call goes on as a task, once this ticket is decided."""

    ticket: TicketView


Stop = Problem | t.InputRequiredResult | Deferred
"""What ends a call, or this round of it, before its action may run."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Waits for the decision, never for the action: no deadline cuts off what was approved.

    What a client answers decides only where the requester's own confirmation is enough, and only
    by form: to have opened a page is no approval, and to decline it no denial.
    """

    gateway: Gateway
    timing: Timing

    async def begin(self, ticket: str, call: Call, client: Client) -> Stop | None:
        """None once the ticket is approved; else what the client gets."""
        view = await self.gateway.ticket(call.principal, ticket)
        form = confirmation(view, call)
        if form is not None:
            reply = await client.ask(form)
            if isinstance(reply, t.InputRequiredResult):
                return reply
            return await confirmed(self.gateway, call.principal, form.state, reply)
        if client.takes_tasks:
            return Deferred(view)
        if view.url and client.can_open:
            return await self._by_page(_page(view), call.principal, client)
        return await self._held(view.id, call.principal, client)

    async def resume(self, again: Round | PageRound, call: Call, client: Client) -> Stop | None:
        """A later round of a modern call; None: perform it now."""
        match again:
            case Round(state, reply):
                return await confirmed(self.gateway, call.principal, state, reply)
            case PageRound():
                return await self._polled(again, call.principal, client)

    async def decided(self, principal: Principal, ticket: str) -> TicketView:
        """The ticket once it is no longer pending; it expires, so this ends."""
        while True:
            view = await self.gateway.wait(principal, ticket, LEG_SECONDS)
            if view.state != "pending":
                return view

    async def _by_page(
        self, page: Page, principal: Principal, client: Client
    ) -> Problem | t.InputRequiredResult | None:
        if client.modern:
            return client.page_required(page)
        ticket = await self._pushed(page, principal, client)
        return None if ticket.state == "approved" else not_yet(ticket)

    async def _pushed(self, page: Page, principal: Principal, client: Client) -> TicketView:
        """Wait while the user looks at the page; a user who declines it is not waited for."""
        waiting = self._told(page.ticket, principal, client, client.ask_seconds)
        deciding = asyncio.create_task(waiting)
        opening = asyncio.create_task(client.open(page))
        try:
            await asyncio.wait({deciding, opening}, return_when=asyncio.FIRST_COMPLETED)
            if not deciding.done() and (await opening).choice is Choice.ACCEPT:
                await asyncio.wait({deciding}, timeout=self.timing.hold)
            ticket = await self.gateway.ticket(principal, page.ticket)
            if ticket.state != "pending":
                await client.close(page)
            return ticket
        finally:
            deciding.cancel()
            opening.cancel()
            await asyncio.gather(deciding, opening, return_exceptions=True)

    async def _polled(
        self, again: PageRound, principal: Principal, client: Client
    ) -> Problem | t.InputRequiredResult | None:
        """One long poll, without a session at the gate: that comes with the decision."""
        if not again.opened:
            return not_yet(await self.gateway.ticket(principal, again.ticket))
        seconds = min(self.timing.poll, self.timing.hold)
        ticket = await self._told(again.ticket, principal, client, seconds)
        if ticket.state == "approved":
            return None
        last = again.number + 1 >= self.timing.rounds
        return not_yet(ticket) if last or ticket.state != "pending" else again.next()

    async def _held(self, ticket: str, principal: Principal, client: Client) -> Problem | None:
        view = await self._told(ticket, principal, client, self.timing.hold)
        return None if view.state == "approved" else not_yet(view)

    async def _told(
        self, ticket: str, principal: Principal, client: Client, seconds: float
    ) -> TicketView:
        async with client.told(f"waiting for approval {ticket}"):
            return await self.gateway.wait(principal, ticket, seconds)


def waiting_message(ticket: TicketView) -> str:
    """One line for a person who waits: what is still needed, and where it is seen and decided."""
    needed = "; ".join(map(visible, ticket.progress or ticket.policies))
    link = f" See {ticket.url}" if ticket.url else ""
    return f"Waiting for approval {ticket.id} ({needed}).{link}"


def opening(ticket: TicketView) -> Opening:
    """The ticket as what a task waits for."""
    return Opening(ticket.id, waiting_message(ticket), ticket.expires_at)


Offers = Mapping[str, t.ElicitRequest]


def page_offers(ticket: TicketView) -> Offers:
    """The approval page, for the client of a task to open; none where there is none."""
    if not ticket.url:
        return {}
    page = _page(ticket)
    asked = t.ElicitRequestURLParams(message=page.message, url=page.url)
    return {"page": t.ElicitRequest(params=asked)}


def _page(ticket: TicketView) -> Page:
    return Page(
        message=f"{waiting_message(ticket)}\nOpening the page approves nothing.",
        url=ticket.url,
        ticket=ticket.id,
    )
