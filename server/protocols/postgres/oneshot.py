"""One statement in a transaction of the gateway's own: what a tool call is.

Not in here: who may run it (the gate), and what is masked (its obligations).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

import anyio

from policies.errors import BackendUnavailable, ProtocolError
from policies.model import SqlPlan, SqlStatement
from policies.sql.facts import SqlFacts
from recordings.batches import one_by_one
from recordings.events import Batches, Columns, Done, Event, Failed, Native, Pending, Rows
from server.connections import CatalogChanged, Surroundings
from server.credentials import Credentials, Role
from server.protocols.postgres import frontend as f
from server.protocols.postgres.awaited import Ended
from server.protocols.postgres.catalog_reader import CatalogReader
from server.protocols.postgres.checking import Mode, begin, begin_checked, check
from server.protocols.postgres.codec import NEED_DATA, walk_rows
from server.protocols.postgres.fingerprints import CHANGED, Expected
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.own import Own
from server.protocols.postgres.planning import planned
from server.protocols.postgres.pool import Pool, begin_reset, role_settings
from server.protocols.postgres.target import PostgresTarget

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.postgres")

T = TypeVar("T")

# Seconds past a statement's own timeout that the gateway waits for a server that says nothing.
GRACE: Final = 5.0
COPY_REFUSED: Final = Failed("0A000", "COPY needs a PostgreSQL client; run a SELECT or an INSERT")


@dataclass(frozen=True, slots=True)
class OneShotConnection:
    """Takes a pooled connection for each granted statement, and gives it back."""

    target: PostgresTarget
    credentials: Credentials
    pool: Pool
    reader: CatalogReader

    def surroundings(self, *, write: bool) -> Surroundings:
        role: Role = "writer" if write else "reader"
        return Surroundings(
            role=self.credentials.user(role),
            database=self.target.database,
            search_path=self.target.search_path,
            settings=role_settings(self.target, role),
        )

    def results(self, grant: Grant) -> AbstractAsyncContextManager[Batches]:
        """Run the granted statement: rolled back if it reads, committed before `Done` if it writes.

        Raises `CatalogChanged` where its facts do not hold any more: then nothing of it has run.
        Raises `BackendUnavailable`; its text says so where the outcome of a commit is unknown.
        """
        if isinstance(grant.request.action, SqlPlan):
            return planned(self.pool, self.reader, grant)
        limit = grant.decision.time_limit
        patience = (limit or self.target.statement_timeout) + GRACE
        return _Run(self.pool, self.reader, grant, _statement(grant), limit, patience)


def _statement(grant: Grant) -> SqlStatement:
    action = grant.request.action
    if not isinstance(action, SqlStatement):
        raise TypeError("a one-shot connection runs statements only")
    return action


@dataclass(slots=True)
class _Run:
    """One statement on its way; `seen` and `delivered` count its rows.

    In seconds: `limit` is policy's on the statement, `patience` ours with a server that is silent.
    """

    pool: Pool
    reader: CatalogReader
    grant: Grant
    action: SqlStatement
    limit: float | None
    patience: float
    seen: int = 0
    delivered: int = 0
    end: Done | Failed | None = None
    link: Link = field(init=False)

    async def __aenter__(self) -> Batches:
        self.link = await self.pool.take(self.grant)
        return one_by_one(self.events())

    async def __aexit__(self, *_: object) -> None:
        await self.pool.give_back(self.link, self.grant)

    async def events(self) -> AsyncIterator[Event]:
        facts = self.grant.request.facts
        if facts is not None and any("copy" in kind for kind in facts.kinds):
            yield COPY_REFUSED
            return
        try:
            await self._send(self._expected(facts))
            await self._begun()
            await self._checked()
            while not isinstance(event := await self._event(), Ended):
                shown = self._shown(event)
                if shown is not None:
                    yield shown
            yield await self._ended()
        except (OSError, TimeoutError, ProtocolError) as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> BackendUnavailable:
        name = self.link.target.name
        log.warning("target %s: connection lost: %s: %s", name, type(error).__name__, error)
        self.link.close()
        return unavailable(name)

    # -- sending

    def _expected(self, facts: SqlFacts | None) -> Expected | None:
        """What the server must find for the facts to hold; None if they are of no catalog."""
        if facts is None or not facts.catalog:
            return None
        known = self.reader.fingerprints(facts.catalog)
        if known is None:
            raise CatalogChanged
        return known.expected(facts)

    async def _send(self, expected: Expected | None) -> None:
        """Everything in one round trip; one Sync, so that no statement outlives a failed BEGIN.

        Behind a read goes what ends it and resets the connection. Four turns: the transaction, the
        statement, the check, and the statement's run.
        """
        conversation = self.link.conversation
        conversation.begin(None)
        messages = [conversation.send_own(self._begin(expected))]
        conversation.begin(self.grant)
        messages.append(conversation.send(f.Parse("", self.action.text)))
        conversation.begin(None)
        if expected is not None:
            messages.append(conversation.send_own(check(expected)))
        conversation.begin(self.grant)
        asked = (self._bind(), f.Execute("", self._row_budget()), f.Sync())
        messages += [conversation.send(message) for message in asked]
        if not self.grant.writes:
            messages.append(begin_reset(self.link, after="read"))
        self.link.write(b"".join(messages))
        await self.link.drain()

    def _begin(self, expected: Expected | None) -> Own:
        if expected is None:
            return begin(self._mode, self.limit)
        missing = None if expected.check in self.link.checks else expected.check
        self.link.checks |= {expected.check}
        return begin_checked(self._mode, self.limit, missing=missing)

    @property
    def _mode(self) -> Mode:
        return "READ WRITE" if self.grant.writes else "READ ONLY"

    def _bind(self) -> f.Bind:
        parameters = self.action.parameters
        return f.Bind(
            portal="",
            statement="",
            parameter_formats=tuple(int(p.binary) for p in parameters),
            parameters=tuple(p.value for p in parameters),
        )

    def _row_budget(self) -> int:
        """Rows to ask for; one more than wanted tells whether there are more, 0 is all.

        A write runs to its end whatever is asked for, and only then has a command tag.
        """
        if self.grant.writes or not self.action.max_rows:
            return 0
        return self.action.skip + self.action.max_rows + 1

    # -- receiving

    async def _event(self) -> Event | Ended:
        while (event := self.link.conversation.next_event()) is NEED_DATA:
            with self.link.patient(self.patience):
                await self.link.receive()
        return event

    def _shown(self, event: Event) -> Columns | Rows | None:
        """What of the server's answer is told at once; an end is told when it has come to pass."""
        match event:
            case Native() | Pending():
                return None
            case Columns():
                return event
            case Rows():
                wanted = self._wanted(event)
                return wanted if wanted.count else None
            case Done() | Failed():
                self.end = self.end if isinstance(self.end, Failed) else event
                return None
            case _:
                assert_never(event)

    async def _begun(self) -> None:
        while not isinstance(event := await self._event(), Ended):
            if isinstance(event, Failed):
                raise ProtocolError(f"no transaction: {event.sqlstate}")

    async def _checked(self) -> None:
        """Hear how the statement was parsed, and whether its facts hold. Nothing of it has run."""
        while not isinstance(event := await self._event(), Ended):
            self._shown(event)
        failed: Failed | None = None
        while not isinstance(event := await self._event(), Ended):
            failed = event if isinstance(event, Failed) else failed
        if failed is None:
            return
        while not isinstance(await self._event(), Ended):
            pass
        if failed.sqlstate != CHANGED:
            raise ProtocolError(f"no check: {failed.sqlstate}")
        self.reader.doubt()
        raise CatalogChanged

    def _wanted(self, rows: Rows) -> Rows:
        """The part of a chunk between the rows to skip and the most to deliver."""
        first, last = self.action.skip, self.action.skip + self.action.max_rows
        start = min(rows.count, max(0, first - self.seen))
        stop = rows.count if not self.action.max_rows else min(rows.count, last - self.seen)
        self.seen += rows.count
        if start == 0 and stop == rows.count:
            self.delivered += rows.count
            return rows
        count = max(0, stop - start)
        self.delivered += count
        return Rows(_slice(rows.frames, start, start + count), count)

    async def _ended(self) -> Done | Failed:
        match self.end:
            case None:
                raise ProtocolError("the statement has no end")
            case Failed():
                return self.end
            case Done():
                if self.grant.writes and (failed := await self._commit()):
                    return failed
                return self._done(self.end)

    def _done(self, done: Done) -> Done:
        more = done.more or (self.seen - self.action.skip > self.delivered)
        return Done(done.tag or f"SELECT {self.delivered}", self.delivered, more)

    async def _commit(self) -> Failed | None:
        """COMMIT; the server's refusal of it, if any. Cancelling waits for the server's answer.

        Past this point a caller that leaves changes nothing, and the recording has to say what
        the target did.
        """
        self.link.conversation.begin(self.grant)
        commit = self.link.conversation.send(f.Query("COMMIT"))
        try:
            self.link.write(commit + begin_reset(self.link, after="commit"))
            events = await settled(self._turn())
        except (OSError, TimeoutError, ProtocolError) as error:
            self._lost(error)
            name = self.link.target.name
            message = f"target {name} went away during COMMIT: outcome unknown"
            raise BackendUnavailable(message) from None
        return _commit_failure(events)

    async def _turn(self) -> list[Event]:
        await self.link.drain()
        async with asyncio.timeout(self.link.target.statement_timeout + GRACE):
            return await self.link.finish_turn()


async def settled(work: Coroutine[Any, Any, T]) -> T:
    """The result of what must not be left in the middle; it has a time limit of its own.

    The caller's cancellation is held back: whoever waits next is cancelled by a scope that still
    is, and a call that is over has nothing more to cancel.
    """
    task = asyncio.ensure_future(work)
    with anyio.CancelScope(shield=True):
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
    return task.result()


def _commit_failure(events: list[Event]) -> Failed | None:
    for event in events:
        if isinstance(event, Failed):
            return event
        if isinstance(event, Done) and event.tag != "COMMIT":
            return Failed("25P02", "the transaction was rolled back")
    return None


def _slice(frames: bytes, start: int, stop: int) -> bytes:
    begin, _ = walk_rows(frames, limit=len(frames), rows=start)
    end, _ = walk_rows(frames, begin, limit=len(frames), rows=stop - start)
    return frames[begin:end]
