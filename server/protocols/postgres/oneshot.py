"""One statement in a transaction of the gateway's own: what a tool call is.

Not in here: who may run it (the gate), and what is masked (its obligations).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from policies.errors import BackendUnavailable, ProtocolError
from policies.model import SqlStatement
from recordings.events import Columns, Done, Event, Failed, Native, Pending, Results, Rows
from server.connections import Surroundings
from server.credentials import Credentials, Role
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import walk_rows
from server.protocols.postgres.conversation import Ended
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.pool import Pool, role_settings
from server.protocols.postgres.target import PostgresTarget

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.postgres")

# Seconds past a statement's own timeout that the gateway waits for a server that says nothing.
GRACE: Final = 5.0
COPY_REFUSED: Final = Failed("0A000", "COPY needs a PostgreSQL client; run a SELECT or an INSERT")


@dataclass(frozen=True, slots=True)
class OneShotConnection:
    """Takes a pooled connection for each granted statement, and gives it back."""

    target: PostgresTarget
    credentials: Credentials
    pool: Pool

    def surroundings(self, *, write: bool) -> Surroundings:
        role: Role = "writer" if write else "reader"
        return Surroundings(
            role=self.credentials.user(role),
            database=self.target.database,
            search_path=self.target.search_path,
            settings=role_settings(self.target, role),
        )

    @asynccontextmanager
    async def results(self, grant: Grant) -> AsyncIterator[Results]:
        """Run the granted statement: rolled back if it reads, committed before `Done` if it writes.

        Raises `BackendUnavailable`; its text says so where the outcome of a commit is unknown.
        """
        async with self.pool.lease(grant) as link:
            yield _Run(link, grant, _statement(grant)).events()


def _statement(grant: Grant) -> SqlStatement:
    action = grant.request.action
    if not isinstance(action, SqlStatement):
        raise TypeError("a one-shot connection runs statements only")
    return action


@dataclass(slots=True)
class _Run:
    """One statement on its way; `seen` and `delivered` count its rows."""

    link: Link
    grant: Grant
    action: SqlStatement
    seen: int = 0
    delivered: int = 0
    end: Done | Failed | None = None

    async def events(self) -> AsyncIterator[Event]:
        facts = self.grant.request.facts
        if facts is not None and any("copy" in kind for kind in facts.kinds):
            yield COPY_REFUSED
            return
        try:
            await self._send()
            async for event in self._results():
                yield event
            yield await self._ended()
        except (OSError, TimeoutError, ProtocolError) as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> BackendUnavailable:
        name = self.link.target.name
        log.warning("target %s: connection lost: %s: %s", name, type(error).__name__, error)
        self.link.close()
        return unavailable(name)

    # -- sending

    async def _send(self) -> None:
        """Everything in one round trip; one Sync, so that no statement outlives a failed BEGIN."""
        conversation = self.link.conversation
        conversation.begin(None)
        for text in self._preamble():
            self._queue(f.Parse("", text), f.Bind("", ""), f.Execute(""))
        conversation.begin(self.grant)
        self._queue(f.Parse("", self.action.text), self._bind())
        self._queue(f.Execute("", self._row_budget()), f.Sync())
        await self.link.drain()

    def _queue(self, *messages: f.Command) -> None:
        for message in messages:
            self.link.write(self.link.conversation.send(message))

    def _preamble(self) -> list[str]:
        """`SELECT 1` pins the transaction: after a query nothing makes it READ WRITE again."""
        limit = self.grant.decision.time_limit
        timeout = [] if limit is None else [f"SET LOCAL statement_timeout = {_ms(limit)}"]
        if self.grant.writes:
            return ["BEGIN READ WRITE", *timeout]
        return ["BEGIN READ ONLY", *timeout, "SELECT 1"]

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
        limit = self.grant.decision.time_limit or self.link.target.statement_timeout
        async with asyncio.timeout(limit + GRACE):
            return await self.link.event()

    async def _results(self) -> AsyncIterator[Event]:
        await self._begun()
        while not isinstance(event := await self._event(), Ended):
            match event:
                case Columns():
                    yield event
                case Rows():
                    wanted = self._wanted(event)
                    if wanted.count:
                        yield wanted
                case Done() | Failed():
                    self.end = self.end if isinstance(self.end, Failed) else event
                case Native() | Pending():
                    pass
                case _:
                    assert_never(event)

    async def _begun(self) -> None:
        while not isinstance(event := await self._event(), Ended):
            if isinstance(event, Failed):
                raise ProtocolError(f"no transaction: {event.sqlstate}")

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
        return replace(
            done, tag=done.tag or f"SELECT {self.delivered}", rows=self.delivered, more=more
        )

    async def _commit(self) -> Failed | None:
        """COMMIT; the server's refusal of it, if any."""
        self.link.conversation.begin(self.grant)
        self._queue(f.Query("COMMIT"))
        try:
            await self.link.drain()
            async with asyncio.timeout(self.link.target.statement_timeout + GRACE):
                events = await self.link.finish_turn()
        except (OSError, TimeoutError, ProtocolError) as error:
            self._lost(error)
            name = self.link.target.name
            message = f"target {name} went away during COMMIT: outcome unknown"
            raise BackendUnavailable(message) from None
        return _commit_failure(events)


def _commit_failure(events: list[Event]) -> Failed | None:
    for event in events:
        if isinstance(event, Failed):
            return event
        if isinstance(event, Done) and event.tag != "COMMIT":
            return Failed("25P02", "the transaction was rolled back")
    return None


def _slice(frames: bytes, start: int, stop: int) -> bytes:
    begin, _ = walk_rows(frames, limit=len(frames), rows=start)
    tail = frames[begin:]
    end, _ = walk_rows(tail, limit=len(tail), rows=stop - start)
    return tail[:end]


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
