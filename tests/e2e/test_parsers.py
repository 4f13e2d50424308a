"""The parser processes of a real gateway: they know no secret, and go when the gateway goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_main_job import run_sql
from tests.e2e.world import World
from tests.server.parsing.pools import exists

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]
WITHIN = 30.0


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    return module_worlds()


def parsers(gateway: int) -> list[int]:
    """The nursery and its workers."""
    nurseries = [pid for pid in children(gateway) if "parsing.nursery" in command_line(pid)]
    return nurseries + [pid for nursery in nurseries for pid in children(nursery)]


def children(parent: int) -> list[int]:
    return [pid for pid, above in processes() if above == parent]


def processes() -> Iterator[tuple[int, int]]:
    """Process ids with those of their parents."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        yield int(entry.parent.name), int(fields[1])


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


async def started(world: World) -> list[int]:
    """The parsers of a gateway that has answered a statement."""
    world.start()
    async with world.mcp("rita") as client:
        assert not (await run_sql(client, "SELECT 1")).is_error
    assert world.process is not None
    return all_parsers(world.process.pid)


def all_parsers(gateway: int) -> list[int]:
    deadline = time.monotonic() + WITHIN
    while len(found := parsers(gateway)) < 4:
        assert time.monotonic() < deadline, "there are fewer parsers than there should be"
        time.sleep(0.01)
    return found


def opened(pid: int) -> set[str]:
    """The kinds of what a process has open."""
    links = (os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir())
    return {link.partition(":")[0] for link in links}


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def await_end(pids: list[int]) -> None:
    deadline = time.monotonic() + WITHIN
    while any(map(exists, pids)):
        assert time.monotonic() < deadline, "parsers outlive their gateway"
        time.sleep(0.01)


async def test_parsers_know_no_secret_and_go_with_a_gateway_that_stops(world: World) -> None:
    pids = await started(world)
    for pid in pids:
        assert b"E2E_" not in environment(pid)
        assert b"PASSWORD" not in environment(pid)
        assert b"@" not in environment(pid)  # no URL of a store
        assert opened(pid) <= {"socket", "/dev/null"}
    assert world.process is not None
    world.process.send_signal(signal.SIGTERM)
    assert world.process.wait(timeout=WITHIN) == 0
    await_end(pids)
    assert world.complaints == ""


async def test_parsers_go_with_a_gateway_that_is_killed(world: World) -> None:
    pids = await started(world)
    os.kill(pids[-1], signal.SIGSTOP)  # who is stopped goes, too
    assert world.process is not None
    world.process.kill()
    world.process.wait(timeout=WITHIN)
    await_end(pids)
