"""One gateway for all attacks, with people of every kind; nothing may end it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.attacks.attacker import Attacker, open_attacker
from tests.e2e.conftest import module_worlds, worlds
from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer

__all__ = ["attacker", "module_worlds", "world", "worlds"]

pytest.register_assert_rewrite("tests.attacks.lines.guard")  # so that a failure shows the values


@pytest.fixture(scope="package")
def world(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = build(tmp_path_factory.mktemp("world"), postgres, secrets.token_hex(4))
    try:
        made.start()
        yield made
    finally:
        tear_down(made)


@pytest.fixture
async def attacker(world: World) -> AsyncIterator[Attacker]:
    async with open_attacker(world) as opened:
        yield opened
        await opened.check_still_sound()
