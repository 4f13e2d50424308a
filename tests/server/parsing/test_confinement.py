"""What a parser that was taken over could reach: no secret, file, socket or process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.parsing.pools import ask, spiteful

pytestmark = pytest.mark.anyio


async def test_no_secret_of_the_gateway_is_in_a_parsers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OSTIARY_BACKEND_PASSWORD", "canary-7f3a")
    async with spiteful() as pool:
        facts = await ask(pool, "SELECT 1 /* environment */")
    assert facts.opaque is None
    assert not {name for name in facts.functions if "OSTIARY" in name or "canary" in name}
    assert len(facts.functions) <= 4  # LC_CTYPE, which Python sets, and LD_LIBRARY_PATH


@pytest.fixture
def victim() -> Iterator[Path]:
    """A directory that a parser may try to remove."""
    found = Path("/tmp/ostiary-parser-remove")
    found.mkdir(exist_ok=True)
    yield found
    found.rmdir()  # it must still be there


@pytest.mark.usefixtures("victim")
async def test_a_parser_opens_no_file_and_no_socket() -> None:
    """Nor does it touch files by their names, other processes, or their memory."""
    async with spiteful() as pool:
        facts = await ask(pool, "SELECT 1 /* reach out */")
    assert facts.opaque is None
    assert facts.functions == frozenset()
