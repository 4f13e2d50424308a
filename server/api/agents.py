"""The HTTP API of `ostiary agents`: who came lately, and the kill switch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.model import (
    Blockable,
    BlockAgent,
    Channel,
    Decision,
    ListAgents,
    Principal,
    UnblockAgent,
)
from server.admission.blocks import Block
from server.admission.seen import SeenAgent
from server.api.answers import document
from server.api.requests import read_body
from server.recorded_input import kept_text

Endpoint = Callable[[Request, Principal], Awaitable[Response]]
Guard = Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]


class Gate(Protocol):
    async def authorize(
        self,
        principal: Principal,
        action: BlockAgent | UnblockAgent | ListAgents,
        *,
        channel: Channel,
    ) -> Decision:
        """Decide an act on the gateway itself, and record it. Raises `Denied`."""
        ...


class Switch(Protocol):
    """The gate has been asked before any of these is called."""

    async def block(self, principal: Principal, action: BlockAgent, *, channel: Channel) -> None:
        """In force here on return, and everywhere within 5 s. Raises `Denied`."""
        ...

    async def unblock(
        self, principal: Principal, action: UnblockAgent, *, channel: Channel
    ) -> None:
        """Raises `Denied` where there is no such block."""
        ...

    async def blocks(self) -> Sequence[Block]:
        """Those in force."""
        ...

    async def knows(self, kind: Blockable, name: str) -> bool:
        """Whether they came lately."""
        ...

    async def seen(self) -> Sequence[SeenAgent]:
        """Which agents came lately, for whom."""
        ...


def _shown_in_full(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that can't be shown")
    return text


_Printable = AfterValidator(_shown_in_full)


class UnblockBody(BaseModel):
    """`kind` is agent or person; `name` an OAuth client's id, or a principal's."""

    model_config = ConfigDict(extra="forbid")

    kind: Blockable
    name: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=320), _Printable]
    reason: Annotated[str, StringConstraints(strict=True, max_length=500), _Printable] = ""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no moment of the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class BlockBody(UnblockBody):
    """`until`: a moment with its offset from UTC; without it, until it is taken back."""

    until: Moment | None = Field(default=None, strict=False)


@dataclass(frozen=True, slots=True)
class AgentsApi:
    """The endpoints; `signed_in` lets nobody past without a token."""

    gate: Gate
    switch: Switch
    signed_in: Guard

    def routes(self) -> list[Route]:
        return [
            Route("/api/agents", self.signed_in(self._list), methods=["GET"]),
            Route("/api/agents/block", self.signed_in(self._block), methods=["POST"]),
            Route("/api/agents/unblock", self.signed_in(self._unblock), methods=["POST"]),
        ]

    async def _list(self, _request: Request, principal: Principal) -> Response:
        await self.gate.authorize(principal, ListAgents(), channel=Channel.API)
        blocked = await self.switch.blocks()
        return document({"seen": await self.switch.seen(), "blocked": blocked})

    async def _block(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, BlockBody)
        action = BlockAgent(body.kind, body.name, kept_text(body.reason), body.until)
        await self.gate.authorize(principal, action, channel=Channel.API)
        known = await self.switch.knows(body.kind, body.name)
        await self.switch.block(principal, action, channel=Channel.API)
        answer = {"kind": body.kind.value, "name": body.name, "until": body.until}
        return document({**answer, "seen": known})

    async def _unblock(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, UnblockBody)
        action = UnblockAgent(body.kind, body.name, kept_text(body.reason))
        await self.gate.authorize(principal, action, channel=Channel.API)
        await self.switch.unblock(principal, action, channel=Channel.API)
        return document({"kind": body.kind.value, "name": body.name})
