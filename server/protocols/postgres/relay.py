"""Between one client and its session: messages in, events out, both at once, in order.

`feed` admits and sends what the client asks for; `answer` words what comes back. One batch, up to
its Sync, is in flight at a time: what a name means after an error is known only then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from policies.errors import Denied, ProtocolError, Refusal
from policies.model import Action, SqlStatement
from recordings.events import Event, Failed, Native, Pending
from server.copied_in import CopiedIn
from server.gate import Grant, Substitute
from server.native.stay import Stay
from server.native_session import NativeSession
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.client import Client, ClientGone
from server.protocols.postgres.native import PostgresNativeConnection
from server.protocols.postgres.plan import ENDS_BATCH, Asks, Group, Planner, names_given
from server.protocols.postgres.wording import REFUSED, notified, waiting, worded
from server.write_back import COPIED_IN

# Small answers are written together, up to this many bytes.
WRITE_BYTES: Final = 64 * 1024
MOST_TOGETHER: Final = 200
"""Messages that are judged together: nobody else's are looked at meanwhile."""
_FLUSH: Final = (f.Flush(),)
_AT_REST: Final = b.ReadyForQuery("I").encode()
"""Only then does a server pass notifications on."""
_PARSED: Final = b.ParseComplete().encode()
_SAYS_NOTHING: Final = (f.Flush, f.Sync)
_PARSES: Final = (Asks.PREPARE, Asks.NOTHING)


@dataclass(slots=True)
class Relay:
    """One client's session at work.

    `idle_limit`: seconds that a client may hold a transaction open without saying anything, or
    leave answers unread. `quiet_limit`: the same outside a transaction, where there is one.
    `approval_wait`: seconds that a statement waits for a person. `process`: the number by which the
    client knows its session.
    """

    client: Client
    session: NativeSession
    connection: PostgresNativeConnection
    idle_limit: float
    quiet_limit: float | None = None
    approval_wait: float = 0.0
    process: int = 0
    _planner: Planner = field(default_factory=Planner)
    _backlog: deque[f.Command] = field(default_factory=deque)
    _turns: deque[tuple[Grant | Substitute, Group]] = field(default_factory=deque)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _in_flight: bool = False
    _copying: Grant | None = None
    _copied: CopiedIn | None = None
    _aborted: Substitute | None = None
    _status: str = "I"
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _unwritten: bytearray = field(default_factory=bytearray)
    _holds_open: bool = False
    _silence_ends: float | None = None
    _answering: bool = False
    _unanswered: bool = False
    _only_parsed: bool = True
    _waiting: bool = False
    _cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: Refusal | None = None
    _ended: Denied | None = None

    def __post_init__(self) -> None:
        self.connection.wake(self._woken.set)

    async def cancel(self) -> None:
        """The client asks for what runs to be cancelled, or waits no more for a person."""
        if self._waiting:
            self._cancelled.set()
        else:
            await self.session.connection.cancel()

    def stop(self, stay: Stay, refusal: Refusal) -> None:
        """End the session as soon as no statement runs and no transaction is open."""
        self._stopping = refusal
        if self._at_rest:
            stay.end(Denied(refusal))

    @property
    def _at_rest(self) -> bool:
        open_work = self._in_flight or self._holds_open or self._answering or self._waiting
        return not open_work and not self._turns and not self._backlog

    # -- client to server

    async def feed(self) -> None:
        """Admit and send until the client says it is done.

        Raises `Denied` for a client that keeps a transaction open and is silent.
        """
        while True:
            if self._in_flight and self._copying is None:
                await self._moved.wait()
                self._moved.clear()
            elif not self._backlog:
                if self._stopping is not None and self._at_rest:
                    raise Denied(self._stopping)
                self._backlog.extend(await self._heard())
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
        if self._backlog:
            await asyncio.sleep(0)  # others have their turn, also where nothing was waited for
            if isinstance(self._backlog[0], f.Terminate):
                return
        elif waiting:
            self._backlog.extend(await self._heard())
        self._backlog.extendleft(reversed(waiting))

    async def _heard(self) -> list[f.Command]:
        """What the client says next; without it the server keeps its answers to half a batch."""
        if self._unanswered:
            self._unanswered = False
            await self.session.stream(self.session.opened, _FLUSH)
        while True:
            try:
                messages = await self._said(self._silent_until())
            except TimeoutError:
                if not self._turns and not self._answering:
                    raise Denied(self._idle()) from None
                self._silence_ends = None
                continue
            if any(not isinstance(message, _SAYS_NOTHING) for message in messages):
                self._silence_ends = None
            return messages

    async def _said(self, until: float | None) -> list[f.Command]:
        if until is None:
            return await self.client.take()
        async with asyncio.timeout_at(until):
            return await self.client.take()

    def _silent_until(self) -> float | None:
        """By the loop's clock; None where there is no limit."""
        limit = self.idle_limit if self._holds_open else self.quiet_limit
        if limit is None:
            self._silence_ends = None
        elif self._silence_ends is None:
            self._silence_ends = asyncio.get_running_loop().time() + limit
        return self._silence_ends

    def _idle(self) -> Refusal:
        if self._holds_open or self.quiet_limit is None:
            return _idle_in_transaction(self.idle_limit)
        return _idle_session(self.quiet_limit)

    def _taken(self) -> list[f.Command]:
        taken: list[f.Command] = []
        while self._backlog and not isinstance(self._backlog[0], f.Terminate):
            taken.append(self._backlog.popleft())
            if isinstance(taken[-1], ENDS_BATCH) or len(taken) == MOST_TOGETHER:
                break
        return taken

    async def _send(self, groups: list[Group]) -> None:
        self.session.connection.named.announced(*names_given(groups))
        owners = await self._admit(groups)
        self._in_flight = any(isinstance(m, ENDS_BATCH) for g in groups for m in g.messages)
        self._holds_open |= bool(groups)
        self._only_parsed &= all(group.asks in _PARSES for group in groups)
        self._unanswered = bool(groups) and not self._in_flight
        for owner, group in zip(owners, groups, strict=True):
            if isinstance(owner, list):
                await self.session.send_together(owner, group.messages)
                for each in owner:
                    self._expect(each, group)
                continue
            if group.action is None and isinstance(owner, Grant):
                await self.session.stream(owner, group.messages)
            else:
                await self.session.send(owner, group.messages)
            if group.answered:
                self._expect(owner, group)

    async def _admit(self, groups: list[Group]) -> list[Grant | Substitute | list[Grant]]:
        actions = [group.action for group in groups if group.action is not None]
        self.session.meant = {
            id(group.action): group.meant for group in groups if group.meant is not None
        }
        admitted = iter(await self.session.admit_all(actions) if actions else ())
        return [await self._owner(group, admitted, groups) for group in groups]

    async def _owner(
        self,
        group: Group,
        admitted: Iterator[Grant | Substitute | Pending],
        together: Sequence[Group],
    ) -> Grant | Substitute | list[Grant]:
        if group.refusal is not None:
            return await self.session.refuse(group.refusal)
        if group.parts:
            return await self.session.admit_together(group.parts)
        if group.action is None:
            return self.session.opened
        owner = next(admitted)
        if not isinstance(owner, Pending):
            return owner
        if await self._may_wait(group, together):
            return await self._approved(owner, group.action)
        return await self._not_approved(owner)

    async def _not_approved(self, pending: Pending) -> Substitute:
        refusal = _needs_approval(pending, in_transaction=self._status != "I")
        return await self.session.refuse(refusal)

    async def _may_wait(self, group: Group, together: Sequence[Group]) -> bool:
        """Only where nothing is held open for a person, and nothing else hangs on the answer.

        What was only parsed before is settled first: the server keeps a transaction open for it.
        """
        runs = [each for each in together if each.asks not in _PARSES]
        ends = isinstance(together[-1].messages[-1], ENDS_BATCH)
        busy = self._status != "I" or bool(self._turns) or self._answering
        if not self.approval_wait or runs != [group] or not ends or group.action is None or busy:
            return False
        if isinstance(group.action, SqlStatement) and await self.session.takes_in(group.action):
            return False
        if self._holds_open and not self._only_parsed:
            return False
        if self._holds_open:
            await self._settle_parsed()
        return self._status == "I"

    async def _settle_parsed(self) -> None:
        """Have the server end the batch so far; its client is not told."""
        sync = Group(Asks.NOTHING, [f.Sync()], (0, 0), hidden=True)
        self._moved.clear()
        await self.session.stream(self.session.opened, sync.messages)
        self._expect(self.session.opened, sync)
        await self._moved.wait()
        self._moved.clear()

    async def _approved(self, pending: Pending, action: Action | None) -> Grant | Substitute:
        """Wait for a person, and admit anew; a client that goes away takes its request back."""
        if action is None:
            return await self._not_approved(pending)
        await self.client.write(waiting(pending.ticket, pending.url, self.approval_wait))
        self._waiting = True
        self._cancelled.clear()
        asked = asyncio.ensure_future(
            self.session.await_approval(pending, action, seconds=self.approval_wait)
        )
        given_up = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait((asked, given_up), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                await self.session.withdraw(pending)
                return await self.session.refuse(_cancelled(pending))
            owner = asked.result()
            return await self._not_approved(owner) if isinstance(owner, Pending) else owner
        except asyncio.CancelledError:
            await asyncio.shield(self.session.withdraw(pending))
            raise
        finally:
            self._waiting = False
            await _stopped(asked, given_up)

    async def _copy(self, grant: Grant) -> None:
        """Pass on what the client copies in, as far as it has come."""
        messages: list[f.CopyData | f.CopyDone | f.CopyFail] = []
        while self._backlog and self._copying is not None:
            match self._backlog.popleft():
                case f.CopyData() as message if self._writes_back(message):
                    await self._abort(grant)
                    return
                case f.CopyDone() if self._writes_back(None):
                    await self._abort(grant)
                    return
                case f.CopyData() as message:
                    messages.append(message)
                case f.CopyDone() | f.CopyFail() as message:
                    messages.append(message)
                    self._copying = None
                case f.Flush() | f.Sync():
                    pass  # the server ignores these while it copies
                case _:
                    raise ProtocolError("only COPY messages are expected now")
        if messages:
            frames = b"".join(message.encode() for message in messages)
            await self.session.copy_in(grant, messages, frames)

    def _writes_back(self, message: f.CopyData | None) -> bool:
        """Whether a mask of ours stands in the message, or, at the end, in what was left."""
        if self._copied is None:
            raise ProtocolError("nothing is copied in now")
        return self._copied.end() if message is None else self._copied.feed(message.content)

    async def _abort(self, grant: Grant) -> None:
        """Let the target end the COPY with an error in its place; what came with it is dropped."""
        self._copying = None
        self._aborted = await self.session.refuse(COPIED_IN)
        await self.session.stream(grant, [f.CopyFail(self._aborted.marker)])

    # -- server to client

    async def answer(self) -> None:
        """Word every event of every group, in the order of sending, for as long as it is called."""
        while True:
            owner, group = await self._turn()
            refusal = owner.refusal if isinstance(owner, Substitute) else None
            self._answering = True
            async with self.session.answers(owner) as batches:
                async for batch in batches:
                    for event in batch.events:
                        await self._deliver(event, owner, group, refusal)
            self._answering = False
            if not self._turns or isinstance(group.messages[-1], f.Flush):
                await self._flush()

    def _expect(self, owner: Grant | Substitute, group: Group) -> None:
        self._turns.append((owner, group))
        self._woken.set()

    async def _turn(self) -> tuple[Grant | Substitute, Group]:
        """The oldest; while there is none, what comes on channels is passed on."""
        while not self._turns:
            self._woken.clear()
            if self.connection.overhears() and self._status == "I":
                await self._tell()
                await self._flush()
            if self._ended is not None:
                break
            await self._woken.wait()
        if self._ended is not None:
            raise self._ended
        return self._turns.popleft()

    async def _tell(self) -> None:
        """What came on channels, before what its client hears next. A refusal ends the session."""
        try:
            told = await self.session.notified()
        except Denied as denied:
            self._ended = denied
            return
        for each in told:
            own = each.process == self.connection.process
            self._unwritten += notified(each, process=self.process if own else each.process)

    async def _deliver(
        self, event: Event, owner: Grant | Substitute, group: Group, refusal: Refusal | None
    ) -> None:
        if self._aborted is not None and isinstance(event, Failed):
            event, refusal = Failed(REFUSED, ""), self._aborted.refusal
            self._aborted = None
        if isinstance(event, Native) and event.message == _AT_REST:
            await self._tell()
        if not group.hidden:
            self._unwritten += worded(event, group.asks, refusal)
        if isinstance(event, Failed):
            self._copying = None
            self._planner.failed(group)
        if isinstance(event, Native) and event.message == _PARSED:
            self._planner.parsed(group)
        elif isinstance(event, Native):
            await self._state(event.message, owner)
        if len(self._unwritten) >= WRITE_BYTES:
            await self._flush()

    async def _state(self, message: bytes, owner: Grant | Substitute) -> None:
        """What the server's message means for what the client may send next."""
        tag = message[:1]
        if tag == b.ReadyForQuery.tag:
            self._status = chr(message[5])
            if self._holds_open != (self._status != "I"):
                self._silence_ends = None
            self._holds_open = self._status != "I"
            self._only_parsed = True
            self._planner.ready(self._status)
            self._copying, self._in_flight = None, False
        elif tag == b.CopyInResponse.tag and isinstance(owner, Grant):
            self._copying = owner
            self._copied = CopiedIn(self.session.gate.masker.holds_masks)
        else:
            return
        await self._flush()
        self._moved.set()

    async def _flush(self) -> None:
        """What waits for a client that does not read holds the transaction open, like its silence.

        Raises `ClientGone` past the same limit: nothing that is said would reach it.
        """
        if not self._unwritten:
            return
        taken_in = self.client.put(bytes(self._unwritten))
        self._unwritten.clear()
        if taken_in:
            return
        try:
            async with asyncio.timeout(self.idle_limit):
                await self.client.drain()
        except TimeoutError:
            raise ClientGone from None


async def _stopped(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _cancelled(pending: Pending) -> Refusal:
    return Refusal(
        code="APPROVAL_CANCELLED",
        reason="The statement was cancelled, and its request for approval taken back.",
        subject=pending.ticket,
        next_step="Repeat the statement to ask again.",
    )


def _idle_session(limit: float) -> Refusal:
    return Refusal(
        code="IDLE_SESSION",
        reason=f"The session said nothing for {limit:g} s.",
        next_step="Connect again.",
    )


def _idle_in_transaction(limit: float) -> Refusal:
    return Refusal(
        code="IDLE_IN_TRANSACTION",
        reason=f"The session kept a transaction open for {limit:g} s without a statement.",
        next_step="Connect again, and end a transaction when its last statement has run.",
    )


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
