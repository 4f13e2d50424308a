"""`make bench`: a governed one-row SELECT beside the SDK's bare tool, both in one run.

Each server has a core of its own; the client, PostgreSQL and the store share the other one. Prints
latency, throughput, the server's processor time a call and its memory. Ratios are what to compare;
absolute figures are this machine's.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from server import embedded
from tests.bench.client import Request, latencies, throughput
from tests.e2e.test_endings import call_body
from tests.e2e.world import World, build, free_port, tear_down
from tests.fixtures.postgres import PostgresServer

SQL: Final = "SELECT id, status FROM orders WHERE id = 7"
ROUNDS: Final = 5
CALLS: Final = 200
CLIENTS: Final = 16
WARM_UP: Final = 50
READY_WITHIN: Final = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Server:
    """One measured process, and what it was measured at."""

    name: str
    pid: int
    request: Request
    milliseconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def processor_seconds(self) -> float:
        """Of all its threads, as the scheduler counted them."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> float:
        """Resident megabytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def percentile(self, part: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[int(len(ordered) * part)]

    async def round(self) -> None:
        self.milliseconds.extend(await latencies(self.request, CALLS))
        rate = await throughput(self.request, clients=CLIENTS, calls=CALLS // 4)
        self.rates.append(rate)


async def measure(servers: list[Server]) -> None:
    """Alternate between the servers, so that a disturbance meets both."""
    for server in servers:
        await latencies(server.request, WARM_UP)
    idle = {server.name: server.memory() for server in servers}
    spent = {server.name: -server.processor_seconds() for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            await server.round()
    calls = ROUNDS * (CALLS + CLIENTS * (CALLS // 4))
    print(f"{'server':10} {'p50 ms':>8} {'p95 ms':>8} {'calls/s':>8} {'cpu ms':>8} {'MB idle':>8}")
    for server in servers:
        cpu = (spent[server.name] + server.processor_seconds()) * 1000 / calls
        rate = sorted(server.rates)[ROUNDS // 2]
        p50, p95 = server.percentile(0.5), server.percentile(0.95)
        memory = idle[server.name]
        print(f"{server.name:10} {p50:8.2f} {p95:8.2f} {rate:8.0f} {cpu:8.2f} {memory:8.0f}")
    added = servers[0].percentile(0.5) - servers[1].percentile(0.5)
    print(f"the gateway adds {added:.2f} ms at p50")


def governed(world: World) -> Server:
    body, headers = call_body("modern", SQL)
    headers["Authorization"] = f"Bearer {world.token('rita')}"
    assert world.process is not None
    return Server("governed", world.process.pid, Request.post(f"{world.url}/mcp", body, headers))


@contextmanager
def bare(world: World, port: int, core: set[int]) -> Iterator[Server]:
    body, headers = call_body("modern", SQL)
    request = Request.post(f"http://127.0.0.1:{port}/mcp", body, headers)
    with on(core):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bare", str(port)],
            env={**os.environ, "BARE_DSN": world.direct_dsn},
        )
    try:
        asyncio.run(_serving(request))
        yield Server("bare", process.pid, request)
    finally:
        process.terminate()
        process.wait()


async def _serving(request: Request) -> None:
    async with asyncio.timeout(READY_WITHIN):
        while True:
            try:
                await latencies(request, 1)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                return


def cores() -> tuple[set[int], set[int]]:
    """One core for the measured servers, and the others for all else. The same where there is one.

    Processes keep the cores of whoever starts them.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


@contextmanager
def on(chosen: set[int]) -> Iterator[None]:
    """What is started here runs on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def postgres(directory: Path) -> Iterator[PostgresServer]:
    server = asyncio.run(embedded.start(directory))
    try:
        sockets = str(server.socket_directory)
        yield PostgresServer(sockets, server.port, server.superuser, server.password)
    finally:
        asyncio.run(server.stop())


@contextmanager
def world_of(directory: Path, server: PostgresServer, core: set[int]) -> Iterator[World]:
    directory.mkdir()
    much = {"calls_per_minute": 10_000_000, "statements_per_minute": 10_000_000}
    limits = {"per_principal": much, "per_agent": much}
    world = build(directory, server, "bench", limits=limits)
    try:
        world.start()
        world.stop()
        with on(core):
            begun = time.perf_counter()
            world.start()
        print(f"ready to serve {time.perf_counter() - begun:.2f} s after a warm start")
        yield world
    finally:
        tear_down(world)


def main() -> int:
    core, rest = cores()
    print(f"servers on core {core}, one after another; client and PostgreSQL on {rest}")
    with (
        on(rest),
        tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as directory,
        postgres(Path(directory) / "postgres") as server,
        world_of(Path(directory) / "world", server, core) as world,
        bare(world, free_port(), core) as other,
    ):
        uvloop.run(measure([governed(world), other]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
