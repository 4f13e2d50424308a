"""`kill -9` of gateways at any moment under load, again and again. Each stage alone: line L03."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e import evidence
from tests.e2e.evidence import (
    check_accounts,
    check_dead_are_closed,
    effects,
    moments,
    still,
)
from tests.e2e.load import BUSY, kill_again_and_again
from tests.e2e.nursery import Nursery
from tests.e2e.world import World

pytestmark = pytest.mark.anyio
KILLS: Final = int(os.environ.get("OSTIARY_KILLS", "1000"))


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    """The gateway that lives on: approvals are given there, and the recording is verified."""
    made = module_worlds()
    made.direct_execute(evidence.TABLE)
    made.settings = evidence.settings(made, hold="50ms")
    made.start()
    return made


@pytest.fixture
def nursery(world: World) -> Iterator[Nursery]:
    with Nursery(world.environment, world.log) as opened:
        yield opened


@pytest.mark.parametrize("kills", [10, pytest.param(KILLS, marks=pytest.mark.full)])
async def test_killed_at_random_under_load_every_effect_has_its_intent(
    world: World, nursery: Nursery, kills: int
) -> None:
    """Several gateways on one store, killed while starting, writing, using tickets, streaming."""
    before = await effects(world)
    tally = await kill_again_and_again(world, kills, nursery)
    assert tally.stages[BUSY] <= kills // 50, tally.stages
    await still(world)
    new = await effects(world) - before
    assert new
    assert tally.answered <= set(new)
    await check_accounts(world)
    await check_dead_are_closed(world)
    print(f"{kills} kills: {dict(tally.stages)}; {dict(await moments(world))}")
