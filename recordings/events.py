"""What happens in a session, live or recorded: the same types in both.

An event is a statement's beginning, a chunk of rows, or an end: never a row, never a wire message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Origin:
    """What MySQL tells of a column besides: names of where it is from, empty for an expression.

    `table` is the name by which the statement calls `org_table`.
    """

    schema: str = ""
    table: str = ""
    org_table: str = ""
    org_name: str = ""
    flags: int = 0
    charset: int = 45
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One result column as the server describes it.

    `table` and `number` are the origin (relation oid, attribute number), 0 for an expression;
    `type` is the type's oid; `binary` is the format of its cells. `masked` says why its cells
    were masked, empty where they were not. MySQL's has an `origin` by names, from which its table
    and number are found; `type` is the protocol's there, and `size` the length that it announces.
    """

    name: str
    type: int
    table: int = 0
    number: int = 0
    modifier: int = -1
    size: int = -1
    binary: bool = False
    masked: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """What a statement's rows are made of; `codec` is the one that they will have."""

    columns: tuple[Column, ...]
    codec: str = "postgres"


@dataclass(frozen=True, slots=True)
class Rows:
    """Some 64 KiB of rows, kept as the protocol's own frames; `recordings.rows` decodes them."""

    frames: bytes
    count: int
    codec: str = "postgres"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What MySQL says at the end of a result, besides: `status` has its bits of the server's state.

    `changes`: what has changed in the session, as kinds and contents (`answers.Change`).
    """

    affected: int = 0
    insert_id: int = 0
    warnings: int = 0
    status: int = 0
    info: bytes = b""
    changes: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The statement ended. `tag` is the server's command tag; `more`: rows were left unread.

    MySQL has no tag, but an `outcome`; one of its statements may have several results, of which
    each ends so.
    """

    tag: str
    rows: int = 0
    more: bool = False
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The target refused the statement: its own error, which is data and is scrubbed as data.

    `position` is a character offset in the statement, 1-based as PostgreSQL counts, 0 if none.
    `code` is MySQL's number of the error.
    """

    sqlstate: str
    message: str
    position: int = 0
    code: int = 0


@dataclass(frozen=True, slots=True)
class Native:
    """A message of the target's own protocol that carries no data of a table."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Notification:
    """What somebody said on a channel that the session listens to; it belongs to no statement.

    `process` is the server's number of the session that said it.
    """

    channel: str
    payload: str
    process: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """The request waits for a person; more events follow, or `Denied` is raised.

    `url` is the ticket's approval page, empty where there is none.
    """

    ticket: str
    url: str = ""


Event = Columns | Rows | Done | Failed | Native | Pending
Results = AsyncIterator[Event]


class Batch(NamedTuple):
    """Events that came together; `last` where nothing follows them, as far as that is known."""

    events: Sequence[Event]
    last: bool = False


Batches = AsyncIterator[Batch]
