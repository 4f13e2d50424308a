"""The policy enforcement point: the one road from a caller to a backend, and back.

Follow `Session.perform`: decide, wait for a person where policy asks for one, commit the intent,
send, limit, mask, record, deliver. Nothing else in Ostiary asks "may this run?".
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf
from typing import Final

from masking.cells import Masker
from policies.errors import Denied, Refusal
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Connect,
    Decision,
    DecisionPoint,
    Effect,
    GatewayAction,
    Principal,
    ReadCatalog,
    SqlPlan,
    SqlPrepare,
    SqlStatement,
)
from policies.sql.asked_settings import asked_by_parameters, of_one_call
from policies.sql.facts import SqlFacts
from recordings.events import Batches, Event, Pending, Results
from recordings.journal import Journal, Record
from server import records
from server.admission import Admission
from server.advice import advised
from server.approvals.approvals import Approvals
from server.approvals.tickets import Ticket, bind
from server.backends import CATALOG_AGE, CATALOG_ROUNDS, RETRY_AGE, STALE_CODES, Backend
from server.connections import CatalogChanged, Connection
from server.obligations import Delivery, Shaping, shape
from server.previewing import NO_PREVIEWS, Previewing
from server.refusals import (
    CATALOG_UNSETTLED,
    not_approved,
    reads,
    unknown_target,
    unmet,
    within_rows,
)
from server.write_back import without_masks

_ONLY_THE_GATE: Final = object()

GATEWAY: Final = Principal(id="ostiary", name="the gateway itself", agent="ostiary")


@dataclass(frozen=True, slots=True)
class Grant:
    """Proof that a request was permitted, approved where needed, and is in the journal.

    No connector acts and no credential is read without one. Only this module makes one.
    """

    request: AccessRequest
    decision: Decision
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _ONLY_THE_GATE:
            raise TypeError("only the gate makes a grant")

    @property
    def writes(self) -> bool:
        """Whether the action needs more than a read-only transaction."""
        facts = self.request.facts
        return facts is not None and not facts.read_only


@dataclass(frozen=True, slots=True)
class Substitute:
    """Takes a refused message's place, so that the target itself raises the error in order.

    The marker is random and holds no byte of the caller's.
    """

    marker: str
    refusal: Refusal
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _ONLY_THE_GATE:
            raise TypeError("only the gate makes a substitute")


@dataclass(slots=True)
class Gate:
    """Opens sessions. One a process; `decision_point` is replaced whole when policies reload."""

    decision_point: DecisionPoint
    backends: Mapping[str, Backend]
    approvals: Approvals
    journal: Journal
    masker: Masker
    admission: Admission
    previews: Previewing = NO_PREVIEWS

    @asynccontextmanager
    async def open(
        self, principal: Principal, target: str, *, channel: Channel, reason: str = ""
    ) -> AsyncIterator[Session]:
        """Admit one caller to one target for a single action at a time.

        Raises `Denied`: a target that is unknown and one that is not permitted answer alike.
        """
        async with self.admission.session(principal):
            grant, backend, opening = await self.connect(principal, target, channel, reason)
            async with backend.connector.connect(grant) as connection:
                # A one-shot connection reaches the target with its first grant, and not before:
                # the opening is committed together with that grant's intent.
                session = Session(self, backend, grant, connection, opening)
                async with session.recorded():
                    yield session

    async def authorize(
        self,
        principal: Principal,
        action: GatewayAction,
        *,
        channel: Channel,
        target: str = "",
    ) -> Decision:
        """Decide an act on the gateway itself, and record it before it takes effect."""
        self.admission.check(principal)
        backend = self.backends.get(target)
        request = AccessRequest(
            principal=principal,
            target=backend.target if backend else None,
            action=action,
            channel=channel,
            now=datetime.now(UTC),
            session=new_session(),
        )
        decision = self.decision_point.decide(request)
        if decision.effect is Effect.PERMIT and not decision.obligations:
            await self.journal.commit(records.intent(request, decision))
            return decision
        await self.journal.commit(records.decided(request, decision))
        raise Denied(decision.refusal or unmet(decision))

    def is_let_in(self, principal: Principal) -> bool:
        """Whether nobody has blocked them. Raises `BackendUnavailable` where that is not known."""
        return self.admission.blocks.of(principal) is None

    def decide(self, request: AccessRequest) -> Decision:
        """What policy says; changes and records nothing. For `explain` and `list_targets`."""
        return self.decision_point.decide(request)

    async def facts(
        self, backend: Backend, text: str, *, asker: str = "", path: tuple[str, ...] | None = None
    ) -> SqlFacts:
        """What a statement does, by a catalog that is at most `CATALOG_AGE` seconds old.

        `asker` is a principal's id: what one asks about holds up nobody else. `path` is the
        session's own search path, where it has one.
        """
        await self.fresh_catalog(backend)
        facts = await backend.facts(text, asker=asker, path=path)
        stale = facts.opaque is not None and facts.opaque.code in STALE_CODES
        if stale and backend.age() > RETRY_AGE:
            await self.read_catalog(backend)
            facts = await backend.facts(text, asker=asker, path=path)
        return facts

    async def connect(
        self, principal: Principal, target: str, channel: Channel, reason: str
    ) -> tuple[Grant, Backend, tuple[Record, ...]]:
        """Decide whether a session may begin; its opening is still to be committed.

        Raises `Denied`.
        """
        backend = self.backends.get(target)
        request = AccessRequest(
            principal=principal,
            target=backend.target if backend else None,
            action=Connect(),
            channel=channel,
            now=datetime.now(UTC),
            session=new_session(),
            reason=reason,
        )
        if backend is None:
            refusal = unknown_target(target)
            version = self.decision_point.version
            await self._refuse(request, Decision(Effect.DENY, version, refusal=refusal))
            raise Denied(refusal)
        decision = self.decision_point.decide(request)
        if decision.effect is not Effect.PERMIT or decision.obligations:
            await self._refuse(request, decision)
            raise Denied(unknown_target(target))
        opening = (records.opened(request, decision, best_effort=backend.best_effort),)
        return Grant(request, decision, _ONLY_THE_GATE), backend, opening

    async def _refuse(self, request: AccessRequest, decision: Decision) -> None:
        await self.journal.commit(records.decided(request, decision))

    async def fresh_catalog(self, backend: Backend) -> None:
        """Read the target's names again where they are older than `CATALOG_AGE`."""
        if backend.age() > CATALOG_AGE:
            await self.read_catalog(backend)

    async def read_catalog(self, backend: Backend) -> None:
        """Read the target's names with the gateway's own role, as a granted action.

        Recorded when policy lets it for the first time, or anew; it is repeated every few seconds.
        """
        asked = asyncio.get_running_loop().time()
        async with backend.lock:
            if backend.snapshot is not None and backend.snapshot.read_at > asked:
                return
            request = AccessRequest(
                principal=GATEWAY,
                target=backend.target,
                action=ReadCatalog(),
                channel=Channel.GATEWAY,
                now=datetime.now(UTC),
                session=new_session(),
            )
            decision = self.decision_point.decide(request)
            if decision.effect is not Effect.PERMIT:
                raise Denied(decision.refusal or unmet(decision))
            known = backend.reading
            if known is None or known.decision.policy_version != decision.policy_version:
                await self.journal.commit(records.intent(request, decision))
                known = backend.reading = Grant(request, decision, _ONLY_THE_GATE)
            backend.replace(await backend.connector.catalog(known))

    async def granted(self, request: AccessRequest) -> Grant:
        """A grant for what the gateway does by itself, its intent committed. Raises `Denied`."""
        decision = self.decision_point.decide(request)
        if decision.effect is not Effect.PERMIT or decision.approvals:
            refusal = decision.refusal or unmet(decision)
            denied = replace(decision, effect=Effect.DENY, obligations=(), refusal=refusal)
            await self._refuse(request, denied)
            raise Denied(refusal)
        await self.journal.commit(records.intent(request, decision))
        return Grant(request, decision, _ONLY_THE_GATE)


@dataclass(slots=True)
class Session:
    """One principal on one target, from open to close. Not shared between tasks."""

    gate: Gate
    backend: Backend
    opened: Grant
    connection: Connection
    uncommitted: tuple[Record, ...]
    end: str = "closed"
    granted: Grant | None = None
    spent: Ticket | None = None
    unused: Ticket | None = None

    @property
    def id(self) -> str:
        return self.opened.request.session

    @property
    def native(self) -> bool:
        """Whether the caller speaks the target's own protocol."""
        return False

    @property
    def time_limit(self) -> float:
        """Seconds that the target lets a statement run, where the gate itself must see to it."""
        return inf

    @property
    def writes(self) -> bool:
        """Whether what was granted last may have changed something."""
        return self.granted is not None and self.granted.writes

    @asynccontextmanager
    async def perform(self, action: Action) -> AsyncIterator[Results]:
        """Decide, await approval, commit the intent, send, limit, mask, record, deliver.

        The first event is `Pending` where a person must agree; iterating on waits for them.
        Raises `Denied` while iterating. Leaving the context cancels what runs.
        """
        async with aclosing(self._events(action)) as events:
            yield events

    async def _events(self, action: Action) -> AsyncGenerator[Event]:
        """All of it again where the target was not as it was judged by: nothing has run then."""
        for _ in range(CATALOG_ROUNDS):
            self.spent = None
            admitted = await self.admit(action)
            while isinstance(admitted, Pending):
                yield admitted
                admitted = await self.settle(admitted, action)
            try:
                async with self.results(admitted) as results:
                    async for batch in results:
                        for event in batch.events:
                            yield event
                return
            except CatalogChanged:
                self.unused = self.spent  # nothing has run by it
                await self.gate.read_catalog(self.backend)
        raise Denied(CATALOG_UNSETTLED)

    async def admit(self, action: Action) -> Grant | Pending:
        """Decide and commit the intent, or open a ticket. Raises `Denied`."""
        return await self._admit(action, waited_for=None)

    async def _admit(self, action: Action, waited_for: str | None) -> Grant | Pending:
        request, decision = await self._decide(action)
        if decision.effect is not Effect.PERMIT:
            await self._refuse(request, decision)
        if not decision.approvals:
            return await self._granted(request, decision, ticket="")
        await self._commit()
        around = self.connection.surroundings(write=not reads(request))
        definitions = self.backend.connector.definitions(request.facts)
        binding = bind(request, around, definitions=definitions, seal=self.gate.journal.seal)
        unused, self.unused = self.unused, None
        if unused and unused.digest == binding.digest and unused.covers(decision.approvals):
            self.spent = unused
            return await self._granted(request, decision, ticket=unused.id)
        approvals, stands = self.gate.approvals, self.gate.is_let_in
        used = await approvals.use(binding, decision.approvals, stands=stands)
        if used is not None:
            self.spent = used
            return await self._granted(request, decision, ticket=used.id)
        if waited_for is not None and (gone := await approvals.get(waited_for)).state == "used":
            raise Denied(not_approved(gone))  # by an equal call that waited too: nobody asks twice
        ticket = await approvals.ask(request, binding, decision.approvals)
        await self._commit(records.decided(request, decision, ticket=ticket.id))
        await self.gate.previews.begin(request, ticket)
        return Pending(ticket.id, approvals.page(ticket.id))

    async def settle(self, pending: Pending, action: Action) -> Grant | Pending:
        """Wait until the ticket is decided, then decide again: a permit may have gone since."""
        ticket = await self.gate.approvals.wait(pending.ticket, seconds=float("inf"))
        if ticket.state not in ("approved", "used"):
            raise Denied(not_approved(ticket))
        return await self._admit(action, waited_for=ticket.id)

    @asynccontextmanager
    async def results(self, grant: Grant) -> AsyncIterator[Batches]:
        """The events of a granted action as they may be delivered; its outcome is recorded."""
        delivery = Delivery(asked=grant is not self.opened)
        shaping = self._shaping(grant, delivery)
        try:
            async with (
                self.connection.results(grant) as raw,
                aclosing(shape(raw, shaping)) as shaped,
            ):
                yield shaped
        except Exception as error:
            delivery.status = type(error).__name__
            raise
        finally:
            if delivery.asked and not delivery.whole:
                await self._record_outcome(delivery)

    @asynccontextmanager
    async def recorded(self) -> AsyncIterator[None]:
        """Record the session's end, whatever ends it."""
        try:
            yield
        except BaseException as error:
            self.end = type(error).__name__
            raise
        finally:
            for record in (*self.uncommitted, records.closed(self.id, end=self.end)):
                await _surely(self.gate.journal, record)

    async def _decide(self, action: Action) -> tuple[AccessRequest, Decision]:
        opened = self.opened.request
        self.gate.admission.check(opened.principal)
        facts = None
        if isinstance(action, SqlStatement | SqlPrepare | SqlPlan):
            facts = asked_by_parameters(await self._facts(action), action)
        request = replace(opened, action=action, facts=facts, now=datetime.now(UTC))
        point = self.gate.decision_point
        request, decision = within_rows(request, point.decide(request))
        decision = without_masks(request, decision, self.gate.masker.holds_masks)
        if facts is None or decision.effect is Effect.PERMIT:
            return request, decision
        return request, advised(request, decision, point.decide, self.backend.catalog)

    async def _facts(self, action: SqlStatement | SqlPrepare | SqlPlan) -> SqlFacts:
        asker = self.opened.request.principal.id
        return of_one_call(await self.gate.facts(self.backend, action.text, asker=asker))

    async def _commit(self, *new: Record) -> None:
        """Commit, with what the session has not committed yet."""
        await self.gate.journal.commit(*self.uncommitted, *new)
        self.uncommitted = ()

    async def _refuse(self, request: AccessRequest, decision: Decision) -> None:
        await self._commit(records.decided(request, decision))
        raise Denied(decision.refusal or unmet(decision))

    async def _granted(self, request: AccessRequest, decision: Decision, *, ticket: str) -> Grant:
        await self._commit(records.intent(request, decision, ticket=ticket))
        self.granted = self._grant(request, decision)
        return self.granted

    def _grant(self, request: AccessRequest, decision: Decision) -> Grant:
        """Proof of a permit whose intent is committed before anything is done with it."""
        return Grant(request, decision, _ONLY_THE_GATE)

    def _substitute(self, refusal: Refusal) -> Substitute:
        """A refused message's stand-in."""
        return Substitute(f"ostiary_refused_{secrets.token_hex(8)}", refusal, _ONLY_THE_GATE)

    def _shaping(self, grant: Grant, delivery: Delivery) -> Shaping:
        action = grant.request.action
        return Shaping(
            session=self.id,
            decision=grant.decision,
            facts=grant.request.facts,
            backend=self.backend,
            masker=self.gate.masker,
            journal=self.gate.journal,
            delivery=delivery,
            native=self.native,
            target_limit=self.time_limit,
            text=action.text if isinstance(action, SqlStatement | SqlPrepare | SqlPlan) else "",
        )

    async def _record_outcome(self, delivery: Delivery) -> None:
        document = delivery.document()
        await _surely(self.gate.journal, Record(self.id, "outcome", document))


async def _surely(journal: Journal, record: Record) -> None:
    """Record the end of something that has happened already, also while being cancelled."""
    if journal.accept_now(record):
        return
    writing = asyncio.ensure_future(journal.accept(record))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await writing
        raise


def new_session() -> str:
    """An id for a session that begins now."""
    return secrets.token_hex(12)
