"""pg_dump through a whole gateway, under the analytics pack: a copy of the database, masked."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import asyncpg
import pytest

from server.identity.demo import RITA
from tests.e2e.test_real_clients import EVERYTHING, PROGRAMS
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.programs]

# They hold options of a server and a user mapping, which a dump has masked, so that the lines that
# make them are no SQL; and what needs a superuser or an extension to be made.
LEFT_OUT: Final = (
    *("--exclude-table=far", "--schema=public", "--schema=sales"),
    *("--no-owner", "--no-privileges"),
)
ANN: Final = replace(RITA, name="ann", groups=("analysts",))


@pytest.fixture(scope="module")
def warehouse(module_worlds: Callable[..., World]) -> World:
    world = module_worlds()
    world.provider.provider.accounts = {ANN.name: ANN}
    target = world.configuration()["targets"]["shop"]
    labelled = [{"column": "public.people.ssn", "label": "pii", "mask": "keep_last(4)"}]
    targets = {"shop": {**target, "columns": labelled}}
    world.settings = {"targets": targets, "policies": "analytics"}
    world.direct_execute("DROP TABLE orders, customers CASCADE")
    world.direct_execute(re.sub(r"\bapp\b", f"{world.database}_admin", EVERYTHING))
    world.start()
    return world


def dumped(world: World, *options: str) -> subprocess.CompletedProcess[str]:
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(world.listener), "PGUSER": "ann"}
    password = {"PGPASSWORD": world.token("ann"), "PGSSLMODE": "disable", "PGDATABASE": "shop"}
    return subprocess.run(
        [str(PROGRAMS / "pg_dump"), *options],
        env={**os.environ, **place, **password},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("options", [(), ("--inserts",), ("--data-only",), ("--table=people",)])
async def test_a_dump_comes_whole_and_without_secrets(
    warehouse: World, options: tuple[str, ...]
) -> None:
    ended = await asyncio.to_thread(dumped, warehouse, *options)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert "Ada Lovelace" in ended.stdout
    assert "***-**-9991" in ended.stdout
    for secret in ("219-09", "612-34", "not-a-secret", "example.invalid"):
        assert secret not in ended.stdout


async def test_a_dump_is_restored(warehouse: World) -> None:
    ended = await asyncio.to_thread(dumped, warehouse, *LEFT_OUT)
    script = re.sub(r"^\\\\(un)?restrict .*$", "", ended.stdout, flags=re.MULTILINE)
    restored = f"{warehouse.database}_restored"
    await _create(warehouse, restored)
    psql = [str(PROGRAMS / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    server = warehouse.postgres
    made = await asyncio.to_thread(
        subprocess.run,
        [*psql, server.dsn(restored)],
        input=script,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (made.stderr, made.returncode) == ("", 0)
    people = "SELECT id, name, ssn FROM people ORDER BY id"
    orders = "SELECT id, person, total, state, placed FROM orders ORDER BY id"
    async with warehouse.direct() as original:
        true_people, true_orders = await original.fetch(people), await original.fetch(orders)
    copy = await asyncpg.connect(warehouse.postgres.dsn(restored))
    try:
        assert await copy.fetch(orders) == true_orders
        masked = [(p["id"], p["name"], f"***-**-{p['ssn'][-4:]}") for p in true_people]
        assert [tuple(p) for p in await copy.fetch(people)] == masked
    finally:
        await copy.close()


async def _create(world: World, name: str) -> None:
    connection = await asyncpg.connect(world.postgres.dsn("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    finally:
        await connection.close()
    made = await asyncpg.connect(world.postgres.dsn(name))
    try:
        await made.execute("DROP SCHEMA public")  # the dump makes it
    finally:
        await made.close()
