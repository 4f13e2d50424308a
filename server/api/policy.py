"""The HTTP API for the people who write policy: facts, catalogs, requests to decide anew.

What a statement would meet is asked one by one and recorded, as `policy explain` is.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.errors import Denied, ProtocolError, Refusal
from policies.model import Channel, Decision, ExplainPolicy, Principal, ReadRecording, Target
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from policies.sql.snapshot import snapshot_of
from recordings.chain import Json
from server.api.answers import Lines, document
from server.api.requests import read_body
from server.facts_lines import facts_line

AT_ONCE: Final = 64
"""Statements of one request; each is answered as soon as it is judged."""

MOST_REQUESTS: Final = 10_000

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,4}")

EVERYBODY: Final = "everybody"
"""Whom a catalog is about: who may ask what anybody may do, may see all that there is."""

Endpoint = Callable[[Request, Principal], Awaitable[Response]]
Guard = Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]


class Gate(Protocol):
    async def authorize(
        self, principal: Principal, action: ReadRecording | ExplainPolicy, *, channel: Channel
    ) -> Decision:
        """Decide an act on the gateway itself, and record it. Raises `Denied`."""
        ...


class Explainer(Protocol):
    async def facts(self, principal: Principal, *, target: str, sql: str) -> SqlFacts:
        """What policy sees of a statement. Raises `Denied` for an unknown target."""
        ...

    async def catalog(self, principal: Principal, target: str) -> tuple[str, Catalog]:
        """The target's kind and catalog. Raises `Denied`."""
        ...

    def targets(self, principal: Principal) -> Sequence[Target]:
        """Those that this principal may connect to."""
        ...


class Requests(Protocol):
    def requests(self, last: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The newest requests with who asked, as lines of `recordings.export`."""
        ...


class Statement(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | int
    sql: str


class FactsBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    statements: list[Statement] = Field(min_length=1, max_length=AT_ONCE)


@dataclass(frozen=True, slots=True)
class PolicyApi:
    """The endpoints; `signed_in` lets nobody past without a token. `targets` are all there are."""

    gate: Gate
    explainer: Explainer
    recordings: Requests
    targets: Sequence[Target]
    signed_in: Guard

    def routes(self) -> list[Route]:
        """Every path."""
        return [
            Route("/api/facts", self.signed_in(self._facts), methods=["POST"]),
            Route("/api/policy/targets", self.signed_in(self._targets), methods=["GET"]),
            Route("/api/policy/catalog", self.signed_in(self._catalog), methods=["GET"]),
            Route("/api/policy/requests", self.signed_in(self._requests), methods=["GET"]),
        ]

    async def _facts(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, FactsBody)
        return Lines(self._judged(principal, body))

    @asynccontextmanager
    async def _judged(
        self, principal: Principal, body: FactsBody
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        # The first is judged before the answer begins: who may not ask gets a plain refusal.
        first = await self._line(principal, body.target, body.statements[0])

        async def lines() -> AsyncIterator[bytes]:
            yield first
            for statement in body.statements[1:]:
                yield await self._line(principal, body.target, statement)

        yield lines()

    async def _line(self, principal: Principal, target: str, statement: Statement) -> bytes:
        asked = ExplainPolicy(text=statement.sql, principal=principal.id)
        await self.gate.authorize(principal, asked, channel=Channel.API)
        facts = await self.explainer.facts(principal, target=target, sql=statement.sql)
        return _line(facts_line(statement.id, facts))

    async def _targets(self, _request: Request, principal: Principal) -> Response:
        return document({"targets": _described(self.explainer.targets(principal))})

    async def _catalog(self, request: Request, principal: Principal) -> Response:
        target = request.query_params.get("target", "")[:128]
        if EVERYBODY in (principal.id, principal.name):  # a name that would make it their own
            raise Denied(_NOT_YOURS)
        asked = ExplainPolicy(text="", principal=EVERYBODY)
        await self.gate.authorize(principal, asked, channel=Channel.API)
        kind, catalog = await self.explainer.catalog(principal, target)
        return document(snapshot_of(catalog, kind=kind))

    async def _requests(self, request: Request, principal: Principal) -> Response:
        last = request.query_params.get("last", "")
        if not _NUMBER.fullmatch(last) or int(last) > MOST_REQUESTS:
            raise ProtocolError(f"last is a number from 1 to {MOST_REQUESTS}")
        await self.gate.authorize(principal, ReadRecording(), channel=Channel.API)
        return Lines(self._recorded(int(last)))

    @asynccontextmanager
    async def _recorded(self, last: int) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self.recordings.requests(last) as records:

            async def lines() -> AsyncIterator[bytes]:
                yield _line({"kind": "targets", "targets": _described(self.targets)})
                async for record in records:
                    yield record

            yield lines()


_NOT_YOURS: Final = Refusal(
    "NOT_PERMITTED", "A catalog is not permitted for you.", "Ask whoever administers the gateway."
)


def _described(targets: Sequence[Target]) -> dict[str, Json]:
    return {
        t.name: {"kind": t.kind, "environment": t.environment, "groups": sorted(t.groups)}
        for t in targets
    }


def _line(content: Json) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
