"""Where records go out: a stream that is opened when needed, and anew after any failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from recordings.chain import Entry
from recordings.errors import JournalUnavailable
from recordings.store import STORE_ERRORS, AnyConnection
from recordings.streams import Stream, Writer

WRITE_WITHIN: Final = 1.5  # seconds for one write, and for opening a stream
CLOSE_WITHIN: Final = 2.0  # seconds
LOOK_AGAIN: Final = 1.0  # seconds between attempts to have a stream again
DOWN: Final = "the journal can't be written now, and nothing runs that it can't take; try again"


@dataclass(slots=True)
class Outlet:
    """A stream that is opened when needed, and given up and opened anew after any failure."""

    writer: Writer
    role: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stream: Stream | None = None
    _lost: Stream | None = None

    async def ready(self) -> int:
        """Have a stream: how many records of a failed write turned out to be written.

        Raises `JournalUnavailable`.
        """
        if self._alive():
            return 0
        self._give_up()
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                self.stream, written = await self.writer.open_stream(self.role, after=self._lost)
        except STORE_ERRORS as error:
            raise JournalUnavailable(DOWN) from error
        self._lost = None
        self.stream.connection.add_termination_listener(self._wake)
        return written

    async def write(self, entries: Sequence[Entry]) -> None:
        """Append to the stream that is ready. Raises `JournalUnavailable`."""
        if self.stream is None:
            raise JournalUnavailable(DOWN)
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                await self.stream.append(entries)
        except STORE_ERRORS as error:
            self._give_up()
            raise JournalUnavailable(DOWN) from error
        except BaseException:
            self._give_up()
            raise

    async def woken(self) -> None:
        """Wait until there is something to write, or a lost stream to be had again."""
        if self._alive():
            await self.wake.wait()
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await self.wake.wait()
        self.wake.clear()

    async def close(self) -> None:
        """End the stream in order where the store can be reached."""
        if self.stream is None:
            return
        self.stream.connection.remove_termination_listener(self._wake)
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.stream.close()
        except STORE_ERRORS:
            self.stream.connection.terminate()

    def _alive(self) -> bool:
        return self.stream is not None and not self.stream.connection.is_closed()

    def _wake(self, _: AnyConnection) -> None:
        """A lost lock is taken again at once, before others take this process for dead."""
        self.wake.set()

    def _give_up(self) -> None:
        if self.stream is not None:
            self.stream.connection.remove_termination_listener(self._wake)
            self.stream.connection.terminate()
            self._lost, self.stream = self.stream, None
