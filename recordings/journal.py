"""The journal: what must be durable before anything happens, and what follows. One a process.

Two streams, each with a connection and a writer task of its own, so that bulk never delays a
decision: `commit` waits for its record to be durable, `accept` for room in a bounded queue.
Records of one process have strictly rising times, over both streams: that is their causal order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from recordings.anchors import Head
from recordings.chain import DigestKey, Entry, Json, canonical
from recordings.clock import StoreClock
from recordings.decisions import Decisions
from recordings.errors import SESSION_LOST, JournalUnavailable
from recordings.interrupted import Interrupted, close_dead_writers, interrupted_sessions
from recordings.outlet import Outlet
from recordings.results import STALL_WITHIN, ResultQueue
from recordings.store import STORE_ERRORS, Store
from recordings.streams import Writer

__all__ = ["DigestKey", "Journal", "JournalUnavailable", "Json", "Record"]

REAP_WITHIN: Final = 30.0  # seconds
CLOSE_WITHIN: Final = 5.0  # seconds
INTERRUPTED_AT_ONCE: Final = 500


class Record(NamedTuple):
    """One thing that happened. `session` is empty for what belongs to none.

    The document says what it was; `body` is what retention may delete: a statement, rows.
    """

    session: str
    kind: str
    document: Mapping[str, Json]
    body: bytes = b""


@dataclass(slots=True)
class Journal:
    """Takes records, or raises `JournalUnavailable`. Made by `Journal.open`."""

    store: Store
    _key: DigestKey
    _clock: StoreClock
    refusing: str = ""
    """Why nothing new may be committed, although the store could take it; empty: it may."""
    _opened: set[str] = field(default_factory=set)
    _lost: set[str] = field(default_factory=set)
    _writer: Writer = field(init=False)
    _decisions: Decisions = field(init=False)
    _results: ResultQueue = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        gateway: str,
        digest_key: DigestKey,
        stall_within: float = STALL_WITHIN,
    ) -> Journal:
        """Open both streams, and close the sessions of processes that died.

        `gateway` names this process for readers; `stall_within` is how many seconds results wait
        for a store that takes nothing. Raises `JournalUnavailable`.
        """
        journal = cls(store, digest_key, StoreClock())
        writer = Writer(store, gateway, digest_key, journal._clock, on_lost=journal._lose)
        journal._writer = writer
        journal._decisions = Decisions(Outlet(writer, "decisions"), journal._lost.__contains__)
        outlet = Outlet(writer, "results")
        journal._results = ResultQueue(outlet, journal._clock.stamp, stall_within)
        try:
            await journal._start()
        except BaseException:
            await journal.close()
            raise
        return journal

    async def commit(self, *records: Record) -> None:
        """All of these are durable on return, or none that anybody may act on.

        Raises `JournalUnavailable` within 2 s, and `ValueError` for a document that isn't JSON.
        """
        self._refuse_without_writers()
        if self.refusing:
            raise JournalUnavailable(self.refusing)
        if not records:
            return
        entries = [self._entry(r, at=self._clock.stamp()) for r in records]
        self._opened.update(r.session for r in records if r.kind == "session_opened")
        await self._decisions.commit(entries)
        self._opened.difference_update(_closed(records))

    async def accept(self, record: Record) -> None:
        """Queue what was delivered, waiting for room; durable within 1 s.

        Raises `JournalUnavailable`: then the record wasn't taken, and nothing may be delivered.
        """
        if not self.accept_now(record):
            await self._results.accept(self._entry(record, at=0))
            self._forget_closed(record)

    def accept_now(self, record: Record) -> bool:
        """The same where nothing need be waited for; false, and nothing done, where it must be."""
        self._refuse_without_writers()
        taken = self._results.takes(self._entry(record, at=self._clock.stamp()))
        if taken:
            self._forget_closed(record)
        return taken

    def _forget_closed(self, record: Record) -> None:
        if record.kind == "session_closed":
            self._opened.discard(record.session)

    async def flush(self) -> None:
        """Wait until everything accepted is durable. Raises `JournalUnavailable`."""
        self._refuse_without_writers()
        await self._results.flush()

    def heads(self) -> list[Head]:
        """The newest record of each of this process's own streams, as it was written."""
        streams = (self._decisions.outlet.stream, self._results.outlet.stream)
        return [Head(s.number, s.id, s.sequence, s.head) for s in streams if s is not None]

    def seal(self, content: bytes) -> bytes:
        """Proof of content that is not kept: a secret that a request held. Same key, same seal."""
        return self._key.seal(content)

    async def reap(self) -> int:
        """Close the sessions of processes that died: how many. Raises `JournalUnavailable`.

        To be called every 30 s or so.
        """
        self._refuse_without_writers()
        try:
            async with asyncio.timeout(REAP_WITHIN):
                return await close_dead_writers(
                    self.store.pool, own=self._writer.number, close=self._close_interrupted
                )
        except STORE_ERRORS as error:
            raise JournalUnavailable("the journal can't be read now; try again") from error

    async def close(self) -> None:
        """Write what is queued, end both streams in order, and stop. Never raises for the store.

        Sessions that are still open end as interrupted. Where the store can't be reached, another
        process finds them.
        """
        with contextlib.suppress(JournalUnavailable, *STORE_ERRORS):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.flush()
                open_sessions = await interrupted_sessions(self.store.pool, self._writer.number)
                await self._close_interrupted(open_sessions)
        await self._stop()
        with contextlib.suppress(*STORE_ERRORS):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._writer.end()

    async def _start(self) -> None:
        await self._decisions.outlet.ready()
        await self._results.outlet.ready()
        self._tasks.append(asyncio.create_task(self._decisions.run(), name="journal decisions"))
        self._tasks.append(asyncio.create_task(self._results.run(), name="journal results"))
        await self.reap()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._results.outlet.close()
        await self._decisions.outlet.close()

    def _refuse_without_writers(self) -> None:
        """A writer task ends by `close` or by a defect; either way nothing may happen any more."""
        if self._tasks:
            for task in self._tasks:
                if task.done():
                    break
            else:
                return
        raise JournalUnavailable("the journal has stopped")

    def _entry(self, record: Record, *, at: int) -> Entry:
        if record.session in self._lost:
            raise JournalUnavailable(SESSION_LOST)
        _refuse_unstorable(record.session + record.kind)
        document, digest = canonical(record.document), self._key.digest(record.body)
        return Entry(at, record.session, record.kind, document, record.body, digest)

    def _lose(self) -> None:
        """Others took this process for dead and closed its sessions: those are over."""
        self._lost.update(self._opened)
        self._opened.clear()

    async def _close_interrupted(self, sessions: Sequence[Interrupted]) -> None:
        self._clock.later_than(max((s.last for s in sessions), default=0))
        for start in range(0, len(sessions), INTERRUPTED_AT_ONCE):
            batch = sessions[start : start + INTERRUPTED_AT_ONCE]
            await self.commit(*(_interrupted_record(s) for s in batch))


def _closed(records: Iterable[Record]) -> set[str]:
    return {r.session for r in records if r.kind == "session_closed"}


def _interrupted_record(session: Interrupted) -> Record:
    unknown: list[Json] = [
        {"stream": i.stream, "sequence": i.sequence, "action": i.action} for i in session.intents
    ]
    document: dict[str, Json] = {"end": "interrupted", "intents_without_outcome": unknown}
    return Record(session.id, "session_closed", document)


def _refuse_unstorable(name: str) -> None:
    """One such name would spoil the commit of everybody else's records."""
    if not name.isprintable():
        raise ValueError("a session or a kind of record has a name that can't be stored")
