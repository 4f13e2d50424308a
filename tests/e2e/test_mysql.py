"""`run_sql` on a MariaDB target, from a real client through the gateway to a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import mcp.types as t
import pytest
from mcp import Client

from tests.e2e.test_main_job import refusal, words
from tests.e2e.world import World
from tests.fixtures.mariadb import MariaDbServer

pytestmark = [pytest.mark.anyio, pytest.mark.programs, pytest.mark.gateways]

SCHEMA: Final = """
    CREATE DATABASE stock CHARACTER SET utf8mb4;
    USE stock;
    CREATE TABLE suppliers(
        id INT PRIMARY KEY, name VARCHAR(100), email VARCHAR(100), phone VARCHAR(30),
        tax BIGINT, founded DATE, contact JSON, notes TEXT
    );
    CREATE TABLE orders(id INT PRIMARY KEY, supplier INT, total DECIMAL(10,2), status VARCHAR(50));
    INSERT INTO suppliers VALUES
        (1, 'Zoë & Co', 'zoe.canary@example.com', '+44 20 7946 0958', 2190999911, '1987-06-05',
         '{"mail": "json.canary@example.com", "n": 1}', 'call note.canary@example.com'),
        (2, 'Bolt', NULL, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO orders SELECT seq, 1 + seq % 2, seq * 1.5, 'new' FROM seq_1_to_50;
    CREATE VIEW contacts AS SELECT id, email AS mail FROM suppliers;
    CREATE FUNCTION f_write() RETURNS INT MODIFIES SQL DATA
        BEGIN UPDATE orders SET status = 'evil'; RETURN 1; END;
    CREATE VIEW evil AS SELECT f_write() AS x;
    CREATE OR REPLACE USER gateway IDENTIFIED BY 'canary-mysql-password';
    GRANT ALL ON *.* TO gateway;
"""
COLUMNS: Final = [
    {"column": "stock.suppliers.email", "label": "pii", "mask": "email"},
    {"column": "stock.suppliers.phone", "label": "pii", "mask": "keep_last(4)"},
    {"column": "stock.suppliers.tax", "label": "pii", "mask": "bucket(10000)"},
    {"column": "stock.suppliers.founded", "label": "pii", "mask": "year"},
]
SECRETS: Final = (
    *("zoe.canary", "7946", "2190999911", "1987-06-05", "json.canary", "note.canary"),
    "canary-mysql-password",
)
SLOW: Final = "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f"


@pytest.fixture(scope="module")
def stock(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(SCHEMA)
    yield mariadb
    mariadb.run("DROP DATABASE stock; DROP USER gateway")


@pytest.fixture(scope="module")
def here(stock: MariaDbServer, module_worlds: Callable[..., World]) -> Iterator[World]:
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    target = {
        "kind": "mariadb",
        "environment": "production",
        "address": f"unix:{stock.socket}",
        "database": "stock",
        "tls": "disable",
        "reader": login,
        "writer": login,
        "columns": COLUMNS,
        "sessions": {"statement": "3s"},
    }
    made = module_worlds(targets={"stock": target})
    made.variables = {**made.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    made.start()
    yield made
    made.stop()


@pytest.fixture
def direct(stock: MariaDbServer) -> Callable[[str], list[tuple[Any, ...]]]:
    def fetch(text: str) -> list[tuple[Any, ...]]:
        with closing(stock.connect("stock")) as connection, connection.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())

    return fetch


Fetch = Callable[[str], list[tuple[Any, ...]]]


async def run_sql(client: Client, sql: str, **arguments: Any) -> t.CallToolResult:
    result = await client.call_tool("run_sql", {"target": "stock", "sql": sql, **arguments})
    assert isinstance(result, t.CallToolResult)
    return result


def content(result: t.CallToolResult) -> dict[str, Any]:
    assert not result.is_error, words(result)
    assert result.structured_content is not None
    shown = json.dumps(result.structured_content) + words(result)
    assert not [secret for secret in SECRETS if secret in shown]
    return result.structured_content


async def test_a_read_is_masked_by_column_and_scanned_for_the_rest(here: World) -> None:
    async with here.mcp("rita") as client:
        found = content(await run_sql(client, "SELECT * FROM suppliers ORDER BY id"))
    assert set(found["masked_columns"]) == {"email", "phone", "tax", "founded"}
    first, second = found["rows"]
    assert first[:2] == [1, "Zoë & Co"]
    assert first[3].endswith("0958")
    assert first[4] == 2190990000
    assert first[5] == "1987-01-01"
    assert json.loads(first[6])["n"] == 1
    assert first[7].startswith("call <")
    assert second == [2, "Bolt", None, None, None, None, None, None]
    assert [c["type"] for c in found["columns"]] == [
        *("int", "varchar", "varchar", "varchar", "bigint", "date", "text", "text")
    ]


async def test_bound_values_give_the_same_masks_in_binary_rows(here: World) -> None:
    text = "SELECT * FROM suppliers WHERE id >= {} ORDER BY id"
    async with here.mcp("rita") as client:
        plain = content(await run_sql(client, text.format(1)))
        bound = content(await run_sql(client, text.format("?"), params=[1]))
    assert bound["rows"] == plain["rows"]
    assert bound["masked_columns"] == plain["masked_columns"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT mail FROM contacts",
        "SELECT UPPER(email), REVERSE(phone), HEX(email) FROM suppliers",
        "SELECT s.email AS harmless FROM suppliers AS s",
        "SELECT GROUP_CONCAT(email), MAX(phone), SUM(tax), MIN(founded) FROM suppliers",
        "WITH orders AS (SELECT email AS status FROM suppliers) SELECT status FROM orders",
        "SELECT status FROM (SELECT email AS status FROM suppliers) AS orders",
        "SELECT phone AS email FROM suppliers UNION SELECT email FROM suppliers",
        "SELECT (SELECT email FROM suppliers WHERE id = 1) AS status FROM orders LIMIT 1",
    ],
)
async def test_a_labelled_value_comes_out_of_no_expression(here: World, sql: str) -> None:
    async with here.mcp("rita") as client:
        result = await run_sql(client, sql)
    shown = (words(result) + json.dumps(result.structured_content)).lower()
    for value in ("zoe.canary@example.com", "+44 20 7946 0958", "2190999911", "1987-06-05"):
        forms = (value, value[::-1], value.encode().hex())
        assert not any(form in shown for form in forms), (sql, shown)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DROP TABLE orders", "FORBIDDEN"),
        ("UPDATE orders SET status = 'x'", "FORBIDDEN"),
        ("SELECT 1; DELETE FROM orders", "SQL_MULTIPLE_STATEMENTS"),
        ("SELECT LOAD_FILE('/etc/passwd')", "FUNCTION_NOT_ALLOWED"),
        ("SELECT f_write()", "FUNCTION_NOT_ALLOWED"),
        ("SELECT * FROM evil", "FUNCTION_NOT_ALLOWED"),
        ("SELECT * FROM mysql.global_priv", "RELATION_SENSITIVE"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "SQL_NOT_UNDERSTOOD"),
        ("SELECT * FROM nowhere", "RELATION_UNKNOWN"),
    ],
)
async def test_what_is_refused_says_why_and_changes_nothing(
    here: World, direct: Fetch, sql: str, code: str
) -> None:
    before = direct("CHECKSUM TABLE orders, suppliers")
    async with here.mcp("rita") as client:
        said = refusal(await run_sql(client, sql))
    assert direct("CHECKSUM TABLE orders, suppliers") == before
    assert said["code"] == code, said
    assert said["next_step"]


async def test_an_approved_write_runs_once(here: World, direct: Fetch) -> None:
    status = "SELECT status FROM orders WHERE id = 7"
    sql, values = "UPDATE orders SET status = ? WHERE id = ?", ["approved", 7]
    async with here.mcp("rita") as client:
        pending = refusal(await run_sql(client, sql, params=values, reason="asked for"))
        assert pending["status"] == "pending_approval"
        assert direct(status) == [("new",)]
        approved = here.cli("victor", "approvals", "approve", pending["approval_id"])
        assert approved.returncode == 0, approved
        done = content(await run_sql(client, sql, params=values, reason="asked for"))
        assert done["command"] == "UPDATE 1"
        assert direct(status) == [("approved",)]
        again = refusal(await run_sql(client, sql, params=values, reason="asked for"))
    assert again["status"] == "pending_approval"
    assert again["approval_id"] != pending["approval_id"]


async def test_an_approval_does_not_hold_for_a_table_that_was_changed_since(
    here: World, stock: MariaDbServer
) -> None:
    sql = "UPDATE orders SET status = 'late' WHERE id = 8"
    async with here.mcp("rita") as client:
        pending = refusal(await run_sql(client, sql))
        assert here.cli("victor", "approvals", "approve", pending["approval_id"]).returncode == 0
        await asyncio.to_thread(stock.run, "ALTER TABLE stock.orders ADD COLUMN more INT")
        again = refusal(await run_sql(client, sql))
    assert again["status"] == "pending_approval"
    assert again["approval_id"] != pending["approval_id"]


async def test_an_error_of_the_target_comes_back_without_labelled_values(here: World) -> None:
    async with here.mcp("rita") as client:
        result = await run_sql(client, "SELECT id, JSON_VALUE('{', '$') + POW(99999, 99999)")
        said = refusal(await run_sql(client, "SELECT POW(99999, 99999)"))
    assert result.is_error
    assert said["code"] == "SQL_ERROR", said
    assert "out of range" in said["reason"]


async def test_a_statement_past_the_targets_time_is_stopped(here: World, direct: Fetch) -> None:
    async with here.mcp("rita") as client:
        result = await run_sql(client, SLOW)
    assert result.is_error
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%orders f'"
    assert direct(running) == [(0,)]


async def test_pages_go_on_where_the_last_one_ended(here: World) -> None:
    sql = "SELECT id FROM orders ORDER BY id"
    async with here.mcp("rita") as client:
        first = content(await run_sql(client, sql, max_rows=30))
        rest = content(await run_sql(client, sql, max_rows=30, cursor=first["next_cursor"]))
    assert [row[0] for row in first["rows"] + rest["rows"]] == list(range(1, 51))
    assert rest["next_cursor"] is None


async def test_the_target_is_listed_and_its_facts_are_shown(here: World) -> None:
    async with here.mcp("rita") as client:
        listed = await client.call_tool("list_targets", {})
    assert isinstance(listed, t.CallToolResult)
    assert "stock\tmariadb" in words(listed)
    shown = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "server.cli", "facts", "--target", "stock"],
        input=json.dumps({"id": 1, "sql": "SELECT mail FROM contacts"}) + "\n",
        env=here.as_user("rita"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0, shown
    assert json.loads(shown.stdout)["reads"] == ["stock.contacts", "stock.suppliers"], shown


async def test_a_scan_finds_what_is_not_labelled(here: World) -> None:
    found = here.cli("victor", "scan", "stock")
    assert found.returncode in (0, 1), found
    assert "notes" in found.stdout, found


async def test_a_dry_run_tells_the_verdict_without_a_plan(here: World) -> None:
    async with here.mcp("rita") as client:
        result = await run_sql(client, "SELECT email FROM suppliers", dry_run=True)
    assert not result.is_error, words(result)
    assert "a plan is not asked for" in words(result) + json.dumps(result.structured_content)


async def test_what_was_delivered_is_replayed(here: World) -> None:
    async with here.mcp("rita") as client:
        found = content(await run_sql(client, "SELECT id, email FROM suppliers WHERE id = 1"))
        values = content(
            await run_sql(client, "SELECT id, founded FROM suppliers WHERE id = ?", params=[1])
        )
    for session, said in ((found["session"], "email"), (values["session"], "founded")):
        replayed = here.cli("victor", "sessions", "replay", session)
        assert replayed.returncode == 0, replayed
        assert f"SELECT id, {said} FROM suppliers" in replayed.stdout
        assert not [secret for secret in SECRETS if secret in replayed.stdout]
