"""The server as oracle: what the facts call read-only leaves everything as it was.

Every such statement runs as a superuser, in a read-write transaction that is committed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from policies.sql.catalog import Catalog
from policies.sql.postgres import analyse
from tests.fixtures.postgres import PostgresDatabase
from tests.policies.catalogs import statements
from tests.policies.live_catalog import read_catalog
from tests.policies.server.generated import FUNCTIONS, Function, Generator
from tests.policies.server.state import server_state, session_state

if TYPE_CHECKING:
    from tests.policies.server.state import Connection

pytestmark = pytest.mark.anyio

SEED: Final = 20261122
_AT_ONCE: Final = 250
_XID: Final = "SELECT pg_current_xact_id_if_assigned()::text"


class Oracle:
    """Runs statements over one connection, and compares the state over another."""

    def __init__(
        self, database: PostgresDatabase, running: Connection, looking: Connection
    ) -> None:
        self._database = database
        self._running = running
        self._looking = looking
        self.completed = 0

    async def changing(self, texts: Sequence[str]) -> list[str]:
        """Those of these statements that changed something."""
        return [text for text in texts if await self._takes_an_id(text)]

    async def _takes_an_id(self, text: str) -> bool:
        """Whether a statement wrote anything: then its transaction has an id."""
        await self._running.execute("BEGIN READ WRITE")
        xid = None
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._running.execute(text)
            xid = await self._running.fetchval(_XID)
            self.completed += 1
        await self._running.execute("COMMIT")
        return xid is not None

    async def check(self, texts: Sequence[str]) -> None:
        """Fails with the statements that changed something."""
        for start in range(0, len(texts), _AT_ONCE):
            batch = texts[start : start + _AT_ONCE]
            before = await self._state()
            assert await self.changing(batch) == []
            after = await self._state()
            changed = sorted(
                name for name in {*before, *after} if before.get(name) != after.get(name)
            )
            assert changed == [], batch

    async def _state(self) -> dict[str, str]:
        state = dict(await server_state(self._looking))
        return state | {"the session": await session_state(self._running)}


@pytest.fixture
async def oracle(corpus_database: PostgresDatabase) -> AsyncIterator[Oracle]:
    settings = {"statement_timeout": "2000", "search_path": "pg_catalog, public, pg_temp"}
    # What the driver prepares would count as prepared by a statement.
    running = await asyncpg.connect(
        corpus_database.dsn, server_settings=settings, statement_cache_size=0
    )
    looking = await asyncpg.connect(corpus_database.dsn)
    yield Oracle(corpus_database, running, looking)
    await running.close()
    await looking.close()


@pytest.fixture
async def catalog(corpus_database: PostgresDatabase) -> Catalog:
    return await read_catalog(corpus_database)


async def functions(database: PostgresDatabase) -> list[Function]:
    connection = await asyncpg.connect(database.dsn)
    try:
        rows = await connection.fetch(FUNCTIONS)
    finally:
        await connection.close()
    return [Function(r[0], r[1], tuple(r[2]), r[3], r[4]) for r in rows]


def reads(texts: Iterator[str] | Sequence[str], catalog: Catalog) -> list[str]:
    judged = ((text, analyse(text, catalog)) for text in texts)
    # The driver trips over an answer without a command.
    return [text for text, facts in judged if facts.read_only and facts.statement_count]


async def test_the_oracle_sees_what_acts(oracle: Oracle, corpus_database: PostgresDatabase) -> None:
    acting = ["SELECT nextval('s1')", "SELECT f_del()", "SELECT id FROM users FOR KEY SHARE"]
    assert await oracle.changing(acting) == acting
    for text in ("SET work_mem = '1MB'", "SELECT pg_advisory_lock(1)", "LISTEN x"):
        with pytest.raises(AssertionError):
            await oracle.check([text])


async def test_reads_of_the_corpus_change_nothing(
    oracle: Oracle, catalog: Catalog, corpus_database: PostgresDatabase
) -> None:
    texts = [r["sql"].replace("tmpl.", f"{corpus_database.name}.") for r in statements()]
    found = reads(texts, catalog)
    assert len(found) >= 75
    await oracle.check(found)
    assert oracle.completed > 70


@pytest.mark.parametrize("share", [8, pytest.param(1, marks=pytest.mark.full)])
async def test_functions_that_reads_may_call_change_nothing(
    oracle: Oracle, catalog: Catalog, corpus_database: PostgresDatabase, share: int
) -> None:
    called = (await functions(corpus_database))[::share]
    found = reads([function.statement() for function in called], catalog)
    assert len(found) > len(called) // 3
    await oracle.check(found)
    assert oracle.completed > len(found) // 2


@pytest.mark.parametrize("count", [1500, pytest.param(20_000, marks=pytest.mark.full)])
async def test_generated_reads_change_nothing(
    oracle: Oracle, catalog: Catalog, corpus_database: PostgresDatabase, count: int
) -> None:
    callable_ones = [
        f
        for f in await functions(corpus_database)
        if f.name in catalog.functions.get(f.schema, ()) or f.schema == "public"
    ]
    found = reads(Generator(SEED, callable_ones).statements(count), catalog)
    assert len(found) > count // 10
    await oracle.check(found)
    assert oracle.completed > len(found) // 10
