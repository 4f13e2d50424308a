"""One gateway for the tests of a module; those that break it build their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer

for shared in ("evidence", "load", "policy_sets"):
    pytest.register_assert_rewrite(f"tests.e2e.{shared}")  # so that a failure shows the values


@pytest.fixture(scope="module")
def world(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = build(tmp_path_factory.mktemp("world"), postgres, secrets.token_hex(4))
    try:
        made.start()
        yield made
    finally:
        tear_down(made)


@pytest.fixture
def worlds(postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make worlds with settings of one's own; they are torn down after the test."""
    yield from _made(postgres, tmp_path)


@pytest.fixture(scope="module")
def module_worlds(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., World]]:
    """The same; they are torn down after the module."""
    yield from _made(postgres, tmp_path_factory.mktemp("worlds"))


def _made(postgres: PostgresServer, parent: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**settings: Any) -> World:
        directory = parent / secrets.token_hex(4)
        directory.mkdir()
        made.append(build(directory, postgres, secrets.token_hex(4), **settings))
        return made[-1]

    yield make
    for each in made:
        tear_down(each)
