"""A connection whose caller speaks PostgreSQL's protocol and owns the transaction.

Each `send` or `stream` that the server answers is one turn, and has one `results`, in the same
order. Not in here: the caller's side of the wire (`listener`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from policies.errors import BackendUnavailable, ProtocolError
from policies.model import Connect, SqlPlan, SqlPrepare, SqlStatement, Stage
from policies.sql.copied import CopiedOut
from policies.sql.facts import Opaque, SqlEffect, SqlFacts
from recordings.events import Batch, Batches, Done, Event, Failed, Native
from server.connections import Heard, Surroundings
from server.credentials import Credentials, Role
from server.gate import Grant, Substitute
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.listening import Listening
from server.protocols.postgres.named_statements import BOUND, NamedStatements
from server.protocols.postgres.own_changes import OwnChanges
from server.protocols.postgres.search_path import PathFollower, SessionPath

log = logging.getLogger("ostiary.postgres")

REFUSED: Final = "42501"  # insufficient_privilege
# Seconds for a cancelled turn to end before the connection is dropped.
CANCEL_TIMEOUT: Final = 10.0

BOUND_BEFORE: Final = Opaque(
    "SEARCH_PATH",
    "What was bound before the search path was changed does not run after it.",
    "Bind the statement again, and run it at once.",
)

# Answers that end a message which has no result of its own.
_ACKNOWLEDGED: Final = (b.ParseComplete.tag, b.BindComplete.tag, b.CloseComplete.tag)
_STREAMED: Final = (f.Bind, f.Describe, f.Close, f.Flush, f.Sync)
_COPIED: Final = (f.CopyData, f.CopyDone, f.CopyFail)
# What a statement's grant may carry besides the statement itself.
_CARRIED: Final[Mapping[type, tuple[type[f.Command], ...]]] = {
    Connect: (f.Describe, f.Close, f.Flush, f.Sync, f.Terminate),
    SqlPrepare: (f.Parse, f.Describe, f.Close, f.Flush, f.Sync),
    SqlStatement: (f.Query, f.Execute, *_STREAMED, *_COPIED),
}


@dataclass(slots=True)
class PostgresNativeConnection:
    """One server connection of one caller."""

    link: Link
    role: Role
    credentials: Credentials
    named: NamedStatements = field(init=False)
    own_changes: OwnChanges = field(default_factory=OwnChanges)
    listening: Listening = field(default_factory=Listening)
    _following: PathFollower = field(init=False)
    _broken: bool = False

    def __post_init__(self) -> None:
        beginning = SessionPath.of((*self.link.target.path, "pg_temp"))
        self._following = PathFollower(self.credentials.user(self.role) or "", beginning)
        self.named = NamedStatements(self.link.conversation.names)
        self.link.conversation.hear = self.listening.hear

    def surroundings(self, *, write: bool) -> Surroundings:
        """The same for reads and writes: the role was chosen at Connect."""
        target = self.link.target
        return Surroundings(
            role=self.credentials.user(self.role),
            database=target.database,
            search_path=self.path or target.search_path,
            settings=target.native_settings(),
        )

    @property
    def path(self) -> tuple[str, ...] | None:
        """The search path that the next statement finds; None while it is the configured one."""
        following = self._following
        return None if following.path == following.reached.beginning else following.path

    def understood(self, action: SqlStatement | SqlPrepare | SqlPlan, facts: SqlFacts) -> SqlFacts:
        """The facts as they hold here: what was bound by another search path does not run."""
        if facts.copied is not None and facts.copied.layout is None:
            why, next_step = facts.copied.why, facts.copied.next_step
            opaque = Opaque("COPY_OUT", why, next_step)
            return replace(facts, effect=SqlEffect.OPAQUE, opaque=opaque)
        facts = self.own_changes.judged(facts)
        stage = action.stage if isinstance(action, SqlStatement) else Stage.WHOLE
        if stage is Stage.WHOLE or isinstance(action, SqlPrepare):
            return facts
        if facts.named is not None:
            return replace(facts, effect=SqlEffect.OPAQUE, opaque=BOUND)
        if facts.path_change is not None or (stage is Stage.EXECUTE and self._following.changed):
            return replace(facts, effect=SqlEffect.OPAQUE, opaque=BOUND_BEFORE)
        return facts

    def outdated(self) -> bool:
        """Whether the session has defined something since this was asked last."""
        stale, self.own_changes.stale = self.own_changes.stale, False
        return stale

    @property
    def time_limit(self) -> float:
        """The target's, which a session's own `statement_timeout` does not lift."""
        return self.link.target.statement_timeout

    def admitted(self, grant: Grant) -> None:
        """A grant was given that is sent next: what follows is judged as if it had run."""
        self.named.admitted(grant, self.path)
        action, judged = grant.request.action, grant.request.facts
        if isinstance(action, SqlStatement) and judged is not None:
            self.own_changes.note(judged, action.text)
        facts = _of_whole_statement(grant)
        if facts is not None:
            self._following.admitted(facts)

    async def send(self, granted: Grant | Substitute, messages: Sequence[object]) -> None:
        """Write the messages that were judged, or the marker in their place; starts a turn.

        In place of a refused message only its Sync, which holds nothing of the caller's, goes on.
        Raises `BackendUnavailable`.
        """
        if isinstance(granted, Substitute):
            marked = _marked(messages, granted.marker)
            await self._write(granted, marked, marker=granted.marker)
        else:
            await self._write(granted, _checked(granted, messages))

    async def send_together(self, grants: Sequence[Grant], messages: Sequence[object]) -> None:
        """Write one Query of several statements, each of which was judged; each is a turn.

        Raises `BackendUnavailable`.
        """
        actions = [grant.request.action for grant in grants]
        judged = "".join(a.text for a in actions if isinstance(a, SqlStatement))
        match messages:
            case [f.Query(text) as message] if text == judged:
                pass
            case _:
                self.link.close()
                raise PermissionError("the statements are not those that were judged")
        self._overhear()
        try:
            self.link.write(self.link.conversation.send_together(message, grants))
            await self.link.drain()
        except (OSError, ProtocolError) as error:
            raise self._lost(error) from None

    async def stream(self, grant: Grant, messages: Sequence[object]) -> None:
        """Write what the caller streams in; starts a turn only if the server answers it.

        Raises `BackendUnavailable`.
        """
        checked = _checked(grant, messages)
        if any(isinstance(m, (f.Parse, f.Query, f.Execute)) for m in checked):
            raise PermissionError("a statement is sent, not streamed")
        await self._write(grant, checked)

    async def _write(
        self, owner: Grant | Substitute, messages: list[f.Command], *, marker: str = ""
    ) -> None:
        self._overhear()  # what was not asked for is no answer to what is asked now
        if any(not isinstance(m, (f.Flush, f.Terminate, *_COPIED)) for m in messages):
            self.link.conversation.begin(owner, marker=marker)
        self.link.conversation.path = self._following.sent.path
        self.link.conversation.late = isinstance(owner, Grant) and _runs_by_name(owner)
        facts = _of_whole_statement(owner) if isinstance(owner, Grant) else None
        if facts is not None:
            self._following.sending(facts)
        try:
            self.link.write(b"".join(self._next(owner, message) for message in messages))
            await self.link.drain()
        except (OSError, ProtocolError) as error:
            raise self._lost(error) from None

    def _next(self, owner: Grant | Substitute, message: f.Command) -> bytes:
        """The bytes that were judged are the bytes that run: anything else is a bug of ours.

        After an error names mean what they did before it, and nothing runs by them.
        """
        conversation = self.link.conversation
        if isinstance(owner, Grant) and not conversation.skips(message):
            text, action = conversation.text_of(message), owner.request.action
            judged = action.text if isinstance(action, SqlPrepare | SqlStatement) else None
            if (text is not None and text != judged) or (text is None and self.named.has(message)):
                self.link.close()
                raise PermissionError("the statement is not the one that was judged")
        return conversation.send(message, copied=_copied(owner))

    @asynccontextmanager
    async def results(self, granted: Grant | Substitute) -> AsyncIterator[Batches]:
        """The events of the oldest turn, which must be this grant's.

        A turn that the server skipped, after an error before it, has none. Leaving the context
        early cancels what runs and drops what is left of the turn.
        """
        turn = self.link.conversation.oldest
        if turn is None or turn.owner is not granted:
            raise RuntimeError("results are taken in the order of sending")
        try:
            yield self._batches(granted)
        finally:
            if self.link.conversation.oldest is turn and not self._broken:
                await self._abandon()

    async def _batches(self, granted: Grant | Substitute) -> AsyncIterator[Batch]:
        acknowledged = ended = False
        while not ended:
            batch: list[Event] = []
            try:
                events, ended = await self.link.events()
                for event in events:
                    self._follow(event, granted)
                    acknowledged = self._add(batch, event, granted, acknowledged)
                self.link.conversation.tell()
            except (OSError, ProtocolError) as error:
                lost = self._lost(error)
                if batch:
                    yield Batch(batch)
                raise lost from None
            if ended and acknowledged:
                batch.append(Done(""))
            if batch:
                yield Batch(batch, ended)

    def _add(
        self, batch: list[Event], event: Event, granted: Grant | Substitute, acknowledged: bool
    ) -> bool:
        """Take one event up; whether something was acknowledged that has no result of its own."""
        if isinstance(event, Native):
            tag = event.message[:1]
            if tag in _ACKNOWLEDGED:
                acknowledged = True
            elif tag == b.ReadyForQuery.tag and acknowledged:
                batch.append(Done(""))
                acknowledged = False
        elif isinstance(event, Done | Failed):
            acknowledged = False
        batch.append(_worded(event, granted))
        return acknowledged

    def _follow(self, event: Event, granted: Grant | Substitute) -> None:
        """Keep the search path as the server has it. Raises `ProtocolError`."""
        match event:
            case Done() if isinstance(granted, Grant):
                self.named.succeeded(granted, event)
                self.listening.succeeded(granted, event)
                facts = _of_whole_statement(granted)
                if facts is not None:
                    self._following.succeeded(facts)
            case Failed():
                self._following.failed()
                self.listening.failed()
            case Native(message) if message[:1] == b.ReadyForQuery.tag:
                self._following.ready(self.link.conversation.status)
                self.own_changes.ready(self.link.conversation.status)
                self.named.ready(self.link.conversation.status)
                self.listening.ready(self.link.conversation.status)
                reported = self.link.conversation.parameters.get("search_path")
                if reported is not None:
                    self._following.check(reported)
            case _:
                pass

    def heard(self) -> Heard:
        """What came on channels that the session listens to since this was asked last."""
        return self.listening.take()

    def overhears(self) -> bool:
        """Take in what the server has said while nothing was asked, if the session listens.

        Whether it does. Raises `BackendUnavailable`.
        """
        if not self.listening.channels:
            return False
        self._overhear()
        return True

    def _overhear(self) -> None:
        try:
            self.link.overhear()
        except (OSError, ProtocolError) as error:
            raise self._lost(error) from None

    def wake(self, when_unasked: Callable[[], None]) -> None:
        """Have this called when the server says something that nobody waits for."""
        self.link.wire.unasked = when_unasked

    @property
    def process(self) -> int:
        """The server's number of this session."""
        return self.link.login.key.process if self.link.login.key else 0

    async def _abandon(self) -> None:
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT):
                if self.link.conversation.copying_in:
                    # A server that waits for COPY data does not look at cancel requests.
                    self.link.write(f.CopyFail("the client is gone").encode())
                await self.link.cancel()
                await self.link.finish_turn()
        except (OSError, TimeoutError, ProtocolError) as error:
            self._lost(error)
        except BaseException:
            self._broken = True
            raise

    def _lost(self, error: Exception) -> BackendUnavailable:
        name = self.link.target.name
        log.warning("target %s: connection lost: %s: %s", name, type(error).__name__, error)
        self._broken = True
        self.link.close()
        return unavailable(name)

    @property
    def parameters(self) -> Mapping[str, str]:
        """What the server reported about itself at login."""
        return self.link.parameters

    async def cancel(self) -> None:
        """Cancel what runs, as the caller asked with a CancelRequest; nothing is confirmed."""
        try:
            await self.link.cancel()
        except (OSError, TimeoutError) as error:
            log.warning("target %s: cancel: %s", self.link.target.name, type(error).__name__)

    async def close(self) -> None:
        """Cancel what still runs, and close."""
        if not self._broken and not self.link.conversation.idle:
            await asyncio.shield(asyncio.ensure_future(self.cancel()))
        self.link.close()


def _of_whole_statement(grant: Grant) -> SqlFacts | None:
    """The facts about a statement that is run by what the grant carries."""
    action = grant.request.action
    runs = isinstance(action, SqlStatement) and action.stage is Stage.WHOLE
    return grant.request.facts if runs else None


def _copied(owner: Grant | Substitute) -> CopiedOut | None:
    """What the statement that is granted copies to the client."""
    facts = owner.request.facts if isinstance(owner, Grant) else None
    return facts.copied if facts is not None else None


def _runs_by_name(grant: Grant) -> bool:
    facts = grant.request.facts
    return facts is not None and facts.named is not None and facts.named.runs


def _checked(grant: Grant, messages: Sequence[object]) -> list[f.Command]:
    """Each kind of grant carries certain messages; anything else is a bug of ours."""
    allowed = _CARRIED.get(type(grant.request.action), ())
    checked: list[f.Command] = []
    for message in messages:
        if not isinstance(message, allowed):
            raise PermissionError(f"this grant does not carry a {type(message).__name__}")
        checked.append(message)
    return checked


def _marked(messages: Sequence[object], marker: str) -> list[f.Command]:
    """The marker in the form that the server answers like the refused message, and its Sync."""
    if any(isinstance(message, f.Query | f.FunctionCall) for message in messages):
        return [f.Query(marker)]
    kept: list[f.Command] = [m for m in messages if isinstance(m, f.Sync | f.Flush)]
    return [f.Parse(marker, marker), *kept]


def _worded(event: Event, granted: Grant | Substitute) -> Event:
    """The server's error about a marker, in the gate's words."""
    if (
        isinstance(granted, Substitute)
        and isinstance(event, Failed)
        and granted.marker in event.message
    ):
        refusal = granted.refusal
        return Failed(REFUSED, f"{refusal.reason} {refusal.next_step}".strip())
    return event
