"""Between one client and its session: a command in, its answer out, then the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from policies.errors import Denied, Refusal
from policies.model import Parameter, SqlPrepare, SqlStatement
from recordings.events import Batches, Columns, Done, Event, Failed, Native, Outcome, Pending, Rows
from server.gate import Grant, Substitute
from server.native.stay import Stay
from server.native_session import NativeSession
from server.protocols.mysql import answers as a
from server.protocols.mysql import commands as m
from server.protocols.mysql import refusals as r
from server.protocols.mysql.bound import of_action, sent_with
from server.protocols.mysql.client import Client, ClientGone
from server.protocols.mysql.killing import killed
from server.protocols.mysql.native import MysqlNativeConnection, use
from server.protocols.mysql.statements import Statement, Statements, written
from server.protocols.mysql.wording import described, ended, failed, refused

# Small answers are written together, up to this many bytes.
WRITE_BYTES: Final = 64 * 1024
# Of a statement and its values: the intent holds all of it, and is durable before it runs.
MAX_STATEMENT: Final = 4 * 1024 * 1024

_HERE: Final = (m.StmtSendLongData, m.StmtClose, m.Statistics)
"""Commands for which neither the journal nor the server is waited for."""

Kill = Callable[[int, bool], Awaitable[bool]]
"""Ends a statement, or with True a whole session, of the same principal; whether there is one."""


@dataclass(slots=True)
class Relay:
    """One client's session at work.

    `idle_limit`: seconds that a client may hold a transaction open without saying anything, or
    leave answers unread. `quiet_limit`: the same outside a transaction, where there is one.
    `approval_wait`: seconds that a statement waits for a person. `change`: the change of user that
    has ended the session, if one has.
    """

    client: Client
    session: NativeSession
    connection: MysqlNativeConnection
    kill: Kill
    idle_limit: float
    quiet_limit: float | None = None
    approval_wait: float = 0.0
    change: m.ChangeUser | None = None
    _unwritten: bytearray = field(default_factory=bytearray)
    _busy: bool = False
    _waiting: bool = False
    _cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: Refusal | None = None
    _begun: float = field(default_factory=monotonic)

    async def cancel(self) -> None:
        """Stop what runs; what waits for a person waits no more."""
        if self._waiting:
            self._cancelled.set()
        else:
            await self.connection.cancel()

    def stop(self, stay: Stay, refusal: Refusal) -> None:
        """End the session as soon as no statement runs and no transaction is open."""
        self._stopping = refusal
        if self._at_rest:
            stay.end(Denied(refusal))

    @property
    def _at_rest(self) -> bool:
        return not self._busy and not self.connection.in_transaction

    async def serve(self) -> None:
        """Answer command by command until the client says it is done.

        Raises `Denied` for a client that is silent for too long.
        """
        while True:
            if self._stopping is not None and self._at_rest:
                raise Denied(self._stopping)
            command = await self._heard()
            if isinstance(command, m.Quit):
                return
            if isinstance(command, m.ChangeUser):
                self.change = command
                return
            self._busy = True
            await self._perform(command)
            if isinstance(command, _HERE):
                await asyncio.sleep(0)  # by the thousand they would hold up everybody
            await self._flush()
            self._busy = False
            self.client.codec.sequence = 0  # what is said unasked begins anew

    async def _heard(self) -> m.Command:
        held = self.connection.in_transaction
        limit = self.idle_limit if held else self.quiet_limit
        try:
            async with asyncio.timeout(limit):
                return await self.client.take()
        except TimeoutError:
            seconds = limit or 0.0
            refusal = r.idle_in_transaction(seconds) if held else r.idle_session(seconds)
            raise Denied(refusal) from None

    async def _perform(self, command: m.Command) -> None:
        match command:
            case m.Query(text):
                await self._query(text)
            case m.StmtPrepare(text):
                await self._prepare(text)
            case m.StmtExecute():
                await self._execute(command)
            case m.InitDb(database):
                await self._choose(database)
            case m.StmtSendLongData():
                self._statements.keep(command)
            case m.StmtClose(number):
                await self._close(number)
            case m.StmtReset(number):
                await self._reset(number)
            case m.Ping():
                await self._control(command)
            case m.ResetConnection():
                await self.connection.reset(self.session.opened)
                self._accept()
            case m.ProcessKill(number):
                await self._killed(number, whole=True)
            case m.Statistics():
                seconds = int(monotonic() - self._begun)
                self._say(a.Text(f"Uptime: {seconds}  Threads: 1  Ostiary".encode()))
            case _:
                await self._refuse(r.of_command(command))

    @property
    def _statements(self) -> Statements:
        return self.connection.link.conversation.statements

    # -- commands

    async def _query(self, text: str) -> None:
        if (asked := killed(text)) is not None:
            await self._killed(asked.number, whole=asked.whole)
            return
        await self._judged(SqlStatement(text), m.Query(text))

    async def _choose(self, database: str) -> None:
        """COM_INIT_DB; the target's name stands for its database here, as in the login."""
        opened = self.session.opened.request.target
        if opened is not None and database == opened.name and not self._has(database):
            database = self.connection.target.database
        await self._judged(SqlStatement(use(database)), m.InitDb(database))

    def _has(self, database: str) -> bool:
        relations = self.session.backend.catalog.relations
        return any(name.schema == database for name in relations)

    async def _prepare(self, text: str) -> None:
        if self._statements.full:
            await self._refuse(r.TOO_MANY_STATEMENTS)
            return
        await self._judged(SqlPrepare(text), m.StmtPrepare(text))

    async def _execute(self, command: m.StmtExecute) -> None:
        """Judged with its values; all rows come at once, as a server may have it."""
        statement = self._statements.get(command.statement)
        if statement is None:
            await self._refuse(r.UNKNOWN_STATEMENT)
            return
        if statement.database != self.connection.link.conversation.database:
            await self._refuse(r.PREPARED_ELSEWHERE)
            return
        values = self._statements.bound(command, self.client.codec.capabilities)
        self._statements.reset(statement.number)
        plain = m.StmtExecute(statement.number, m.NO_CURSOR)
        sent = sent_with(values[: statement.parameters])
        execute = written(plain, sent, self.connection.link.conversation.capabilities)
        await self._judged(_action(statement, of_action(sent)), execute)

    async def _close(self, number: int) -> None:
        """It has no answer."""
        statement = self._statements.get(number)
        if statement is not None:
            command = m.StmtClose(statement.number)
            await self.connection.control(self.session.opened, command)

    async def _reset(self, number: int) -> None:
        statement = self._statements.get(number)
        if statement is None:
            await self._refuse(r.UNKNOWN_STATEMENT)
        else:
            await self._control(m.StmtReset(statement.number))

    async def _control(self, command: m.Command) -> None:
        problem = await self.connection.control(self.session.opened, command)
        if problem is None:
            self._accept()
        else:
            self._say(failed(problem))

    async def _killed(self, number: int, *, whole: bool) -> None:
        if await self.kill(number, whole):
            self._accept()
        else:
            await self._refuse(r.nobody(number))

    async def _refuse(self, refusal: Refusal) -> None:
        await self.session.refuse(refusal)
        self._say(refused(refusal))

    # -- what is judged

    async def _judged(self, action: SqlStatement | SqlPrepare, command: m.Listed) -> None:
        if _size(action) > MAX_STATEMENT:
            await self._refuse(r.STATEMENT_TOO_LONG)
            return
        (owner,) = await self.session.admit_all([action])
        if isinstance(owner, Pending):
            owner = await self._approved(owner, action)
        if isinstance(owner, Substitute):
            self._say(refused(owner.refusal))
            return
        try:
            await self.session.send(owner, [command])
            async with self.session.answers(owner) as events:
                await self._deliver(events)
        except Denied as denied:
            # A limit that was passed: an error may end rows as well as stand for them.
            self._say(refused(denied.refusal))

    async def _deliver(self, batches: Batches) -> None:
        rows = False
        async for batch in batches:
            for event in batch.events:
                rows = self._word(event, rows)
                if len(self._unwritten) >= WRITE_BYTES:
                    await self._flush()

    def _word(self, event: Event, rows: bool) -> bool:
        """Word one event; whether rows are being sent from then on."""
        capabilities = self.client.codec.capabilities
        match event:
            case Columns():
                self._say(*described(event, self.connection.status, capabilities))
                return True
            case Rows(frames, count):
                self._unwritten += self.client.passed(frames, count)
                return True
            case Native(frames):
                self._unwritten += self.client.passed(frames)
            case Failed():
                self._say(failed(event))
            case Done(outcome=outcome):
                said = outcome or Outcome(status=self.connection.status)
                self._say(ended(said, rows=rows, capabilities=capabilities))
            case Pending():
                raise RuntimeError("a native session does not wait in its results")
        return False

    async def _approved(
        self, pending: Pending, action: SqlStatement | SqlPrepare
    ) -> Grant | Substitute:
        """Wait for a person, as long as no transaction is held open for it."""
        if self.connection.in_transaction or not self.approval_wait:
            return await self._not_approved(pending)
        self._waiting = True
        self._cancelled.clear()
        asked = asyncio.ensure_future(
            self.session.await_approval(pending, action, seconds=self.approval_wait)
        )
        given_up = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait((asked, given_up), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                await self.session.withdraw(pending)
                return await self.session.refuse(r.cancelled(pending))
            owner = asked.result()
            return await self._not_approved(owner) if isinstance(owner, Pending) else owner
        except asyncio.CancelledError:
            await asyncio.shield(self.session.withdraw(pending))
            raise
        finally:
            self._waiting = False
            await _stopped(asked, given_up)

    async def _not_approved(self, pending: Pending) -> Substitute:
        in_transaction = self.connection.in_transaction
        return await self.session.refuse(r.needs_approval(pending, in_transaction=in_transaction))

    # -- to the client

    def _accept(self) -> None:
        self._say(ended(Outcome(status=self.connection.status), rows=False, capabilities=0))

    def _say(self, *answers: a.Answer) -> None:
        self._unwritten += self.client.packets(*answers)

    async def _flush(self) -> None:
        """What waits for a client that does not read holds the transaction open, like its silence.

        Raises `ClientGone` past the same limit: nothing that is said would reach it.
        """
        unwritten = bytes(self._unwritten)
        self._unwritten.clear()
        try:
            async with asyncio.timeout(self.idle_limit):
                await self.client.write(unwritten)
        except TimeoutError:
            raise ClientGone from None


def _action(statement: Statement, values: tuple[Parameter, ...]) -> SqlStatement:
    return SqlStatement(statement.text, values)


def _size(action: SqlStatement | SqlPrepare) -> int:
    values = action.parameters if isinstance(action, SqlStatement) else ()
    return len(action.text.encode()) + sum(len(each.value or b"") for each in values)


async def first_to_end(*parts: Coroutine[None, None, None]) -> None:
    """Run all of them until one ends; the others are cancelled, and its error, if any, raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _stopped(*tasks)
    for task in done:
        task.result()


async def _stopped(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
