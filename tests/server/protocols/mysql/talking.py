"""A client of a real MySQL or MariaDB server, made of the codec and of one blocking socket."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recordings.events import Columns, Event, Rows
from recordings.rows import Row, row_codec
from server.protocols.mysql import capabilities as c
from server.protocols.mysql.awaited import Ended
from server.protocols.mysql.codec import NeedData
from server.protocols.mysql.commands import Command, StmtPrepare
from server.protocols.mysql.conversation import Conversation
from server.protocols.mysql.login import Channel, Login
from server.protocols.mysql.statements import Statement

_PATIENCE: Final = 60  # seconds
WANTED: Final = {
    "as new clients do": c.OFFERED,
    "with EOF packets": c.OFFERED & ~c.DEPRECATE_EOF,
    "without session tracking": c.OFFERED & ~c.SESSION_TRACK,
    "as old clients do": c.OFFERED & ~(c.DEPRECATE_EOF | c.SESSION_TRACK),
}


@dataclass
class Talk:
    """`ask` sends commands as one turn and returns all that is answered."""

    socket: socket.socket
    login: Login
    conversation: Conversation

    def ask(self, *commands: Command) -> list[Event]:
        self.conversation.begin("test")
        for command in commands:
            self.socket.sendall(self.conversation.send(command))
        events: list[Event] = []
        while not isinstance(event := self.conversation.next_event(), Ended):
            if isinstance(event, NeedData):
                self.conversation.receive_data(received(self.socket))
            else:
                events.append(event)
        return events

    def prepare(self, text: str) -> Statement:
        self.ask(StmtPrepare(text))
        statement = self.conversation.statements.last
        assert statement is not None
        return statement

    def close(self) -> None:
        self.socket.close()


def connected(path: Path, login: Login) -> Talk:
    """Log in over a Unix socket. Raises what the login does."""
    raw = socket.socket(socket.AF_UNIX)
    try:
        raw.settimeout(_PATIENCE)
        raw.connect(str(path))
        while not login.ready:
            output = login.next_output()
            if isinstance(output, NeedData):
                login.receive_data(received(raw))
            else:
                raw.sendall(output)
    except BaseException:
        raw.close()
        raise
    assert login.empty
    return Talk(raw, login, Conversation(login.capabilities, login.status))


def local(path: Path, user: str = "root", password: str = "", wanted: int = c.OFFERED) -> Talk:
    return connected(path, Login(user, password, channel=Channel.LOCAL, wanted=wanted))


def received(raw: socket.socket) -> bytes:
    content = raw.recv(65536)
    if not content:
        raise ConnectionResetError("the server closed the connection")
    return content


def cells(events: Sequence[Event]) -> list[Row]:
    """All rows of one result."""
    decoded: list[Row] = []
    for event in events:
        if isinstance(event, Rows):
            codec = row_codec(event.codec)
            assert codec is not None
            decoded += codec.decode(event.frames)
    return decoded


def columns_of(events: Sequence[Event]) -> Columns:
    return next(event for event in events if isinstance(event, Columns))
