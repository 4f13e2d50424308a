"""What changes a session at the MySQL door, or is long: real clients before a real MariaDB."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pymysql
import pytest

from tests.e2e import mysql_raw as r
from tests.e2e.mysql_door import (
    connect,
    connector,
    fetch,
    here,
    refused,
    rita,
    stock,
)
from tests.e2e.world import World

__all__ = ["here", "rita", "stock"]

pytestmark = [pytest.mark.programs, pytest.mark.gateways]

SESSION_TRACK = 1 << 23


def newest(here: World) -> str:
    """The session that was opened last, as it was recorded."""
    listed = here.cli("victor", "sessions", "list").stdout
    session = re.findall(r"\b[0-9a-f]{24}\b", listed)[0]
    return here.cli("victor", "sessions", "export", session, "--format", "ndjson").stdout


def test_kill_reaches_no_other_target_and_is_recorded(here: World, rita: Any) -> None:
    for database, account in (("stock-short", "rita"), ("stock-prod", "victor")):
        with closing(connect(here, account, database=database)) as other:
            assert refused(lambda each=other: each.kill(rita.thread_id())) == 1094
    assert fetch(rita, "SELECT 1") == [(1,)]
    with closing(connect(here)) as other:
        other.kill(rita.thread_id())
        assert fetch(other, "SELECT 1") == [(1,)]
    assert '"killed"' in newest(here)
    with pytest.raises(pymysql.MySQLError):
        fetch(rita, "SELECT 1")


def test_another_user_is_another_principal_in_a_session_of_its_own(here: World) -> None:
    with closing(r.logged_in(here)) as raw:
        assert raw.query("SET SESSION time_zone = '+05:00'")[0] == 0
        assert raw.command(b"\x16SELECT 1")[0] == 0
        raw.read()
        change = b"\x11anybody\0\0\0\x2d\0mysql_native_password\0"  # no target: its own
        assert raw.command(change).startswith(b"\xfemysql_clear_password\0")
        raw.write(here.token("victor").encode() + b"\0")
        assert raw.read()[0] == 0
        assert raw.query("SELECT @@time_zone, DATABASE(), 'canary-changed'")[0] == 3
        said = b"".join(raw.rest())
        assert b"+00:00" in said
        assert b"stock" in said
        assert r.code(raw.command(b"\x17\x01\0\0\0\0\x01\0\0\0")) == 1243
        recorded = newest(here)
        assert "canary-changed" in recorded
        assert "time_zone = " not in recorded
        number = int.from_bytes(raw.greeting[raw.greeting.index(b"\0", 1) + 1 :][:4], "little")
        with closing(connect(here)) as other:
            assert refused(lambda: other.kill(number)) == 1094
        with closing(connect(here, "victor")) as other:
            other.kill(number)
            assert '"killed"' in newest(here)
        assert r.code(raw.read()) == 1053


def test_mysql_connector_changes_its_user(here: World) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION time_zone = '+05:00'")
        connection.cmd_change_user("anybody", here.token("victor"), "stock-prod")
        cursor = connection.cursor()
        cursor.execute("SELECT @@time_zone, DATABASE()")
        assert cursor.fetchall() == [("+00:00", "stock")]


def test_query_attributes_are_not_agreed_on_and_hurt_nobody(here: World) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor()
        cursor.add_attribute("who", "DROP TABLE orders")
        with pytest.warns(Warning, match="Query Attributes"):
            cursor.execute("SELECT COUNT(*) FROM orders")
        assert cursor.fetchall() == [(50,)]


@pytest.mark.parametrize("command", [b"\x03USE attic", b"\x02attic"])
def test_a_change_of_the_database_is_told_who_asked_for_it(here: World, command: bytes) -> None:
    told = b"\x01\x06\x05attic"
    with closing(r.logged_in(here, r.PLAIN | r.DEPRECATE_EOF | SESSION_TRACK)) as raw:
        assert told in raw.command(command)
        assert told not in raw.query("SET SESSION time_zone = '+05:00'")
    with closing(r.logged_in(here)) as raw:
        assert raw.command(command) == b"\0\0\0\x02\0\0\0"


def test_a_statement_that_is_too_long_is_refused_and_the_session_lives(rita: Any) -> None:
    for size, code, word in (
        (3_900_000, 1142, "SQL_TOO_LONG"),
        (4_200_000, 1153, "STATEMENT_TOO_LONG"),
        (17_000_000, 1153, "STATEMENT_TOO_LONG"),
    ):
        text = "SELECT '" + "a" * size + "'"
        assert refused(lambda each=text: fetch(rita, each), word) == code
        assert fetch(rita, "SELECT 1") == [(1,)]


def test_a_long_value_is_bound_up_to_the_bound(here: World) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor(prepared=True)
        cursor.execute("SELECT LENGTH(?)", ("b" * 3_900_000,))
        assert cursor.fetchall() == [(3_900_000,)]
        with pytest.raises(Exception, match="STATEMENT_TOO_LONG"):
            cursor.execute("SELECT LENGTH(?)", ("b" * 4_200_000,))
        plain = connection.cursor()
        plain.execute("SELECT 1")
        assert plain.fetchall() == [(1,)]
