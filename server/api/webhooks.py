"""The HTTP API of `ostiary webhooks`: how they stand, dead letters, trying one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.model import Channel, Decision, ManageWebhooks, Principal
from server.api.answers import document
from server.api.requests import read_body
from server.webhooks.deliveries import DeadLetter
from server.webhooks.desk import Tested, WebhookView

Endpoint = Callable[[Request, Principal], Awaitable[Response]]
Guard = Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]


class Gate(Protocol):
    async def authorize(
        self, principal: Principal, action: ManageWebhooks, *, channel: Channel
    ) -> Decision:
        """Decide an act on the gateway itself, and record it. Raises `Denied`."""
        ...


class Webhooks(Protocol):
    """What `server.webhooks.desk` answers; the gate has been asked before."""

    async def webhooks(self) -> Sequence[WebhookView]:
        """Those of the configuration."""
        ...

    async def failed(self) -> Sequence[DeadLetter]:
        """Dead letters, the newest first."""
        ...

    async def retry(self, delivery: str | None) -> int:
        """Begin again with one, or with all: how many. Raises `Denied`."""
        ...

    async def test(self, name: str) -> Tested:
        """Send a test event now. Raises `Denied`."""
        ...


class RetryBody(BaseModel):
    """Either one delivery's id, or all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.all == (self.id is not None):
            raise ValueError("send id or all")
        return self


class TryBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class WebhookApi:
    """The endpoints; `signed_in` lets nobody past without a token."""

    gate: Gate
    webhooks: Webhooks
    signed_in: Guard

    def routes(self) -> list[Route]:
        """Every path."""
        return [
            Route("/api/webhooks", self.signed_in(self._list), methods=["GET"]),
            Route("/api/webhooks/failed", self.signed_in(self._failed), methods=["GET"]),
            Route("/api/webhooks/retry", self.signed_in(self._retry), methods=["POST"]),
            Route("/api/webhooks/test", self.signed_in(self._test), methods=["POST"]),
        ]

    async def _list(self, _request: Request, principal: Principal) -> Response:
        await self._allow(principal, ManageWebhooks("list"))
        return document({"webhooks": await self.webhooks.webhooks()})

    async def _failed(self, _request: Request, principal: Principal) -> Response:
        await self._allow(principal, ManageWebhooks("failed"))
        return document({"failed": await self.webhooks.failed()})

    async def _retry(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, RetryBody)
        await self._allow(principal, ManageWebhooks("retry", body.id or "all"))
        return document({"again": await self.webhooks.retry(body.id)})

    async def _test(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, TryBody)
        await self._allow(principal, ManageWebhooks("test", body.name))
        return document(await self.webhooks.test(body.name))

    async def _allow(self, principal: Principal, action: ManageWebhooks) -> None:
        await self.gate.authorize(principal, action, channel=Channel.API)
