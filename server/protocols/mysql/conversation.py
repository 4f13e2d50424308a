"""The client's side of a conversation with a MySQL server. No input or output.

Commands are answered in order; an answer is what its command says it is, because packets tell no
kind. Rows without column definitions never leave here: a mask would not know their columns. A
server that asks for a file of the client's, or that speaks unasked, is a `ProtocolError`; after one
the conversation stays failed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError
from recordings.events import Columns, Done, Event, Failed, Native, Outcome, Rows
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.awaited import Awaited, Ended, Step, Turn
from server.protocols.mysql.codec import NEED_DATA, NeedData
from server.protocols.mysql.columns import codec_of, outcome_of, read_column
from server.protocols.mysql.packets import PacketReader, framed, packets_of
from server.protocols.mysql.statements import LAST_PREPARED, Statement, Statements

# An error, a definition, a text: all but rows.
MAX_REPLY: Final = 16 * 1024 * 1024
# What a statement's definitions may be together.
MAX_DEFINITIONS: Final = 16 * 1024 * 1024

# What the statements' meaning, as judged, depends on; servers report any change of them where
# session tracking was agreed on.
PINNED: Final = {
    "character_set_client": "utf8mb4",
    "character_set_connection": "utf8mb4",
    "character_set_results": "utf8mb4",
}


@dataclass(slots=True)
class Conversation:
    """One authenticated connection's state; `status` is the server's, as it said last.

    `capabilities` are those that both sides have. `database` is the current one as far as the
    server has told; `parameters` are the system variables whose changes it has told.
    """

    capabilities: int
    status: int = c.AUTOCOMMIT
    database: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    statements: Statements = field(default_factory=Statements)
    _reader: PacketReader = field(default_factory=lambda: PacketReader(MAX_REPLY))
    _turns: deque[Turn] = field(default_factory=deque)
    _awaited: deque[Awaited] = field(default_factory=deque)
    _events: deque[Event] = field(default_factory=deque)
    _failed: bool = False

    # -- sending

    def begin(self, owner: object) -> Turn:
        """Start a turn; a turn without commands that are answered ends at once."""
        turn = Turn(owner)
        self._turns.append(turn)
        return turn

    def send(self, command: m.Command) -> bytes:
        """The bytes to write for a command of the newest turn. Raises `ProtocolError`."""
        return self._send(command, False)

    def send_own(self, command: m.Command) -> bytes:
        """The same for one of the gateway's own; only a failure of it is an event."""
        return self._send(command, True)

    def _send(self, command: m.Command, own: bool) -> bytes:
        if isinstance(command, m.Unlisted | m.Unreadable | m.ChangeUser):
            raise ProtocolError("this command is not relayed")
        payload = command.encode(self.capabilities)
        match command:
            case m.StmtExecute(number) | m.StmtClose(number) if number == LAST_PREPARED:
                raise ProtocolError("the number of a statement is not resolved")
            case m.StmtClose():
                self.statements.close(command.statement)
            case m.StmtSendLongData() | m.Quit():
                pass
            case _:
                self._await(Awaited(command, self._turns[-1], packets_of(len(payload)), own))
        return framed(payload, 0)

    def _await(self, awaited: Awaited) -> None:
        match awaited.command:
            case m.StmtExecute(number):
                awaited.statement = self.statements.get(number)
                self.statements.reset(number)  # the server forgets what it has bound
            case m.StmtFetch(number):
                awaited.statement = self.statements.get(number)
                awaited.step = Step.ROWS
            case _:
                pass
        self._awaited.append(awaited)
        if len(self._awaited) == 1:
            self._reader.sequence = awaited.sequence & 0xFF

    def text_of(self, command: m.Command) -> str | None:
        """The statement that a command to be sent now would bring to the server, or run there."""
        match command:
            case m.Query(text) | m.StmtPrepare(text):
                return text
            case m.StmtExecute(number) | m.StmtFetch(number):
                statement = self.statements.get(number)
                return statement.text if statement else None
            case _:
                return None

    # -- receiving

    @property
    def oldest(self) -> Turn | None:
        """The turn that the next event belongs to."""
        return self._turns[0] if self._turns else None

    @property
    def idle(self) -> bool:
        """Nothing is awaited, and nothing has come unasked for."""
        return not self._turns and not self._awaited and self._reader.empty

    @property
    def in_transaction(self) -> bool:
        return bool(self.status & c.IN_TRANSACTION)

    def receive_data(self, content: bytes) -> None:
        self._reader.receive_data(content)

    def next_event(self) -> Event | Ended | NeedData:
        """The next event of the oldest turn, or its end. Raises `ProtocolError`, ever after too."""
        if self._failed:
            raise ProtocolError("the connection has ended")
        try:
            return self._next()
        except ProtocolError:
            self._failed = True
            self._reader.clear()
            self._events.clear()
            raise

    def _next(self) -> Event | Ended | NeedData:
        while not self._events:
            awaited = self._awaited[0] if self._awaited else None
            if self._turns and (awaited is None or awaited.turn is not self._turns[0]):
                return Ended(self._turns.popleft())
            if awaited is None:
                if not self._reader.empty:
                    raise ProtocolError("the server says what nobody asked")
                return NEED_DATA
            if not self._step(awaited):
                return NEED_DATA
        return self._events.popleft()

    def _step(self, awaited: Awaited) -> bool:
        """Take what comes next of an answer; whether it had come."""
        reader = self._reader
        if awaited.step is Step.ROWS:
            run = reader.next_rows()
            if run is not None:
                self._rows(awaited, run[0], run[1])
                return True
            if reader.at_row():
                return False
        number = reader.sequence
        payload = reader.next_payload()
        if payload is None:
            return False
        if not payload:
            raise ProtocolError("an empty packet")
        if payload[0] == a.ERROR and awaited.step in (Step.FIRST, Step.ROWS):
            self._error(awaited, a.Err.decode(payload))
            return True
        match awaited.step:
            case Step.FIRST:
                self._first(awaited, payload, number)
            case Step.PARAMETERS | Step.COLUMNS:
                self._definition(awaited, payload, number)
            case Step.PARAMETERS_END | Step.COLUMNS_END:
                self._definitions_end(awaited, payload, number)
            case Step.ROWS:
                self._rows_end(awaited, payload)
        return True

    def _error(self, awaited: Awaited, error: a.Err) -> None:
        self._events.append(Failed(error.sqlstate or "HY000", error.message, code=error.code))
        self._pop()

    def _first(self, awaited: Awaited, payload: bytes, number: int) -> None:
        match awaited.command:
            case m.Query() | m.StmtExecute():
                self._result_begins(awaited, payload)
            case m.StmtPrepare():
                self._prepared(awaited, payload, number)
            case m.FieldList():
                self._field(awaited, payload, number)
            case m.Statistics():
                self._emit(awaited, Native(framed(payload, number)))
                self._pop()
            case m.SetOption() if payload[0] == a.END:
                self._done(awaited, self._end(payload), 0)
            case _:
                self._accepted(awaited, payload)

    def _accepted(self, awaited: Awaited, payload: bytes) -> None:
        if payload[0] != a.OK:
            raise ProtocolError("the server's answer does not fit the command")
        ok = a.Ok.decode(payload, self.capabilities)
        if ok.status & c.MORE_RESULTS:
            raise ProtocolError("more results of what has none")
        match awaited.command:
            case m.ResetConnection():
                self.statements.clear()
            case m.StmtReset(number):
                self.statements.reset(number)
            case m.InitDb(database):
                self.database = database
            case _:
                pass
        self._done(awaited, self._outcome(ok), 0)

    # -- results

    def _result_begins(self, awaited: Awaited, payload: bytes) -> None:
        if payload[0] == a.OK:
            self._done(awaited, self._outcome(a.Ok.decode(payload, self.capabilities)), 0)
            return
        if payload[0] == a.LOCAL_INFILE:
            raise ProtocolError("the server asks for a file of the client's")
        awaited.left = a.ColumnCount.decode(payload).count
        awaited.columns, awaited.held, awaited.rows = [], 0, 0
        awaited.described, awaited.step = False, Step.COLUMNS

    def _definition(self, awaited: Awaited, payload: bytes, number: int) -> None:
        self._hold(awaited, len(payload))
        column = read_column(payload, binary=not isinstance(awaited.command, m.Query))
        prepares = isinstance(awaited.command, m.StmtPrepare)
        if prepares:
            awaited.packets.append(framed(payload, number))
        if awaited.step is Step.COLUMNS:
            awaited.columns.append(column)
        awaited.left -= 1
        if awaited.left:
            return
        at_end = awaited.step is Step.COLUMNS
        if not self.capabilities & c.DEPRECATE_EOF:
            awaited.step = Step.COLUMNS_END if at_end else Step.PARAMETERS_END
        elif prepares:
            self._next_definitions(awaited)
        else:
            self._begin_rows(awaited)

    def _definitions_end(self, awaited: Awaited, payload: bytes, number: int) -> None:
        eof = a.Eof.decode(payload)
        if isinstance(awaited.command, m.StmtPrepare):
            awaited.packets.append(framed(payload, number))
            self._next_definitions(awaited)
            return
        self._begin_rows(awaited)
        if eof.status & c.CURSOR_EXISTS and isinstance(awaited.command, m.StmtExecute):
            self._describe(awaited)  # its rows are fetched
            self._done(awaited, self._eof(eof), 0)

    def _begin_rows(self, awaited: Awaited) -> None:
        awaited.codec = codec_of(awaited.columns)
        awaited.step = Step.ROWS
        if awaited.statement is not None:
            awaited.statement.result = tuple(awaited.columns)

    def _describe(self, awaited: Awaited) -> None:
        """Say a result's columns once, before its first row or its end."""
        if awaited.described:
            return
        if isinstance(awaited.command, m.StmtFetch):
            result = awaited.statement.result if awaited.statement else None
            if result is None:
                raise ProtocolError("rows of a statement that has no cursor")
            awaited.columns, awaited.codec = list(result), codec_of(result)
        awaited.described = True
        self._emit(awaited, Columns(tuple(awaited.columns), awaited.codec))

    def _rows(self, awaited: Awaited, frames: bytes, count: int) -> None:
        self._describe(awaited)
        awaited.rows += count
        self._emit(awaited, Rows(frames, count, awaited.codec))

    def _rows_end(self, awaited: Awaited, payload: bytes) -> None:
        self._describe(awaited)
        self._done(awaited, self._end(payload), awaited.rows)

    def _end(self, payload: bytes) -> Outcome:
        """What stands at the end of rows."""
        if payload[0] != a.END:
            raise ProtocolError("neither a row nor the end of rows")
        if self.capabilities & c.DEPRECATE_EOF:
            return self._outcome(a.Ok.decode(payload, self.capabilities))
        return self._eof(a.Eof.decode(payload))

    def _eof(self, eof: a.Eof) -> Outcome:
        self.status = eof.status
        return Outcome(warnings=eof.warnings, status=eof.status)

    def _outcome(self, ok: a.Ok) -> Outcome:
        self.status = ok.status
        for change in ok.changes:
            database = change.schema()
            if database is not None:
                self.database = database
            for name, value in change.variables():
                self.parameters[name] = value
                if PINNED.get(name, value).lower() != value.lower():
                    raise ProtocolError(f"{name} is not {PINNED[name]}")
        return outcome_of(ok)

    def _done(self, awaited: Awaited, outcome: Outcome, rows: int) -> None:
        """A result has ended; another one may follow."""
        cursor = outcome.status & c.CURSOR_EXISTS and not outcome.status & c.LAST_ROW_SENT
        fetches = isinstance(awaited.command, m.StmtExecute | m.StmtFetch)
        tag = f"ROWS {rows}" if awaited.described else f"OK {outcome.affected}"
        self._emit(awaited, Done(tag, rows, bool(cursor and fetches), outcome))
        if not outcome.status & c.MORE_RESULTS:
            self._pop()
            return
        if not isinstance(awaited.command, m.Query | m.StmtExecute):
            raise ProtocolError("more results of what has none")
        awaited.described, awaited.step = False, Step.FIRST

    # -- definitions

    def _prepared(self, awaited: Awaited, payload: bytes, number: int) -> None:
        reply = a.PrepareOk.decode(payload)
        text = self.text_of(awaited.command) or ""
        made = Statement(reply.statement, text, reply.parameters, database=self.database)
        awaited.statement = made
        awaited.packets.append(framed(payload, number))
        awaited.left, awaited.after, awaited.step = reply.parameters, reply.columns, Step.PARAMETERS
        if not awaited.left:
            self._next_definitions(awaited)

    def _next_definitions(self, awaited: Awaited) -> None:
        """Behind the parameters come the columns, behind those nothing."""
        if awaited.after and awaited.step is not Step.COLUMNS:
            awaited.left, awaited.after, awaited.step = awaited.after, 0, Step.COLUMNS
            return
        if awaited.statement is not None:
            awaited.statement.columns = tuple(awaited.columns)
            self.statements.add(awaited.statement)
        self._emit(awaited, Native(b"".join(awaited.packets)))
        self._pop()

    def _field(self, awaited: Awaited, payload: bytes, number: int) -> None:
        """A column of COM_FIELD_LIST, which tells no count, or the end of them."""
        awaited.packets.append(framed(payload, number))
        if payload[0] == a.END:
            self._end(payload)
            self._emit(awaited, Native(b"".join(awaited.packets)))
            self._pop()
            return
        self._hold(awaited, len(payload))
        a.ColumnDefinition.decode(payload)
        if len(awaited.packets) > a.MAX_COLUMNS:
            raise ProtocolError("more columns than a table can have")

    def _hold(self, awaited: Awaited, size: int) -> None:
        awaited.held += size
        if awaited.held > MAX_DEFINITIONS:
            raise ProtocolError("definitions are longer than is allowed")

    def _emit(self, awaited: Awaited, event: Event) -> None:
        if not awaited.own:
            self._events.append(event)

    def _pop(self) -> None:
        self._awaited.popleft()
        if self._awaited:
            self._reader.sequence = self._awaited[0].sequence & 0xFF
