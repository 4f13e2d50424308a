"""The MySQL door: real clients, a real gateway process, a real MariaDB behind it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import aiomysql
import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.e2e.mysql_door import (
    MASKED,
    SECRETS,
    WITHIN,
    connect,
    connector,
    fetch,
    here,
    refused,
    rita,
    running,
    stock,
    until,
)
from tests.e2e.mysql_raw import logged_in
from tests.e2e.world import World
from tests.fixtures.mariadb import MariaDbServer

__all__ = ["here", "rita", "stock"]

pytestmark = [pytest.mark.anyio, pytest.mark.programs, pytest.mark.gateways]


def test_a_read_is_answered_and_masked(rita: Any) -> None:
    first, second = fetch(rita, MASKED)
    assert first[:2] == (1, "Zoë & Co")
    assert not [secret for secret in SECRETS if secret in repr(first)]
    assert first[3].endswith("0958")
    assert first[4] == 2190990000
    assert second == (2, "Bolt", None, None, None, None)


def test_binary_rows_are_masked_like_text_rows(here: World, rita: Any) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor(prepared=True)
        cursor.execute(MASKED.replace("ORDER", "WHERE id >= ? ORDER"), (1,))
        bound = [tuple(row) for row in cursor.fetchall()]
    assert bound == fetch(rita, MASKED)


def test_a_refusal_has_the_gates_words_and_reaches_nobody(here: World, rita: Any) -> None:
    assert refused(lambda: fetch(rita, "DROP TABLE orders"), "FORBIDDEN", "policy") == 1142
    assert fetch(rita, "SELECT COUNT(*) FROM orders") == [(50,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE orders",
        "SELECT LOAD_FILE('/etc/passwd')",
        "SELECT f_write()",
        "SET sql_mode = 'ANSI_QUOTES'",
        "SET NAMES latin1",
        "SET GLOBAL max_connections = 1",
        "PREPARE s FROM 'DELETE FROM orders'",
        "CREATE TEMPORARY TABLE t (a INT)",
        "USE mysql",
        "SELECT * FROM mysql.global_priv",
    ],
)
def test_what_is_not_let_through(rita: Any, sql: str) -> None:
    assert refused(lambda: fetch(rita, sql)) in (1142, 1227)
    assert fetch(rita, "SELECT 1") == [(1,)]


def test_settings_that_clients_set_are_answered(rita: Any) -> None:
    for sql in (
        "SET NAMES utf8mb4",
        "SET NAMES utf8",
        "SET character_set_results = NULL",
        "SET max_statement_time = 0",
        "SET autocommit = 1",
        "SET SESSION time_zone = '+02:00'",
    ):
        fetch(rita, sql)
    found = fetch(rita, "SELECT @@character_set_results, @@character_set_client, @@time_zone")
    assert found == [("utf8mb4", "utf8mb4", "+02:00")]


def test_the_current_database_is_the_targets(here: World, rita: Any) -> None:
    assert fetch(rita, "SELECT DATABASE()") == [("stock",)]
    rita.select_db("stock")
    rita.select_db("stock-prod")
    assert fetch(rita, "SELECT DATABASE(), COUNT(*) FROM orders") == [("stock", 50)]
    assert refused(lambda: rita.select_db("mysql")) == 1142
    assert fetch(rita, "SELECT COUNT(*) FROM orders") == [(50,)]


def ticket_of(here: World, run: Callable[[], Any]) -> str:
    with pytest.raises(pymysql.MySQLError) as raised:
        run()
    said = raised.value.args[1]
    assert "needs approval: ticket" in said
    return str(said.split("ticket ")[1].split(".")[0].split(" ")[0])


def decide(here: World, ticket: str) -> None:
    done = here.cli("victor", "approvals", "approve", ticket)
    assert done.returncode == 0, done.stderr


def test_a_write_waits_then_names_its_ticket_and_runs_once_when_it_was_approved(
    here: World, rita: Any
) -> None:
    sql = "UPDATE orders SET status = 'sent' WHERE id = 1"
    ticket = ticket_of(here, lambda: fetch(rita, sql))
    decide(here, ticket)
    with rita.cursor() as cursor:
        assert cursor.execute(sql) == 1
    assert fetch(rita, "SELECT status FROM orders WHERE id = 1") == [("sent",)]
    assert ticket_of(here, lambda: fetch(rita, sql)) != ticket


def test_a_write_runs_when_it_is_approved_while_it_waits(here: World, rita: Any) -> None:
    done: list[int] = []
    sql = "UPDATE orders SET status = 'soon' WHERE id = 2"
    ticket = ticket_of(here, lambda: fetch(rita, sql))

    def run() -> None:
        deadline = time.monotonic() + 3 * WITHIN
        while not done and time.monotonic() < deadline:  # the hold is short, and machines are slow
            with rita.cursor() as cursor, suppress(pymysql.MySQLError):
                done.append(cursor.execute(sql))

    thread = threading.Thread(target=run)
    thread.start()
    decide(here, ticket)
    thread.join(4 * WITHIN)
    assert done == [1]


def test_in_a_transaction_nobody_waits(here: World, rita: Any) -> None:
    fetch(rita, "BEGIN")
    fetch(rita, "SELECT COUNT(*) FROM orders")
    begun = time.monotonic()
    said = refused(lambda: fetch(rita, "DELETE FROM orders WHERE id = 3"), "ROLLBACK", "ticket")
    assert said == 1142
    assert time.monotonic() - begun < 1.5
    fetch(rita, "ROLLBACK")


def test_values_are_bound_recorded_and_replayed(here: World) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor(prepared=True)
        text = "SELECT CONCAT(name, ?), ? + 1 FROM suppliers WHERE id = ?"
        cursor.execute(text, ("canary-bound", 41, 2))
        assert cursor.fetchall() == [("Boltcanary-bound", 42)]
    listed = here.cli("victor", "sessions", "list").stdout
    session = re.findall(r"\b[0-9a-f]{24}\b", listed)[0]
    exported = here.cli("victor", "sessions", "export", session, "--format", "ndjson").stdout
    assert "canary-bound" in exported
    replayed = here.cli("victor", "sessions", "replay", session).stdout
    assert "Boltcanary-bound" in replayed


async def test_aiomysql_reads_and_is_refused(here: World) -> None:
    place = {"host": "127.0.0.1", "port": here.listener, "db": "stock-prod"}
    connection = await aiomysql.connect(**place, user="ada", password=here.token("rita"))
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT phone FROM suppliers WHERE id = 1")
        ((phone,),) = await cursor.fetchall()
        assert phone.endswith("0958")
        assert "7946" not in phone
        with pytest.raises(pymysql.MySQLError):
            await cursor.execute("TRUNCATE orders")
    connection.close()


def command_line(
    here: World, *more: str, port: int = 0, program: str = "mariadb"
) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program)
    assert found is not None
    place = ["-h", "127.0.0.1", "-P", str(port or here.listener), "-u", "ada+stock-prod"]
    return subprocess.run(
        [found, "--no-defaults", "--default-character-set=utf8mb4", *place, *more],
        env={**os.environ, "MYSQL_PWD": here.token("rita")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_mariadb_command_line(here: World) -> None:
    done = command_line(here, "-N", "-B", "-e", "SELECT phone FROM suppliers; SHOW TABLES")
    assert done.returncode == 0, done.stderr
    assert "0958" in done.stdout
    assert "7946" not in done.stdout
    assert "suppliers" in done.stdout
    done = command_line(here, "-e", "DELETE FROM orders")
    assert done.returncode == 1
    assert "ERROR 1142 (42000)" in done.stderr


def test_the_mariadb_command_line_over_tls(here: World) -> None:
    port = int((here.directory / "encrypted").read_text())
    trusted = ["--ssl-ca", str(here.directory / "authority.pem"), "--ssl-verify-server-cert"]
    done = command_line(here, *trusted, "-N", "-B", "-e", "SELECT COUNT(*) FROM orders", port=port)
    assert (done.returncode, done.stdout) == (0, "50\n"), done.stderr


def test_without_tls_nothing_is_asked_for(here: World) -> None:
    port = int((here.directory / "encrypted").read_text())
    assert refused(lambda: connect(here, port=port, ssl_disabled=True), "TLS_REQUIRED") == 3159


def test_pymysql_over_tls(here: World) -> None:
    port = int((here.directory / "encrypted").read_text())
    trusted = {"ssl": ssl.create_default_context(cafile=str(here.directory / "authority.pem"))}
    with closing(connect(here, port=port, **trusted)) as connection:
        assert fetch(connection, "SELECT 1") == [(1,)]


def test_a_wrong_token_an_unknown_target_and_another_charset(here: World) -> None:
    assert refused(lambda: connect(here, password="no"), "token was not accepted") == 1045
    assert refused(lambda: connect(here, database="nowhere")) == 1142
    assert refused(lambda: connect(here, charset="latin1"), "utf8mb4") == 1115


SLOW: Final = (
    "SELECT COUNT(*), '{}' FROM orders a, orders b, orders c, orders d, orders e, orders f"
)


@pytest.mark.parametrize("how", ["KILL QUERY {}", "kill query {};"])
def test_a_client_kills_its_own_query(
    here: World, rita: Any, stock: MariaDbServer, how: str
) -> None:
    marker = f"slow{len(how)}"
    said: list[Any] = []

    def run() -> None:
        try:
            fetch(rita, SLOW.format(marker))
        except pymysql.MySQLError as error:
            said.append(error.args[0])

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: bool(running(stock, marker)))
    with closing(connect(here, "victor")) as other:
        assert refused(lambda: fetch(other, how.format(rita.thread_id()))) == 1094
    with closing(connect(here)) as other:
        fetch(other, how.format(rita.thread_id()))
    thread.join(WITHIN)
    assert said == [1317]
    assert fetch(rita, "SELECT 1") == [(1,)]


def test_a_session_is_killed_by_its_own_principal_only(here: World, rita: Any) -> None:
    with closing(connect(here, "victor")) as other:
        assert refused(lambda: other.kill(rita.thread_id())) == 1094
    assert fetch(rita, "SELECT 1") == [(1,)]
    with closing(connect(here)) as other:
        other.kill(rita.thread_id())
    with pytest.raises(pymysql.MySQLError):
        fetch(rita, "SELECT 1")


def memory(here: World) -> int:
    assert here.process is not None
    lines = Path(f"/proc/{here.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def test_a_client_leaves_in_the_middle_of_a_big_result(here: World, stock: MariaDbServer) -> None:
    raw = logged_in(here)
    before = memory(here)
    raw.query("SELECT REPEAT('x', 300000) AS left_behind, id FROM many LIMIT 900")
    for _ in range(300):  # 90 MB of 270
        assert raw.read()
    time.sleep(1)
    assert memory(here) - before < 40_000  # KiB
    assert running(stock, "left_behind")
    raw.close()
    until(lambda: not running(stock, "left_behind"))


def test_a_client_that_sends_rubbish_hurts_nobody(here: World, rita: Any) -> None:
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\x00" * 8, b"\x01\0\0\x01"):
        with socket.create_connection(("127.0.0.1", here.listener), timeout=10) as raw:
            raw.sendall(rubbish)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
    assert fetch(rita, "SELECT 1") == [(1,)]


def test_warnings_quote_no_masked_value(rita: Any) -> None:
    fetch(rita, "SELECT email + 1, phone * 2 FROM suppliers")
    assert not [secret for secret in SECRETS if secret in repr(fetch(rita, "SHOW WARNINGS"))]


def test_found_rows_are_counted_as_the_client_asks(here: World, rita: Any) -> None:
    sql = "UPDATE orders SET status = 'same' WHERE id = 9"
    with closing(connect(here, client_flag=CLIENT.FOUND_ROWS)) as other:
        for connection, counts in ((rita, [1, 0]), (other, [1])):
            for count in counts:
                decide(here, ticket_of(here, lambda each=connection: fetch(each, sql)))
                with connection.cursor() as cursor:
                    assert cursor.execute(sql) == count


def test_a_reset_connection_has_the_settings_of_a_new_one(here: World) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION time_zone = '+05:00'")
        connection.cmd_reset_connection()
        cursor = connection.cursor()
        cursor.execute("SELECT @@time_zone, @@sql_mode, DATABASE(), @@character_set_client")
        zone, mode, *rest = cursor.fetchone()
    assert (zone, rest) == ("+00:00", ["stock", "utf8mb4"])
    assert "STRICT_TRANS_TABLES" in mode


def test_names_of_a_prepared_statement_stay_in_their_database(here: World) -> None:
    with closing(connector(here)) as connection:
        moved = connection.cursor(prepared=True)
        moved.execute("SELECT id, email FROM suppliers WHERE id = ?", (1,))
        ((_, email),) = moved.fetchall()
        assert "zoe.canary" not in email
        connection.cmd_init_db("attic")
        with pytest.raises(mysql.connector.Error, match="PREPARED_ELSEWHERE"):
            moved.execute("SELECT id, email FROM suppliers WHERE id = ?", (1,))
        plain = connection.cursor()
        plain.execute("SELECT id, email FROM suppliers")
        assert plain.fetchall() == []
        plain.execute("SELECT email FROM stock.suppliers WHERE id = 1")
        assert "zoe.canary" not in repr(plain.fetchall())


def test_a_gateway_token_opens_its_target_only(here: World) -> None:
    made = here.cli("rita", "token", "--target", "stock-prod")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    with closing(connect(here, password=secret)) as connection:
        assert fetch(connection, "SELECT 1") == [(1,)]
        live = here.cli("victor", "sessions", "list", "--live").stdout
        assert "stock-prod" in live
    words = "for the target"
    assert refused(lambda: connect(here, password=secret, database="stock-short"), words) == 1045


def test_more_rows_than_policy_lets_through_end_in_an_error(rita: Any) -> None:
    sql = "SELECT a.id FROM orders a, orders b"
    assert refused(lambda: fetch(rita, sql), "ROW_LIMIT", "1000 rows") == 1142
    assert fetch(rita, "SELECT 1") == [(1,)]


def test_limits_of_time(here: World) -> None:
    with closing(connect(here, database="stock-short")) as connection:
        assert refused(lambda: fetch(connection, SLOW.format("late"))) in (1969, 3024)
        assert fetch(connection, "SELECT 1") == [(1,)]
        fetch(connection, "BEGIN")
        fetch(connection, "SELECT COUNT(*) FROM orders")
        time.sleep(1.5)
        with pytest.raises(pymysql.MySQLError):
            fetch(connection, "SELECT 1")
    with closing(logged_in(here, database="stock-short")) as raw:
        assert raw.query("BEGIN")[0] == 0
        assert b"IDLE_IN_TRANSACTION" in raw.read()
        assert raw.sequence == 1  # it came unasked, as number 0


def test_mariadb_dump_of_tables(here: World) -> None:
    options = ["--single-transaction", "--skip-lock-tables", "--no-tablespaces", "--skip-triggers"]
    done = command_line(here, *options, "stock", "orders", "suppliers", program="mariadb-dump")
    assert done.returncode == 0, done.stderr
    assert "CREATE TABLE `orders`" in done.stdout
    assert done.stdout.count("'new'") > 30
    assert not [secret for secret in SECRETS if secret in done.stdout]


def test_what_waits_for_a_person_is_given_up_by_kill(here: World, rita: Any) -> None:
    said: list[Any] = []

    def run() -> None:
        try:
            fetch(rita, "UPDATE orders SET status = 'never' WHERE id = 4")
        except pymysql.MySQLError as error:
            said.append(error.args)

    thread = threading.Thread(target=run)
    thread.start()
    with closing(connect(here)) as other:
        time.sleep(0.7)
        fetch(other, f"KILL QUERY {rita.thread_id()}")
    thread.join(WITHIN)
    assert said[0][0] == 1317
    assert "APPROVAL_CANCELLED" in said[0][1]
