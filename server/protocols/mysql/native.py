"""A connection whose caller speaks MySQL's protocol and owns the transaction.

One command is under way at a time: `send` begins its turn, `results` has the events. Nothing goes
to the server in place of a refused command. Not in here: the caller's side (`listener`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from policies.errors import BackendUnavailable, ProtocolError
from policies.model import Connect, SqlPlan, SqlPrepare, SqlStatement
from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.mysql.absorbed import answered
from recordings.batches import one_by_one
from recordings.events import Batches, Columns, Done, Event, Failed, Outcome
from server.connections import NOTHING_HEARD, Heard, Surroundings
from server.credentials import Credentials, Role
from server.gate import Grant, Substitute
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.awaited import Ended
from server.protocols.mysql.bound import of_action
from server.protocols.mysql.catalog_reader import CatalogReader
from server.protocols.mysql.link import Link, open_link, unavailable
from server.protocols.mysql.login import LoginRefused
from server.protocols.mysql.origins import with_numbers
from server.protocols.mysql.own_state import NoNames, OwnDefinitions, is_kept
from server.protocols.mysql.target import MysqlTarget
from server.protocols.mysql.wording import REFUSED

log = logging.getLogger("ostiary.mysql")

# Seconds for a cancelled command to end before the connection is dropped.
CANCEL_TIMEOUT: Final = 10.0
CONTROL_TIMEOUT: Final = 30.0  # seconds for what runs no statement
# A client's choices that the server behind acts by. Its packets have the same shape on both legs.
_CLIENTS: Final = c.FOUND_ROWS | c.INTERACTIVE | c.ODBC | c.MULTI_RESULTS | c.PS_MULTI_RESULTS
_NEEDED: Final = c.SESSION_TRACK | c.DEPRECATE_EOF
_BASE: Final = c.OFFERED & ~(_CLIENTS | c.DEPRECATE_EOF | c.QUERY_ATTRIBUTES)
_BOTH: Final = _CLIENTS | c.DEPRECATE_EOF
_TRACKED: Final = "SET SESSION session_track_schema = 1, session_track_state_change = 0"
_CONTROLS: Final = (m.Ping, m.StmtClose, m.StmtReset)
# What each kind of action is performed by.
_CARRIED: Final = {
    SqlPrepare: (m.StmtPrepare,),
    SqlStatement: (m.Query, m.StmtExecute, m.InitDb),
}


@dataclass(slots=True)
class MysqlNativeConnection:
    """One server connection of one caller, once `begin` has opened it."""

    target: MysqlTarget
    account: tuple[str, str] = field(repr=False)
    role: Role
    credentials: Credentials
    reader: CatalogReader
    named: NoNames = field(default_factory=NoNames)
    own: OwnDefinitions = field(default_factory=OwnDefinitions)
    _link: Link | None = None
    _absorbing: Grant | Substitute | None = None
    _broken: bool = False

    async def begin(self, capabilities: int) -> None:
        """Log in with what the client has chosen. Raises `BackendUnavailable`."""
        wanted = _BASE | capabilities & _BOTH
        link = await open_link(self.target, self.account, self.role, wanted)
        self._link = link
        if link.conversation.capabilities & _NEEDED != wanted & _NEEDED:
            link.close()
            log.warning("target %s: older than MySQL 5.7 or MariaDB 10.2", self.target.name)
            raise unavailable(self.target.name)
        try:
            await link.command(_TRACKED)
        except (OSError, ProtocolError) as error:
            raise self._lost(error) from None

    @property
    def link(self) -> Link:
        if self._link is None:
            raise BackendUnavailable(f"target {self.target.name} was not connected to")
        return self._link

    @property
    def status(self) -> int:
        """The server's state, as it said last."""
        return self.link.conversation.status

    @property
    def in_transaction(self) -> bool:
        return self._link is not None and self.link.conversation.in_transaction

    def surroundings(self, *, write: bool) -> Surroundings:
        """The same for reads and writes: the role was chosen at Connect."""
        return Surroundings(
            role=self.credentials.user(self.role),
            database=self.target.database,
            search_path=self.path or (self.target.database,),
            settings=self.target.settings(),
        )

    @property
    def path(self) -> tuple[str, ...] | None:
        """The current database; None while it is the configured one."""
        current = self.link.conversation.database
        if current == self.target.database:
            return None
        return (current,) if current else ()

    def understood(self, action: SqlStatement | SqlPrepare | SqlPlan, facts: SqlFacts) -> SqlFacts:
        """The facts by which it is judged here: what is absorbed goes no further."""
        facts = self.own.judged(facts)
        return answered(facts) if isinstance(action, SqlStatement) else facts

    def outdated(self) -> bool:
        """Whether the session has defined something since this was asked last."""
        stale, self.own.stale = self.own.stale, False
        return stale

    @property
    def time_limit(self) -> float:
        """The target's, whatever the session has set."""
        return self.target.statement_timeout

    def admitted(self, grant: Grant) -> None:
        """A grant was given that is sent next."""
        action = grant.request.action
        if isinstance(action, SqlStatement):
            self.own.note(grant.request.facts, action.text)

    def heard(self) -> Heard:
        """Nothing: MySQL's servers have no channels."""
        return NOTHING_HEARD

    # -- to the server

    async def send(self, granted: Grant | Substitute, messages: Sequence[object]) -> None:
        """Write the command that was judged; nothing in place of a refused one.

        Raises `BackendUnavailable`.
        """
        if isinstance(granted, Substitute) or _is_absorbed(granted):
            self._absorbing = granted
            return
        (command,) = messages
        if not isinstance(command, m.Listed):
            raise PermissionError(f"a grant does not carry a {type(command).__name__}")
        self._check(granted, command)
        await self._write(granted, command)

    async def send_together(self, grants: Sequence[Grant], messages: Sequence[object]) -> None:
        """A text of several statements is refused before it comes here."""
        raise PermissionError("several statements are not sent as one")

    async def stream(self, grant: Grant, messages: Sequence[object]) -> None:
        """Nothing is streamed in: values that come beforehand are held until they are judged."""
        raise PermissionError("nothing is streamed in")

    async def control(self, grant: Grant, command: m.Command) -> Failed | None:
        """What runs no statement and has no rows; the server's refusal, if any.

        Raises `BackendUnavailable`.
        """
        if not isinstance(grant.request.action, Connect) or not isinstance(command, _CONTROLS):
            raise PermissionError("this grant does not carry the command")
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT):
                await self.link.send(command)
                events = await self.link.finish_turn()
        except (OSError, TimeoutError, ProtocolError) as error:
            raise self._lost(error) from None
        return next((event for event in events if isinstance(event, Failed)), None)

    async def reset(self, grant: Grant) -> None:
        """The session as it was after login, settings and database. Raises `BackendUnavailable`."""
        if not isinstance(grant.request.action, Connect):
            raise PermissionError("this grant does not carry a reset")
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT):
                await self.link.reset()
                await self.link.command(_TRACKED)
            self.own = OwnDefinitions(stale=self.own.stale)
        except (OSError, TimeoutError, ProtocolError, LoginRefused) as error:
            raise self._lost(error) from None

    def _check(self, grant: Grant, command: m.Command) -> None:
        """What was judged is what runs: anything else is a bug of ours."""
        action = grant.request.action
        allowed = _CARRIED.get(type(action), ())
        if not isinstance(command, allowed) or not self._is_judged(action, command):
            self.link.close()
            raise PermissionError("the command is not the one that was judged")

    def _is_judged(self, action: object, command: m.Command) -> bool:
        conversation = self.link.conversation
        match action, command:
            case SqlStatement(text), m.InitDb(database):
                return text == use(database)
            case SqlStatement(text, values), m.StmtExecute(number):
                statement = conversation.statements.get(number)
                if statement is None or statement.text != text:
                    return False
                return of_action(conversation.statements.bound(command, 0)) == values
            case ((SqlStatement(text) | SqlPrepare(text)), _):
                return conversation.text_of(command) == text
            case _:
                return False

    async def _write(self, owner: Grant, command: m.Command) -> None:
        conversation = self.link.conversation
        try:
            conversation.begin(owner)
            self.link.wire.write(conversation.send(command))
            await self.link.wire.drain()
        except (OSError, ProtocolError) as error:
            raise self._lost(error) from None

    # -- from the server

    @asynccontextmanager
    async def results(self, granted: Grant | Substitute) -> AsyncIterator[Batches]:
        """The events of the command under way. Leaving early stops it and drops what is left."""
        if self._absorbing is granted:
            self._absorbing = None
            yield one_by_one(self._local(granted))
            return
        turn = self.link.conversation.oldest
        if turn is None or turn.owner is not granted:
            raise RuntimeError("results are of the command that was sent")
        try:
            yield one_by_one(self._events(granted))
        finally:
            if self.link.conversation.oldest is turn and not self._broken:
                await self._abandon()

    async def _local(self, granted: Grant | Substitute) -> AsyncIterator[Event]:
        if isinstance(granted, Substitute):
            code, sqlstate = REFUSED
            yield Failed(sqlstate, granted.refusal.reason, code=code)
        else:
            yield Done("OK 0", outcome=Outcome(status=self.status))

    async def _events(self, granted: Grant | Substitute) -> AsyncIterator[Event]:
        results = 0
        try:
            while not isinstance(event := await self.link.event(), Ended):
                if isinstance(event, Columns):
                    results += 1
                    if results > 1 and not _calls(granted):
                        raise ProtocolError("a second result of one statement")
                    event = with_numbers(event, self.reader.catalog)
                yield event
        except (OSError, ProtocolError) as error:
            raise self._lost(error) from None

    async def _abandon(self) -> None:
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await self.link.cancel()
                while not isinstance(await self.link.event(), Ended):
                    pass
        except (OSError, TimeoutError, ProtocolError, LoginRefused) as error:
            self._lost(error)
        except BaseException:
            self._broken = True
            raise

    def _lost(self, error: Exception) -> BackendUnavailable:
        name = self.target.name
        log.warning("target %s: connection lost: %s: %s", name, type(error).__name__, error)
        self._broken = True
        if self._link is not None:
            self._link.close()
        return unavailable(name)

    async def cancel(self) -> None:
        """Stop what runs, as the caller asked; nothing is confirmed."""
        try:
            if not self.link.conversation.idle:
                await self.link.cancel()
        except (OSError, TimeoutError, ProtocolError, LoginRefused) as error:
            log.warning("target %s: cancel: %s", self.target.name, type(error).__name__)

    async def close(self) -> None:
        """Stop what still runs, and close."""
        if self._link is None:
            return
        if not self._broken and not self._link.conversation.idle:
            await asyncio.shield(asyncio.ensure_future(self.cancel()))
        self._link.close()


def use(database: str) -> str:
    """The statement that does what COM_INIT_DB does."""
    return f"USE `{database.replace('`', '``')}`"


def _is_absorbed(grant: Grant) -> bool:
    """Whether this door answers the statement itself, and keeps what it has."""
    action, facts = grant.request.action, grant.request.facts
    if not isinstance(action, SqlStatement) or facts is None:
        return False
    return bool(facts.absorbed) or (facts.effect is SqlEffect.SESSION and is_kept(action.text))


def _calls(granted: Grant | Substitute) -> bool:
    facts = granted.request.facts if isinstance(granted, Grant) else None
    return facts is not None and (facts.opaque is not None or "call" in facts.kinds)
