"""The HTTP API over small fakes that speak its protocols, for the API's and the command's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from starlette.applications import Starlette

from policies.errors import BackendUnavailable, Denied, Refusal, Unauthenticated
from policies.model import (
    Channel,
    Decision,
    Effect,
    ExplainPolicy,
    Principal,
    ReadRecording,
)
from recordings.export import ndjson_line
from recordings.sessions import SessionSummary, StoredRecord
from recordings.verify import Flaw, Verdict
from server.api.endpoints import Api, Document, Login
from server.explain import Asking
from tests.recordings.samples import CLOSED, DONE, INTENT, OPENED, OUTCOME, columns, rows
from tools.gateway import TicketView

RITA = Principal("demo:rita", "Rita", "claude-code", frozenset({"developers"}), "rita@demo.example")
VICTOR = Principal("demo:victor", "Victor", "ostiary-cli", frozenset({"auditors", "dba"}))
TOKENS: Mapping[str, Principal] = {"rita-token": RITA, "victor-token": VICTOR}

METADATA = "http://gateway.example/.well-known/oauth-protected-resource/mcp"
RESOURCE = "http://gateway.example/mcp"

TICKET = TicketView(
    id="ap_1",
    state="pending",
    requester="Rita",
    requester_id="demo:rita",
    agent="claude-code",
    target="shop",
    text="UPDATE orders SET status = 'x' WHERE id = 1",
    digest="ab" * 32,
    expires_at=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    parameters=("7", None),
    facts=("effect: write", "update public.orders (status)"),
    policies=("writes-need-approval: a DBA agrees",),
    reason="fix a typo",
)
RECORDS = (
    OPENED,
    INTENT,
    columns("id", "email", masked={"email": "pii by policy p"}),
    rows([b"1", b"\x1b[2Jevil@example.com"], [None, "a\u202eb".encode()], at=4),
    DONE,
    OUTCOME,
    CLOSED,
)
SUMMARY = SessionSummary(
    id="s-1",
    principal="corp:ann",
    agent="claude",
    target="shop",
    channel="mcp",
    opened=OPENED.time,
    closed=CLOSED.time,
    end="interrupted",
    statements=1,
    refused=0,
)
GOOD = Verdict(streams=2, records=7, bodies=2, bodies_deleted=0)
BAD = replace(GOOD, flaw=Flaw(stream=7, sequence=3, why="the hash is another"))
TARGET_UNKNOWN = Refusal("TARGET_UNKNOWN", "There is no such target for you.", "Ask for another.")


def denied(code: str) -> Denied:
    return Denied(Refusal(code, "It is not permitted.", "Ask an auditor.", "auditors-read", "s-1"))


class FakeVerifier:
    async def verify(self, token: str) -> Principal:
        if token not in TOKENS:
            raise Unauthenticated("the token is not valid here: sign in again")
        return TOKENS[token]


@dataclass
class FakeGate:
    """Permits reviewers, refuses everybody else, and remembers what was asked."""

    asked: list[tuple[str, object, Channel]] = field(default_factory=list)
    away: bool = False

    async def authorize(
        self, principal: Principal, action: ReadRecording | ExplainPolicy, *, channel: Channel
    ) -> Decision:
        if self.away:
            raise BackendUnavailable("the journal can't be written; try again")
        self.asked.append((principal.id, action, channel))
        if principal != VICTOR:
            raise denied("POLICY_DENIED")
        return Decision(Effect.PERMIT, "v1")


@dataclass
class FakeApprovals:
    tickets: dict[str, TicketView] = field(default_factory=lambda: {TICKET.id: TICKET})
    decided: list[tuple[str, str, bool, str, Channel]] = field(default_factory=list)
    ended: list[tuple[str, str, str, str, Channel]] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)

    def is_let_in(self, principal: Principal) -> bool:
        return principal.id not in self.blocked

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]:
        return [t for t in self.tickets.values() if state in (None, t.state)]

    async def ticket(self, principal: Principal, ticket: str) -> TicketView:
        if ticket not in self.tickets:
            raise Denied(Refusal("TICKET_UNKNOWN", "There is no such ticket.", "Check the id."))
        return self.tickets[ticket]

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView:
        found = await self.ticket(principal, ticket)
        if principal.id == found.requester_id:
            raise denied("APPROVAL_NOT_YOURS")
        self.decided.append((principal.id, ticket, approve, comment, channel))
        state = "approved" if approve else "denied"
        self.tickets[ticket] = replace(
            found, state=state, decided_by=principal.name, comment=comment
        )
        return self.tickets[ticket]

    async def withdraw(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        return await self._end("withdrawn", principal, ticket, comment, channel)

    async def revoke(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView:
        return await self._end("revoked", principal, ticket, comment, channel)

    async def _end(
        self, state: str, principal: Principal, ticket: str, comment: str, channel: Channel
    ) -> TicketView:
        found = await self.ticket(principal, ticket)
        if (principal.id == found.requester_id) is (state == "revoked"):
            raise denied("APPROVAL_NOT_YOURS")
        self.ended.append((principal.id, ticket, state, comment, channel))
        self.tickets[ticket] = replace(
            found, state=state, decided_by=principal.name, comment=comment
        )
        return self.tickets[ticket]


@dataclass
class FakeRecordings:
    records_of: dict[str, Sequence[StoredRecord]] = field(default_factory=lambda: {"s-1": RECORDS})
    verdict: Verdict = GOOD
    breaks_after: int | None = None

    async def sessions(self) -> Sequence[SessionSummary]:
        return [SUMMARY]

    async def opening(self, session: str) -> StoredRecord | None:
        return next(iter(self.records_of.get(session, ())), None)

    @asynccontextmanager
    async def records(self, session: str) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._lines(session)

    async def _lines(self, session: str) -> AsyncIterator[bytes]:
        for number, record in enumerate(self.records_of[session]):
            if number == self.breaks_after:
                raise BackendUnavailable("the recordings can't be read now; try again")
            yield ndjson_line(record)

    async def verify(self) -> Verdict:
        return self.verdict


@dataclass
class FakeExplainer:
    asked: list[tuple[Principal, str, str]] = field(default_factory=list)

    async def known(self, name: str) -> Principal | None:
        return RITA if name in ("rita", RITA.id) else None

    async def explain(
        self, principal: Principal, *, target: str, sql: str, asking: Asking
    ) -> Document:
        if target != "shop":
            raise Denied(TARGET_UNKNOWN)
        self.asked.append((principal, target, sql))
        effect = "deny" if sql.startswith("DROP") else "permit"
        questions: list[Document] = [{"action": "update", "policies": ["p1"], "allowed": True}]
        return {"effect": effect, "questions": [dict(q) for q in questions], "approval": None}


@dataclass
class World:
    """One API and everything behind it."""

    gate: FakeGate = field(default_factory=FakeGate)
    approvals: FakeApprovals = field(default_factory=FakeApprovals)
    recordings: FakeRecordings = field(default_factory=FakeRecordings)
    explainer: FakeExplainer = field(default_factory=FakeExplainer)

    def app(self, *, logins: Sequence[Login] = ()) -> Starlette:
        api = Api(
            verifier=FakeVerifier(),
            gate=self.gate,
            approvals=self.approvals,
            recordings=self.recordings,
            explainer=self.explainer,
            logins=logins,
            resource=RESOURCE,
            metadata_url=METADATA,
            watch_every=0.01,
        )
        return Starlette(routes=api.routes())
