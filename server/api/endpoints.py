"""The HTTP API of the command line: who am I, approvals, recordings, policy questions.

It runs nothing on a target. Each request carries its user's token, and what may be asked is the
gate's to say, as on every other door.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Annotated, Final, NoReturn, Protocol, TypeVar

import anyio
import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.errors import Denied, ProtocolError, Refusal, Unauthenticated
from policies.model import Channel, Decision, ExplainPolicy, Principal, ReadRecording
from recordings.chain import Json
from recordings.sessions import SessionSummary, StoredRecord
from recordings.verify import Verdict
from server.api.answers import Lines, answer_to, document
from server.identity.strict import read_json
from tools.gateway import TicketView

MAX_BODY: Final = 256 * 1024
"""Bytes; a statement to explain is the largest thing that is sent here."""

WATCH_SECONDS: Final = 300.0
"""A watch ends after this long and its client asks again: with a token that still holds."""

STATES: Final = frozenset({"pending", "approved", "denied", "expired", "used", "void"})

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/-]+=*)")

Document = Mapping[str, Json]
Body = TypeVar("Body", bound=BaseModel)


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


class Approvals(Protocol):
    """Tickets as one principal may see and decide them. `decide` asks the gate itself."""

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]:
        """The newest tickets that are one's own or that one may decide."""
        ...

    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        """One of them. Raises `Denied` (TICKET_UNKNOWN)."""
        ...

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        """Record the principal's decision; the ticket as it is then. Raises `Denied`."""
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

    async def explain(self, principal: Principal, *, target: str, sql: str) -> Document:
        """What would be decided, and why; nothing runs. Raises `Denied` for an unknown target."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """Where the users of one issuer sign in: public, and no secret in it."""

    name: str
    issuer: str
    client_id: str


class DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    approve: bool
    comment: Annotated[str, StringConstraints(max_length=2000)] = ""


class VerifyBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ExplainBody(BaseModel):
    """`principal` (id or name) is whom to ask for; with `groups` it need not be known here."""

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    sql: Annotated[str, StringConstraints(min_length=1)]
    principal: (
        Annotated[str, StringConstraints(min_length=1, max_length=320, pattern="^[^\\x00]*$")]
        | None
    ) = None
    groups: list[str] | None = None


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
            Route("/api/approvals", self._signed_in(self._list_approvals), methods=get),
            Route("/api/approvals/watch", self._signed_in(self._watch), methods=get),
            Route("/api/approvals/{id}", self._signed_in(self._show_approval), methods=get),
            Route("/api/approvals/{id}/decision", self._signed_in(self._decide), methods=post),
            Route("/api/sessions", self._signed_in(self._list_sessions), methods=get),
            Route("/api/sessions/{id}", self._signed_in(self._show_session), methods=get),
            Route("/api/sessions/{id}/records", self._signed_in(self._records), methods=get),
            Route("/api/verify", self._signed_in(self._verify), methods=post),
            Route("/api/policy/explain", self._signed_in(self._explain), methods=post),
        ]

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

    async def _list_approvals(self, request: Request, principal: Principal) -> Response:
        state = request.query_params.get("state")
        if state is not None and state not in STATES:
            raise ProtocolError(f"state is one of {', '.join(sorted(STATES))}")
        return document({"approvals": await self.approvals.seen_by(principal, state)})

    async def _show_approval(self, request: Request, principal: Principal) -> Response:
        ticket = _identifier(request, "TICKET_UNKNOWN")
        return document(await self.approvals.ticket(principal, ticket))

    async def _watch(self, _request: Request, principal: Principal) -> Response:
        return Lines(aclosing(self._changes(principal)), seconds=WATCH_SECONDS)

    async def _changes(self, principal: Principal) -> AsyncGenerator[bytes]:
        """The pending tickets, then each that is new or has changed, by looking again and again."""
        shown: dict[str, TicketView] = {}
        while True:
            for ticket in reversed(await self.approvals.seen_by(principal, None)):
                is_news = ticket.state == "pending" or ticket.id in shown
                if is_news and shown.get(ticket.id) != ticket:
                    shown[ticket.id] = ticket
                    yield orjson.dumps(ticket, option=orjson.OPT_APPEND_NEWLINE)
            await anyio.sleep(self.watch_every)

    async def _decide(self, request: Request, principal: Principal) -> Response:
        ticket = _identifier(request, "TICKET_UNKNOWN")
        body = await _read(request, DecisionBody)
        decided = await self.approvals.decide(
            principal, ticket, approve=body.approve, comment=body.comment, channel=Channel.API
        )
        return document(decided)

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
        await _read(request, VerifyBody)
        await self._allow(principal, ReadRecording())
        verdict = await self.recordings.verify()
        return document({"good": verdict.good, "checked": verdict})

    async def _explain(self, request: Request, principal: Principal) -> Response:
        body = await _read(request, ExplainBody)
        asked = body.principal or principal.id
        await self._allow(principal, ExplainPolicy(text=body.sql, principal=asked))
        subject = await self._subject(body, principal)
        return document(await self.explainer.explain(subject, target=body.target, sql=body.sql))

    async def _subject(self, body: ExplainBody, principal: Principal) -> Principal:
        """Whom the question is about: the caller, somebody seen before, or a made-up principal."""
        if body.principal is None:
            if body.groups is not None:
                raise ProtocolError("groups go with principal")
            return principal
        if body.principal in (principal.id, principal.name):
            if body.groups is not None:  # else anybody could ask what any group may do and see
                raise ProtocolError("groups go with another principal than yourself")
            return principal
        if body.groups is not None:
            return Principal(
                body.principal, body.principal, principal.agent, frozenset(body.groups)
            )
        known = await self.explainer.known(body.principal)
        if known is None:
            _unknown("PRINCIPAL_UNKNOWN", "Say the principal's groups with the question.")
        return known

    async def _found(self, request: Request, principal: Principal) -> StoredRecord:
        """The session in the path, after the gate: who may not read can't learn what exists."""
        session = _identifier(request, "SESSION_UNKNOWN")
        await self._allow(principal, ReadRecording(session))
        opening = await self.recordings.opening(session)
        if opening is None:
            _unknown("SESSION_UNKNOWN", "See the list of sessions.")
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


def _identifier(request: Request, code: str) -> str:
    value = str(request.path_params["id"])
    if not _IDENTIFIER.fullmatch(value):
        _unknown(code, "Check the id.")
    return value


def _unknown(code: str, next_step: str) -> NoReturn:
    raise Denied(Refusal(code=code, reason="There is none that you may see.", next_step=next_step))


async def _read(request: Request, shape: type[Body]) -> Body:
    """The body as one JSON object of this shape; the answer to anything else quotes nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProtocolError("the body must be application/json")
    try:
        return shape.model_validate(read_json(await _bytes(request)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise ProtocolError(f"{where[:64]!r}: {first['msg']}") from error
    except ValueError as error:
        raise ProtocolError("the body is not one well-formed JSON document") from error


async def _bytes(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ProtocolError(f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)
