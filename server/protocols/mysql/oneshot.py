"""One statement in a transaction of the gateway's own: what a tool call is.

Not in here: who may run it (the gate), and what is masked (its obligations).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from policies.errors import BackendUnavailable, ProtocolError
from policies.model import SqlStatement
from policies.sql.facts import SqlEffect, SqlFacts, TableName
from recordings.batches import one_by_one
from recordings.events import Batches, Columns, Done, Event, Failed, Native, Pending, Rows
from recordings.mysql_walk import row_end
from server.connections import CatalogChanged, Surroundings
from server.credentials import Credentials, Role
from server.protocols.mysql import commands as m
from server.protocols.mysql.awaited import Ended, Turn
from server.protocols.mysql.binding import bound
from server.protocols.mysql.catalog_queries import table
from server.protocols.mysql.catalog_reader import CatalogReader, States, is_unchanged
from server.protocols.mysql.link import Link, unavailable
from server.protocols.mysql.login import LoginRefused
from server.protocols.mysql.origins import with_numbers
from server.protocols.mysql.pool import Pool
from server.protocols.mysql.target import MysqlTarget
from server.protocols.postgres.oneshot import settled

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.mysql")

# Seconds past a statement's own limit that the gateway waits, before it stops the statement, and
# again before it gives the server up.
GRACE: Final = 1.0
PATIENCE: Final = 5.0
_NOT_TRIED: Final = "a plan is not asked for on MySQL and MariaDB; run the statement, or EXPLAIN"
# A lock that the account may not take, or that takes too long: the check alone must do.
_NO_LOCK: Final = frozenset({1142, 1143, 1044, 1356, 1370})
_DONE: Final = "OK"
_NOTHING_MORE: Final = Ended(Turn(None))


@dataclass(frozen=True, slots=True)
class OneShotConnection:
    """Takes a pooled connection for each granted statement, and gives it back."""

    target: MysqlTarget
    credentials: Credentials
    pool: Pool
    reader: CatalogReader

    def surroundings(self, *, write: bool) -> Surroundings:
        role: Role = "writer" if write else "reader"
        return Surroundings(
            role=self.credentials.user(role),
            database=self.target.database,
            search_path=(self.target.database,),
            settings=self.target.settings(),
        )

    def results(self, grant: Grant) -> AbstractAsyncContextManager[Batches]:
        """Run the granted statement: rolled back if it reads, committed before `Done` if it writes.

        Raises `CatalogChanged` where its facts do not hold any more: then nothing of it has run.
        Raises `BackendUnavailable`; its text says so where the outcome of a commit is unknown.
        """
        action = grant.request.action
        if not isinstance(action, SqlStatement):
            raise BackendUnavailable(_NOT_TRIED)
        own = self.target.statement_timeout
        limit = min(grant.decision.time_limit or own, own)
        return _Run(self.pool, self.reader, grant, action, limit)


@dataclass(slots=True)
class _Run:
    """One statement on its way; `seen` and `delivered` count its rows. `limit` is in seconds."""

    pool: Pool
    reader: CatalogReader
    grant: Grant
    action: SqlStatement
    limit: float
    seen: int = 0
    delivered: int = 0
    end: Done | Failed | None = None
    link: Link = field(init=False)

    async def __aenter__(self) -> Batches:
        self.link = await self.pool.take(self.grant)
        return one_by_one(self.events())

    async def __aexit__(self, *_: object) -> None:
        await self.pool.give_back(self.link)

    async def events(self) -> AsyncIterator[Event]:
        stopping = asyncio.ensure_future(self._stop_late())
        try:
            with self.link.patient(self.limit + GRACE + PATIENCE):
                await self._begin()
            # From here on the rows are waited for by whoever takes them, as long as they like.
            while not isinstance(event := await self._event(), Ended):
                shown = self._shown(event)
                if shown is not None:
                    yield shown
                if self._has_enough:
                    break
            yield await self._ended()
        except (OSError, TimeoutError, ProtocolError) as error:
            raise self._lost(error) from None
        finally:
            stopping.cancel()

    def _lost(self, error: Exception) -> BackendUnavailable:
        name = self.link.target.name
        log.warning("target %s: connection lost: %s: %s", name, type(error).__name__, error)
        self.link.close()
        return unavailable(name)

    async def _stop_late(self) -> None:
        """The gateway's own clock: not every statement has a limit on the server."""
        await asyncio.sleep(self.limit + GRACE)
        with suppress(OSError, TimeoutError, ProtocolError, LoginRefused):
            await self.link.cancel()

    # -- sending

    async def _begin(self) -> None:
        facts = self.grant.request.facts
        expected = self._expected(facts)
        access = "READ WRITE" if self.grant.writes else "READ ONLY"
        await self._limit_time()
        await self.link.command(f"START TRANSACTION {access}")
        if expected:
            await self._lock(expected)
            if not await self._is_unchanged(expected):
                self.reader.doubt()
                raise CatalogChanged
        if self.action.parameters:
            await self._execute()
        else:
            await self.link.send(m.Query(self.action.text), self.grant)

    async def _is_unchanged(self, expected: States) -> bool:
        """Asked by the account that read the names: the writer may be shown fewer of them."""
        if not self.grant.writes:
            return await is_unchanged(self.link.fetch, expected)
        async with self.pool.lease(self.grant, "reader") as reader:
            return await is_unchanged(reader.fetch, expected)

    def _expected(self, facts: SqlFacts | None) -> States:
        """What the server must find for the facts to hold; nothing if they are of no catalog."""
        if facts is None or not facts.catalog:
            return {}
        known = self.reader.fingerprints(facts.catalog)
        if known is None:
            raise CatalogChanged
        return known.expected(facts)

    async def _limit_time(self) -> None:
        target = self.link.target
        if self.limit >= target.statement_timeout:
            return
        if target.kind == "mariadb":
            await self.link.command(f"SET SESSION max_statement_time = {self.limit:g}")
        else:
            milliseconds = max(1, round(self.limit * 1000))
            await self.link.command(f"SET SESSION max_execution_time = {milliseconds}")

    async def _lock(self, expected: States) -> None:
        """Metadata locks on all that the facts hang on, until the transaction ends.

        While they are held nobody alters, drops or renames these tables, or replaces these views:
        what the check finds then holds when the statement runs.
        """
        for name in expected:
            await self.link.send(m.Query(_touching(name)))
            for event in await self.link.finish_turn():
                if isinstance(event, Failed) and event.code not in _NO_LOCK:
                    # It is gone, or not as it was: the check says so.
                    log.info("target %s: no lock: %s", self.link.target.name, event.code)

    async def _execute(self) -> None:
        """Prepare, then execute with values bound: nothing is written into the text."""
        self.link.conversation.begin(None)
        prepare = m.StmtPrepare(self.action.text)
        self.link.wire.write(self.link.conversation.send(prepare))
        await self.link.wire.drain()
        for event in await self.link.finish_turn():
            if isinstance(event, Failed):
                self.end = event
                return
        statement = self.link.conversation.statements.last
        if statement is None:
            raise ProtocolError("a statement was prepared, and is not known")
        if statement.parameters != len(self.action.parameters):
            asked, given = statement.parameters, len(self.action.parameters)
            said = f"the statement has {asked} parameters, and {given} values were given"
            self.end = Failed("07001", said)
            return
        execute = bound(statement.number, self.action.parameters)
        await self.link.send(execute, self.grant)

    # -- receiving

    async def _event(self) -> Event | Ended:
        if isinstance(self.end, Failed) and self.link.conversation.oldest is None:
            return _NOTHING_MORE
        with self.link.patient(self.limit + GRACE + PATIENCE):
            return await self.link.event()

    @property
    def _has_enough(self) -> bool:
        """More rows were seen than are wanted: a write runs to its end all the same."""
        most = self.action.max_rows
        return bool(most) and not self.grant.writes and self.seen > self.action.skip + most

    def _shown(self, event: Event) -> Columns | Rows | None:
        """What of the server's answer is told at once; an end is told when it has come to pass."""
        match event:
            case Native() | Pending():
                return None
            case Columns():
                if self.end is not None:
                    raise ProtocolError("a second result of one statement")
                return with_numbers(event, self.reader.catalog)
            case Rows():
                wanted = self._wanted(event)
                return wanted if wanted.count else None
            case Done() | Failed():
                self.end = self.end if isinstance(self.end, Failed) else event
                return None
            case _:
                assert_never(event)

    def _wanted(self, rows: Rows) -> Rows:
        """The part of a chunk between the rows to skip and the most to deliver."""
        first, last = self.action.skip, self.action.skip + self.action.max_rows
        start = min(rows.count, max(0, first - self.seen))
        stop = rows.count if not self.action.max_rows else min(rows.count, last - self.seen)
        self.seen += rows.count
        count = max(0, stop - start)
        self.delivered += count
        if count == rows.count:
            return rows
        return replace(rows, frames=_slice(rows.frames, start, start + count), count=count)

    async def _ended(self) -> Done | Failed:
        match self.end:
            case None if self._has_enough:
                return Done(f"SELECT {self.delivered}", self.delivered, more=True)
            case None:
                raise ProtocolError("the statement has no end")
            case Failed():
                return self.end
            case Done():
                if self.grant.writes and (failed := await self._commit()):
                    return failed
                return self._done(self.end)

    def _done(self, done: Done) -> Done:
        more = self.seen - self.action.skip > self.delivered
        return Done(self._tag(done), self.delivered, more)

    def _tag(self, done: Done) -> str:
        """The command as PostgreSQL would say it: the server has no word for what it did."""
        facts = self.grant.request.facts
        if facts is None or done.outcome is None:
            return _DONE
        if facts.effect is SqlEffect.READ:
            return f"SELECT {self.delivered}"
        verbs = sorted(facts.kinds & {"insert", "update", "delete", "replace"})
        if len(verbs) == 1 and facts.effect is SqlEffect.WRITE:
            return f"{verbs[0].upper()} {done.outcome.affected}"
        return " ".join(sorted(facts.kinds)).upper().replace("_", " ") or _DONE

    async def _commit(self) -> Failed | None:
        """COMMIT; the server's refusal of it, if any. Cancelling waits for the server's answer.

        Past this point a caller that leaves changes nothing, and the recording has to say what
        the target did.
        """
        try:
            events = await settled(self._turn())
        except (OSError, TimeoutError, ProtocolError) as error:
            self._lost(error)
            name = self.link.target.name
            message = f"target {name} went away during COMMIT: outcome unknown"
            raise BackendUnavailable(message) from None
        return next((event for event in events if isinstance(event, Failed)), None)

    async def _turn(self) -> list[Event]:
        async with asyncio.timeout(self.link.target.statement_timeout + PATIENCE):
            await self.link.send(m.Query("COMMIT"), self.grant)
            return await self.link.finish_turn()


def _touching(name: TableName) -> str:
    """A statement that locks a relation's definition and reads nothing of it."""
    return f"SELECT 1 FROM {table(name)} WHERE FALSE LIMIT 0"  # noqa: S608 -- quoted


def _slice(frames: bytes, start: int, stop: int) -> bytes:
    begin = _after(frames, 0, start)
    return frames[begin : _after(frames, begin, stop - start)]


def _after(frames: bytes, position: int, rows: int) -> int:
    for _ in range(rows):
        position = row_end(frames, position)
    return position
