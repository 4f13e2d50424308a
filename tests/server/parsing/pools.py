"""What the tests of the parser processes share: a pool that is attacked, and its processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from policies.sql.facts import SqlFacts
from server.parsing.pool import ParserPool, parsing
from tests.policies.catalogs import catalog

WITHIN = 60.0
"""Seconds before a test gives up; nothing is measured by it."""

SPITEFUL = "tests.server.parsing.spiteful"
PLAIN = "SELECT id, name FROM users WHERE {} = id"


@asynccontextmanager
async def spiteful() -> AsyncIterator[ParserPool]:
    """A pool of parsers that do what comments in the statements say."""
    async with asyncio.timeout(WITHIN), parsing(["postgres"], SPITEFUL) as pool:
        yield pool


async def ask(pool: ParserPool, text: str, asker: str = "") -> SqlFacts:
    return await pool.facts("postgres", text, catalog(), asker=asker)


async def code(pool: ParserPool, text: str, asker: str = "") -> str:
    """The code of the refusal; empty for what was understood."""
    facts = await ask(pool, text, asker)
    return facts.opaque.code if facts.opaque else ""


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def exists(pid: int) -> bool:
    """Whether a process is there, and is more than its entry in the table."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False
