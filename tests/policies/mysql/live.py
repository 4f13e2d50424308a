"""A catalog read from a real MySQL or MariaDB as the gateway reads one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from policies.sql.catalog import Catalog
from server.parsing.in_process import InProcess
from server.protocols.mysql.catalog_queries import Ask, Row
from server.protocols.mysql.catalog_reader import CatalogReader
from server.protocols.mysql.target import MysqlTarget
from tests.fixtures.mariadb import MariaDbServer

Labels = Mapping[tuple[str, str, str], str]


def asking(connection: Any) -> Ask:
    """Asks over a direct connection."""

    async def ask(query: str) -> list[Row]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return [tuple(map(_text, row)) for row in cursor.fetchall()]

    return ask


def _text(cell: object) -> str | None:
    return cell if cell is None or isinstance(cell, str) else str(cell)


def target(
    server: MariaDbServer,
    labels: Labels | None = None,
    *,
    database: str = "app",
    functions: frozenset[str] = frozenset(),
) -> MysqlTarget:
    return MysqlTarget(
        "shop",
        "mariadb",
        f"unix:{server.socket}",
        database,
        "disable",
        functions=functions,
        labels=labels or {},
    )


async def read_catalog(
    server: MariaDbServer,
    labels: Labels | None = None,
    *,
    user: str = "",
    functions: frozenset[str] = frozenset(),
) -> Catalog:
    """The names of a server, as the superuser sees them, or another."""
    reader = CatalogReader(target(server, labels, functions=functions), InProcess())
    with closing(server.connect(user=user)) as connection:
        return await reader.read(asking(connection))
