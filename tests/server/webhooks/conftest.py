"""A store with a journal and real tickets, and a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from policies.model import AccessRequest, RequireApproval
from recordings.chain import DigestKey
from recordings.journal import Journal
from recordings.store import Store
from server.approvals.approvals import Approvals
from server.approvals.notices import CHANNEL, LOOK_AGAIN
from server.approvals.tickets import Ticket, bind
from server.webhooks.dispatcher import Dispatcher
from server.webhooks.settings import Notifications, Retries, Webhook
from tests.fixtures.postgres import PostgresDatabase
from tests.server.webhooks.receiver import Receiver, receiving
from tests.server.webhooks.samples import AROUND, DBA, SECRET, request

QUICK = Retries.model_validate(
    {"timeout": "5s", "tries": 3, "first_wait": "20ms", "longest_wait": "50ms"}
)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_WEBHOOK_SECRET", SECRET)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def store(database: PostgresDatabase) -> AsyncIterator[Store]:
    opened = await Store.open(database.dsn)
    yield opened
    await opened.close()


@dataclass
class Tickets:
    """Tickets as the gate makes them, and a dispatcher on their store."""

    store: Store
    journal: Journal
    approvals: Approvals

    async def ask(
        self, asked: AccessRequest | None = None, *requirements: RequireApproval
    ) -> Ticket:
        asked = asked or request()
        return await self.approvals.ask(asked, bind(asked, AROUND), requirements or (DBA,))

    async def become(self, ticket: Ticket, state: str) -> None:
        """The ticket is in this state now, and whoever listens is told."""
        await self.store.pool.execute(
            "UPDATE tickets SET state = $2 WHERE id = $1", ticket.id, state
        )
        await self.store.pool.execute("SELECT pg_notify($1, $2)", CHANNEL, ticket.id)

    def dispatching(
        self, *webhooks: Webhook, retries: Retries = QUICK, look_every: float = LOOK_AGAIN
    ) -> AbstractAsyncContextManager[Dispatcher]:
        settings = Notifications(webhooks=webhooks, retries=retries)
        return Dispatcher.dispatching(
            self.store, self.approvals, self.journal, settings, look_every=look_every
        )

    async def introduce(self, *webhooks: Webhook) -> None:
        """As if a gateway had run with them before."""
        await self.store.pool.execute(
            "INSERT INTO webhooks (name) SELECT unnest($1::text[])", [w.name for w in webhooks]
        )

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.store.pool.fetch(query, *values)]


@pytest.fixture
async def tickets(store: Store) -> AsyncIterator[Tickets]:
    key = DigestKey("digest-1", b"a digest key of thirty-two bytes")
    journal = await Journal.open(store, gateway="gw-1", digest_key=key)
    page = "https://ostiary.example.com"
    yield Tickets(store, journal, Approvals(store, journal, timedelta(minutes=15), page))
    await journal.close()
