"""The built-ins that case files stand on are those of a real, empty PostgreSQL."""

from __future__ import annotations

import pytest

from policies.case_catalogs import postgres_builtins
from tests.fixtures.postgres import PostgresDatabase
from tests.policies.builtins import builtins

pytestmark = pytest.mark.anyio


async def test_the_written_builtins_are_the_servers(database: PostgresDatabase) -> None:
    read = await builtins(database)
    written = postgres_builtins()
    assert (read.functions, read.operators, read.types) == (
        written.functions,
        written.operators,
        written.types,
    ), "write them anew: python -m tests.policies.builtins"
