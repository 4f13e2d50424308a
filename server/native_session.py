"""A session whose caller speaks the target's own protocol; the gate judges each of its messages.

The steps are those of `Session`, with many grants in flight and refusals that keep their place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Final

from policies.errors import BackendUnavailable, Denied, Refusal
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Decision,
    Effect,
    Principal,
    SqlPlan,
    SqlPrepare,
    SqlStatement,
    WithdrawApproval,
)
from policies.sql.catalog import Catalog
from policies.sql.facts import Named, Opaque, SqlEffect, SqlFacts
from policies.sql.search_path import native_path
from recordings.events import Batches, Notification, Pending
from recordings.journal import Json, Record
from server import records
from server.connections import NativeConnection
from server.gate import Gate, Grant, Session, Substitute
from server.meant import Meant, Path, meaning, moved
from server.notifications import FLOODED, as_delivered
from server.obligations import RECORDED_BYTES, Delivery, Shaping
from server.parameter_types import with_parameters
from server.refusals import by_itself, together, unmet


@asynccontextmanager
async def open_native(
    gate: Gate, principal: Principal, target: str, *, channel: Channel
) -> AsyncIterator[NativeSession]:
    """Admit one caller to one target with a connection that speaks the target's protocol.

    Raises `Denied`, as `Gate.open` does.
    """
    async with AsyncExitStack() as lifetime:
        await lifetime.enter_async_context(gate.admission.session(principal))
        grant, backend, opening = await gate.connect(principal, target, channel, "")
        await gate.journal.commit(*opening)
        await gate.fresh_catalog(backend)
        connection = await lifetime.enter_async_context(backend.connector.connect_native(grant))
        session = NativeSession(gate, backend, grant, connection, ())
        await lifetime.enter_async_context(session.recorded())
        yield session


@dataclass(slots=True)
class NativeSession(Session):
    """A session whose caller speaks the target's own protocol: many grants in flight, in order.

    `meant`: of the actions that are judged next, by `id`, those that make or run what is prepared.
    """

    connection: NativeConnection
    taken_in: int = 0
    meant: Mapping[int, Meant] = field(default_factory=dict)

    @property
    def native(self) -> bool:
        return True

    @property
    def time_limit(self) -> float:
        return self.connection.time_limit

    async def admit_all(self, actions: Sequence[Action]) -> list[Grant | Substitute | Pending]:
        """Admit in order; all intents and refusals share one commit, but for what was approved.

        A refusal comes back as a `Substitute` to send in the message's place. What needs
        approval comes back as `Pending`: nobody waits for a person with a transaction open.
        """
        admitted: list[Grant | Substitute | Pending] = []
        to_commit: list[Record] = []
        for ordinal, action in enumerate(actions):
            try:
                request, decision = await self._decide(action)
            except Denied as denied:  # recorded by who denied it
                admitted.append(self._substitute(denied.refusal))
                continue
            if decision.effect is Effect.PERMIT and not decision.approvals:
                to_commit.append(records.intent(request, decision, ordinal=ordinal))
                admitted.append(self._follow(self._grant(request, decision)))
            elif decision.effect is Effect.PERMIT:
                await self._keep(to_commit, admitted)  # answers are counted in the order of intents
                to_commit = []
                admitted.append(await self._asked(action))
            else:
                to_commit.append(records.decided(request, decision))
                admitted.append(self._substitute(decision.refusal or unmet(decision)))
        await self._keep(to_commit, admitted)
        return admitted

    async def _keep(
        self, intents: Sequence[Record], admitted: Sequence[Grant | Substitute | Pending]
    ) -> None:
        """Before anything is sent: durable, but for reads where the target's setting says less."""
        if self.backend.best_effort and all(_only_reads(each) for each in admitted):
            for intent in intents:
                if not self.gate.journal.accept_now(intent):
                    await self.gate.journal.accept(intent)
        else:
            await self.gate.journal.commit(*intents)

    async def admit_together(self, actions: Sequence[Action]) -> list[Grant] | Substitute:
        """Admit several that are sent as one message, or none; all intents share one commit."""
        try:
            grants = [self._follow(await self._alike(action)) for action in actions]
        except Denied as denied:  # its place is one in a part of the message
            return self._substitute(replace(denied.refusal, place=None))
        intents = [
            records.intent(grant.request, grant.decision, ordinal=ordinal)
            for ordinal, grant in enumerate(grants)
        ]
        await self._keep(intents, grants)
        return grants

    async def _alike(self, action: Action) -> Grant:
        """One of several: not yet in the journal. Raises `Denied`, recorded, for all of them."""
        request, decision = together(*await self._decide(action))
        if decision.effect is not Effect.PERMIT:
            await self._refuse(request, decision)
        return self._grant(request, decision)

    def _follow(self, grant: Grant) -> Grant:
        if may_run_users_code(grant.request.facts, self.backend.catalog):
            self.connection.named.users_code_runs()
        self.connection.admitted(grant)
        return grant

    async def _decide(self, action: Action) -> tuple[AccessRequest, Decision]:
        return by_itself(*await Session._decide(self, action))

    async def _facts(self, action: SqlStatement | SqlPrepare | SqlPlan) -> SqlFacts:
        facts = await self._judged(action.text, self.connection.path)
        if facts.named is not None and facts.opaque is not None:
            facts = await self._by_name(facts.named, action.text)
        if facts.named is None:
            facts = await self._as_prepared(action.text, facts, self.meant.get(id(action)))
        facts = self.connection.understood(action, facts)
        return with_parameters(facts, action, self.backend.catalog)

    async def _as_prepared(self, text: str, facts: SqlFacts, meant: Meant | None) -> SqlFacts:
        """The facts, or opaque where the target may still have another plan of the statement.

        It looks names up again by another search path, unless that comes to the same: then they
        must mean what they meant by the one before.
        """
        if meant is None or facts.opaque is not None:
            return facts
        for path, found in meant.others.items():
            same = path == self.connection.path
            now = facts if same else await self._judged(text, path)
            if meaning(now) != found:
                return moved(facts)
        return facts if meant.note(self.connection.path, facts) else moved(facts)

    async def _judged(self, text: str, path: Path) -> SqlFacts:
        if self.connection.outdated():
            await self.gate.read_catalog(self.backend)
        asker = self.opened.request.principal.id
        along = native_path(self.backend.catalog, path)
        return await self.gate.facts(self.backend, text, asker=asker, path=along)

    async def _by_name(self, named: Named, text: str) -> SqlFacts:
        """The facts of what a name stands for, which only this session knows."""
        names, path = self.connection.named, self.connection.path
        found = names.stands_for(named, text, path)
        if isinstance(found, Opaque):
            kinds = frozenset({named.kind})
            return SqlFacts(SqlEffect.OPAQUE, kinds, has_where=False, opaque=found, named=named)
        inner = await self._as_prepared(found, await self._judged(found, path), names.meant(named))
        return names.facts(named, found, inner)

    def _shaping(self, grant: Grant, delivery: Delivery) -> Shaping:
        """A target quotes what a name stands for, and a cursor's rows are of one result."""
        shaping, facts = Session._shaping(self, grant, delivery), grant.request.facts
        if facts is None or facts.named is None:
            return shaping
        text = f"{facts.named.text}\n;{shaping.text}"
        before = self.connection.named.fetched(facts.named)
        return replace(shaping, text=text, before=before)

    async def _asked(self, action: Action) -> Grant | Substitute | Pending:
        """What needs approval: granted if it has one, else its ticket, or why there is none."""
        try:
            asked = await self.admit(action)
        except Denied as denied:  # recorded by who denied it
            return self._substitute(denied.refusal)
        return asked if isinstance(asked, Pending) else self._follow(asked)

    async def takes_in(self, statement: SqlStatement) -> bool:
        """Whether it would read rows that its caller sends: nobody has seen them yet."""
        facts = await self._facts(statement)
        return "copy" in facts.kinds and facts.copied is None

    async def await_approval(
        self, pending: Pending, action: Action, *, seconds: float
    ) -> Grant | Substitute | Pending:
        """Wait for the ticket, and admit again; still `Pending` after so many seconds."""
        deadline = monotonic() + seconds
        admitted: Grant | Pending = pending
        while isinstance(admitted, Pending):
            approvals, left = self.gate.approvals, deadline - monotonic()
            ticket = await approvals.wait(admitted.ticket, max(0.0, left))
            if ticket.state == "pending":
                return admitted
            try:
                admitted = await self.settle(admitted, action)
            except Denied as denied:  # recorded by who denied it
                return self._substitute(denied.refusal)
        return self._follow(admitted)

    async def withdraw(self, pending: Pending) -> None:
        """Take the request back, where nobody has decided: who asked waits for it no more."""
        opened, approvals = self.opened.request, self.gate.approvals
        with suppress(Denied, BackendUnavailable):
            ticket = await approvals.get(pending.ticket)
            if ticket.state == "pending":
                asked = ticket.requested(opened.principal)
                action = WithdrawApproval(ticket.id, asked, "its client waits no more")
                await approvals.end(opened.principal, action, channel=opened.channel)

    async def refuse(self, refusal: Refusal) -> Substitute:
        """Record a message that the door can't make a request of; what to send in its place."""
        principal = self.opened.request.principal
        await self.gate.journal.commit(
            records.refused_call(principal, "message", refusal, session=self.id)
        )
        return self._substitute(refusal)

    async def send(self, granted: Grant | Substitute, messages: Sequence[object]) -> None:
        """Send the messages that were judged, or the marker in their place."""
        await self.connection.send(granted, messages)

    async def send_together(self, grants: Sequence[Grant], messages: Sequence[object]) -> None:
        """Send one message of several statements; each has answers of its own, in order."""
        await self.connection.send_together(grants, messages)

    async def stream(self, grant: Grant, messages: Sequence[object]) -> None:
        """Send what the caller streams in under a grant."""
        await self.connection.stream(grant, messages)

    async def copy_in(self, grant: Grant, messages: Sequence[object], frames: bytes) -> None:
        """Send what a granted statement takes in, once its bytes are recorded as sent.

        Past the recording bound of a session: the number of bytes and their digest.
        """
        document: dict[str, Json] = {"bytes": len(frames), "codec": "postgres"}
        self.taken_in += len(frames)
        if self.taken_in > RECORDED_BYTES:
            document["sha256"], body = sha256(frames).hexdigest(), b""
        else:
            body = frames
        await self.gate.journal.accept(Record(self.id, "input", document, body))
        await self.connection.stream(grant, messages)

    def answers(self, granted: Grant | Substitute) -> AbstractAsyncContextManager[Batches]:
        """What comes back for a message, in the order of sending.

        For a substitute that is the refusal itself: nothing to limit, mask or record.
        """
        if isinstance(granted, Substitute):
            return self.connection.results(granted)
        return self.results(granted)

    async def notified(self) -> Sequence[Notification]:
        """What came on channels that the session listens to, decided again, masked and recorded.

        Raises `Denied` where policy would not permit a LISTEN any more, and where too much came.
        """
        heard = self.connection.heard()
        if heard.flooded:
            await self.refuse(FLOODED)
            raise Denied(FLOODED)
        if not heard.told:
            return ()
        for grant in {id(grant): grant for grant, _ in heard.told}.values():
            await self._still_permitted(grant)
        told, gate = [each for _, each in heard.told], self.gate
        return await as_delivered(told, self.id, self.backend, gate.masker, gate.journal)

    async def _still_permitted(self, grant: Grant) -> None:
        """Raises `Denied`, recorded, where what was granted would not be permitted now."""
        request = replace(grant.request, now=datetime.now(UTC))
        decision = self.gate.decide(request)
        if not set(decision.approvals) <= set(grant.decision.approvals):
            refusal = unmet(decision)
            decision = replace(decision, effect=Effect.DENY, obligations=(), refusal=refusal)
        if decision.effect is not Effect.PERMIT:
            await self._refuse(request, decision)


def _only_reads(admitted: Grant | Substitute | Pending) -> bool:
    facts = admitted.request.facts if isinstance(admitted, Grant) else None
    return facts is not None and facts.read_only


_BUILT_IN: Final = ("pg_catalog.", "information_schema.")


def may_run_users_code(facts: SqlFacts | None, catalog: Catalog) -> bool:
    """Whether a function or a trigger of users' may run, which can do what no statement may."""
    if facts is None or facts.opaque is not None:
        return True
    changed = (catalog.relations.get(u.table) for u in facts.tables if u.verb != "select")
    return any(relation is not None and relation.user_code for relation in changed) or any(
        not name.startswith(_BUILT_IN) for name in facts.functions
    )
