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
    """

    asks: Asks
    messages: list[f.Command]
    marks: tuple[int, int]
    action: SqlPrepare | SqlStatement | None = None
    refusal: Refusal | None = None
    parts: tuple[SqlStatement, ...] = ()

    @property
    def frames(self) -> bytes:
        return b"".join(message.encode() for message in self.messages)

    @property
    def answered(self) -> bool:
        """Whether the server answers anything of it."""
        return any(not isinstance(message, f.Flush) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement's text and the types declared for its parameters: with others it does others."""

    text: str
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """A portal: the text it runs and what was bound to it."""

    text: str
    parameters: tuple[Parameter, ...]


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
        if isinstance(message, _ATTACHED) and groups and _carries(groups[-1]):
            groups[-1].messages.append(message)
            return 1
        if isinstance(message, f.Bind):
            return self._bind(message, messages[position + 1 :], groups)
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
                self._statements.define(name, Prepared(text, types))
                return Group(Asks.PREPARE, [message], marks, SqlPrepare(text, types))
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
        return Group(Asks.EXECUTE, [message], marks, action)

    def _bind(self, bind: f.Bind, after: Sequence[f.Command], groups: list[Group]) -> int:
        describes = _describes_of(bind.portal, after)
        if len(describes) == len(after):
            return 0
        marks, prepared = self._marks(), self._statements.get(bind.statement)
        if prepared is None:
            groups.append(Group(Asks.BIND, [bind], marks, refusal=_unknown("prepared statement")))
            return 1
        bound = Bound(prepared.text, _parameters(bind, prepared.types))
        self._portals.define(bind.portal, bound)
        follows = after[len(describes)]
        if not (isinstance(follows, f.Execute) and follows.portal == bind.portal):
            action = _statement(bound, 0, Stage.BIND)
            groups.append(Group(Asks.BIND, [bind], marks, action))
            return 1
        together = [bind, *describes, follows]
        action = _statement(bound, follows.max_rows, Stage.WHOLE)
        groups.append(Group(Asks.EXECUTE, together, marks, action))
        return len(together)

    def _marks(self) -> tuple[int, int]:
        return self._statements.mark(), self._portals.mark()


def _carries(group: Group) -> bool:
    return not any(isinstance(message, ENDS_BATCH) for message in group.messages)


def _describes_of(portal: str, messages: Sequence[f.Command]) -> list[f.Command]:
    found: list[f.Command] = []
    for message in messages:
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


FUNCTION_CALL: Final = Refusal(
    code="FUNCTION_CALL",
    reason="Function calls of the protocol's own are not let through.",
    next_step="Call the function in a SELECT.",
)
