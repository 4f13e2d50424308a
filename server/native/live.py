"""Sessions of native doors that are open now: who they are, and their end when they may not stay.

Every few seconds each is looked at again: is its token still good, has somebody ended it, does
policy still let it connect? Blocks are admission's. Gateways on one store tell each other at once
which session is to stop: a client that cancels may come to another one than its session is at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from policies.errors import BackendUnavailable, Denied, Refusal
from policies.model import Channel, Effect
from recordings.chain import Json
from recordings.journal import Record
from recordings.store import STORE_ERRORS, AnyConnection, Store
from server.admission import Admission
from server.admission.flights import Flight
from server.identity.certificates import ClientCertificates
from server.native.login import TOKEN_EXPIRED, TOKEN_REVOKED, KnownClient
from server.native_session import NativeSession
from server.records import refused_call
from server.refusals import unmet

_log = logging.getLogger("ostiary.native")

LOOK_EVERY: Final = 5.0  # seconds
LOOK_WITHIN: Final = 5.0
UNSEEN_FOR: Final = 20.0
"""Seconds without an answer of the store, after which nobody's token is taken for good."""
GONE_AFTER: Final = 30.0
"""Seconds after which a session whose gateway says nothing is none."""
SHOWN: Final = 500
CHANNEL: Final = "ostiary_sessions"
_STATEMENT: Final = "statement"

_OPEN: Final = (
    "INSERT INTO native_sessions (id, principal, principal_name, agent, target, channel, address,"
    " token) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"
)
_SEEN: Final = (
    "UPDATE native_sessions SET seen_at = clock_timestamp() WHERE id = ANY($1)"
    " RETURNING id, coalesce(ended_by, '') AS ended_by"
)
_LOST: Final = (
    "SELECT id, revoked_at IS NOT NULL AS revoked FROM gateway_tokens WHERE id = ANY($1)"
    " AND (revoked_at IS NOT NULL OR expires_at <= clock_timestamp())"
)
_NAMED: Final = "UPDATE native_sessions SET known_as = $2 WHERE id = $1"
_END: Final = "UPDATE native_sessions SET ended_by = $2 WHERE id = $1"
_FORGET: Final = (
    "DELETE FROM native_sessions WHERE seen_at < clock_timestamp() - interval '10 minutes'"
)
_LIVE: Final = (
    "SELECT id, principal, principal_name, agent, target, channel, address, token, opened_at,"
    " known_as FROM native_sessions WHERE seen_at > clock_timestamp() - make_interval(secs => $1)"
    " AND ended_by IS NULL"
)
_KNOWN: Final = (
    f"{_LIVE} AND $2 = ANY(known_as) AND channel = $3"
    " AND ($4 = '' OR (principal, target) = ($4, $5))"
)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One that is open at some gateway on this store; `token` is its gateway token's id, if any."""

    id: str
    principal: str
    principal_name: str
    agent: str
    target: str
    channel: str
    address: str
    token: str
    opened_at: datetime
    known_as: Sequence[str] = ()


Cancel = Callable[[], Awaitable[None]]
"""Has what a session runs cancelled; the session goes on."""


@dataclass(slots=True, eq=False)
class _Open:
    session: NativeSession
    client: KnownClient
    flight: Flight
    cancel: Cancel | None = None


@dataclass(slots=True)
class LiveSessions:
    """One a process."""

    store: Store
    admission: Admission
    certificates: ClientCertificates | None = None
    _open: dict[str, _Open] = field(default_factory=dict)
    _looked: float = 0.0
    _cancelling: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def during(
        self, session: NativeSession, client: KnownClient, address: str
    ) -> AsyncIterator[None]:
        """While open, the session is among the live ones, and ends when it may not stay.

        Raises `Denied` then, and `BackendUnavailable`.
        """
        request = session.opened.request
        target = request.target.name if request.target else ""
        document: dict[str, Json] = {"token": client.token, "address": address}
        if client.certificate is not None:
            document["certificate"] = client.certificate.fingerprint
        await session.gate.journal.accept(Record(session.id, "signed_in", document))
        who = client.principal
        row = (session.id, who.id, who.name, who.agent, target, request.channel.value, address)
        flight = Flight(who, self)
        async with flight:
            try:
                await self._execute(_OPEN, *row, client.token)
                self._open[session.id] = _Open(session, client, flight)
                yield
            finally:
                self._open.pop(session.id, None)
                await asyncio.shield(self._close(session.id))

    async def live(self) -> Sequence[LiveSession]:
        """All of them, the newest first. Raises `BackendUnavailable`."""
        try:
            async with self.store.pool.acquire(timeout=LOOK_WITHIN) as connection:
                rows = await connection.fetch(
                    f"{_LIVE} ORDER BY opened_at DESC LIMIT $2", GONE_AFTER, SHOWN
                )
        except STORE_ERRORS as error:
            raise _unreadable() from error
        return [LiveSession(*row.values()) for row in rows]

    async def find(self, session: str) -> LiveSession | None:
        """One of them. Raises `BackendUnavailable`."""
        try:
            async with self.store.pool.acquire(timeout=LOOK_WITHIN) as connection:
                row = await connection.fetchrow(f"{_LIVE} AND id = $2", GONE_AFTER, session)
        except STORE_ERRORS as error:
            raise _unreadable() from error
        return LiveSession(*row.values()) if row is not None else None

    async def known(
        self, name: str, channel: Channel, *, principal: str = "", target: str = ""
    ) -> str:
        """The session that its client knows by this name; empty for none, or somebody else's.

        Raises `BackendUnavailable`.
        """
        try:
            async with self.store.pool.acquire(timeout=LOOK_WITHIN) as connection:
                found: str | None = await connection.fetchval(
                    _KNOWN, GONE_AFTER, name, channel.value, principal, target
                )
        except STORE_ERRORS as error:
            raise _unreadable() from error
        return found or ""

    async def reachable(self, session: str, names: Sequence[str], cancel: Cancel) -> None:
        """By what names its client may have it stopped at any gateway, and how. Raises
        `BackendUnavailable`."""
        self._open[session].cancel = cancel
        await self._execute(_NAMED, session, names)

    async def cancel(self, session: str) -> None:
        """Have its gateway cancel what it runs. Raises `BackendUnavailable`."""
        await self._execute("SELECT pg_notify($1, $2)", CHANNEL, f"{session} {_STATEMENT}")

    async def end(self, session: str, by: str) -> None:
        """Have its gateway end it; `by` is a principal's id. Raises `BackendUnavailable`."""
        await self._execute(_END, session, by)
        await self._execute("SELECT pg_notify($1, $2)", CHANNEL, session)
        await self.look()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While open, sessions are looked at again and again."""
        tasks = [asyncio.create_task(each) for each in (self._watch(), self._listen())]
        try:
            yield
        finally:
            for task in (*tasks, *self._cancelling):
                task.cancel()
            await asyncio.wait([*tasks, *self._cancelling])

    async def look(self) -> None:
        """End what may not stay. A store that does not answer for long ends all of it."""
        now = asyncio.get_running_loop().time()
        try:
            async with (
                asyncio.timeout(LOOK_WITHIN),
                self.store.pool.acquire(timeout=LOOK_WITHIN) as connection,
            ):
                await self._ask(connection)
            self._looked = now
        except STORE_ERRORS as error:
            _log.warning("native sessions can't be looked at: %s", type(error).__name__)
            if now - self._looked > UNSEEN_FOR:
                for each in tuple(self._open.values()):
                    each.flight.end(_unreadable())

    async def _watch(self) -> None:
        self._looked = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
                await self._decide_again()
            except Exception:  # noqa: BLE001 -- what ends sessions must not die of one of them
                _log.exception("native sessions were not looked at")

    async def _listen(self) -> None:
        while True:
            with suppress(*STORE_ERRORS):
                await self.store.listen(CHANNEL, self._heard)
            await asyncio.sleep(LOOK_EVERY)

    def _heard(self, notice: str) -> None:
        """A session is to stop; nothing is said of those at other gateways."""
        session, _, what = notice.partition(" ")
        found = self._open.get(session)
        if found is None:
            return
        asked = found.cancel() if what == _STATEMENT and found.cancel else self.look()
        task = asyncio.ensure_future(asked)
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _ask(self, connection: AnyConnection) -> None:
        known = dict(self._open)
        await connection.execute(_FORGET)
        if not known:
            return
        for row in await connection.fetch(_SEEN, list(known)):
            if row["ended_by"]:
                known[row["id"]].flight.end(Denied(_ended(row["ended_by"])))
        tokens = {each.client.token for each in known.values() if each.client.token}
        lost = {row["id"]: row["revoked"] for row in await connection.fetch(_LOST, list(tokens))}
        for each in known.values():
            if each.client.token in lost:
                refusal = TOKEN_REVOKED if lost[each.client.token] else TOKEN_EXPIRED
                each.flight.end(Denied(refusal))

    async def _decide_again(self) -> None:
        """Policies may have changed, and what is permitted at one time may not be at another.

        So may what a certificate's authority has revoked.
        """
        for each in tuple(self._open.values()):
            gate, opened = each.session.gate, each.session.opened.request
            shown = each.client.certificate
            lost = self.certificates.refusal(shown) if shown and self.certificates else None
            if lost is not None:
                each.flight.end(Denied(lost))
            decision = gate.decide(replace(opened, now=datetime.now(UTC)))
            if decision.effect is not Effect.PERMIT or decision.obligations:
                each.flight.end(Denied(decision.refusal or unmet(decision)))
            await asyncio.sleep(0)

    # -- of flights

    def take_off(self, flight: Flight) -> None:
        """Admission has counted it."""

    def land(self, flight: Flight) -> None:
        """Admission has counted it."""

    def cut_off(self, flight: Flight, reason: Exception) -> None:
        """A session that was ended in the middle is a refusal like any other."""
        if isinstance(reason, Denied):
            who = flight.principal
            record = refused_call(who, "session", reason.refusal)
            self.admission.repeats.note((who.id, who.agent, reason.refusal.code), record)

    async def _execute(self, statement: str, *values: object) -> None:
        try:
            async with self.store.pool.acquire(timeout=LOOK_WITHIN) as connection:
                await connection.execute(statement, *values)
        except STORE_ERRORS as error:
            raise _unreadable() from error

    async def _close(self, session: str) -> None:
        """Where the store is away, its row is forgotten by its age."""
        with suppress(BackendUnavailable):
            await self._execute("DELETE FROM native_sessions WHERE id = $1", session)


def _ended(by: str) -> Refusal:
    return Refusal(
        code="SESSION_ENDED",
        reason=f"The session was ended by {by}.",
        next_step="Ask them before you connect again.",
    )


def _unreadable() -> BackendUnavailable:
    return BackendUnavailable("the store can't be reached now; try again")
