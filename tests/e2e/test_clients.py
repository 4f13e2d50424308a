"""The clients that people have, each through what a gateway does: one table for both protocols.

Every client is a process of its own, over TLS, with a token as its password. Interrupted, it
cancels its statement as that client does; killed, it is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from server.commands.gateway_client import open_gateway
from tests.e2e.certificates import Certificates
from tests.e2e.test_real_clients import JAR
from tests.e2e.world import World, free_port
from tests.fixtures.mariadb import MariaDbServer

pytestmark = [pytest.mark.programs, pytest.mark.gateways]

WITHIN: Final = 60.0
CLIENTS: Final = Path(__file__).parents[1] / "clients"
TRUE: Final = "219-09-9991"
SHOWN: Final = "***-**-9991"
LONG: Final = (
    "SELECT count(*) AS n, '{}' AS marker FROM orders a, orders b, orders c, orders d, orders e"
)
TABLES: Final = """
    CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
    CREATE TABLE customers (id INT PRIMARY KEY, ssn VARCHAR(99));
    INSERT INTO customers VALUES (1, '219-09-9991');
    CREATE TABLE orders (id INT PRIMARY KEY, status VARCHAR(99));
    INSERT INTO orders SELECT seq, 'new' FROM seq_1_to_300;
    CREATE OR REPLACE USER gateway IDENTIFIED BY 'canary-mysql-password';
    GRANT ALL ON *.* TO gateway;
"""

Command = Callable[[World, str], Sequence[str]]


def python(name: str) -> Command:
    return lambda _world, sql: [sys.executable, str(CLIENTS / "ask.py"), name, sql]


def psql(_world: World, sql: str) -> Sequence[str]:
    return ["psql", "-X", "-c", sql]


def pgbench(protocol: str) -> Command:
    """It shows no rows of its own: what it read, a shell command shows."""

    def command(world: World, sql: str) -> Sequence[str]:
        reads = sql.startswith("SELECT")
        script = f"{sql} \\gset seen_\n\\shell echo :seen_{_name(sql)}\n" if reads else f"{sql};\n"
        file = world.directory / "pgbench.sql"
        file.write_text(script)
        return ["pgbench", "-n", "-t", "1", "-M", protocol, "-f", str(file)]

    return command


def _name(sql: str) -> str:
    return "n" if "count(*)" in sql else sql.split()[1]


def jdbc(world: World, sql: str) -> Sequence[str]:
    if not (world.directory / "Ask.class").exists():
        command = ["javac", "-d", str(world.directory), str(CLIENTS / "Ask.java")]
        subprocess.run(command, check=True, timeout=WITHIN)
    return ["java", "-cp", f"{JAR}:{world.directory}", "Ask", sql]


def command_line(program: str) -> Command:
    def command(world: World, sql: str) -> Sequence[str]:
        port = (world.directory / "mysql").read_text()
        place = ["-h", "127.0.0.1", "-P", port, "-u", "anybody+stock"]
        trusted = [f"--ssl-ca={world.directory}/authority.pem", "--ssl-verify-server-cert"]
        found = shutil.which(program)
        assert found is not None
        return [found, "--no-defaults", *place, *trusted, "-N", "-B", "-vvv", "-e", sql]

    return command


POSTGRES: Final[dict[str, Command]] = {
    "psql": psql,
    **{f"pgbench {p}": pgbench(p) for p in ("simple", "extended", "prepared")},
    "psycopg": python("psycopg"),
    "psycopg, prepared and binary": python("psycopg, prepared and binary"),
    "psycopg, asynchronous": python("psycopg, asynchronous"),
    "asyncpg": python("asyncpg"),
    "SQLAlchemy": python("SQLAlchemy"),
    "JDBC": jdbc,
}
MYSQL: Final[dict[str, Command]] = {
    "mysql": command_line("mysql"),
    "mariadb": command_line("mariadb"),
    "PyMySQL": python("PyMySQL"),
    "aiomysql": python("aiomysql"),
    "mysql-connector": python("mysql-connector"),
}
EVERY: Final = (*POSTGRES, *MYSQL)
BY_CLIENT: Final = pytest.mark.parametrize("client", EVERY)


@dataclass(frozen=True, slots=True)
class Doors:
    """A gateway with both doors, and the databases behind it."""

    world: World
    mariadb: MariaDbServer

    def start(self, client: str, sql: str) -> subprocess.Popen[str]:
        world, mysql = self.world, client in MYSQL
        variables = {
            "PGHOST": "127.0.0.1",
            "PGPORT": (world.directory / "mysql").read_text() if mysql else str(world.listener),
            "PGUSER": "anybody",
            "PGPASSWORD": world.token("rita"),
            "MYSQL_PWD": world.token("rita"),
            "PGDATABASE": "stock" if mysql else "shop",
            "PGSSLMODE": "verify-ca",
            "PGSSLROOTCERT": str(world.directory / "authority.pem"),
        }
        return subprocess.Popen(
            {**POSTGRES, **MYSQL}[client](world, sql),
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Whoever runs the tests in the background ignores ^C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def ask(self, client: str, sql: str) -> str:
        """What the client says, to its end."""
        return self.start(client, sql).communicate(timeout=WITHIN)[0]

    def value(self, client: str, sql: str) -> Any:
        """One value from the database itself."""
        if client in MYSQL:
            connection: Any = self.mariadb.connect()
            connection.select_db("shop")
            with connection.cursor() as cursor:
                cursor.execute(sql)
                ((found,),) = cursor.fetchall()
            connection.close()
            return found
        with psycopg.connect(self.world.direct_dsn) as direct:
            row = direct.execute(sql).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0]

    def runs(self, client: str, marker: str) -> bool:
        """Whether a statement with this in it is under way at the database."""
        if client in MYSQL:
            table = "information_schema.processlist WHERE id <> connection_id() AND info"
        else:
            table = "pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active' AND query"
        return bool(self.value(client, f"SELECT count(*) FROM {table} LIKE '%{marker}%'"))

    def records(self) -> list[Any]:
        """The newest session's, once it has ended."""
        deadline = time.monotonic() + WITHIN
        while True:
            with open_gateway(None, self.world.as_user("victor")) as gateway:
                sessions: Any = gateway.get("sessions").get("sessions")
                lines = list(gateway.lines("sessions", sessions[0]["id"], "records"))
            records = [json.loads(line) for line in lines]
            if records[-1]["kind"] == "session_closed":
                return records
            assert time.monotonic() < deadline, records
            time.sleep(0.1)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def doors(
    mariadb: MariaDbServer,
    module_worlds: Callable[..., World],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Doors]:
    mariadb.run(TABLES)
    certificates = Certificates.make(tmp_path_factory.mktemp("tls"))
    made = module_worlds(approvals={"expire_after": "15m", "native": "60s"})
    made.variables = {**made.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    label = {"label": "pii", "mask": "keep_last(4)"}
    shop = {
        **made.configuration()["targets"]["shop"],
        "columns": [{"column": "public.customers.ssn", **label}],
    }
    stock = {
        **shop,
        "kind": "mariadb",
        "address": f"unix:{mariadb.socket}",
        "database": "shop",
        "reader": login,
        "writer": login,
        "columns": [{"column": "shop.customers.ssn", **label}],
    }
    port = free_port()
    doors = [("postgres", made.listener), ("mysql", port)]
    made.settings = {
        **made.settings,
        "targets": {"shop": shop, "stock": stock},
        "listeners": [
            {"protocol": p, "listen": f"127.0.0.1:{n}", "tls": certificates.document}
            for p, n in doors
        ],
    }
    made.start()
    (made.directory / "mysql").write_text(str(port))
    (made.directory / "authority.pem").write_bytes(certificates.authority.read_bytes())
    yield Doors(made, mariadb)
    made.stop()
    mariadb.run("DROP DATABASE shop; DROP USER gateway")


@BY_CLIENT
def test_deny(doors: Doors, client: str) -> None:
    said = doors.ask(client, "DELETE FROM orders")
    assert "An UPDATE or DELETE must say which rows it means" in said
    assert doors.value(client, "SELECT count(*) FROM orders") == 300


@BY_CLIENT
def test_mask(doors: Doors, client: str) -> None:
    said = doors.ask(client, "SELECT ssn FROM customers WHERE id = 1")
    assert SHOWN in said
    assert TRUE not in said


@BY_CLIENT
def test_approve(doors: Doors, client: str) -> None:
    number = 1 + EVERY.index(client)
    status = f"SELECT status FROM orders WHERE id = {number}"
    sql = f"UPDATE orders SET status = 'approved {number}' WHERE id = {number}"
    with doors.start(client, sql) as asking, psycopg.connect(doors.world.store_dsn) as store:
        store.autocommit = True
        pending = "SELECT id FROM tickets WHERE state = 'pending'"
        until(lambda: store.execute(pending).fetchone() is not None)
        assert doors.value(client, status) == "new"
        (ticket,) = store.execute(pending).fetchone() or ("",)
        decided = doors.world.cli("victor", "approvals", "approve", ticket)
        assert decided.returncode == 0, decided.stderr
        said = asking.communicate(timeout=WITHIN)[0]
    assert "ERROR" not in said, said
    assert doors.value(client, status) == f"approved {number}"


@BY_CLIENT
def test_record(doors: Doors, client: str) -> None:
    sql = f"SELECT id FROM orders WHERE id = {100 + EVERY.index(client)}"
    assert str(100 + EVERY.index(client)) in doors.ask(client, sql)
    records = doors.records()
    intents = [r for r in records if r["kind"] == "intent" and sql in (r["body"] or "")]
    assert {each["document"]["effect"] for each in intents} == {"permit"}
    told = [r["document"]["rows"] for r in records if r["kind"] in ("outcome", "answer")]
    assert [rows for rows in told if rows][-1:] == [1]  # SQLAlchemy asks things of its own first
    assert [r["document"]["address"] for r in records if r["kind"] == "signed_in"] == ["127.0.0.1"]


@BY_CLIENT
def test_disconnect(doors: Doors, client: str) -> None:
    marker = f"gone {EVERY.index(client)}."
    with doors.start(client, LONG.format(marker)) as asking:
        until(lambda: doors.runs(client, marker))
        asking.kill()
        until(lambda: not doors.runs(client, marker))
    assert doors.records()[-1]["document"]["end"] == "ClientGone"


@BY_CLIENT
def test_cancel(doors: Doors, client: str) -> None:
    marker = f"cancelled {EVERY.index(client)}."
    with doors.start(client, LONG.format(marker)) as asking:
        until(lambda: doors.runs(client, marker))
        asking.send_signal(signal.SIGINT)
        said = asking.communicate(timeout=WITHIN)[0]
    until(lambda: not doors.runs(client, marker))
    if "pgbench" in client:  # it ends at once, and says nothing
        assert asking.returncode == -signal.SIGINT
        return
    words = ("cancel", "interrupted", "1317", "57014", "aborted")
    assert [word for word in words if word in said.lower()], said
