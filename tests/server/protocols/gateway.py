"""A PostgreSQL listener in front of the real gate, with policies simple enough to read here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from masking.cells import Masker
from masking.operators import PseudonymKey
from masking.scanning import ScanText
from masking.spans import Span
from policies.errors import Refusal, Unauthenticated
from policies.model import (
    AccessRequest,
    Decision,
    Effect,
    LimitRows,
    MaskLabels,
    RequireApproval,
    SqlPrepare,
    SqlStatement,
)
from policies.sql.facts import TableName
from recordings.chain import DigestKey
from recordings.journal import Journal
from recordings.store import Store
from server.admission import opened as opened_admission
from server.admission.settings import Limits
from server.approvals.approvals import Approvals
from server.backends import Backend, ColumnRule
from server.gate import Gate
from server.native.login import KnownClient, Presented
from server.native.waiting_room import WaitingRoom
from server.parsing.in_process import InProcess
from server.protocols.postgres.connector import PostgresConnector
from server.protocols.postgres.listener import PostgresListener
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase
from tests.server.protocols.grants import ADA, SHOP, credentials, shop
from tests.server.protocols.raw_client import RawClient

TOKEN: Final = "ada's token"


class Rules:
    """Refuses DELETE, wants approval of updates of orders, masks pii, limits rows of a marker."""

    version = "test"

    def decide(self, request: AccessRequest) -> Decision:
        action = request.action
        if not isinstance(action, SqlStatement | SqlPrepare):
            return self._permit()
        text = action.text.lower()
        if request.facts is None or request.facts.opaque is not None:
            reason = request.facts.opaque.reason if request.facts and request.facts.opaque else ""
            return self._refuse(f"opaque: {reason}")
        if "delete" in text:
            return self._refuse("Nobody deletes.")
        if "update orders" in text and isinstance(action, SqlStatement):
            return self._permit(RequireApproval("ask", frozenset({"dba"})))
        if "limited" in text:
            return self._permit(LimitRows(10, "few"))
        return self._permit(MaskLabels(frozenset({"pii"}), "hide"))

    def location(self, policy: str) -> str:
        return f"rules:{policy}"

    def sentence(self, policy: str) -> str:
        return f"why {policy}"

    def _permit(self, *obligations: RequireApproval | LimitRows | MaskLabels) -> Decision:
        return Decision(Effect.PERMIT, self.version, obligations)

    def _refuse(self, reason: str) -> Decision:
        refusal = Refusal("REFUSED", reason, "Ask for less.", policy="test-policy")
        return Decision(Effect.DENY, self.version, refusal=refusal)


class FindsNothing:
    """A `SpanFinder` for texts that hold nothing."""

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        return [[] for _ in texts]

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        return {}


async def identify(presented: Presented) -> KnownClient:
    if presented.secret != TOKEN:
        raise Unauthenticated("no")
    return KnownClient(ADA, refused_from=time.time() + 600)


@dataclass(frozen=True, slots=True)
class Door:
    """Where the listener is, and what stands behind it."""

    host: str
    port: int
    gate: Gate
    store: Store
    sample: SampleDatabase
    clients: list[RawClient] = field(default_factory=list)

    async def client(self, *, token: str = TOKEN, **parameters: str) -> RawClient:
        """A client that has logged in."""
        client = await self.connect()
        await client.log_in(token, {"user": "ada", "database": "shop", **parameters})
        return client

    async def direct(self) -> RawClient:
        """A client of the server itself, as the writer."""
        database, writer = self.sample.database, self.sample.writer
        path = f"{database.socket_directory}/.s.PGSQL.{database.port}"
        client = self._kept(*await asyncio.open_unix_connection(path))
        settings = {"user": writer.user, "database": database.name}
        await client.log_in(writer.password, settings)
        return client

    async def connect(self) -> RawClient:
        return self._kept(*await asyncio.open_connection(self.host, self.port))

    def _kept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> RawClient:
        self.clients.append(RawClient(reader, writer))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            client.writer.close()


@asynccontextmanager
async def opened(
    sample: SampleDatabase,
    store_database: PostgresDatabase,
    search_path: tuple[str, ...] = ("public",),
    *,
    statement_timeout: float = 60.0,
    idle_limit: float = 600.0,
    quiet_limit: float | None = None,
    approval_wait: float = 0.0,
    session_limit: float | None = None,
    room: WaitingRoom | None = None,
) -> AsyncIterator[Door]:
    """The whole of it, on a store of its own; limits are in seconds."""
    async with AsyncExitStack() as lifetime:
        store = await Store.open(store_database.dsn)
        lifetime.push_async_callback(store.close)
        key = DigestKey("digest-1", b"a digest key of thirty-two bytes")
        journal = await Journal.open(store, gateway="test", digest_key=key)
        lifetime.push_async_callback(journal.close)
        labels = {("public", "customers", "ssn"): "pii"}
        target = shop(
            sample,
            labels=labels,
            search_path=search_path,
            statement_timeout=statement_timeout,
            native_idle_in_transaction=idle_limit,
            native_idle=quiet_limit,
            native_session=session_limit,
        )
        connector = PostgresConnector(target, credentials(sample))
        lifetime.push_async_callback(connector.close)
        rules = {(TableName("public", "customers"), "ssn"): ColumnRule("pii", "keep_last(4)")}
        admission, _switch = await lifetime.enter_async_context(
            opened_admission(Limits(), store, journal)
        )
        gate = Gate(
            Rules(),
            {"shop": Backend(SHOP, connector, rules, InProcess())},
            Approvals(store, journal, timedelta(minutes=5)),
            journal,
            Masker(PseudonymKey(b"a pseudonym key of 32 bytes long"), FindsNothing()),
            admission,
        )
        listener = PostgresListener(
            gate, identify, approval_wait=approval_wait, room=room or WaitingRoom()
        )
        host, port = await lifetime.enter_async_context(listener.serving("127.0.0.1", 0))
        door = Door(host, port, gate, store, sample)
        lifetime.callback(door.close)
        yield door
