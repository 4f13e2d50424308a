"""Gateways of a line's own, beside the one that all attacks share."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.attacks.lines.guard import HOSTILE, PREPARED, Guard, open_guard
from tests.e2e.conftest import module_worlds
from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer

__all__ = ["module_worlds"]


@pytest.fixture(scope="package")
def sql_world(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A gateway over a database that somebody hostile has prepared."""
    directory = tmp_path_factory.mktemp("sql_world")
    hold = {"expire_after": "15m", "hold": "1ms", "native": "1ms"}
    made = build(directory, postgres, secrets.token_hex(4), approvals=hold)
    try:
        made.direct_execute(HOSTILE.read_text())
        made.direct_execute(PREPARED.read_text())
        made.start()
        yield made
    finally:
        tear_down(made)


@pytest.fixture(scope="package")
async def guard(sql_world: World, anyio_backend: str) -> AsyncIterator[Guard]:
    async with open_guard(sql_world) as opened:
        yield opened
