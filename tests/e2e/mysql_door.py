"""A gateway with doors of MySQL's protocol before a real MariaDB, and clients of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import mysql.connector
import pymysql
import pytest

from tests.e2e.certificates import Certificates
from tests.e2e.test_mysql import COLUMNS, SCHEMA
from tests.e2e.world import World, free_port
from tests.fixtures.mariadb import MariaDbServer

MASKED: Final = "SELECT id, name, email, phone, tax, founded FROM suppliers ORDER BY id"
SECRETS: Final = ("zoe.canary", "7946", "2190999911", "1987-06-05", "note.canary")
MANY: Final = 1000
WITHIN: Final = 20.0


@pytest.fixture(scope="module")
def stock(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(SCHEMA)
    rows = f"SELECT seq AS id, REPEAT('x', 100) AS filler FROM seq_1_to_{MANY}"
    mariadb.run(f"USE stock; CREATE TABLE many AS {rows}")
    mariadb.run("CREATE DATABASE attic; CREATE TABLE attic.suppliers (id INT, email VARCHAR(99))")
    yield mariadb
    mariadb.run("DROP DATABASE stock; DROP DATABASE attic; DROP USER gateway")


@pytest.fixture(scope="module")
def here(
    stock: MariaDbServer, module_worlds: Callable[..., World], tmp_path_factory: Any
) -> Iterator[World]:
    certificates = Certificates.make(tmp_path_factory.mktemp("tls"))
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
    }
    made = module_worlds(
        targets={
            "stock-prod": target,
            "stock-short": {**target, "sessions": {"statement": "1s", "idle_in_transaction": "1s"}},
        }
    )
    made.variables = {**made.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    encrypted = free_port()
    made.settings = {
        **made.settings,
        "approvals": {"expire_after": "15m", "native": "2s"},
        "listeners": [
            {"protocol": "mysql", "listen": f"127.0.0.1:{made.listener}"},
            {
                "protocol": "mysql",
                "target": "stock-prod",
                "listen": f"127.0.0.1:{encrypted}",
                "tls": certificates.document,
            },
        ],
    }
    made.start()
    (made.directory / "encrypted").write_text(str(encrypted))
    (made.directory / "authority.pem").write_bytes(certificates.authority.read_bytes())
    yield made
    made.stop()


def connect(here: World, account: str = "rita", **more: Any) -> Any:
    place = {"host": "127.0.0.1", "port": here.listener, "database": "stock-prod"}
    login = {"user": "anybody", "password": here.token(account), "autocommit": True}
    return pymysql.connect(**{**place, **login, **more})


@pytest.fixture
def rita(here: World) -> Iterator[Any]:
    with closing(connect(here)) as connection:
        yield connection


def fetch(connection: Any, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


def connector(here: World, account: str = "rita") -> Any:
    """It sends no password in clear but over TLS."""
    return mysql.connector.connect(
        host="127.0.0.1",
        port=int((here.directory / "encrypted").read_text()),
        user="anybody",
        password=here.token(account),
        autocommit=True,
        use_pure=True,
        ssl_ca=str(here.directory / "authority.pem"),
        ssl_verify_cert=True,
    )


def refused(run: Callable[[], Any], *words: str) -> int:
    with pytest.raises(pymysql.MySQLError) as raised:
        run()
    code, said = raised.value.args
    assert not [word for word in words if word not in said], said
    return int(code)


def running(stock: MariaDbServer, marker: str) -> list[Any]:
    with closing(stock.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE info LIKE %s AND id <> CONNECTION_ID()",
            (f"%{marker}%",),
        )
        return list(cursor.fetchall())


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)
