"""Opens connections to one PostgreSQL target with credentials that only the gateway holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from policies.errors import ProtocolError
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts, TableName
from recordings.rows import Row
from server.connections import Connection, NativeConnection
from server.credentials import Credentials, Role
from server.previewing import Tried
from server.protocols.postgres.catalog_reader import CatalogReader
from server.protocols.postgres.link import open_link, unavailable
from server.protocols.postgres.native import PostgresNativeConnection
from server.protocols.postgres.oneshot import OneShotConnection
from server.protocols.postgres.pool import Pool
from server.protocols.postgres.preview import tried
from server.protocols.postgres.sample import sampled
from server.protocols.postgres.target import PostgresTarget

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.postgres")

CATALOG_TIMEOUT: Final = 30.0  # seconds


@dataclass(slots=True)
class PostgresConnector:
    """The `Connector` of one PostgreSQL target."""

    target: PostgresTarget
    credentials: Credentials
    _pool: Pool = field(init=False)
    _catalog: CatalogReader = field(init=False)

    def __post_init__(self) -> None:
        self.target.place()  # a wrong address is said when the configuration loads
        self._pool = Pool(self.target, self.credentials)
        users = frozenset(login.user for login in self.credentials.logins.values())
        self._catalog = CatalogReader(self.target, users)

    async def catalog(self, grant: Grant) -> Catalog:
        """Read the names a statement may use, with the reader's role.

        Raises `BackendUnavailable`, and `ConfigError` for a configured column that is not there.
        """
        async with self._pool.lease(grant) as link:
            try:
                async with asyncio.timeout(CATALOG_TIMEOUT):
                    return await self._catalog.read(link)
            except (OSError, TimeoutError, ProtocolError) as error:
                log.warning("target %s: catalog: %s", self.target.name, error)
                raise unavailable(self.target.name) from None

    async def preview(self, grant: Grant, columns: Sequence[str]) -> Tried:
        """Try a change out and roll it back. Raises `NotTried`, `BackendUnavailable`."""
        return await tried(self._pool, self._catalog, grant, columns)

    async def sample(self, grant: Grant, table: TableName, columns: Sequence[str]) -> Sequence[Row]:
        """Some rows of a granted scan's table. Raises `NotSampled`, `BackendUnavailable`."""
        return await sampled(self._pool, grant, table, columns)

    def connect(self, grant: Grant) -> AbstractAsyncContextManager[Connection]:
        """A one-shot connection; nothing is opened before something is performed."""
        return nullcontext(
            OneShotConnection(self.target, self.credentials, self._pool, self._catalog)
        )

    def definitions(self, facts: SqlFacts | None) -> str:
        """A digest of what the objects of a statement are, for what is bound to them.

        Empty for facts by a catalog that is not the connector's newest ones.
        """
        known = self._catalog.fingerprints(facts.catalog) if facts is not None else None
        return known.definitions(facts) if known is not None and facts is not None else ""

    @asynccontextmanager
    async def connect_native(self, grant: Grant) -> AsyncIterator[NativeConnection]:
        """A connection of the caller's own, closed with the context.

        It has the writer's role where there is one: what may be written is decided per statement.
        """
        role: Role = "writer" if self.credentials.user("writer") else "reader"
        account = self.credentials.read(grant, role)
        link = await open_link(self.target, account, self.target.native_settings())
        connection = PostgresNativeConnection(link, role, self.credentials)
        try:
            yield connection
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._pool.close()
