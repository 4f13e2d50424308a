"""`make bench`: large results through a whole gateway, wire to wire, beside the database itself.

PostgreSQL and the client share one core, the gateway with its workers has the other. `cpu` is by
the processor time of the gateway and of all that it has started (`/proc/PID/stat`: ended threads
and children count too), which other programs disturb less than the clock; the bounds are for it.
What is printed is the median of the rounds. What is measured is the gateway with masks, recording
and the real recognizers. Ends with 1 if a bound is missed.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from policies.sql.copied import CopyLayout
from recordings.copied_rows import lines_of
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader
from tests.bench.calls import cores, on, postgres
from tests.bench.processors import processor_seconds_with_children
from tests.bench.result_sets import Bound, ResultSet, orders, users
from tests.e2e.policy_sets import rewrite, starter_copy
from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer
from tests.server.protocols.raw_client import RawClient

ROWS: Final = 100_000
ROUNDS: Final = 3
READ: Final = 1 << 20
READY: Final = b"Z\0\0\0\x05I"
TAIL: Final = 64  # bytes in which the end of an answer is found
LIMIT: Final = 300.0  # seconds for one statement
TYPES: Final = {23: "int", 25: "text", 1042: "char(3)", 1082: "date", 1184: "timestamptz",
                1700: "numeric(12,2)", 2950: "uuid"}  # fmt: skip

TABLES: Final = {"bench_orders": Bound(megabytes=20), "bench_users": Bound(rows=60_000)}


@dataclass(slots=True)
class Taken:
    """What one statement took, a round."""

    name: str
    bound: Bound | None = None
    bytes: int = 0
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)

    @property
    def met(self) -> bool:
        if self.bound is None:
            return True
        cpu = median(self.processor)
        return self.bytes / 1e6 / cpu >= self.bound.megabytes and ROWS / cpu >= self.bound.rows

    def print(self) -> None:
        megabytes, clock = self.bytes / 1e6, median(self.seconds)
        cpu = median(self.processor) if self.processor else None
        by_cpu = ("-", "-") if cpu is None else (f"{megabytes / cpu:.2f}", f"{ROWS / cpu:.0f}")
        print(
            f"{self.name:40} {megabytes / clock:8.2f} {by_cpu[0]:>8} {ROWS / clock:10.0f}"
            f" {by_cpu[1]:>10} {median(self.first) * 1000:8.1f}   {self.bound or ''}"
            f"{'' if self.met else ' MISSED'}",
            flush=True,
        )


async def fill(world: World, name: str, results: ResultSet) -> None:
    line = lines_of(CopyLayout()).line
    columns = ", ".join(f"{c.name} {TYPES[c.type]}" for c in results.columns)
    async with world.direct() as database:
        await database.execute(f"CREATE TABLE {name} ({columns})")
        content = b"".join(line(row) + b"\n" for row in results.rows)
        await database.copy_to_table(name, source=io.BytesIO(content))
        await database.execute(f"ANALYZE {name}")


@asynccontextmanager
async def client(
    port: int | Path, user: str, password: str, database: str
) -> AsyncIterator[RawClient]:
    opened = (
        asyncio.open_unix_connection(str(port), limit=2 * READ)
        if isinstance(port, Path)
        else asyncio.open_connection("127.0.0.1", port, limit=2 * READ)
    )
    found = RawClient(*await opened, BackendReader())
    await found.log_in(password, {"user": user, "database": database})
    try:
        yield found
    finally:
        found.writer.close()


async def run(taken: Taken, on_wire: RawClient, statement: str, pid: int | None) -> None:
    """All bytes of the answer; only the last are looked at, which say how many rows came."""
    whole = f"{statement.split()[0]} {ROWS}\0".encode() + READY
    spent = processor_seconds_with_children(pid) if pid else 0.0
    begun, size, end = time.perf_counter(), 0, b""
    on_wire.send(f.Query(statement))
    async with asyncio.timeout(LIMIT):
        while not end.endswith(READY):
            content = await on_wire.reader.read(READ)
            if not content:
                raise ConnectionError("the server closed the connection")
            if not size:
                taken.first.append(time.perf_counter() - begun)
            size += len(content)
            if b"<NOT_SCANNED>" in content:
                raise RuntimeError("a scan worker died or was late: this measures nothing")
            end = (end + content)[-TAIL:]
    if not end.endswith(whole):
        raise ValueError(f"{statement}: not all rows came: {end!r}")
    taken.seconds.append(time.perf_counter() - begun)
    if pid:
        taken.processor.append(processor_seconds_with_children(pid) - spent)
    taken.bytes = size


async def measure(world: World) -> bool:
    """Whether all bounds are met."""
    assert world.process is not None
    server, token = world.postgres, world.token("rita", seconds=6000)
    socket = Path(f"{server.socket_directory}/.s.PGSQL.{server.port}")
    heads = ("MB/s", "cpu MB/s", "rows/s", "cpu rows/s", "first ms")
    print(f"{'large results, wire to wire':40} {heads[0]:>8} {heads[1]:>8} {heads[2]:>10}"
          f" {heads[3]:>10} {heads[4]:>8}", flush=True)  # fmt: skip
    met = True
    async with (
        client(world.listener, "rita", token, "shop") as governed,
        client(socket, server.superuser, server.password, world.database) as direct,
    ):
        for table, bound in TABLES.items():
            for words in ("SELECT * FROM {}", "COPY {} TO STDOUT"):
                through = Taken(words.format(table), bound)
                beside = Taken("  the database itself")
                for number in range(ROUNDS):
                    statement = words.format(f"{table}_{number}")
                    await run(through, governed, statement, world.process.pid)
                    await run(beside, direct, statement, None)
                through.print()
                beside.print()
                met = met and through.met
    return met


@contextmanager
def gateway(directory: Path, server: PostgresServer, core: set[int]) -> Iterator[World]:
    """The starter policies without their row and time limits, on the other core."""
    directory.mkdir()
    policies = starter_copy(directory / "policies")
    rewrite(policies / "gates.cedar", '\n@row_limit("1000")', '\n@row_limit("100000000")')
    rewrite(policies / "gates.cedar", '\n@timeout("15s")', '\n@timeout("600s")')
    world = build(directory, server, "wire", policies=str(policies))
    target = world.configuration()["targets"]["shop"]
    columns = [
        {"column": f"public.bench_users_{number}.{name}", "label": "pii", "mask": operator}
        for name, operator in users(0, 0).operators.items()
        for number in range(ROUNDS)
    ]
    world.settings = {**world.settings, "targets": {"shop": {**target, "columns": columns}}}
    try:
        for number in range(ROUNDS):
            asyncio.run(fill(world, f"bench_orders_{number}", orders(ROWS, number, held=0.01)))
            asyncio.run(fill(world, f"bench_users_{number}", users(ROWS, number)))
        with on(core):
            world.start()
        yield world
    finally:
        tear_down(world)


def main() -> int:
    core, rest = cores()
    with (
        on(rest),
        tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as directory,
        postgres(Path(directory) / "postgres") as server,
        gateway(Path(directory) / "world", server, core) as world,
    ):
        met = uvloop.run(measure(world))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
