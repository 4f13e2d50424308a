"""Fixtures for every test; those by subject live in `tests/fixtures`."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.fixtures.postgres"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
