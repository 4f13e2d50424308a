"""A deadline ends what is late, and waits once more where this process itself was held up."""

from __future__ import annotations

import asyncio

import pytest

from server.parsing import patience
from server.parsing.patience import Patience

pytestmark = pytest.mark.anyio


async def test_it_ends_when_the_time_is_over() -> None:
    ended = asyncio.Event()
    Patience(0.0, ended.set)
    async with asyncio.timeout(30):
        await ended.wait()


async def test_it_does_not_end_what_came_in_time() -> None:
    ended, later = asyncio.Event(), asyncio.Event()
    Patience(0.0, ended.set).cancel()
    Patience(0.0, later.set)
    async with asyncio.timeout(30):
        await later.wait()
    assert not ended.is_set()


async def test_a_process_that_was_held_up_waits_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HELD_UP", -1.0)  # as if every timer were late
    monkeypatch.setattr(patience, "AGAIN", 0.05)
    ended, between = asyncio.Event(), asyncio.Event()
    Patience(0.0, ended.set)
    asyncio.get_running_loop().call_later(0.0, between.set)
    async with asyncio.timeout(30):
        await between.wait()
        assert not ended.is_set()
        await ended.wait()
