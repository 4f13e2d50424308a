"""One time limit over many waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.deadline import Deadline

pytestmark = pytest.mark.anyio


async def ready(*items: int) -> AsyncIterator[int]:
    for item in items:
        yield item


async def never() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 1


async def test_items_that_come_in_time_come_in_order_and_end() -> None:
    deadline, items = Deadline(60), ready(1, 2)
    assert [await deadline.bound(items) for _ in range(3)] == [1, 2, None]
    deadline.close()


async def test_waiting_past_the_deadline_is_cut_off_and_the_task_goes_on() -> None:
    deadline = Deadline(0)
    with pytest.raises(TimeoutError):
        await deadline.bound(never())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_need_not_be_waited_for_comes_after_the_deadline_too() -> None:
    deadline, items = Deadline(0), ready(1, 2)
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await deadline.bound(never())
    assert await deadline.bound(items) == 1
    await asyncio.sleep(0)  # a cancellation that was left over would strike here
    assert await deadline.bound(items) == 2


async def test_a_cancellation_of_somebody_elses_stays_one() -> None:
    async def waits() -> None:
        await Deadline(60).bound(never())

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_end_that_holds_the_cancellation_back_is_told() -> None:
    async def commits() -> AsyncIterator[str]:
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, done.set_result, None)
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                continue
        yield "committed"

    assert await Deadline(0).bound(commits()) == "committed"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
