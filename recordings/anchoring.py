"""When heads are anchored: at the start, on a timer where they moved, and at the end of streams.

Own streams are anchored as this process wrote them, not as the store has them by then. Streams that
others left closed are anchored as they are found. Which line that was, the chain says in a record,
so that a file that was cut or removed is missed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from policies.errors import BackendUnavailable
from recordings.anchor_file import AnchorFile
from recordings.anchors import Head, Tip
from recordings.chain import Json
from recordings.checks import ANCHORED
from recordings.journal import Journal, Record
from recordings.store import STORE_ERRORS

_log = logging.getLogger(__name__)

REFUSE_AFTER: Final = 300.0  # seconds without an anchor that was due
REFUSING: Final = (
    "the recording can't be anchored outside the store, see the gateway's log; nothing runs until"
    " it can"
)

_CLOSED: Final = """
SELECT number, id::text AS id, last_sequence, last_hash FROM streams
WHERE closed_at > clock_timestamp() - interval '1 day' AND last_sequence > 0
ORDER BY number
"""


@dataclass(slots=True)
class Anchoring:
    """Anchors the heads of a journal's store in one file. `place` names the file: host:path."""

    journal: Journal
    file: AnchorFile
    place: str
    every: float
    refuse_after: float = REFUSE_AFTER
    monotonic: Callable[[], float] = time.monotonic
    _anchored: dict[int, int] = field(default_factory=dict)
    _closed: set[tuple[int, str]] = field(default_factory=set)
    _failing_since: float | None = None

    async def begin(self) -> None:
        """Anchor what is there. Raises `OSError`, and `BackendUnavailable` for the journal."""
        self._closed |= await asyncio.to_thread(self.file.ends)
        await self._note(await self._append(await self._moved()))

    async def run(self) -> None:
        """The timer; ends by being cancelled."""
        while True:
            await asyncio.sleep(self.every)
            await self.look()

    async def look(self) -> None:
        """Anchor what has moved; where that fails for too long, the journal refuses."""
        try:
            tip = await self._append(await self._moved())
        except OSError as error:
            self._failed(error)
            return
        if tip is None:  # nothing was written, so nothing is known to work again
            return
        self._failing_since, self.journal.refusing = None, ""
        with suppress(BackendUnavailable):  # the next line is noted, and with it this one
            await self._note(tip)

    async def end(self) -> None:
        """Anchor the last records of a journal that was closed. Never raises for the file."""
        heads = [replace(head, closed=True) for head in self.journal.heads()]
        try:
            await self._append(heads)
        except OSError as error:
            _log.error("the end of the recording was not anchored: %s", error)

    async def _moved(self) -> list[Head]:
        own = [h for h in self.journal.heads() if h.sequence > self._anchored.get(h.stream, -1)]
        return [*own, *await self._left_closed()]

    async def _left_closed(self) -> list[Head]:
        """Streams that end, of this process or of one that died. The file is not for want of it."""
        with suppress(*STORE_ERRORS):
            rows = await self.journal.store.pool.fetch(_CLOSED, timeout=2.0)
            heads = (
                Head(r["number"], r["id"], r["last_sequence"], r["last_hash"], closed=True)
                for r in rows
            )
            return [head for head in heads if (head.stream, head.id) not in self._closed]
        return []

    async def _append(self, heads: Sequence[Head]) -> Tip | None:
        if not heads:
            return None
        tip = await asyncio.shield(asyncio.to_thread(self.file.append, heads))
        for head in heads:
            self._anchored[head.stream] = head.sequence
            if head.closed:
                self._closed.add((head.stream, head.id))
        return tip

    async def _note(self, tip: Tip | None) -> None:
        """Say in the chain what was anchored; that record alone is no reason to anchor again."""
        if tip is None:
            return
        document: dict[str, Json] = {
            "log": tip.log,
            "place": self.place,
            "line": tip.line,
            "hash": tip.hash.hex(),
        }
        before = dict(self._anchored)
        await self.journal.commit(Record("", ANCHORED, document))
        for head in self.journal.heads():
            if head.sequence == before.get(head.stream, -1) + 1:
                self._anchored[head.stream] = head.sequence

    def _failed(self, error: OSError) -> None:
        now = self.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        _log.error("the recording was not anchored: %s", error)
        if now - self._failing_since >= self.refuse_after:
            self.journal.refusing = REFUSING
