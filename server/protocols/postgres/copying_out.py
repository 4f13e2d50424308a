"""A COPY to the client on its way: its columns, asked for beforehand, and its rows. No I/O.

COPY announces how many columns come, and not which. So a query with the same columns is described
right before it, in the same transaction, whose locks keep their tables as they were described.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.errors import ProtocolError
from policies.sql.copied import CopiedOut, CopyLayout
from recordings.copied_rows import codec_name, names_line
from recordings.events import Column, Columns, Event, Native, Rows
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import CopyRun, ServerMessage


@dataclass(slots=True, eq=False)
class CopyingOut:
    """`columns` is None until the server has described them; `names_due`: a line of their names."""

    copied: CopiedOut
    columns: tuple[Column, ...] | None = None
    names_due: bool = False
    begun: bool = False

    def asked(self) -> bytes:
        """The three messages that bring the columns, under a name that nobody else can know."""
        name = f"ostiary_{secrets.token_hex(8)}"
        asked = f.Parse(name, self.copied.query), f.Describe("S", name), f.Close("S", name)
        return b"".join(message.encode() for message in asked)

    def events(self, message: ServerMessage) -> list[Event] | None:
        """What a message says of the rows; None for one that is no part of them.

        Raises `ProtocolError` for what was not announced, or not described.
        """
        match message:
            case b.CopyOutResponse():
                return [self._begin(message)]
            case CopyRun():
                return list(self._rows(message))
            case b.CopyOutDone():
                return [Native(message.encode())]
            case _:
                return None

    @property
    def _layout(self) -> CopyLayout:
        if self.copied.layout is None:
            raise ProtocolError("rows are copied out that can't be read")
        return self.copied.layout

    def _begin(self, response: b.CopyOutResponse) -> Columns:
        if self.columns is None or len(self.columns) != len(response.columns):
            raise ProtocolError("the columns that are copied out are not those described")
        if self.copied.in_order and not _in_order(self.columns):
            raise ProtocolError("the columns of a table are not those that it was judged by")
        if self.begun or response.format or any(response.columns):
            raise ProtocolError("rows are copied out in another format than was asked for")
        self.begun, self.names_due = True, self.copied.header
        return Columns(self.columns, codec_name(self._layout))

    def _rows(self, run: CopyRun) -> Iterator[Event]:
        frames, count = run.frames, run.count
        if self.columns is None or not self.begun:
            raise ProtocolError("rows are copied out that were not announced")
        if self.names_due:
            line = names_line(self._layout, [column.name for column in self.columns])
            if not frames.startswith(line):
                raise ProtocolError("a COPY's first line does not have the columns' names")
            frames, count, self.names_due = frames[len(line) :], count - 1, False
            yield Native(line)
        if count:
            yield Rows(frames, count, codec_name(self._layout))


def _in_order(columns: Sequence[Column]) -> bool:
    """Whether these are columns of one table, in the order in which COPY sends them."""
    numbers = [column.number for column in columns]
    return len({column.table for column in columns}) < 2 and numbers == sorted(set(numbers))
