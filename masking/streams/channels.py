"""Several streams of one session, such as stdout and stderr: each by itself, in one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from masking.streams.stream import Masked, Stream


class Given(NamedTuple):
    """What goes out on a channel now."""

    channel: str
    masked: Masked


class Channels:
    """Streams by name, made when they first speak. What goes out keeps the order in which it was
    let go, which is the recording's; within a channel that is the order in which it came.

    A value that is split over two channels is not one: each has its own reader.
    """

    def __init__(self, make: Callable[[], Stream]) -> None:
        self._make = make
        self._streams: dict[str, Stream] = {}

    @property
    def waiting(self) -> bool:
        """Whether anything is held back on any of them."""
        return any(stream.waiting for stream in self._streams.values())

    async def feed(self, channel: str, piece: bytes) -> list[Given]:
        """What may go out now that these bytes have come."""
        if channel not in self._streams:
            self._streams[channel] = self._make()
        return _given(channel, await self._streams[channel].feed(piece))

    async def tick(self, now: float) -> list[Given]:
        """What was held for too long."""
        return [
            given
            for channel, stream in self._streams.items()
            for given in _given(channel, await stream.tick(now))
        ]

    async def end(self) -> list[Given]:
        """The rest of all of them."""
        return [
            given
            for channel, stream in self._streams.items()
            for given in _given(channel, await stream.end())
        ]


def _given(channel: str, masked: Masked) -> list[Given]:
    return [Given(channel, masked)] if masked.output or masked.findings else []
