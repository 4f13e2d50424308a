"""The HTTP API of the command line: who am I, approvals, recordings, policy questions.

It runs nothing on a target. Each request carries its user's token, and what may be asked is the
gate's to say, as on every other door.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.errors import ProtocolError, Unauthenticated
from policies.model import Channel, Decision, ExplainPolicy, Principal, ReadRecording
from recordings.chain import Json
from recordings.sessions import SessionSummary, StoredRecord
from recordings.verify import Verdict
from server.api.answers import Lines, answer_to, document
from server.api.approvals import ApprovalApi, Approvals
from server.api.requests import identifier, read_body, unknown
from server.explain import Asking

_TOKEN: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/-]+=*)")

Document = Mapping[str, Json]


class Verifier(Protocol):
    async def verify(self, token: str) -> Principal:
        """Who presents this token. Raises `Unauthenticated`."""
        ...


class Gate(Protocol):
    async def authorize(
        self, principal: Principal, action: ReadRecording | ExplainPolicy, *, channel: Channel
    ) -> Decision:
        """Decide an act on the gateway itself, and record it. Raises `Denied`."""
        ...


class Recordings(Protocol):
    """What the journal holds. The API has asked the gate before it calls any of these."""

    async def sessions(self) -> Sequence[SessionSummary]:
        """The newest sessions."""
        ...

    async def opening(self, session: str) -> StoredRecord | None:
        """A session's first record, which says who, where and when."""
        ...

    def records(self, session: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Everything recorded of a session, in order, as lines of `recordings.export`."""
        ...

    async def verify(self) -> Verdict:
        """Whether every chain and body is as written; names the first that is not."""
        ...


class Explainer(Protocol):
    async def known(self, name: str) -> Principal | None:
        """A principal that this gateway has seen, by id or by name, with its groups then."""
        ...

    async def explain(
        self, principal: Principal, *, target: str, sql: str, asking: Asking
    ) -> Document:
        """What would be decided, and why; nothing runs. Raises `Denied` for an unknown target."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """Where the users of one issuer sign in: public, and no secret in it."""

    name: str
    issuer: str
    client_id: str


class VerifyBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ExplainBody(BaseModel):
    """`principal` (id or name) is whom to ask for; with `groups` it need not be known here.

    `agent` is the client that acts for them, where they are not yourself.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    sql: Annotated[str, StringConstraints(min_length=1)]
    principal: (
        Annotated[str, StringConstraints(min_length=1, max_length=320, pattern="^[^\\x00]*$")]
        | None
    ) = None
    groups: list[str] | None = None
    agent: Annotated[str, StringConstraints(min_length=1, max_length=320)] | None = None
    channel: Literal["mcp", "postgres", "mysql"] = "mcp"
    reason: Annotated[str, StringConstraints(max_length=2000)] = ""


@dataclass(frozen=True, slots=True)
class Api:
    """The endpoints, over the objects that do what they promise."""

    verifier: Verifier
    gate: Gate
    approvals: Approvals
    recordings: Recordings
    explainer: Explainer
    logins: Sequence[Login]
    resource: str
    metadata_url: str
    watch_every: float = 2.0

    def routes(self) -> list[Route]:
        """Every path; all but the first want a token."""
        get, post = ["GET"], ["POST"]
        return [
            Route("/api/login", self._login, methods=get),
            Route("/api/whoami", self._signed_in(self._whoami), methods=get),
            *ApprovalApi(self.approvals, self._signed_in, self.watch_every).routes(),
            Route("/api/sessions", self._signed_in(self._list_sessions), methods=get),
            Route("/api/sessions/{id}", self._signed_in(self._show_session), methods=get),
            Route("/api/sessions/{id}/records", self._signed_in(self._records), methods=get),
            Route("/api/verify", self._signed_in(self._verify), methods=post),
            Route("/api/policy/explain", self._signed_in(self._explain), methods=post),
        ]

    def signed_in(
        self, endpoint: Callable[[Request, Principal], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint behind the token, with every exception worded: for routes of others."""
        return self._signed_in(endpoint)

    def _signed_in(
        self, endpoint: Callable[[Request, Principal], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                principal = await self.verifier.verify(_token(request))
                return await endpoint(request, principal)
            except Exception as error:  # noqa: BLE001 -- the connection boundary
                return answer_to(error, challenge=self._challenge(request))

        return answer

    def _challenge(self, request: Request) -> str:
        """RFC 6750 section 3: no error code for a request that brought no token."""
        error = 'error="invalid_token", ' if "authorization" in request.headers else ""
        return f'Bearer {error}resource_metadata="{self.metadata_url}"'

    async def _login(self, _request: Request) -> Response:
        return document({"resource": self.resource, "issuers": self.logins})

    async def _whoami(self, _request: Request, principal: Principal) -> Response:
        return document(
            {
                "id": principal.id,
                "name": principal.name,
                "agent": principal.agent,
                "groups": sorted(principal.groups),
                "email": principal.email,
            }
        )

    async def _list_sessions(self, _request: Request, principal: Principal) -> Response:
        await self._allow(principal, ReadRecording())
        return document({"sessions": await self.recordings.sessions()})

    async def _show_session(self, request: Request, principal: Principal) -> Response:
        opening = await self._found(request, principal)
        return document(
            {
                "id": opening.session,
                "opened": opening.time,
                "kind": opening.kind,
                "document": opening.document,
            }
        )

    async def _records(self, request: Request, principal: Principal) -> Response:
        opening = await self._found(request, principal)
        return Lines(self.recordings.records(opening.session))

    async def _verify(self, request: Request, principal: Principal) -> Response:
        await read_body(request, VerifyBody)
        await self._allow(principal, ReadRecording())
        verdict = await self.recordings.verify()
        return document({"good": verdict.good, "checked": verdict})

    async def _explain(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, ExplainBody)
        asked = body.principal or principal.id
        await self._allow(principal, ExplainPolicy(text=body.sql, principal=asked))
        subject = await self._subject(body, principal)
        asking = Asking(Channel(body.channel), body.reason)
        answer = await self.explainer.explain(
            subject, target=body.target, sql=body.sql, asking=asking
        )
        return document(answer)

    async def _subject(self, body: ExplainBody, principal: Principal) -> Principal:
        """Whom the question is about: the caller, somebody seen before, or a made-up principal."""
        described = body.groups is not None or body.agent is not None
        if body.principal is None:
            if described:
                raise ProtocolError("groups and agent go with principal")
            return principal
        if body.principal in (principal.id, principal.name):
            if described:  # else anybody could ask what any group may do and see
                raise ProtocolError("groups and agent go with another principal than yourself")
            return principal
        if body.groups is not None:
            agent = body.agent or principal.agent
            return Principal(body.principal, body.principal, agent, frozenset(body.groups))
        known = await self.explainer.known(body.principal)
        if known is None:
            unknown("PRINCIPAL_UNKNOWN", "Say the principal's groups with the question.")
        return known if body.agent is None else replace(known, agent=body.agent)

    async def _found(self, request: Request, principal: Principal) -> StoredRecord:
        """The session in the path, after the gate: who may not read can't learn what exists."""
        session = identifier(request, "SESSION_UNKNOWN")
        await self._allow(principal, ReadRecording(session))
        opening = await self.recordings.opening(session)
        if opening is None:
            unknown("SESSION_UNKNOWN", "See the list of sessions.")
        return opening

    async def _allow(self, principal: Principal, action: ReadRecording | ExplainPolicy) -> None:
        await self.gate.authorize(principal, action, channel=Channel.API)


def _token(request: Request) -> str:
    """The bearer token of the one Authorization header; a token in the URL is not looked at."""
    headers = request.headers.getlist("authorization")
    match = _TOKEN.fullmatch(headers[0]) if len(headers) == 1 else None
    if match is None:
        raise Unauthenticated("this request carries no bearer token")
    return match[1]
