"""`ostiary serve` with nothing of its own to connect to: the store that it keeps by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.test_main_job import run_sql, words
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
async def test_a_gateway_without_a_store_of_ours_starts_and_remembers(
    worlds: Callable[..., World], arguments: tuple[str, ...]
) -> None:
    world = worlds()
    world.settings = {"state": str(world.directory / "state"), "store": {}}
    for _ in range(2):
        world.start(*arguments)
        async with world.mcp("rita") as client:
            result = await run_sql(client, "SELECT 1")
            assert not result.is_error, words(result)
        world.stop()
        assert not (world.directory / "state" / "postgres" / "data" / "postmaster.pid").exists()
    world.start(*arguments)
    listed = world.cli("victor", "sessions", "list").stdout
    assert listed.count("demo:rita") == 2, listed
    said = f"serving {world.url}, postgres at 127.0.0.1:{world.listener}\n"
    assert world.log.read_text().count(said) == 3
