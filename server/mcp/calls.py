"""One tools/call from arguments to answer: who calls, which tool, perform, ask or wait, word.

Follow `Calls.call_tool`. It decides nothing: what may run is the gate's to say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import mcp.types as t
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue

import tools.gateway
from policies.errors import Denied, Refusal
from policies.model import Action, Channel, Principal
from recordings.events import Pending, Results
from server.mcp.disconnects import cancelled_on_departure
from server.mcp.elicitation import Client, PageRound, Round, later_round
from server.mcp.identity import Caller
from server.mcp.in_flight import InFlight
from server.mcp.results import CANCELLED, UNKNOWN_TOOL, result, tool_listing, worded
from server.mcp.tasks import Tasks, Underway
from server.mcp.waiting import Deferred, Offers, Timing, Waiting, opening, page_offers
from tools.cursor import Cursors
from tools.escaping import visible
from tools.gateway import TicketView
from tools.tickets import not_yet
from tools.tool import Answer, Ask, Audience, Call, Inquiry, Outcome, Performance, Problem, Tool

Finished = Answer | Problem | t.InputRequiredResult
Response = t.CallToolResult | t.InputRequiredResult | dict[str, Any]
"""What the SDK sends; the dictionary is the extension's own result, a task."""


class Performed(Protocol):
    """An action under way. `writes` holds once an event other than `Pending` has come."""

    @property
    def session(self) -> str: ...

    @property
    def events(self) -> Results: ...

    @property
    def writes(self) -> bool: ...


class Gateway(tools.gateway.Gateway, Protocol):
    """What the MCP door needs of the gate and of approvals; `server.app` provides it."""

    def perform(
        self, principal: Principal, target: str, action: Action, *, channel: Channel, reason: str
    ) -> AbstractAsyncContextManager[Performed]:
        """Open a session of one action and perform it; leaving the context cancels it.

        Raises `Denied` and `BackendUnavailable`, on entry or while iterating.
        """
        ...

    async def refused(self, principal: Principal, tool: str, refusal: Refusal) -> None:
        """Record a call that never became an action: unknown tool, wrong arguments."""
        ...


@dataclass(frozen=True, slots=True)
class Calls:
    """Answers tools/list and tools/call."""

    gateway: Gateway
    caller: Caller
    cursors: Cursors
    timing: Timing
    tasks: Tasks
    in_flight: InFlight
    tools: Sequence[Tool]

    async def list_tools(
        self, _request: ServerRequestContext[Any, Any], _params: t.PaginatedRequestParams | None
    ) -> t.ListToolsResult:
        """The tools that this identity may see, always in the same order."""
        try:
            principal = await self.caller()
            shown = [tool for tool in self.tools if await self._visible(tool, principal)]
        except Exception as error:  # noqa: BLE001 -- the connection's boundary
            reason = str(worded(error).document["reason"])
            raise MCPError(t.INTERNAL_ERROR, reason) from None
        return t.ListToolsResult(tools=[tool_listing(tool) for tool in shown])

    async def call_tool(
        self, request: ServerRequestContext[Any, Any], params: t.CallToolRequestParams
    ) -> Response:
        """The call's answer; what goes wrong is worded here, at the connection's boundary."""
        client = Client(request, self.timing.ask, self.timing.progress)
        with cancelled_on_departure():
            return await self.in_flight.answered(self._worded(params, client))
        return result(CANCELLED)

    async def _worded(self, params: t.CallToolRequestParams, client: Client) -> Response:
        try:
            finished = await self._answered(params, client)
        except Exception as error:  # noqa: BLE001 -- the connection's boundary; worded, or logged
            finished = worded(error)
        return result(finished) if isinstance(finished, Answer | Problem) else finished

    async def _answered(
        self, params: t.CallToolRequestParams, client: Client
    ) -> Finished | dict[str, Any]:
        principal = await self.caller()
        call = Call(principal, time.time(), self.cursors, client.can_ask)
        prepared = await self._prepared(params, call)
        again = later_round(params) if client.modern else None
        match prepared:
            case Performance():
                return await self._run(prepared, call, client, again)
            case Inquiry():
                return await self._inquire(prepared, client, again)

    async def _prepared(self, params: t.CallToolRequestParams, call: Call) -> Performance | Inquiry:
        """The tool's work. A hidden tool and one that does not exist are refused alike."""
        try:
            tool = await self._tool(params.name, call.principal)
            return tool.prepare(params.arguments or {}, call)
        except Denied as denied:
            await self.gateway.refused(call.principal, visible(params.name[:128]), denied.refusal)
            raise

    async def _tool(self, name: str, principal: Principal) -> Tool:
        for tool in self.tools:
            if tool.name == name and await self._visible(tool, principal):
                return tool
        raise Denied(UNKNOWN_TOOL)

    async def _visible(self, tool: Tool, principal: Principal) -> bool:
        match tool.audience:
            case Audience.EVERYBODY:
                return True
            case Audience.REVIEWERS:
                return await self.gateway.may_review(principal)

    async def _inquire(
        self, inquiry: Inquiry, client: Client, again: Round | PageRound | None
    ) -> Finished:
        if isinstance(again, Round):
            return await inquiry.resume(self.gateway, again.state, again.reply)
        answer = await inquiry.answer(self.gateway)
        if not isinstance(answer, Ask):
            return answer
        reply = await client.ask(answer)
        if isinstance(reply, t.InputRequiredResult):
            return reply
        return await inquiry.resume(self.gateway, answer.state, reply)

    @property
    def _waiting(self) -> Waiting:
        return Waiting(self.gateway, self.timing)

    async def _run(
        self, work: Performance, call: Call, client: Client, again: Round | PageRound | None
    ) -> Finished | dict[str, Any]:
        stop = await self._waiting.resume(again, call, client) if again else None
        ended = stop or await self._perform(work, call, client)
        if not isinstance(ended, Deferred):
            return ended
        offers = page_offers(ended.ticket) if client.can_open else {}
        return await self._defer(work, call, ended.ticket, offers)

    async def _perform(
        self, work: Performance, call: Call, client: Client | None
    ) -> Finished | Deferred:
        """Perform once. Without a client, what waits for a person is deferred."""
        started = time.perf_counter()
        async with self.gateway.perform(
            call.principal, work.target, work.action, channel=Channel.MCP, reason=work.reason
        ) as performed:
            async for event in performed.events:
                if isinstance(event, Pending):
                    stop = await self._pending(event, call, client)
                    if stop is not None:
                        return stop
                else:
                    work.rendering.add(event)
            duration = round((time.perf_counter() - started) * 1000)
            return work.rendering.answer(Outcome(performed.session, performed.writes, duration))

    async def _pending(
        self, pending: Pending, call: Call, client: Client | None
    ) -> Problem | t.InputRequiredResult | Deferred | None:
        """None once the ticket is approved; else what ends this call, or this round of it."""
        if client is None:
            return Deferred(await self.gateway.ticket(call.principal, pending.ticket))
        return await self._waiting.begin(pending.ticket, call, client)

    async def _defer(
        self, work: Performance, call: Call, ticket: TicketView, offers: Offers
    ) -> Problem | dict[str, Any]:
        """The call as a task; as a pending answer where its caller has too many of them."""

        async def later(underway: Underway) -> Mapping[str, JsonValue]:
            finished = await self._after_approval(work, call, ticket.id, offers, underway)
            return result(finished).model_dump(by_alias=True, mode="json", exclude_none=True)

        return await self.tasks.start(call.principal, opening(ticket), later) or not_yet(ticket)

    async def _after_approval(
        self, work: Performance, call: Call, ticket: str, offers: Offers, underway: Underway
    ) -> Answer | Problem:
        """Wait, then perform from the beginning: nothing is held at the gate meanwhile.

        The principal is that of the call: a token that has run out by then does not matter, but
        the gate asks again whether this principal and agent may act at all, and what policy says.
        """
        try:
            async with underway.offering(offers):
                decided = await self._waiting.decided(call.principal, ticket)
            while decided.state == "approved":
                await underway.claim()
                ended = await self._perform(work, call, None)
                if isinstance(ended, Answer | Problem):
                    return ended
                assert isinstance(ended, Deferred)  # noqa: S101 -- nobody is asked without a client
                await underway.say(opening(ended.ticket))
                decided = await self._waiting.decided(call.principal, ended.ticket.id)
        except Exception as error:  # noqa: BLE001 -- a task's boundary; worded, or logged
            return worded(error)
        return not_yet(decided)
