"""Between one client and its session: messages in, events out, both at once, in order.

`feed` admits and sends what the client asks for; `answer` words what comes back. One batch, up to
its Sync, is in flight at a time: what a name means after an error is known only then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from policies.errors import ProtocolError, Refusal
from recordings.events import Event, Failed, Native, Pending
from server.gate import Grant, NativeSession, Substitute
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.client import Client
from server.protocols.postgres.plan import ENDS_BATCH, Group, Planner
from server.protocols.postgres.wording import worded

# Small answers are written together, up to this many bytes.
WRITE_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class Relay:
    """One client's session at work."""

    client: Client
    session: NativeSession
    _planner: Planner = field(default_factory=Planner)
    _backlog: deque[f.Command] = field(default_factory=deque)
    _turns: asyncio.Queue[tuple[Grant | Substitute, Group]] = field(default_factory=asyncio.Queue)
    _in_flight: bool = False
    _copying: Grant | None = None
    _status: str = "I"
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _unwritten: bytearray = field(default_factory=bytearray)

    # -- client to server

    async def feed(self) -> None:
        """Admit and send until the client says it is done."""
        while True:
            if self._in_flight and self._copying is None:
                await self._moved.wait()
                self._moved.clear()
            elif not self._backlog:
                self._backlog.extend(await self.client.take())
            elif isinstance(self._backlog[0], f.Terminate):
                return
            elif self._copying is not None:
                await self._copy(self._copying)
            else:
                await self._batch()

    async def _batch(self) -> None:
        """Admit what has come, as far as the end of a batch, with one decision and one commit."""
        groups, waiting = self._planner.plan(self._taken())
        await self._send(groups)
        if waiting and not self._backlog:
            self._backlog.extend((*waiting, *await self.client.take()))

    def _taken(self) -> list[f.Command]:
        taken: list[f.Command] = []
        while self._backlog and not isinstance(self._backlog[0], f.Terminate):
            taken.append(self._backlog.popleft())
            if isinstance(taken[-1], ENDS_BATCH):
                break
        return taken

    async def _send(self, groups: list[Group]) -> None:
        owners = await self._admit(groups)
        self._in_flight = any(isinstance(m, ENDS_BATCH) for g in groups for m in g.messages)
        for owner, group in zip(owners, groups, strict=True):
            if isinstance(owner, list):
                await self.session.send_together(owner, group.frames)
                for each in owner:
                    self._turns.put_nowait((each, group))
                continue
            if group.action is None and isinstance(owner, Grant):
                await self.session.stream(owner, group.frames)
            else:
                await self.session.send(owner, group.frames)
            if group.answered:
                self._turns.put_nowait((owner, group))

    async def _admit(self, groups: list[Group]) -> list[Grant | Substitute | list[Grant]]:
        actions = [group.action for group in groups if group.action is not None]
        admitted = iter(await self.session.admit_all(actions) if actions else ())
        return [await self._owner(group, admitted) for group in groups]

    async def _owner(
        self, group: Group, admitted: Iterator[Grant | Substitute | Pending]
    ) -> Grant | Substitute | list[Grant]:
        if group.refusal is not None:
            return await self.session.refuse(group.refusal)
        if group.parts:
            return await self.session.admit_together(group.parts)
        if group.action is None:
            return self.session.opened
        owner = next(admitted)
        if isinstance(owner, Pending):
            refusal = _needs_approval(owner, in_transaction=self._status != "I")
            return await self.session.refuse(refusal)
        return owner

    async def _copy(self, grant: Grant) -> None:
        """Pass on what the client copies in, as far as it has come."""
        frames = bytearray()
        while self._backlog and self._copying is not None:
            match self._backlog.popleft():
                case f.CopyData() as message:
                    frames += message.encode()
                case f.CopyDone() | f.CopyFail() as message:
                    frames += message.encode()
                    self._copying = None
                case f.Flush() | f.Sync():
                    pass  # the server ignores these while it copies
                case _:
                    raise ProtocolError("only COPY messages are expected now")
        if frames:
            await self.session.copy_in(grant, bytes(frames))

    # -- server to client

    async def answer(self) -> None:
        """Word every event of every group, in the order of sending, for as long as it is called."""
        while True:
            owner, group = await self._turns.get()
            refusal = owner.refusal if isinstance(owner, Substitute) else None
            async with self.session.answers(owner) as events:
                async for event in events:
                    await self._deliver(event, owner, group, refusal)
            if self._turns.empty() or isinstance(group.messages[-1], f.Flush):
                await self._flush()

    async def _deliver(
        self, event: Event, owner: Grant | Substitute, group: Group, refusal: Refusal | None
    ) -> None:
        self._unwritten += worded(event, group.asks, refusal)
        if isinstance(event, Failed):
            self._copying = None
            self._planner.failed(group)
        if isinstance(event, Native):
            await self._state(event.message, owner)
        if len(self._unwritten) >= WRITE_BYTES:
            await self._flush()

    async def _state(self, message: bytes, owner: Grant | Substitute) -> None:
        """What the server's message means for what the client may send next."""
        tag = message[:1]
        if tag == b.ReadyForQuery.tag:
            self._status = chr(message[5])
            self._planner.ready(self._status)
            self._copying, self._in_flight = None, False
        elif tag == b.CopyInResponse.tag and isinstance(owner, Grant):
            self._copying = owner
        else:
            return
        await self._flush()
        self._moved.set()

    async def _flush(self) -> None:
        unwritten = bytes(self._unwritten)
        self._unwritten.clear()
        await self.client.write(unwritten)


def _needs_approval(pending: Pending, *, in_transaction: bool) -> Refusal:
    """Nobody waits for a person with a transaction open, or with a client that shows nothing."""
    first = "ROLLBACK; have" if in_transaction else "Have"
    page = f" on {pending.url}" if pending.url else ""
    return Refusal(
        code="APPROVAL_NEEDED",
        reason=f"The statement needs approval: ticket {pending.ticket}.",
        subject=pending.ticket,
        next_step=f"{first} somebody approve ticket {pending.ticket}{page};"
        " then repeat the statement.",
    )
