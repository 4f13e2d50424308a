"""One tools/call from arguments to answer: who calls, which tool, perform, ask or hold, word.

Follow `Calls.call_tool`. It decides nothing: what may run is the gate's to say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio
import mcp.types as t
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError

import tools.gateway
from policies.errors import Denied, Refusal
from policies.model import Action, Channel, Principal
from recordings.events import Pending, Results
from server.mcp.disconnects import cancelled_on_departure
from server.mcp.elicitation import Client, Round, second_round
from server.mcp.identity import Caller
from server.mcp.results import CANCELLED, UNKNOWN_TOOL, result, tool_listing, worded
from tools.confirmation import confirmation, confirmed
from tools.cursor import Cursors
from tools.escaping import visible
from tools.registry import TOOLS
from tools.tickets import not_yet
from tools.tool import Answer, Ask, Audience, Call, Inquiry, Outcome, Performance, Problem, Tool

_log = logging.getLogger(__name__)

T = TypeVar("T")
Finished = Answer | Problem | t.InputRequiredResult


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
class Timing:
    """Seconds. `hold`: how long a call waits for another person before it answers "pending"."""

    hold: float = 25.0
    ask: float = 50.0
    progress: float = 5.0


@dataclass(frozen=True, slots=True)
class Calls:
    """Answers tools/list and tools/call."""

    gateway: Gateway
    caller: Caller
    cursors: Cursors
    timing: Timing

    async def list_tools(
        self, _request: ServerRequestContext[Any, Any], _params: t.PaginatedRequestParams | None
    ) -> t.ListToolsResult:
        """The tools that this identity may see, always in the same order."""
        try:
            principal = await self.caller()
            shown = [tool for tool in TOOLS if await self._visible(tool, principal)]
        except Exception as error:  # noqa: BLE001 -- the connection's boundary
            reason = str(worded(error).document["reason"])
            raise MCPError(t.INTERNAL_ERROR, reason) from None
        return t.ListToolsResult(tools=[tool_listing(tool) for tool in shown])

    async def call_tool(
        self, request: ServerRequestContext[Any, Any], params: t.CallToolRequestParams
    ) -> t.CallToolResult | t.InputRequiredResult:
        """The call's answer; what goes wrong is worded here, at the connection's boundary."""
        client = Client(request, self.timing.ask, self.timing.progress)
        with cancelled_on_departure():
            finished = await _cancelled_once(self._worded(params, client))
            return finished if isinstance(finished, t.InputRequiredResult) else result(finished)
        return result(CANCELLED)

    async def _worded(self, params: t.CallToolRequestParams, client: Client) -> Finished:
        try:
            return await self._answered(params, client)
        except Exception as error:  # noqa: BLE001 -- the connection's boundary; worded, or logged
            return worded(error)

    async def _answered(self, params: t.CallToolRequestParams, client: Client) -> Finished:
        principal = await self.caller()
        call = Call(principal, time.time(), self.cursors, client.can_ask)
        prepared = await self._prepared(params, call)
        again = second_round(params) if client.modern else None
        match prepared:
            case Performance():
                return await self._perform(prepared, call, client, again)
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
        for tool in TOOLS:
            if tool.name == name and await self._visible(tool, principal):
                return tool
        raise Denied(UNKNOWN_TOOL)

    async def _visible(self, tool: Tool, principal: Principal) -> bool:
        match tool.audience:
            case Audience.EVERYBODY:
                return True
            case Audience.REVIEWERS:
                return await self.gateway.may_review(principal)

    async def _inquire(self, inquiry: Inquiry, client: Client, again: Round | None) -> Finished:
        if again is not None:
            return await inquiry.resume(self.gateway, again.state, again.reply)
        answer = await inquiry.answer(self.gateway)
        if not isinstance(answer, Ask):
            return answer
        reply = await client.ask(answer)
        if isinstance(reply, t.InputRequiredResult):
            return reply
        return await inquiry.resume(self.gateway, answer.state, reply)

    async def _perform(
        self, work: Performance, call: Call, client: Client, again: Round | None
    ) -> Finished:
        if again is not None:
            refusal = await confirmed(self.gateway, call.principal, again.state, again.reply)
            if refusal is not None:
                return refusal
        started = time.perf_counter()
        async with self.gateway.perform(
            call.principal, work.target, work.action, channel=Channel.MCP, reason=work.reason
        ) as performed:
            async for event in performed.events:
                if isinstance(event, Pending):
                    stop = await self._settled(event, call, client)
                    if stop is not None:
                        return stop
                else:
                    work.rendering.add(event)
            duration = round((time.perf_counter() - started) * 1000)
            return work.rendering.answer(Outcome(performed.session, performed.writes, duration))

    async def _settled(
        self, pending: Pending, call: Call, client: Client
    ) -> Problem | t.InputRequiredResult | None:
        """None once the ticket is approved; else the answer that ends this call.

        The wait is for the decision, never for the action: no deadline cuts off what was approved.
        """
        ticket = await self.gateway.ticket(call.principal, pending.ticket)
        form = confirmation(ticket, call)
        if form is not None:
            reply = await client.ask(form)
            if isinstance(reply, t.InputRequiredResult):
                return reply
            return await confirmed(self.gateway, call.principal, form.state, reply)
        async with client.told(f"waiting for approval {ticket.id}"):
            ticket = await self.gateway.wait(call.principal, ticket.id, self.timing.hold)
        return None if ticket.state == "approved" else not_yet(ticket)


async def _cancelled_once(work: Coroutine[Any, Any, T]) -> T:
    """Await the work; a cancellation reaches it once, and it is given the time to clean up.

    The SDK cancels again and again at every await, clean-up included: a connection could not
    even tell its target to stop.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a cancelled call failed to clean up", exc_info=error)
        raise
