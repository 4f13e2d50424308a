"""One gateway for all attacks on SQL, over a database that somebody hostile has prepared."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.attacks_sql.doors import Doors, open_doors
from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer, execute

HOSTILE = (Path(__file__).parent / "hostile.sql").read_text()


@pytest.fixture(scope="package")
def world(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = build(tmp_path_factory.mktemp("attacks_sql"), postgres, secrets.token_hex(4))
    try:
        asyncio.run(execute(made.direct_dsn, HOSTILE))
        made.start()
        yield made
    finally:
        tear_down(made)


@pytest.fixture(scope="package")
async def doors(world: World, anyio_backend: str) -> AsyncIterator[Doors]:
    async with open_doors(world) as opened:
        yield opened


@pytest.fixture(autouse=True, scope="module")
def nobody_is_asked_any_more(world: World) -> Iterator[None]:
    """A person has so many requests open: those of other files must not be in the way."""
    yield
    denied = "UPDATE tickets SET state = 'denied' WHERE state = 'pending'"
    asyncio.run(execute(world.store_dsn, denied))
