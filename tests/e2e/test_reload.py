"""Policies that change while the gateway runs: taken in as a whole, or not at all."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.e2e.policy_sets import starter_copy
from tests.e2e.test_main_job import refusal, run_sql
from tests.e2e.world import World

pytestmark = pytest.mark.anyio
READ = "SELECT count(*) FROM orders"
WITHIN = 20.0  # seconds
CLOSED = (
    '@id("{id}")\n@reason("Nobody reads orders now.")\n'
    'forbid (principal, action == Action::"sql.select", resource == Table::"shop/public/orders");\n'
)
BROKEN = '@id("half-written")\nforbid (principal, action == Action::"sql.slect", resource);\n'


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.settings = {"policies": str(starter_copy(made.directory / "policies"))}
    made.start()
    return made


@pytest.fixture
def policies(world: World) -> Path:
    return world.directory / "policies"


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN):
        while not await true():
            await asyncio.sleep(0.1)


async def refused_by(client: Client) -> str:
    """The policy that refuses reading orders; empty if none does."""
    result = await run_sql(client, READ)
    return str(refusal(result)["policy"]) if result.is_error else ""


async def recorded(world: World, kind: str) -> list[dict[str, Any]]:
    query = "SELECT document FROM records WHERE kind = $1 ORDER BY at"
    async with world.journal() as journal:
        return [json.loads(row[0]) for row in await journal.fetch(query, kind)]


async def test_a_changed_set_takes_effect_and_is_recorded(world: World, policies: Path) -> None:
    before = await recorded(world, "policy_loaded")
    async with world.mcp("rita") as client:
        assert await refused_by(client) == ""
        (policies / "closed.cedar").write_text(CLOSED.format(id="orders-are-closed"))

        async def closed() -> bool:
            return await refused_by(client) == "orders-are-closed"

        await until(closed)
        (policies / "closed.cedar").unlink()

        async def open_again() -> bool:
            return await refused_by(client) == ""

        await until(open_again)
    loaded = [document["version"] for document in await recorded(world, "policy_loaded")]
    first, second, third = loaded[len(before) - 1 :]
    assert first == third != second


async def test_a_broken_set_changes_nothing_and_is_logged_and_recorded_until_it_is_mended(
    world: World, policies: Path
) -> None:
    """Files that are good by themselves do not come in beside one that is broken."""
    broken = policies / "broken.cedar"
    broken.write_text(BROKEN)
    (policies / "closed.cedar").write_text(CLOSED.format(id="good-but-together"))

    async def rejected() -> bool:
        return bool(await recorded(world, "policy_rejected"))

    async with world.mcp("rita") as client:
        await until(rejected)
        assert await refused_by(client) == ""
        (document, *_) = await recorded(world, "policy_rejected")
        for words in (document["why"], world.log.read_text()):
            assert f"{broken}:1: policy half-written" in words
        broken.unlink()

        async def closed() -> bool:
            return await refused_by(client) == "good-but-together"

        await until(closed)


async def test_a_directory_that_is_gone_leaves_the_old_set_in_force(
    world: World, policies: Path
) -> None:
    before = len(await recorded(world, "policy_rejected"))
    shutil.move(policies, policies.with_name("elsewhere"))

    async def rejected() -> bool:
        return len(await recorded(world, "policy_rejected")) > before

    async with world.mcp("rita") as client:
        await until(rejected)
        said = refusal(await run_sql(client, "DROP TABLE orders"))
        assert said["policy"] == "no-schema-changes"
    assert world.cli("rita", "whoami").returncode == 0
