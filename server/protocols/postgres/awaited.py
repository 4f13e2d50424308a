"""What a conversation with a PostgreSQL server waits for, and whose it is. Values only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from policies.errors import ProtocolError
from recordings.events import Column
from server.protocols.postgres import frontend as f
from server.protocols.postgres.copying_out import CopyingOut
from server.protocols.postgres.own import Own


class Kind(Enum):
    """What is awaited: one for each message that the server answers."""

    QUERY = auto()
    PART = auto()
    PARSE = auto()
    HIDDEN = auto()
    HIDDEN_DESCRIBE = auto()
    BIND = auto()
    DESCRIBE = auto()
    EXECUTE = auto()
    CLOSE = auto()
    SYNC = auto()
    OWN = auto()


@dataclass(slots=True, eq=False)
class Statement:
    """A prepared statement; `columns` is None until the server has described it.

    By another search path it has other columns: `asked` and `described` are those by which the
    server was asked for them last, and by which it has answered.
    """

    text: str
    columns: tuple[Column, ...] | None = None
    asked: tuple[str, ...] | None = None
    described: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Portal:
    statement: Statement
    formats: tuple[int, ...]

    def columns(self) -> tuple[Column, ...]:
        if self.statement.columns is None:
            raise ProtocolError("rows of a statement that was not described")
        if len(self.formats) > 1 and len(self.formats) != len(self.statement.columns):
            raise ProtocolError("result formats and columns differ in number")
        if not any(self.formats):
            return self.statement.columns  # described before they were bound: as text
        return tuple(
            replace(column, binary=f.format_of(self.formats, i) == 1)
            for i, column in enumerate(self.statement.columns)
        )


@dataclass(slots=True)
class Result:
    """The result set that the server is sending now."""

    columns: tuple[Column, ...] | None = None
    rows: int = 0


@dataclass(slots=True, eq=False)
class Turn:
    """Messages sent together for one owner, answered together."""

    owner: Any
    marker: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Everything of a turn was answered, or skipped by the server."""

    turn: Turn


@dataclass(slots=True, eq=False)
class Awaited:
    kind: Kind
    turn: Turn
    statements_mark: int
    portals_mark: int
    statement: Statement | None = None
    portal: Portal | None = None
    own: Own | None = None
    copying: CopyingOut | None = None
    ends: int = 0
    path: tuple[str, ...] = ()

    @property
    def asks_columns(self) -> bool:
        """Whether it asks for those of a COPY: in words that the client has not written."""
        return self.copying is not None and self.kind in (Kind.HIDDEN, Kind.HIDDEN_DESCRIBE)

    def skipped(self) -> None:
        """The server has not come to it."""
        if self.kind is Kind.HIDDEN_DESCRIBE and self.statement is not None:
            self.statement.asked = self.statement.described
