"""Writes down what real clients send to PostgreSQL: `python -m tests.clients.capture --help`.

Each program runs against an embedded server through `proxy`, as a role that is no superuser, on
the database of `everything.sql`. One JSON line a statement: client, version, did, protocol, sql.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from server import embedded
from server.protocols.postgres import frontend as f
from tests.clients import dbeaver
from tests.clients.proxy import Proxy
from tests.server.protocols.raw_client import RawClient, errors

HERE: Final = Path(__file__).parent
PASSWORD: Final = "of-this-capture-only"
DESCRIBING: Final = (
    *(r"\d", r"\d+", r"\dS", r"\dt", r"\dt+", r"\dt *.*", r"\dv", r"\dv+", r"\di", r"\di+"),
    *(r"\ds", r"\ds+", r"\dm", r"\dm+", r"\dE", r"\dP", r"\dP+", r"\dPtni", r"\df", r"\df+"),
    *(r"\dfn", r"\dfp", r"\df add_one integer", r"\da", r"\da+", r"\dn", r"\dn+", r"\du", r"\du+"),
    *(r"\dg", r"\l", r"\l+", r"\dT", r"\dT+", r"\dT state", r"\dD", r"\dD+", r"\dC", r"\dC+"),
    *(r"\dO", r"\dO+", r"\do", r"\do+", r"\dc", r"\dc+", r"\dp", r"\z", r"\ddp", r"\dd"),
    *(r"\dx", r"\dx+", r"\dy", r"\dy+", r"\des", r"\des+", r"\det", r"\det+", r"\deu", r"\dew"),
    *(r"\dew+", r"\dRp", r"\dRp+", r"\dRs", r"\dL", r"\dL+", r"\dF", r"\dF+", r"\dFd", r"\dFp"),
    *(r"\dFt", r"\dX", r"\dA", r"\dA+", r"\dAc", r"\dAf", r"\dAo", r"\dAp", r"\dl", r"\db"),
    *(r"\db+", r"\drds", r"\drg", r"\dconfig", r"\dconfig search_path", r"\dconfig+ work_mem"),
    *(r"\d people", r"\d+ people", r"\d orders", r"\d+ orders", r"\d contacts", r"\d+ contacts"),
    *(r"\d totals", r"\d+ totals", r"\d events", r"\d+ events", r"\d events_2025", r"\d numbers"),
    *(
        r"\d employees",
        r"\d+ employees",
        r"\d sales.*",
        r"\d+ sales.targets",
        r"\d place",
        r"\d far",
    ),
    *(
        r'\d "Mixed Case"',
        r"\d orders_by_person",
        r"\d+ people_lower",
        r"\d people*",
        r"\d pg_class",
    ),
    *(r"\sf add_one", r"\sf+ touch", r"\sv contacts", r"\sv+ contacts"),
    *(r"\conninfo", r"\encoding", r"\encoding UTF8"),
    *(r"\lo_list", r"\echo :SERVER_VERSION_NAME", r"\set AUTOCOMMIT off"),
    *("SELECT 1; SELECT 2", "SET search_path TO sales, public", "SHOW search_path"),
)
COMPLETED: Final = (
    *("SELECT * FROM peo\t\x15", "SELECT * FROM \t\t\x15", "SELECT * FROM sales.\t\t\x15"),
    *("SELECT na\t\t\x15", "UPDATE peo\t SET \t\t\x15", "INSERT INTO ord\t\t\x15"),
    *("\\d ord\t\t\x15", "\\df add\t\t\x15", "\\dn \t\t\x15", "\\du \t\t\x15", "\\sf \t\t\x15"),
    *("SET \t\t\x15", "SET search_path TO \t\t\x15", "SHOW \t\t\x15", "DROP TABLE \t\t\x15"),
    *("ALTER TABLE people \t\t\x15", "ALTER TABLE people DROP COLUMN \t\t\x15"),
    *("ALTER TABLE people DROP CONSTRAINT \t\t\x15", "\\c \t\t\x15", "GRANT SELECT ON \t\t\x15"),
    *(
        "GRANT \t\t\x15",
        "ALTER TYPE \t\t\x15",
        "DROP FUNCTION \t\t\x15",
        "REFRESH MATERIALIZED VIEW \t\t\x15",
    ),
    *("DROP INDEX \t\t\x15", "ALTER SEQUENCE \t\t\x15", "COMMENT ON EXTENSION \t\t\x15"),
    *("SELECT * FROM people WHERE na\t\t\x15", "SELECT add_\t\t\x15", "EXECUTE \t\t\x15"),
    *("ALTER TABLE people ALTER COLUMN na\t\t\x15", "DROP TRIGGER \t\t\x15", "LOCK \t\t\x15"),
    *(
        "CREATE INDEX ON peo\t (\t\t\x15",
        "SET TIME ZONE \t\t\x15",
        "\\dT \t\t\x15",
        "VACUUM \t\t\x15",
    ),
)
DUMPS: Final = (
    ("the schema", ("--schema-only",)),
    ("data", ("--data-only",)),
    ("data as inserts", ("--data-only", "--inserts")),
    ("one table", ("--table", "public.people")),
    ("everything but privileges", ("--no-owner", "--no-privileges")),
)


@dataclass(slots=True)
class Capture:
    """What has been written down so far, each text of a client's once."""

    proxy: Proxy
    port: int
    lines: list[dict[str, str]]
    seen: set[tuple[str, str]]

    @property
    def environment(self) -> dict[str, str]:
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "app"}
        quiet = {
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "everything",
            "PAGER": "cat",
            "EDITOR": "true",
        }
        return {**os.environ, **place, **quiet, "TERM": "xterm", "PSQL_EDITOR": "true"}

    async def run(self, client: str, version: str, did: str, *command: str) -> None:
        """Run a program and write down what it sent."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        self.keep(client, version, did)
        if process.returncode:
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            print(
                f"{client} {version}: {did}: ended with {process.returncode}: {last}",
                file=sys.stderr,
            )

    def keep(self, client: str, version: str, did: str) -> None:
        for sent in self.proxy.taken():
            if (
                (client + version, sent.sql) not in self.seen
                and sent.sql.strip()
                and not sent.failed
            ):
                self.seen.add((client + version, sent.sql))
                known = {"client": client, "version": version, "did": did}
                self.lines.append({**known, "protocol": sent.protocol, "sql": sent.sql})

    async def type_in(self, version: str, psql: str) -> None:
        """What psql asks while somebody types: completion by the tabulator."""
        readline = Path(tempfile.mkdtemp()) / "inputrc"  # asks no questions
        readline.write_text("set completion-query-items 0\nset page-completions off\n")
        child, terminal = pty.fork()
        if child == 0:
            os.execve(psql, [psql, "-X", "-q"], {**self.environment, "INPUTRC": str(readline)})
        os.set_blocking(terminal, False)
        for typed in ("\n", *COMPLETED):
            os.write(terminal, typed.encode())
            await asyncio.sleep(1.5)  # there is no telling when it has asked all it wants
            with suppress(BlockingIOError):
                while os.read(terminal, 1 << 16):
                    pass
            self.keep("psql", version, f"completion of {typed.strip()!r}")
        os.kill(child, signal.SIGHUP)
        await asyncio.to_thread(os.waitpid, child, 0)
        os.close(terminal)


@asynccontextmanager
async def capturing() -> AsyncIterator[Capture]:
    """A server with one of everything in it, and a proxy before it."""
    directory = Path(tempfile.mkdtemp(prefix="ostiary-capture-", dir="/tmp"))
    running = await embedded.start(directory, {"fsync": "off"})
    try:
        await prepare(running.dsn("postgres"), running.dsn("everything"))
        proxy = Proxy(f"{running.socket_directory}/.s.PGSQL.{running.port}")
        async with proxy.serving() as port:
            yield Capture(proxy, port, [], set())
    finally:
        await running.stop()
        shutil.rmtree(running.home, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


async def prepare(server: str, database: str) -> None:
    """Make the role and the database that the clients describe."""
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    await connection.execute("CREATE DATABASE everything OWNER app")
    await connection.close()
    connection = await asyncpg.connect(database)
    await connection.execute("GRANT CREATE ON SCHEMA public TO app")
    await connection.execute((HERE / "everything.sql").read_text())
    await connection.close()


async def version_of(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    found = re.search(r"\d+(\.\d+)+", output.decode())
    return found[0] if found else ""


async def programs_of_postgres(capture: Capture, folder: str) -> None:
    psql, dump = f"{folder}/psql", f"{folder}/pg_dump"
    version = await version_of(psql, "--version")
    for command in DESCRIBING:
        await capture.run("psql", version, command, psql, "-X", "-c", command)
    for variant, options in DUMPS:
        await capture.run("pg_dump", version, variant, dump, *options)
    await capture.run("pg_dumpall", version, "all", f"{folder}/pg_dumpall", "--schema-only")


async def drivers(capture: Capture, python: str) -> None:
    for name in ("asyncpg", "psycopg", "sqlalchemy"):
        asked = f"import {name}; print({name}.__version__)"
        version = await version_of(python, "-c", asked)
        command = (python, str(HERE / "drivers.py"), name, str(capture.port), "app")
        await capture.run(name, version, "its use", *command)


async def jdbc(capture: Capture, jar: str) -> None:
    version = re.sub(r".*postgresql-|\.jar$", "", jar)
    url = f"jdbc:postgresql://127.0.0.1:{capture.port}/everything"
    for options in ("", "?readOnlyMode=always", "?preferQueryMode=simple"):
        run = ("java", "-cp", jar, str(HERE / "Jdbc.java"), url + options, "app")
        await capture.run("pgjdbc", version, f"its use{options}", *run)


async def statements(capture: Capture) -> None:
    """What can't be run here is sent as its sources have it."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", capture.port))
    await client.log_in(PASSWORD, {"user": "app", "database": "everything"})
    for sql in dbeaver.STATEMENTS:
        client.send(f.Parse("", sql), f.Sync())
        for error in errors(await client.until_ready()):
            print(f"dbeaver: {error}: {sql}", file=sys.stderr)
        capture.keep("dbeaver", dbeaver.VERSION, "as its sources have it")
    client.writer.close()


async def main(arguments: argparse.Namespace) -> None:
    async with capturing() as capture:
        for folder in arguments.programs:
            await programs_of_postgres(capture, folder)
        if arguments.completing:
            version = await version_of(arguments.completing, "--version")
            await capture.type_in(version, arguments.completing)
        if arguments.python:
            await drivers(capture, arguments.python)
        if arguments.jar:
            await jdbc(capture, arguments.jar)
        await statements(capture)
        if arguments.node:
            script = (str(HERE / "node_pg.mjs"), arguments.node, str(capture.port), "app")
            version = json.loads(
                (Path(arguments.node) / "node_modules/pg/package.json").read_text()
            )
            await capture.run("node-postgres", version["version"], "its use", "node", *script)
        written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in capture.lines)
        await asyncio.to_thread(Path(arguments.output).write_text, written)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="the file to write")
    parser.add_argument("--programs", nargs="*", default=[], help="folders with psql and pg_dump")
    parser.add_argument("--completing", default="", help="a psql that has readline")
    parser.add_argument("--python", default="", help="a Python that has the drivers")
    parser.add_argument("--jar", default="", help="pgjdbc")
    parser.add_argument("--node", default="", help="a folder with node-postgres installed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(main(parsed(sys.argv[1:])))
