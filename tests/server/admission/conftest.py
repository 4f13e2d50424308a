"""Two gateways' admissions on one real store, with a real journal each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from recordings.chain import DigestKey
from recordings.journal import Journal
from recordings.store import Store
from server.admission import Admission, opened
from server.admission.settings import Limits
from server.admission.switch import KillSwitch
from tests.fixtures.postgres import PostgresDatabase


@dataclass(frozen=True, slots=True)
class Gateway:
    """What of a gateway blocks and limits are about."""

    store: Store
    journal: Journal
    admission: Admission
    switch: KillSwitch

    async def recorded(self, kind: str, *, at_least: int = 1) -> list[dict[str, Any]]:
        """The documents of a kind, oldest first; waits for those that are on their way."""
        query = "SELECT document FROM records WHERE kind = $1 ORDER BY at, sequence"
        async with asyncio.timeout(10):
            while len(rows := await self.store.pool.fetch(query, kind)) < at_least:
                await asyncio.sleep(0.02)
        return [orjson.loads(row[0]) for row in rows]


@asynccontextmanager
async def gateway(database: PostgresDatabase, limits: Limits) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as lifetime:
        store = await Store.open(database.dsn)
        lifetime.push_async_callback(store.close)
        key = DigestKey("digest-1", b"a digest key of thirty-two bytes")
        journal = await Journal.open(store, gateway="test", digest_key=key)
        lifetime.push_async_callback(journal.close)
        admission, switch = await lifetime.enter_async_context(opened(limits, store, journal))
        yield Gateway(store, journal, admission, switch)


@pytest.fixture
async def here(database: PostgresDatabase) -> AsyncIterator[Gateway]:
    async with gateway(database, Limits()) as opened_gateway:
        yield opened_gateway


@pytest.fixture
async def elsewhere(here: Gateway, database: PostgresDatabase) -> AsyncIterator[Gateway]:
    """Another process on the same store."""
    async with gateway(database, Limits()) as opened_gateway:
        yield opened_gateway
