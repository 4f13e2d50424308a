"""Writes `tests/corpora/postgres_catalog.json` anew: `python -m tests.policies.corpus_catalog`."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

from policies.sql.snapshot import snapshot_of
from server import embedded
from tests.fixtures.corpus import CORPORA
from tests.fixtures.postgres import FAST, PostgresServer, execute
from tests.policies.live_catalog import read_catalog

# The statements name it.
DATABASE = "tmpl"


async def _write() -> None:
    directory = Path(tempfile.mkdtemp(prefix="ostiary-corpus-", dir="/tmp"))
    running = await embedded.start(directory, FAST)
    try:
        sockets = str(running.socket_directory)
        server = PostgresServer(sockets, running.port, running.superuser, running.password)
        await execute(server.dsn("postgres"), f"CREATE DATABASE {DATABASE}")
        database = server.database(DATABASE)
        script = (CORPORA / "postgres_fixture.sql").read_text(encoding="utf-8")
        await execute(database.dsn, script)
        document = snapshot_of(await read_catalog(database), kind="postgres")
        place = CORPORA / "postgres_catalog.json"
        place.write_text(json.dumps(document, sort_keys=True, indent=0) + "\n")
    finally:
        await running.stop()
        shutil.rmtree(running.home, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(_write())
