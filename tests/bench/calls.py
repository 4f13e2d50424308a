"""`make bench`: a governed one-row SELECT beside the SDK's bare tool, both in one run.

Prints latency, throughput, the gateway's processor time a call and its memory. Ratios are what to
compare; absolute figures are this machine's.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from server import embedded
from tests.e2e.test_endings import call_body
from tests.e2e.world import World, build, free_port, tear_down
from tests.fixtures.postgres import PostgresServer

SQL: Final = "SELECT id, status FROM orders WHERE id = 7"
ROUNDS: Final = 5
CALLS: Final = 200
CLIENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Side:
    """One server under the same load."""

    name: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    pid: int

    async def call(self, http: httpx2.AsyncClient) -> None:
        response = await http.post(self.url, json=self.body, headers=self.headers)
        assert response.status_code == 200, response.text
        assert '"isError":false' in response.text, response.text

    async def latency(self) -> list[float]:
        """Milliseconds of each of `CALLS` calls, one after another."""
        taken = []
        async with httpx2.AsyncClient(timeout=30) as http:
            for _ in range(CALLS):
                begun = time.perf_counter()
                await self.call(http)
                taken.append((time.perf_counter() - begun) * 1000)
        return taken

    async def throughput(self) -> float:
        """Calls a second with `CLIENTS` clients."""
        begun = time.perf_counter()
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))
        return CLIENTS * (CALLS // 4) / (time.perf_counter() - begun)

    async def _client(self) -> None:
        async with httpx2.AsyncClient(timeout=60) as http:
            for _ in range(CALLS // 4):
                await self.call(http)

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident megabytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def measure(sides: list[Side]) -> None:
    """Alternate between the sides, so that a disturbance meets both."""
    idle = {side.name: side.memory() for side in sides}
    latencies: dict[str, list[float]] = {side.name: [] for side in sides}
    throughputs: dict[str, list[float]] = {side.name: [] for side in sides}
    spent = {side.name: -side.processor_seconds() for side in sides}
    for _ in range(ROUNDS):
        for side in sides:
            latencies[side.name] += await side.latency()
            throughputs[side.name].append(await side.throughput())
    calls = ROUNDS * (CALLS + CLIENTS * (CALLS // 4))
    print(f"{'side':10} {'p50 ms':>8} {'p95 ms':>8} {'calls/s':>8} {'cpu ms':>8} {'MB idle':>8}")
    for side in sides:
        ordered = sorted(latencies[side.name])
        best = sorted(throughputs[side.name])[ROUNDS // 2]
        cpu = (spent[side.name] + side.processor_seconds()) * 1000 / calls
        p50, p95 = ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100]
        print(f"{side.name:10} {p50:8.2f} {p95:8.2f} {best:8.0f} {cpu:8.2f} {idle[side.name]:8.0f}")
    medians = [sorted(latencies[side.name])[len(latencies[side.name]) // 2] for side in sides]
    print(f"the gateway adds {medians[0] - medians[1]:.2f} ms at p50")


def governed(world: World) -> Side:
    body, headers = call_body("modern", SQL)
    headers["Authorization"] = f"Bearer {world.token('rita')}"
    assert world.process is not None
    return Side("governed", f"{world.url}/mcp", headers, body, world.process.pid)


def bare(world: World, port: int) -> tuple[Side, subprocess.Popen[bytes]]:
    body, headers = call_body("modern", SQL)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare", str(port)],
        env={**os.environ, "BARE_DSN": world.direct_dsn},
    )
    url = f"http://127.0.0.1:{port}/mcp"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx2.post(url, json=body, headers=headers, timeout=5)
            break
        except httpx2.TransportError:
            time.sleep(0.05)
    return Side("bare", url, headers, body, process.pid), process


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as directory:
        server = asyncio.run(embedded.start(Path(directory) / "postgres"))
        sockets = str(server.socket_directory)
        postgres = PostgresServer(sockets, server.port, server.superuser, server.password)
        (Path(directory) / "world").mkdir()
        world = build(Path(directory) / "world", postgres, "bench")
        try:
            begun = time.perf_counter()
            world.start()
            print(f"ready to serve after {time.perf_counter() - begun:.2f} s")
            other, process = bare(world, free_port())
            try:
                asyncio.run(measure([governed(world), other]))
            finally:
                process.terminate()
                process.wait()
        finally:
            tear_down(world)
            asyncio.run(server.stop())
    return 0


if __name__ == "__main__":
    sys.exit(main())
