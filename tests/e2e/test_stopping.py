"""SIGTERM and SIGINT end the gateway in order: what was delivered is recorded, streams closed."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.e2e.test_main_job import run_sql
from tests.e2e.world import World

pytestmark = pytest.mark.anyio
OPEN = (
    "SELECT (SELECT count(*) FROM writers WHERE ended_at IS NULL)"
    " + (SELECT count(*) FROM streams WHERE closed_at IS NULL OR last_hash IS NULL)"
)


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    return module_worlds()


@pytest.mark.parametrize(
    "asked", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.full)]
)
async def test_a_signal_ends_the_gateway_and_closes_its_recording(
    world: World, asked: signal.Signals
) -> None:
    world.start()
    async with world.mcp("rita") as client:
        result = await run_sql(client, "SELECT 1")
    assert world.process is not None
    world.process.send_signal(asked)
    assert world.process.wait(timeout=30) == 0, world.log.read_text()
    assert result.structured_content is not None
    session = result.structured_content["session"]
    async with world.journal() as journal:
        assert await journal.fetchval(OPEN) == 0
        kinds = await journal.fetch("SELECT kind FROM records WHERE session = $1", session)
    assert {"rows", "outcome", "session_closed"} <= {row[0] for row in kinds}
    assert world.complaints == ""
