"""Writes `tests/corpora/postgres_catalog.json` anew: `python -m tests.policies.corpus_catalog`."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        (CORPORA / "postgres_catalog.json").write_text(_written(document))
    finally:
        await running.stop()
        shutil.rmtree(running.home, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def _written(document: Mapping[str, Any]) -> str:
    """JSON with a relation a line, and whatever else is listed on one of its own."""
    listed = ",\n".join(json.dumps(each, sort_keys=True) for each in document["relations"])
    rest = {name: value for name, value in document.items() if name != "relations"}
    lines = ",\n".join(f"{json.dumps(k)}: {_line(v)}" for k, v in sorted(rest.items()))
    return f'{{\n{lines},\n"relations": [\n{listed}\n]\n}}\n'


def _line(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    parts = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(value.items()))
    return f"{{\n{parts}\n}}"


if __name__ == "__main__":
    asyncio.run(_write())
