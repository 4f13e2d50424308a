"""The same statements by `run_sql` and by both native listeners, on both kinds of database.

One table: what each is answered, what comes back, and that the recordings tell the same story. Only
what a protocol calls its own differs: types of columns, tags, and how rows are framed.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

import psycopg
import pymysql
import pytest

from server.commands.gateway_client import open_gateway
from tests.attacks.lines.guard import mcp_verdict
from tests.e2e.world import World, free_port
from tests.fixtures.mariadb import MariaDbServer

pytestmark = pytest.mark.programs

TABLES: Final = """
    CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
    CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(99) NOT NULL, email VARCHAR(99),
        ssn VARCHAR(99), phone VARCHAR(99), notes TEXT, balance DECIMAL(10, 2) NOT NULL DEFAULT 0);
    INSERT INTO customers VALUES
        (1, 'Ada Lovelace', 'ada.canary@example.com', '219-09-9991', '+1 202 555 0101',
         'write to ada.second@example.com', 10),
        (2, 'Chinua Okafor', 'chinua.canary@example.org', '457-55-5462', '+44 20 7946 0102', NULL,
         20),
        (3, 'Li Wei', 'li.canary@example.net', '612-34-7789', '+86 10 5555 0104', 'paid by card',
         30);
    CREATE OR REPLACE USER gateway IDENTIFIED BY 'canary-mysql-password';
    GRANT ALL ON *.* TO gateway;
"""
"""What tests/e2e/shop.sql has in PostgreSQL."""

Rows = list[tuple[Any, ...]]

STATEMENTS: Final[Mapping[str, tuple[str, Rows]]] = {
    # Read, masked by rule and by what was found.
    "SELECT id, name, email, ssn, phone, notes FROM customers ORDER BY id": (
        "OK",
        [
            (1, "Ada Lovelace", "***@example.com", "***-**-9991", "<redacted>",
             "write to <EMAIL_ADDRESS>"),
            (2, "Chinua Okafor", "***@example.org", "***-**-5462", "<redacted>", None),
            (3, "Li Wei", "***@example.net", "***-**-7789", "<redacted>", "paid by card"),
        ],
    ),
    "SELECT c.email AS name FROM customers c WHERE c.id <> 2 ORDER BY c.id": (
        "OK", [("***@example.com",), ("***@example.net",)],
    ),
    "SELECT balance FROM customers WHERE id = 2": ("OK", [(Decimal("20.00"),)]),
    "SELECT count(*) AS n FROM customers": ("OK", [(3,)]),
    "SELECT name FROM customers WHERE id = 99": ("OK", []),
    "WITH c AS (SELECT ssn AS s FROM customers WHERE id = 3) SELECT s FROM c": (
        "OK", [("***-**-7789",)],
    ),
    "SELECT 1 AS one, 'call 4155550134' AS said": ("OK", [(1, "call <PHONE_NUMBER>")]),
    # Refused.
    "DELETE FROM customers": ("no-whole-table-changes", []),
    "UPDATE customers SET name = 'x' WHERE 1 = 1": ("no-whole-table-changes", []),
    "DROP TABLE customers": ("no-schema-changes", []),
    "TRUNCATE TABLE customers": ("no-schema-changes", []),
    "SELECT id FROM customers WHERE ssn = '219-09-9991'": ("OK", [(1,)]),
    "SELECT pg_sleep(1), sleep(1)": ("FUNCTION_NOT_ALLOWED", []),
    "SELECT id FROM nowhere": ("RELATION_UNKNOWN", []),
    "SELECT id FROM customers FOR UPDATE": ("approval", []),
    "UPDATE customers SET ssn = '***-**-9991' WHERE id = 2": ("WRITE_BACK", []),
    # Asks a person.
    "SELECT id FROM customers ORDER BY ssn": ("approval", []),
    "UPDATE customers SET name = 'x' WHERE id = 1": ("approval", []),
    "INSERT INTO customers (id, name) VALUES (4, 'Eve')": ("approval", []),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What one way of asking was answered, and what the recording of it says."""

    verdict: str
    rows: Rows
    recorded: list[Any]


@pytest.fixture(scope="module")
def doors(mariadb: MariaDbServer, module_worlds: Callable[..., World]) -> Iterator[World]:
    mariadb.run(TABLES)
    made = module_worlds()
    made.variables = {**made.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    shop = made.configuration()["targets"]["shop"]
    columns = [{**c, "column": c["column"].replace("public", "shop")} for c in shop["columns"]]
    stock = {
        **shop,
        "kind": "mariadb",
        "address": f"unix:{mariadb.socket}",
        "database": "shop",
        "reader": login,
        "writer": login,
        "columns": columns,
    }
    port = free_port()
    made.settings = {
        "targets": {"shop": shop, "stock": stock},
        "listeners": [
            {"protocol": "postgres", "listen": f"127.0.0.1:{made.listener}"},
            {"protocol": "mysql", "listen": f"127.0.0.1:{port}"},
        ],
    }
    made.start()
    (made.directory / "mysql").write_text(str(port))
    yield made
    made.stop()
    mariadb.run("DROP DATABASE shop; DROP USER gateway")


def by_run_sql(doors: World, sql: str, target: str) -> tuple[str, Rows]:
    async def call() -> tuple[str, Rows]:
        async with doors.mcp("rita") as client:
            result = await client.call_tool("run_sql", {"target": target, "sql": sql})
        verdict = mcp_verdict(result)
        verdict = "approval" if verdict == "APPROVAL_PENDING" else verdict
        content = result.structured_content or {}
        names = [column["type"] for column in content.get("columns", ())]
        return verdict, [
            tuple(_typed(c, t) for c, t in zip(row, names, strict=True))
            for row in content.get("rows", ())
        ]

    return asyncio.run(call())


def _typed(cell: Any, type_: str) -> Any:
    """JSON has no decimal numbers of its own: they come as strings."""
    return Decimal(cell) if type_ in ("numeric", "decimal") else cell


def by_psql_protocol(doors: World, sql: str) -> tuple[str, Rows]:
    login = {"user": "x", "dbname": "shop", "password": doors.token("rita")}
    place = {"host": "127.0.0.1", "port": doors.listener}
    with psycopg.connect(**login, **place, autocommit=True) as connection:
        try:
            return "OK", connection.execute(sql).fetchall()
        except psycopg.Error as error:
            return _verdict(f"({error.diag.message_detail}"), []


def by_mysql_protocol(doors: World, sql: str) -> tuple[str, Rows]:
    login = {"user": "x", "database": "stock", "password": doors.token("rita")}
    place = {"host": "127.0.0.1", "port": int((doors.directory / "mysql").read_text())}
    with closing(pymysql.connect(**login, **place, autocommit=True)) as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return "OK", list(cursor.fetchall())
        except pymysql.MySQLError as error:
            return _verdict(str(error.args[1])), []


_SAID: Final = re.compile(r"\((\w+), policy ([\w-]+)")


def _verdict(said: str) -> str:
    found = _SAID.search(said)
    assert found, said
    code, policy = found.groups()
    if code == "APPROVAL_NEEDED":
        return "approval"
    return policy if code == "FORBIDDEN" and policy != "built-in" else code


WAYS: Final[Mapping[str, Callable[[World, str], tuple[str, Rows]]]] = {
    "run_sql on PostgreSQL": partial(by_run_sql, target="shop"),
    "run_sql on MariaDB": partial(by_run_sql, target="stock"),
    "PostgreSQL listener": by_psql_protocol,
    "MySQL listener": by_mysql_protocol,
}

WITHIN: Final = 30.0
OWN: Final = ("signed_in", "session_closed")
"""What only a native session has, and how each one ends."""

PASSING: Final = (
    *("at", "hash", "sequence", "session", "stream", "time", "body", "body_encoding", "digest"),
    *("milliseconds", "bytes", "recorded_bytes", "channel", "protocol", "codec", "tag", "type"),
    *("ticket", "policy_version", "span", "kinds", "next_step"),
)
"""What is a call's, a protocol's or a dialect's own."""


OF_ANSWERS: Final = ("kind", "document", "rows")
"""What a record that holds an answer whole has for each of its parts."""


def recorded(doors: World, sql: str) -> list[Any]:
    """What the newest session's recording says of the statement, as any protocol would say it.

    A native client is told to come back once nobody has approved in time: that refusal is its own.
    """
    deadline = time.monotonic() + WITHIN
    records: list[Any] = []
    while not records or records[-1]["kind"] != "session_closed":
        assert time.monotonic() < deadline, records
        with open_gateway(None, doors.as_user("victor")) as gateway:
            sessions: Any = gateway.get("sessions").get("sessions")
            lines = list(gateway.lines("sessions", sessions[0]["id"], "records"))
        records = [part for line in lines for part in _unfolded(json.loads(line))]
    first = next(i for i, record in enumerate(records) if record["body"] == sql)
    asked = [r for r in records if r["kind"] == "approval_asked"]
    then = [r for r in records[first:] if r["kind"] not in ("approval_asked", *OWN)]
    return [_plain(r) for r in (*asked, *then) if not _comes_back(r)]


def _unfolded(record: Any) -> list[Any]:
    """An answer that was recorded whole, as the records that a longer one is told by."""
    if record["kind"] != "answer":
        return [record]
    whole, rest = record["document"], {k: v for k, v in record.items() if k not in OF_ANSWERS}
    parts: list[Any] = []
    if "columns" in whole:
        parts.append({"kind": "columns", "document": {"columns": whole.pop("columns")}, **rest})
    if record.get("rows"):
        counted = {"count": whole["rows"]}
        parts.append({"kind": "rows", "document": counted, "rows": record["rows"], **rest})
    done = {"rows": whole["rows"], "more": whole.pop("more")}
    parts.append({"kind": "done", "document": done, **rest})
    return [*parts, {"kind": "outcome", "document": whole, **rest}]


def _comes_back(record: Any) -> bool:
    refusal = record["document"].get("refusal") or {}
    return refusal.get("code") == "APPROVAL_NEEDED"


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {k: _plain(v) for k, v in value.items() if k not in PASSING}
        case list():
            return [_plain(v) for v in value]
        case str():
            return re.sub(r"\b(?:stock|public)\b", "shop", value).removeprefix("pg_catalog.")
        case _:
            return value


@pytest.mark.parametrize("sql", STATEMENTS)
def test_every_way_gives_the_same_decision_the_same_mask_and_the_same_record(
    doors: World, sql: str
) -> None:
    told = {}
    for name, way in WAYS.items():
        verdict, rows = way(doors, sql)
        told[name] = Told(verdict, rows, recorded(doors, sql))
        with psycopg.connect(doors.store_dsn) as store:  # or the next way would join its ticket
            store.execute("UPDATE tickets SET state = 'denied' WHERE state = 'pending'")
    expected = STATEMENTS[sql]
    assert {name: (each.verdict, each.rows) for name, each in told.items()} == dict.fromkeys(
        WAYS, expected
    )
    first, *others = told.values()
    kinds = [record["kind"] for record in first.recorded]
    assert ("approval_asked" in kinds) == (first.verdict == "approval")
    for other in others:
        assert other.recorded == first.recorded
