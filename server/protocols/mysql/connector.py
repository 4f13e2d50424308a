"""Opens connections to one MySQL or MariaDB target with credentials that only the gateway holds."""

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
from server.parsing.analyst import Analyst
from server.previewing import NotTried, Tried
from server.protocols.mysql.catalog_reader import CatalogReader
from server.protocols.mysql.link import unavailable
from server.protocols.mysql.native import MysqlNativeConnection
from server.protocols.mysql.oneshot import OneShotConnection
from server.protocols.mysql.pool import Pool
from server.protocols.mysql.sample import sampled
from server.protocols.mysql.target import MysqlTarget

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.mysql")

CATALOG_TIMEOUT: Final = 60.0  # seconds
_NOT_TRIED: Final = "changes of MySQL and MariaDB are not tried out"


@dataclass(slots=True)
class MysqlConnector:
    """The `Connector` of one MySQL or MariaDB target. `analyst` reads definitions of views."""

    target: MysqlTarget
    credentials: Credentials
    analyst: Analyst
    _pool: Pool = field(init=False)
    _catalog: CatalogReader = field(init=False)

    def __post_init__(self) -> None:
        self.target.place()  # a wrong address is said when the configuration loads
        self._pool = Pool(self.target, self.credentials)
        self._catalog = CatalogReader(self.target, self.analyst)

    async def catalog(self, grant: Grant) -> Catalog:
        """Read the names a statement may use, with the reader's account.

        Raises `BackendUnavailable`, and `ConfigError` for a configured column that is not there.
        """
        async with self._pool.lease(grant) as link:
            try:
                async with asyncio.timeout(CATALOG_TIMEOUT):
                    return await self._catalog.read(link.fetch)
            except (OSError, TimeoutError, ProtocolError) as error:
                log.warning("target %s: catalog: %s", self.target.name, error)
                raise unavailable(self.target.name) from None

    async def preview(self, grant: Grant, columns: Sequence[str]) -> Tried:
        """Raises `NotTried`: much of what MySQL does can't be rolled back."""
        raise NotTried(_NOT_TRIED)

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
        """A connection of the caller's own, closed with the context; its door begins it.

        It has the writer's role where there is one: what may be written is decided per statement.
        """
        role: Role = "writer" if self.credentials.user("writer") else "reader"
        account = self.credentials.read(grant, role)
        connection = MysqlNativeConnection(
            self.target, account, role, self.credentials, self._catalog
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._pool.close()
