"""A catalog read from a real server as the gateway reads one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.catalog import Catalog
from server.credentials import Credentials, Login
from server.protocols.postgres.connector import PostgresConnector
from server.protocols.postgres.target import PostgresTarget
from tests.fixtures.postgres import PostgresDatabase
from tests.server.protocols.grants import Secret, catalog

Labels = Mapping[tuple[str, str, str], str]
NO_LABELS: Final[Labels] = MappingProxyType({})


async def read_catalog(
    database: PostgresDatabase,
    labels: Labels = NO_LABELS,
    *,
    path: tuple[str, ...] = ("public",),
    functions: frozenset[str] = frozenset(),
) -> Catalog:
    """The names of a database, as a superuser sees them."""
    place = f"unix:{database.socket_directory}:{database.port}"
    if not database.socket_directory.startswith("/"):
        place = f"{database.socket_directory}:{database.port}"
    target = PostgresTarget(
        "shop",
        place,
        database.name,
        "disable",
        search_path=path,
        labels=labels,
        functions=functions,
    )
    login = Login(database.superuser, Secret(database.password))
    connector = PostgresConnector(target, Credentials("shop", {"reader": login}))
    try:
        return await connector.catalog(catalog())
    finally:
        await connector.close()
