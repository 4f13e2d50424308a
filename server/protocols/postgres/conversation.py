"""The client's side of a conversation with a PostgreSQL server, pipelined. No input or output.

Every message sent is awaited in order; what the server answers becomes events of the turn that the
answered message belongs to. After an error the server skips to the next Sync, and so does this.
Rows without a row description never leave here: a mask would not know their columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from policies.sql.copied import CopiedOut
from recordings.events import Column, Columns, Done, Event, Failed, Native, Rows
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.awaited import Awaited, Ended, Kind, Portal, Result, Statement, Turn
from server.protocols.postgres.codec import (
    NEED_DATA,
    BackendReader,
    NeedData,
    RowRun,
    ServerMessage,
)
from server.protocols.postgres.copying_out import CopyingOut
from server.protocols.postgres.names import Names
from server.protocols.postgres.own import OWN_ANSWERS, Own

# What the statements' meaning, as judged, depends on; the server reports any change of them.
PINNED: Final = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}


@dataclass(slots=True)
class Conversation:
    """One authenticated connection's state; `status` is the last ReadyForQuery's.

    `path` is the search path that the message to be sent now will find. `late`: its statement names
    another one, and what columns come is known when it is bound. `hear` is what `tell` tells.
    """

    status: str = "I"
    path: tuple[str, ...] = ()
    late: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    copying_in: bool = False
    hear: Callable[[b.NotificationResponse], None] | None = None
    _reader: BackendReader = field(default_factory=BackendReader)
    _turns: deque[Turn] = field(default_factory=deque)
    _awaited: deque[Awaited] = field(default_factory=deque)
    _events: deque[Event] = field(default_factory=deque)
    _skipping: bool = False
    _failure: Exception | None = None
    _notified: deque[b.NotificationResponse] = field(default_factory=deque)
    _result: Result = field(default_factory=Result)
    _statements: Names[Statement] = field(default_factory=Names)
    _portals: Names[Portal] = field(default_factory=Names)

    # -- sending

    def begin(self, owner: object, *, marker: str = "") -> Turn:
        """Start a turn; a turn without messages ends at once."""
        turn = Turn(owner, marker)
        self._turns.append(turn)
        return turn

    def send(self, message: f.Command, *, copied: CopiedOut | None = None) -> bytes:
        """The bytes to write for a message of the newest turn, and for what it has `copied`."""
        if self.skips(message):
            return b""  # the server would read it and do nothing
        match message:
            case f.Query() | f.Execute() if copied is not None:
                return self._copy_out(message, copied)
            case f.Query():
                self._query(None)
            case f.Parse():
                return self._parse(message)
            case f.Bind():
                return self._bind(message)
            case f.Describe():
                self._await(Kind.DESCRIBE)
            case f.Execute():
                self._await(Kind.EXECUTE, portal=self._portals.get(message.portal))
            case f.Close():
                self._await(Kind.CLOSE)
                (self._statements if message.kind == "S" else self._portals).forget(message.name)
            case f.Sync():
                self._skipping = False
                self._await(Kind.SYNC)
            case f.FunctionCall():
                raise ProtocolError("function calls are not relayed")
            case _:
                pass
        return message.encode()

    def skips(self, message: f.Command) -> bool:
        """Whether an error has come, since which the server heeds nothing up to a Sync."""
        return self._skipping and not isinstance(message, f.Sync)

    def send_together(self, message: f.Query, owners: Sequence[object]) -> bytes:
        """The bytes to write for a Query of several statements: a turn for each of their owners.

        All but the last end with their command's tag, the last one when the server is ready.
        """
        if self._skipping or not owners:
            raise ProtocolError("a Query of several statements stands by itself")
        for owner in owners[:-1]:
            self.begin(owner)
            self._await(Kind.PART)
        self.begin(owners[-1])
        return self.send(message)

    def send_own(self, own: Own) -> bytes:
        """The bytes to write for statements of the gateway's own; only a failure is an event."""
        self._await(Kind.OWN, own=own)
        return own.frames

    @property
    def names(self) -> tuple[Names[Statement], Names[Portal]]:
        """Those that messages have given so far."""
        return self._statements, self._portals

    def text_of(self, message: f.Command) -> str | None:
        """The statement that a message to be sent now would bring to the server, or run there."""
        match message:
            case f.Query() | f.Parse():
                return message.text
            case f.Bind():
                statement = self._statements.get(message.statement)
                return statement.text if statement else None
            case f.Execute():
                portal = self._portals.get(message.portal)
                return portal.statement.text if portal else None
            case _:
                return None

    def _parse(self, message: f.Parse) -> bytes:
        statement = Statement(message.text)
        self._await(Kind.PARSE, statement=statement)
        self._statements.define(message.statement, statement)
        return message.encode() + self._describe(message.statement, statement)

    def _describe(self, name: str, statement: Statement) -> bytes:
        statement.asked = self.path
        self._await(Kind.HIDDEN_DESCRIBE, statement=statement)
        return f.Describe("S", name).encode()

    def _bind(self, message: f.Bind) -> bytes:
        statement = self._statements.get(message.statement)
        if statement is None:
            self._await(Kind.BIND)
            self._portals.forget(message.portal)
            return message.encode()
        stale = statement.asked != self.path
        describe = self._describe(message.statement, statement) if stale else b""
        self._await(Kind.BIND)
        late = b""
        if self.late:
            statement, late = Statement(statement.text), f.Describe("P", message.portal).encode()
            self._await(Kind.HIDDEN_DESCRIBE, statement=statement)
        self._portals.define(message.portal, Portal(statement, message.result_formats))
        return describe + message.encode() + late

    def _query(self, copying: CopyingOut | None) -> None:
        self._await(Kind.QUERY, copying=copying)
        self._statements.forget("")
        self._portals.clear()

    def _copy_out(self, message: f.Query | f.Execute, copied: CopiedOut) -> bytes:
        """The columns are asked for first. If that fails, the server skips to a Sync."""
        copying = CopyingOut(copied)
        for kind in (Kind.HIDDEN, Kind.HIDDEN_DESCRIBE, Kind.HIDDEN):
            self._await(kind, copying=copying)
        if isinstance(message, f.Execute):
            portal = self._portals.get(message.portal)
            self._await(Kind.EXECUTE, portal=portal, copying=copying)
            return copying.asked() + message.encode()
        # Ours stands behind it: before it, it would let go of the locks on what was described.
        self._query(copying)
        self._await(Kind.SYNC)
        return copying.asked() + message.encode() + f.Sync().encode()

    def _await(
        self,
        kind: Kind,
        *,
        statement: Statement | None = None,
        portal: Portal | None = None,
        own: Own | None = None,
        copying: CopyingOut | None = None,
    ) -> None:
        marks = self._statements.mark(), self._portals.mark()
        awaited = Awaited(
            *(kind, self._turns[-1], *marks), statement, portal, own, copying, path=self.path
        )
        self._awaited.append(awaited)

    # -- receiving

    @property
    def oldest(self) -> Turn | None:
        """The turn that the next event belongs to."""
        return self._turns[0] if self._turns else None

    @property
    def idle(self) -> bool:
        """Nothing is awaited, and nothing has come unasked for."""
        return not self._turns and not self._awaited and self._reader.empty

    def receive_data(self, content: bytes) -> None:
        self._reader.receive_data(content)

    def next_event(self) -> Event | Ended | NeedData:
        """The next event of the oldest turn, or its end. Raises `ProtocolError`.

        A fatal error of the server's is a `ConnectionResetError`: it ends the connection.
        """
        while not self._events:
            awaited = self._awaited[0] if self._awaited else None
            if self._turns and (awaited is None or awaited.turn is not self._turns[0]):
                return Ended(self._turns.popleft())
            if awaited is not None and awaited.own is not None and self._took(awaited, awaited.own):
                continue
            message = self._reader.next_event()
            if message is NEED_DATA:
                return NEED_DATA
            self._take(message)
        return self._events.popleft()

    def next_events(self) -> tuple[list[Event], bool]:
        """The next events of the oldest turn that are there, and whether it has ended.

        What is wrong behind them is raised the next time. Raises as `next_event` does.
        """
        self.tell()
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            while (event := self.next_event()) is not NEED_DATA:
                if isinstance(event, Ended):
                    return events, True
                events.append(event)
        except (ProtocolError, ConnectionResetError) as error:
            if not events:
                raise
            self._failure = error
        return events, False

    def _took(self, awaited: Awaited, own: Own) -> bool:
        """Whether the server said just what was to be expected; then nothing need be decoded."""
        if awaited.ends or not self._reader.took(own.answer):
            return False
        self._own_ended(own, "I")
        return True

    def _take(self, message: ServerMessage) -> None:
        match message:
            case b.NoticeResponse():
                pass  # its text is data of somebody's, and no column rule covers it
            case b.NotificationResponse():
                if self.hear is not None:
                    self._notified.append(message)
            case b.ParameterStatus():
                self._report(message)
            case b.ErrorResponse() if message.fatal:
                raise ConnectionResetError(f"the server ended the connection: {message.text('C')}")
            case _ if not self._awaited:
                raise ProtocolError("the server answers what nobody asked")
            case b.ErrorResponse():
                self._error(self._awaited[0], message)
            case _:
                self._answer(self._awaited[0], message)

    def overhear(self, content: bytes) -> None:
        """Take what the server says while no turn is open. Raises as `next_event` does."""
        self._reader.receive_data(content)
        while not self._turns and (message := self._reader.next_event()) is not NEED_DATA:
            self._take(message)
        self.tell()

    def tell(self) -> None:
        """Pass on what was notified, now that its reader has followed what came before it."""
        while self._notified and self.hear is not None:
            self.hear(self._notified.popleft())

    def check_pinned(self) -> None:
        """Raise `ProtocolError` unless the server reads statements the way they are judged."""
        for name, value in PINNED.items():
            if self.parameters.get(name) != value:
                raise ProtocolError(f"{name} is not {value}")

    def _report(self, message: b.ParameterStatus) -> None:
        self.parameters[message.name] = message.value
        self.check_pinned()
        self._events.append(Native(message.encode()))

    def _error(self, awaited: Awaited, message: b.ErrorResponse) -> None:
        self.copying_in = False
        self._result = Result()
        position = 0 if awaited.asks_columns else message.position
        self._events.append(Failed(message.text("C") or "XX000", message.text("M"), position))
        while awaited.kind is Kind.PART and self._awaited[0].kind is Kind.PART:
            self._awaited.popleft()
        if awaited.kind in (Kind.QUERY, Kind.PART, Kind.SYNC) or (
            awaited.own and awaited.own.queries
        ):
            return  # ReadyForQuery is still to come
        self._statements.rollback(awaited.statements_mark)
        self._portals.rollback(awaited.portals_mark)
        while self._awaited and self._awaited[0].kind is not Kind.SYNC:
            self._awaited.popleft().skipped()
        self._skipping = not self._awaited

    def _answer(self, awaited: Awaited, message: ServerMessage) -> None:
        if awaited.turn.marker and not isinstance(message, b.ReadyForQuery):
            raise ProtocolError("the server accepted a marker")
        if awaited.own is not None:
            self._own(awaited, awaited.own, message)
            return
        match awaited.kind, message:
            case ((Kind.QUERY | Kind.PART | Kind.EXECUTE), _):
                self._statement_answer(awaited, message)
            case Kind.HIDDEN_DESCRIBE, b.ParameterDescription():
                pass
            case Kind.HIDDEN, (b.ParseComplete() | b.CloseComplete()):
                self._awaited.popleft()
            case Kind.HIDDEN_DESCRIBE, (b.RowDescription() | b.NoData()):
                self._described(awaited, message)
            case Kind.DESCRIBE, b.ParameterDescription():
                self._events.append(Native(message.encode()))
            case (
                (Kind.PARSE, b.ParseComplete() as reply)
                | (Kind.BIND, b.BindComplete() as reply)
                | (Kind.CLOSE, b.CloseComplete() as reply)
                | (Kind.DESCRIBE, (b.RowDescription() | b.NoData()) as reply)
            ):
                self._awaited.popleft()
                self._events.append(Native(reply.encode()))
            case Kind.SYNC, b.ReadyForQuery():
                self._ready(message)
            case _:
                raise ProtocolError("the server's answer does not fit the question")

    def _own(self, awaited: Awaited, own: Own, message: ServerMessage) -> None:
        """Rows and tags of the gateway's own statements are dropped here."""
        if not isinstance(message, OWN_ANSWERS):
            raise ProtocolError("the server's answer does not fit a statement of the gateway's")
        if isinstance(message, b.ReadyForQuery):
            self.status = message.status
        if isinstance(message, own.end):
            awaited.ends += 1
            if awaited.ends == own.count:
                self._own_ended(own, self.status)

    def _own_ended(self, own: Own, status: str) -> None:
        self._awaited.popleft()
        if own.queries:
            self.status = status
            self._statements.clear()
            self._portals.clear()
            if not self._awaited:
                self._statements.settle()
                self._portals.settle()

    def _described(self, awaited: Awaited, message: b.RowDescription | b.NoData) -> None:
        self._awaited.popleft()
        columns = message.columns if isinstance(message, b.RowDescription) else ()
        if awaited.copying is not None:
            awaited.copying.columns = columns
        if awaited.statement is not None:
            awaited.statement.columns, awaited.statement.described = columns, awaited.path

    def _ready(self, message: b.ReadyForQuery) -> None:
        self._awaited.popleft()
        self.status = message.status
        if not self._awaited:
            if message.status == "I":
                self._portals.clear()
            self._statements.settle()
            self._portals.settle()
        self._events.append(Native(message.encode()))

    def _statement_answer(self, awaited: Awaited, message: ServerMessage) -> None:
        copied = awaited.copying.events(message) if awaited.copying is not None else None
        if copied is not None:
            self._result.rows += sum(event.count for event in copied if isinstance(event, Rows))
            self._events.extend(copied)
            return
        match message:
            case RowRun() if awaited.copying is None:
                self._rows(awaited, message)
            case b.RowDescription() if awaited.kind in (Kind.QUERY, Kind.PART):
                self._columns(message.columns)
            case b.CommandComplete():
                self._done(awaited, Done(message.command))
            case b.EmptyQueryResponse():
                self._done(awaited, Done(""))
            case b.PortalSuspended() if awaited.kind is Kind.EXECUTE:
                self._done(awaited, Done("", more=True))
            case b.CopyInResponse() if awaited.kind is Kind.QUERY:
                self.copying_in = True
                self._events.append(Native(message.encode()))
            case b.ReadyForQuery() if awaited.kind is Kind.QUERY and awaited.copying is not None:
                self._awaited.popleft()  # the one that answers our Sync is the client's
            case b.ReadyForQuery() if awaited.kind is Kind.QUERY:
                self._ready(message)
            case _:
                raise ProtocolError("the server's answer does not fit the statement")

    def _columns(self, columns: tuple[Column, ...]) -> None:
        self._result.columns = columns
        self._events.append(Columns(columns))

    def _describe_result(self, awaited: Awaited) -> None:
        """Say an Execute's columns once, before its first row or its end."""
        if awaited.kind is Kind.EXECUTE and self._result.columns is None:
            columns = awaited.portal.columns() if awaited.portal else ()
            if columns:
                self._columns(columns)

    def _rows(self, awaited: Awaited, message: RowRun) -> None:
        self._describe_result(awaited)
        if self._result.columns is None and awaited.portal and not awaited.portal.columns():
            self._columns(())  # SELECT FROM t: rows there are, and nothing in them
        if self._result.columns is None:
            raise ProtocolError("rows of a statement that was not described")
        self._result.rows += message.count
        self._events.append(Rows(message.frames, message.count))

    def _done(self, awaited: Awaited, done: Done) -> None:
        self._describe_result(awaited)
        self._events.append(Done(done.tag, self._result.rows, done.more))
        self._result = Result()
        self.copying_in = False
        if awaited.kind in (Kind.EXECUTE, Kind.PART):
            self._awaited.popleft()
