"""One statement by a Python client: its rows or its error; an interrupt cancels it, as that client
does. `python ask.py CLIENT SQL`, with PostgreSQL's own variables for where and who.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Callable, Iterable
from typing import Any

import aiomysql
import asyncpg
import mysql.connector
import psycopg
import pymysql
import sqlalchemy

KILL = "KILL QUERY {}"


def show(rows: Iterable[Any]) -> None:
    for row in rows:
        print(*row)


def on_interrupt(cancel: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, lambda *_: cancel())


def by_psycopg(sql: str) -> None:
    with psycopg.connect(autocommit=True) as connection:
        on_interrupt(connection.cancel)
        cursor = connection.execute(sql)
        show(cursor.fetchall() if cursor.description else [("changed:", cursor.rowcount)])


def by_psycopg_bound(sql: str) -> None:
    """Prepared, in binary, by a cursor of rows as they come."""
    with psycopg.connect(autocommit=True, prepare_threshold=0) as connection:
        on_interrupt(connection.cancel)
        with connection.cursor(binary=True) as cursor:
            for _ in range(1):
                cursor.execute(sql, prepare=True)
            show(cursor if cursor.description else [("changed:", cursor.rowcount)])


async def psycopg_async(sql: str) -> None:
    connection = await psycopg.AsyncConnection.connect(autocommit=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, connection.cancel)
    async with connection:
        cursor = await connection.execute(sql)
        found = await cursor.fetchall() if cursor.description else [("changed:", cursor.rowcount)]
        show(found)


async def by_asyncpg(sql: str) -> None:
    connection = await asyncpg.connect(database=os.environ["PGDATABASE"])
    asking = asyncio.ensure_future(connection.fetch(sql))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, asking.cancel)
    try:
        show([tuple(row) for row in await asking])
    except asyncio.CancelledError:
        print("cancelled")
    await connection.close()


def by_sqlalchemy(sql: str) -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg://", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        on_interrupt(driver.cancel)
        result = connection.execute(sqlalchemy.text(sql))
        show(result if result.returns_rows else [("changed:", result.rowcount)])


def place() -> dict[str, Any]:
    variables = os.environ
    return {
        "host": variables["PGHOST"],
        "port": int(variables["PGPORT"]),
        "user": variables["PGUSER"],
        "password": variables["PGPASSWORD"],
        "database": variables["PGDATABASE"],
    }


def trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])


def by_pymysql(sql: str) -> None:
    connection = pymysql.connect(**place(), ssl=trusted(), autocommit=True)

    def kill() -> None:
        other = pymysql.connect(**place(), ssl=trusted(), autocommit=True)
        with other.cursor() as cursor:
            cursor.execute(KILL.format(connection.thread_id()))
        other.close()

    on_interrupt(kill)
    with connection.cursor() as cursor:
        count = cursor.execute(sql)
        show(cursor.fetchall() if cursor.description else [("changed:", count)])
    connection.close()


async def by_aiomysql(sql: str) -> None:
    where = place()
    where["db"] = where.pop("database")
    connection = await aiomysql.connect(**where, ssl=trusted(), autocommit=True)
    killing: list[asyncio.Task[None]] = []

    async def kill() -> None:
        other = await aiomysql.connect(**where, ssl=trusted(), autocommit=True)
        async with other.cursor() as cursor:
            await cursor.execute(KILL.format(connection.thread_id()))
        other.close()

    asyncio.get_running_loop().add_signal_handler(
        signal.SIGINT, lambda: killing.append(asyncio.ensure_future(kill()))
    )
    async with connection.cursor() as cursor:
        count = await cursor.execute(sql)
        show(await cursor.fetchall() if cursor.description else [("changed:", count)])
    connection.close()


def by_mysql_connector(sql: str) -> None:
    def connect() -> Any:
        return mysql.connector.connect(
            **place(),
            autocommit=True,
            use_pure=True,
            ssl_ca=os.environ["PGSSLROOTCERT"],
            ssl_verify_cert=True,
        )

    connection = connect()

    def kill() -> None:
        other = connect()
        other.cursor().execute(KILL.format(connection.connection_id))
        other.close()

    on_interrupt(kill)
    cursor = connection.cursor()
    cursor.execute(sql)
    show(cursor.fetchall() if cursor.description else [("changed:", cursor.rowcount)])
    connection.close()


BY: dict[str, Callable[[str], Any]] = {
    "psycopg": by_psycopg,
    "psycopg, prepared and binary": by_psycopg_bound,
    "psycopg, asynchronous": psycopg_async,
    "asyncpg": by_asyncpg,
    "SQLAlchemy": by_sqlalchemy,
    "PyMySQL": by_pymysql,
    "aiomysql": by_aiomysql,
    "mysql-connector": by_mysql_connector,
}


def main(client: str, sql: str) -> None:
    """Ask, and print what came."""
    try:
        asked = BY[client](sql)
        if asyncio.iscoroutine(asked):
            asyncio.run(asked)
    except Exception as error:  # noqa: BLE001 -- a driver's own, which is what is to be seen
        detail = getattr(getattr(error, "diag", None), "message_detail", None)
        print("ERROR", getattr(error, "sqlstate", ""), error, getattr(error, "detail", detail))


if __name__ == "__main__":
    main(*sys.argv[1:])
