"""`make bench-native`: a result of a million rows through the PostgreSQL door, beside the database.

Over TLS, with policy and recording on; the database itself is read over its Unix socket. Untouched
columns are labelled, and policy masks no such label; of the others one is masked. While one client
reads masked rows, others select single rows: that takes them so long at the 99th percentile. The
gateway has a core of its own. Prints the median of the rounds. Ends with 1 if a bound is missed.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from server.protocols.postgres import frontend as f
from tests.bench.calls import cores, on, postgres
from tests.e2e.certificates import Certificates
from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer
from tests.server.protocols.raw_client import RawClient

ROWS: Final = int(os.environ.get("OSTIARY_BENCH_ROWS", "1000000"))
ROUNDS: Final = 5
READ: Final = 1 << 20
READY: Final = b"Z\0\0\0\x05I"
LIMIT: Final = 600.0  # seconds for one statement
UNTOUCHED: Final = 0.8
MASKED: Final = 0.6
FIRST: Final = 0.010  # seconds until the first bytes come
BESIDE: Final = 0.015  # seconds of a select beside a stream, at the 99th percentile
OTHERS: Final = 4

OPEN: Final = ("id", "customer", "status", "total", "made")
STATEMENTS: Final = {
    "untouched": f"SELECT {', '.join(OPEN)} FROM million",
    "one column masked": f"SELECT {', '.join(OPEN[:-1])}, card FROM million",
}
POLICIES: Final = """
@id("all") permit (principal in Group::"developers", action, resource) when { true };
@id("mask") @mask("pii") forbid (principal, action == Action::"sql.select", resource);
@id("open") @mask("open")
forbid (principal in Group::"strangers", action == Action::"sql.select", resource);
"""
TABLE: Final = f"""
CREATE TABLE million AS SELECT n AS id, n % 50000 AS customer,
  (ARRAY['paid', 'open', 'shipped', 'cancelled'])[1 + n % 4] AS status, n % 99999 / 100.0 AS total,
  timestamptz '2026-01-01' + n * interval '1 second' AS made,
  '4111-1111-1111-' || lpad((n % 10000)::text, 4, '0') AS card
FROM generate_series(1, {ROWS}) n;
ALTER TABLE million ADD PRIMARY KEY (id);
ANALYZE million;
"""


@asynccontextmanager
async def client(
    world: World, token: str, trust: ssl.SSLContext | None
) -> AsyncIterator[RawClient]:
    """Through the gateway, by TLS from the first byte; without `trust` to the database itself."""
    server = world.postgres
    if trust is None:
        place = f"{server.socket_directory}/.s.PGSQL.{server.port}"
        streams = await asyncio.open_unix_connection(place, limit=2 * READ)
        names = {"user": server.superuser, "database": world.database}
        password = server.password
    else:
        streams = await asyncio.open_connection(
            "127.0.0.1", world.listener, limit=2 * READ, ssl=trust, server_hostname="127.0.0.1"
        )
        names, password = {"user": "rita", "database": "shop"}, token
    found = RawClient(*streams)
    await found.log_in(password, names)
    try:
        yield found
    finally:
        found.writer.close()


async def read(on_wire: RawClient, statement: str) -> tuple[float, float]:
    """Seconds to the first bytes and to the last, which must say how many rows came."""
    whole = f"SELECT {ROWS}\0".encode() + READY
    begun, first, end = time.perf_counter(), 0.0, b""
    on_wire.send(f.Query(statement))
    async with asyncio.timeout(LIMIT):
        while not end.endswith(READY):
            content = await on_wire.reader.read(READ)
            if not content:
                raise ConnectionError("the server closed the connection")
            first = first or time.perf_counter() - begun
            end = (end + content)[-64:]
    if not end.endswith(whole):
        raise ValueError(f"{statement}: not all rows came: {end!r}")
    return first, time.perf_counter() - begun


async def measure(world: World, trust: ssl.SSLContext) -> bool:
    """Whether all bounds are met."""
    token, met = world.token("rita", seconds=6000), True
    print(f"{f'{ROWS} rows':24} {'rows/s':>10} {'direct':>10} {'ratio':>7} {'first ms':>9}")
    async with client(world, token, trust) as governed, client(world, "", None) as direct:
        for (name, statement), bound in zip(STATEMENTS.items(), (UNTOUCHED, MASKED), strict=True):
            through, beside = [], []
            for _ in range(ROUNDS):
                through.append(await read(governed, statement))
                beside.append(await read(direct, statement))
            seconds, directly = (median(t for _, t in each) for each in (through, beside))
            first, ratio = median(t for t, _ in through), directly / seconds
            missed = ratio < bound or first > FIRST
            met = met and not missed
            print(
                f"{name:24} {ROWS / seconds:10.0f} {ROWS / directly:10.0f} {ratio:7.2f}"
                f" {first * 1000:9.1f}   at least {bound}, first at most {FIRST * 1000:.0f} ms"
                f"{' MISSED' if missed else ''}",
                flush=True,
            )
    return await beside_a_stream(world, token, trust) and met


async def beside_a_stream(world: World, token: str, trust: ssl.SSLContext) -> bool:
    """Whether selects of others are quick while somebody reads the masked rows."""
    taken: list[float] = []
    ended = asyncio.Event()

    async def select(number: int) -> None:
        async with client(world, token, trust) as each:
            while not ended.is_set():
                begun = time.perf_counter()
                await each.query(f"SELECT status FROM million WHERE id = {10 + number}")
                taken.append(time.perf_counter() - begun)
                await asyncio.sleep(0.005)

    async with client(world, token, trust) as streaming:
        others = [asyncio.create_task(select(number)) for number in range(OTHERS)]
        await read(streaming, STATEMENTS["one column masked"])
        ended.set()
        await asyncio.gather(*others)
    taken.sort()
    p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    missed = p99 > BESIDE
    print(
        f"{len(taken)} selects beside a stream of masked rows: p50 {p50 * 1000:.1f} ms,"
        f" p99 {p99 * 1000:.1f} ms   at most {BESIDE * 1000:.0f}{' MISSED' if missed else ''}",
        flush=True,
    )
    return not missed


@contextmanager
def gateway(
    directory: Path, server: PostgresServer, tls: Certificates, core: set[int]
) -> Iterator[World]:
    policies = directory / "policies"
    policies.mkdir(parents=True)
    (policies / "all.cedar").write_text(POLICIES)
    world = build(directory, server, "native_rows", policies=str(policies))
    columns = [
        {"column": f"public.million.{name}", "label": "open", "mask": "null"} for name in OPEN
    ]
    card = {"column": "public.million.card", "label": "pii", "mask": "keep_last(4)"}
    target = {**world.configuration()["targets"]["shop"], "columns": [*columns, card]}
    door = {"protocol": "postgres", "listen": f"127.0.0.1:{world.listener}", "tls": tls.document}
    world.settings = {**world.settings, "targets": {"shop": target}, "listeners": [door]}
    try:
        asyncio.run(_fill(world))
        with on(core):
            world.start()
        yield world
    finally:
        tear_down(world)


async def _fill(world: World) -> None:
    async with world.direct() as database:
        await database.execute(TABLE)


def main() -> int:
    core, rest = cores()
    with (
        on(rest),
        tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as place,
        postgres(Path(place) / "postgres") as server,
    ):
        Path(place).chmod(0o711)
        tls = Certificates.make(Path(place))
        trust = tls.trust
        trust.set_alpn_protocols(["postgresql"])
        with gateway(Path(place) / "world", server, tls, core) as world:
            return 0 if uvloop.run(measure(world, trust)) else 1


if __name__ == "__main__":
    sys.exit(main())
