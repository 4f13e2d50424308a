"""A PostgreSQL client that sends exactly the messages it is told to, and reads what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader, CopyRun, NeedData, RowRun
from server.protocols.postgres.startup import Login

Reply = b.BackendMessage | RowRun | CopyRun
WITHIN = 20.0  # seconds


@dataclass(slots=True)
class RawClient:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    codec: BackendReader = field(default_factory=BackendReader)
    key: b.BackendKeyData | None = None

    async def log_in(self, password: str, parameters: Mapping[str, str]) -> list[Reply]:
        """Log in, with whatever the server asks for; what it said on the way."""
        self.writer.write(f.StartupMessage(f.PROTOCOL_3_0, tuple(parameters.items())).encode())
        login, seen = Login(parameters["user"], password), list[Reply]()
        while not (seen and isinstance(seen[-1], b.ReadyForQuery)):
            seen.append(message := await self.reply())
            match message:
                case b.AuthenticationRequest(code=3):
                    self.writer.write(f.Password(password).encode())
                case b.AuthenticationRequest():
                    self.writer.write(login.answer(message))
                case b.BackendKeyData():
                    self.key = message
                case b.ErrorResponse():
                    return seen
                case _:
                    pass
        return seen

    def send(self, *messages: f.FrontendMessage) -> None:
        self.writer.write(b"".join(message.encode() for message in messages))

    async def reply(self) -> Reply:
        """The next message. Raises `EOFError` at the end of the connection."""
        async with asyncio.timeout(WITHIN):
            while isinstance(message := self.codec.next_event(), NeedData):
                received = await self.reader.read(65536)
                if not received:
                    raise EOFError
                self.codec.receive_data(received)
        return message

    async def until_ready(self, times: int = 1) -> list[Reply]:
        """Everything up to so many ReadyForQuery."""
        seen: list[Reply] = []
        while times:
            seen.append(await self.reply())
            times -= isinstance(seen[-1], b.ReadyForQuery)
        return seen

    async def to_the_end(self) -> list[Reply]:
        """Everything until the connection is closed, if with what was sent unread."""
        seen: list[Reply] = []
        try:
            while True:
                seen.append(await self.reply())
        except (EOFError, ConnectionResetError):
            return seen

    async def query(self, text: str) -> list[Reply]:
        self.send(f.Query(text))
        return await self.until_ready()


def tags(replies: list[Reply]) -> str:
    """The order of messages, in their one-letter tags; rows as one D each, status with Z."""
    words = []
    for reply in replies:
        match reply:
            case RowRun(count=count):
                words.append("D" * count)
            case CopyRun(count=count):
                words.append("d" * count)
            case b.ReadyForQuery(status):
                words.append(f"Z{status} ")
            case _:
                words.append(reply.tag.decode())
    return "".join(words).strip()


def errors(replies: list[Reply]) -> list[tuple[str, str]]:
    """SQLSTATE and text of each error."""
    return [(r.text("C"), r.text("M")) for r in replies if isinstance(r, b.ErrorResponse)]
