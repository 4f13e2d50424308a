"""What programs on Python's drivers do: run by `capture`, in an environment that has them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

import asyncpg
import psycopg
import sqlalchemy
from psycopg.rows import dict_row
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo

PASSWORD = os.environ["PGPASSWORD"]


def place(port: str, user: str) -> str:
    return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/everything?sslmode=disable"


async def use_asyncpg(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        async with pool.acquire() as connection:
            await connection.fetch("SELECT * FROM people WHERE id = $1", 1)
            await connection.fetch("SELECT state, tags FROM orders, people")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                async for _ in connection.cursor("SELECT id FROM people"):
                    pass
        async with pool.acquire() as connection:
            await connection.execute("SET search_path TO sales, public")
            await connection.fetch("SELECT region FROM targets")
        async with pool.acquire() as connection:
            await connection.fetch("SELECT id FROM orders")


def use_psycopg(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT * FROM people WHERE id = %s", (1,))
        connection.execute("SELECT id FROM people", prepare=True)
        TypeInfo.fetch(connection, "state")
        EnumInfo.fetch(connection, "state")
        CompositeInfo.fetch(connection, "place")
        with connection.transaction(), connection.transaction():
            connection.cursor(row_factory=dict_row).execute("SELECT 1")
        with connection.cursor(name="rows") as rows:
            rows.execute("SELECT id FROM orders").fetchmany(2)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.autocommit = False
        connection.execute("SELECT 1")


def use_sqlalchemy(dsn: str) -> None:
    for driver in ("psycopg", "psycopg2"):
        engine = sqlalchemy.create_engine(dsn.replace("postgresql", f"postgresql+{driver}"))
        inspector = sqlalchemy.inspect(engine)
        for schema in inspector.get_schema_names():
            _inspect(inspector, schema)
        tables = sqlalchemy.MetaData()
        tables.reflect(engine, views=True)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.select(tables.tables["orders"])).all()
        engine.dispose()


def _inspect(inspector: sqlalchemy.Inspector, schema: str) -> None:
    inspector.get_table_names(schema)
    inspector.get_view_names(schema)
    inspector.get_materialized_view_names(schema)
    inspector.get_sequence_names(schema)
    inspector.get_temp_table_names()
    inspector.get_enums(schema)
    inspector.get_domains(schema)
    if schema == "public":
        inspector.get_view_definition("contacts", schema)
        inspector.has_table("people", schema)
        inspector.get_foreign_keys("orders", schema)
        inspector.get_check_constraints("people", schema)
        inspector.get_table_comment("people", schema)


USES: dict[str, Callable[[str], None]] = {
    "asyncpg": lambda dsn: asyncio.run(use_asyncpg(dsn.removesuffix("?sslmode=disable"))),
    "psycopg": use_psycopg,
    "sqlalchemy": use_sqlalchemy,
}

if __name__ == "__main__":
    which, port, user = sys.argv[1:]
    USES[which](place(port, user))
