"""What an empty PostgreSQL has, read as the gateway reads it.

`python -m tests.policies.builtins` writes `policies/sql/postgres_builtins.json` anew.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from policies.sql.catalog import Catalog
from policies.sql.snapshot import snapshot_of
from server import embedded
from server.credentials import Credentials, Login
from server.protocols.postgres.connector import PostgresConnector
from server.protocols.postgres.target import PostgresTarget
from tests.fixtures.postgres import FAST, PostgresDatabase, PostgresServer
from tests.server.protocols.grants import Secret, catalog

WRITTEN = Path(__file__).parents[2] / "policies" / "sql" / "postgres_builtins.json"


async def builtins(database: PostgresDatabase) -> Catalog:
    """Functions, operators and types of an empty database; relations are each target's own."""
    place = f"unix:{database.socket_directory}:{database.port}"
    target = PostgresTarget("shop", place, "postgres", "disable")
    login = Login(database.superuser, Secret(database.password))
    connector = PostgresConnector(target, Credentials("shop", {"reader": login}))
    try:
        read = await connector.catalog(catalog())
    finally:
        await connector.close()
    return replace(read, version="PostgreSQL 18", relations={}, by_oid={})


async def _write() -> None:
    directory = Path(tempfile.mkdtemp(prefix="ostiary-builtins-", dir="/tmp"))
    running = await embedded.start(directory, FAST)
    try:
        sockets = str(running.socket_directory)
        server = PostgresServer(sockets, running.port, running.superuser, running.password)
        read = await builtins(server.database("postgres"))
        document = snapshot_of(read, kind="postgres")
        WRITTEN.write_text(json.dumps(document, sort_keys=True, indent=0) + "\n")
    finally:
        await running.stop()
        shutil.rmtree(running.home, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(_write())
