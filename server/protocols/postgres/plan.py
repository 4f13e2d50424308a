"""What a client's messages ask for: groups of messages that are decided and sent together. Pure.

A group is what one action covers: a Query, a Parse, or a Bind with its Describe and Execute. What
asks for nothing (Sync, Flush, Close, Describe) goes with the group before it, or under the
session's own grant. Names are tracked, so that an Execute is judged by the text that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from policies.errors import ProtocolError, Refusal
from policies.model import Parameter, SqlPrepare, SqlStatement, Stage
from policies.sql.splitting import split
from server.meant import Meant
from server.protocols.postgres import frontend as f
from server.protocols.postgres.frontend import format_of
from server.protocols.postgres.names import Names


class Asks(Enum):
    """What a group is, which decides how its events are worded."""

    QUERY = auto()
    PREPARE = auto()
    BIND = auto()
    EXECUTE = auto()
    NOTHING = auto()


@dataclass(slots=True, eq=False)
class Group:
    """Consecutive messages under one action, or refused before it came to one.

    `parts` are the actions of a Query with several statements, which is sent whole or not at all.
    `meant`: what is known of the prepared statement that the action makes or runs. `hidden`: the
    client has not sent it, and gets none of its answers.
    """

    asks: Asks
    messages: list[f.Command]
    marks: tuple[int, int]
    action: SqlPrepare | SqlStatement | None = None
    refusal: Refusal | None = None
    parts: tuple[SqlStatement, ...] = ()
    meant: Meant | None = None
    hidden: bool = False

    @property
    def answered(self) -> bool:
        """Whether the server answers anything of it."""
        return any(not isinstance(message, f.Flush) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement's text and the types declared for its parameters: with others it does others."""

    text: str
    types: tuple[int, ...]
    meant: Meant = field(default_factory=Meant)


@dataclass(frozen=True, slots=True)
class Bound:
    """A portal: the text it runs and what was bound to it."""

    text: str
    parameters: tuple[Parameter, ...]
    meant: Meant


LONGEST_NAME: Final = 63
"""Bytes that the server keeps of a name: of two that differ after those it makes one."""

MOST_DESCRIBES: Final = 100
"""Of a portal, between its Bind and its Execute: with more of them a Bind waits no longer."""

ENDS_BATCH: Final = (f.Sync, f.Query, f.FunctionCall)
_STRAY: Final = (f.CopyData, f.CopyDone, f.CopyFail)
_ATTACHED: Final = (f.Sync, f.Flush, f.Describe)


@dataclass(slots=True)
class Planner:
    """One session's names, and whether the server skips to the next Sync."""

    skipping: bool = False
    _statements: Names[Prepared] = field(default_factory=Names)
    _portals: Names[Bound] = field(default_factory=Names)

    def plan(self, messages: Sequence[f.Command]) -> tuple[list[Group], list[f.Command]]:
        """Groups in order, and the messages at the end that wait for what follows them.

        A Bind waits for its Execute, because both are one action.
        """
        groups: list[Group] = []
        position = 0
        while position < len(messages):
            taken = self._take(messages, position, groups)
            if not taken:
                break
            position += taken
        return groups, list(messages[position:])

    def parsed(self, group: Group) -> None:
        """The server has taken the group's statement, and keeps it whatever fails behind it."""
        group.marks = group.marks[0] + 1, group.marks[1]

    def failed(self, group: Group) -> None:
        """The server refused something of this group, and skips what follows up to Sync."""
        if group.asks is not Asks.QUERY:
            self._statements.rollback(group.marks[0])
            self._portals.rollback(group.marks[1])
            self.skipping = True

    def ready(self, status: str) -> None:
        """The server has answered everything, and is in this transaction status."""
        if status == "I":
            self._portals.clear()
        self._statements.settle()
        self._portals.settle()
        self.skipping = False

    def _take(self, messages: Sequence[f.Command], position: int, groups: list[Group]) -> int:
        """Plan what begins here; how many messages that took, 0 to wait for more."""
        message = messages[position]
        if isinstance(message, _STRAY) or (self.skipping and not isinstance(message, f.Sync)):
            return 1  # the server ignores these too
        asks = _too_long(message)
        if asks is not None:
            groups.append(Group(asks, [message], self._marks(), refusal=NAME_TOO_LONG))
            return 1
        if isinstance(message, _ATTACHED) and groups and _carries(groups[-1]):
            groups[-1].messages.append(message)
            return 1
        if isinstance(message, f.Bind):
            after = messages[position + 1 : position + 2 + MOST_DESCRIBES]
            return self._bind(message, after, groups)
        groups.append(self._single(message))
        return 1

    def _single(self, message: f.Command) -> Group:
        marks = self._marks()
        match message:
            case f.Query(text):
                self._statements.forget("")
                self._portals.clear()
                parts = tuple(map(SqlStatement, split(text)))
                if len(parts) > 1:
                    return Group(Asks.QUERY, [message], marks, parts=parts)
                return Group(Asks.QUERY, [message], marks, SqlStatement(text))
            case f.Parse(name, text, types):
                prepared = Prepared(text, types)
                self._statements.define(name, prepared)
                action = SqlPrepare(text, types)
                return Group(Asks.PREPARE, [message], marks, action, meant=prepared.meant)
            case f.Execute():
                return self._execute(message, marks)
            case f.FunctionCall():
                return Group(Asks.QUERY, [message], marks, refusal=FUNCTION_CALL)
            case f.Close(kind, name):
                (self._statements if kind == "S" else self._portals).forget(name)
            case f.Sync() | f.Flush() | f.Describe():
                pass
            case _:
                raise ProtocolError("this message has no place here")
        return Group(Asks.NOTHING, [message], marks)

    def _execute(self, message: f.Execute, marks: tuple[int, int]) -> Group:
        bound = self._portals.get(message.portal)
        if bound is None:
            return Group(Asks.EXECUTE, [message], marks, refusal=_unknown("portal"))
        action = _statement(bound, message.max_rows, Stage.EXECUTE)
        return Group(Asks.EXECUTE, [message], marks, action, meant=bound.meant)

    def _bind(self, bind: f.Bind, after: Sequence[f.Command], groups: list[Group]) -> int:
        describes = _describes_of(bind.portal, after)
        if len(describes) == len(after):
            return 0
        marks, prepared = self._marks(), self._statements.get(bind.statement)
        if prepared is None:
            groups.append(Group(Asks.BIND, [bind], marks, refusal=_unknown("prepared statement")))
            return 1
        bound = Bound(prepared.text, _parameters(bind, prepared.types), prepared.meant)
        self._portals.define(bind.portal, bound)
        follows = after[len(describes)]
        if not (isinstance(follows, f.Execute) and follows.portal == bind.portal):
            action = _statement(bound, 0, Stage.BIND)
            groups.append(Group(Asks.BIND, [bind], marks, action, meant=bound.meant))
            return 1
        together = [bind, *describes, follows]
        action = _statement(bound, follows.max_rows, Stage.WHOLE)
        groups.append(Group(Asks.EXECUTE, together, marks, action, meant=bound.meant))
        return len(together)

    def _marks(self) -> tuple[int, int]:
        return self._statements.mark(), self._portals.mark()


def names_given(groups: Sequence[Group]) -> tuple[set[str], set[str]]:
    """The names of statements and of portals that messages give or take away."""
    statements, portals = set[str](), set[str]()
    for group in groups:
        for message in group.messages:
            match message:
                case f.Parse(name):
                    statements.add(name)
                case f.Bind(name):
                    portals.add(name)
                case f.Close(kind, name):
                    (statements if kind == "S" else portals).add(name)
                case _:
                    pass
    return statements, portals


def _too_long(message: f.Command) -> Asks | None:
    """What a message asks for that gives, uses or drops a name which the server would cut."""
    match message:
        case f.Parse(name):
            asks, longest = Asks.PREPARE, len(name.encode())
        case f.Bind(portal, statement):
            asks, longest = Asks.BIND, max(len(portal.encode()), len(statement.encode()))
        case f.Close(_, name):
            asks, longest = Asks.NOTHING, len(name.encode())
        case _:
            return None
    return asks if longest > LONGEST_NAME else None


def _carries(group: Group) -> bool:
    """What is closed stays closed, whatever fails behind it: nothing stands in its group."""
    return not isinstance(group.messages[-1], (*ENDS_BATCH, f.Close))


def _describes_of(portal: str, messages: Sequence[f.Command]) -> list[f.Command]:
    found: list[f.Command] = []
    for message in messages[:MOST_DESCRIBES]:
        if message != f.Describe("P", portal):
            break
        found.append(message)
    return found


def _parameters(bind: f.Bind, types: Sequence[int]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            value,
            binary=format_of(bind.parameter_formats, i) == 1,
            type=types[i] if i < len(types) else 0,
        )
        for i, value in enumerate(bind.parameters)
    )


def _statement(bound: Bound, max_rows: int, stage: Stage) -> SqlStatement:
    return SqlStatement(bound.text, bound.parameters, max_rows=max(0, max_rows), stage=stage)


def _unknown(kind: str) -> Refusal:
    return Refusal(
        code="NAME_UNKNOWN",
        reason=f"This session has no such {kind}.",
        next_step="Prepare the statement again.",
    )


NAME_TOO_LONG: Final = Refusal(
    code="NAME_TOO_LONG",
    reason=f"The server tells names apart by their first {LONGEST_NAME} bytes only.",
    next_step="Give the statement or the portal a shorter name.",
)

FUNCTION_CALL: Final = Refusal(
    code="FUNCTION_CALL",
    reason="Function calls of the protocol's own are not let through.",
    next_step="Call the function in a SELECT.",
)
