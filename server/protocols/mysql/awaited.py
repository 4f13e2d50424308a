"""What a conversation with a MySQL server waits for, and whose it is. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from recordings.events import Column
from server.protocols.mysql.commands import Command
from server.protocols.mysql.statements import Statement


class Step(Enum):
    """Where in an answer the server is."""

    FIRST = auto()
    PARAMETERS = auto()
    PARAMETERS_END = auto()
    COLUMNS = auto()
    COLUMNS_END = auto()
    ROWS = auto()


@dataclass(slots=True, eq=False)
class Turn:
    """Commands sent together for one owner, answered together."""

    owner: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """Everything of a turn was answered."""

    turn: Turn


@dataclass(slots=True, eq=False)
class Awaited:
    """One command that a server answers.

    `sequence` is the number of the answer's first packet; `own`: only a failure of it is an event.
    `left`: definitions that are still to come. `packets`, of `held` bytes, go on as one event.
    """

    command: Command
    turn: Turn
    sequence: int
    own: bool = False
    step: Step = Step.FIRST
    statement: Statement | None = None
    left: int = 0
    after: int = 0
    described: bool = False
    columns: list[Column] = field(default_factory=list)
    codec: str = ""
    packets: list[bytes] = field(default_factory=list)
    held: int = 0
    rows: int = 0
