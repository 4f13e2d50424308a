"""Between events that come together and events one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from recordings.events import Batch, Batches, Event, Results


async def each(batches: Batches) -> AsyncGenerator[Event]:
    """The events of all of them."""
    async for batch in batches:
        for event in batch.events:
            yield event


async def one_by_one(results: Results) -> AsyncGenerator[Batch]:
    """Each event by itself, as it comes."""
    async for event in results:
        yield Batch((event,))
