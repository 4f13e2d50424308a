"""200 clients at once, half of whom misbehave: the others see no error, and nothing is left behind.

The slice is short and has fewer of them; the whole two minutes are marked `full`.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiomysql
import asyncpg
import psycopg
import pytest

from server.allocator import GIVE_BACK_EVERY
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.bench.processors import family
from tests.e2e.certificates import Certificates
from tests.e2e.test_main_job import run_sql
from tests.e2e.world import World, free_port
from tests.fixtures.mariadb import MariaDbServer
from tests.server.protocols.raw_client import RawClient

pytestmark = [pytest.mark.programs, pytest.mark.gateways]

SEED: Final = 20_261_123
SETTLED_WITHIN: Final = 40.0  # seconds: a lost session may stay 30
GROWN: Final = 80.0  # megabytes, of the gateway and its workers, after a first crowd
POOLED: Final = 40  # connections and files that a gateway keeps for those who come next
CALL_WITHIN: Final = 30.0  # seconds that a well-behaved client waits for anything
TRUE: Final = "219-09-9991"
SHOWN: Final = "***-**-9991"
LARGE: Final = "SELECT repeat('x', 1000) FROM orders a, orders b, orders c"
POLICIES: Final = """
@id("all") permit (principal in Group::"developers", action, resource) when { true };
@id("audit") permit (principal in Group::"dba", action == Action::"recording.read", resource);
@id("mask") @mask("pii") forbid (principal, action == Action::"sql.select", resource);
@id("ask") @approve("other") forbid (principal, action == Action::"sql.update", resource)
  when { resource.name == "orders" };
"""
POSTGRES: Final = """
CREATE TABLE carts (id int PRIMARY KEY, note int);
INSERT INTO carts SELECT n, 0 FROM generate_series(1, 1000) n;
CREATE TABLE people (id int PRIMARY KEY, ssn text);
INSERT INTO people VALUES (1, '219-09-9991');
"""
MARIADB: Final = """
CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE people (id INT PRIMARY KEY, ssn VARCHAR(99));
INSERT INTO people VALUES (1, '219-09-9991');
CREATE TABLE carts (id INT PRIMARY KEY, note INT);
INSERT INTO carts SELECT seq, 0 FROM seq_1_to_1000;
CREATE OR REPLACE USER gateway IDENTIFIED BY 'canary-mysql-password';
GRANT ALL ON *.* TO gateway;
"""


@dataclass(slots=True)
class Soak:
    """One gateway with both doors over TLS, and what its clients saw."""

    world: World
    mariadb: MariaDbServer
    mysql: int
    trust: ssl.SSLContext
    token: str
    chance: random.Random
    ends: float = 0.0
    problems: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    writers: dict[str, list[asyncio.StreamWriter]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends

    async def pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))

    # -- those that behave

    async def good(self, number: int) -> None:
        """One of the others: whatever goes wrong for it is a problem."""
        kind = (self.by_asyncpg, self.by_aiomysql, self.by_asyncpg, self.by_mcp)[number % 4]
        while not self.over:
            try:
                await kind(number)
            except Exception as error:  # noqa: BLE001 -- all of them are what is looked for
                said = [f"{type(e).__name__}: {e}" for e in causes(error)]
                self.problems.append(f"{kind.__name__}: {'; '.join(said)}")
                return

    async def timed(self, answer: Awaitable[Any], expected: Any) -> None:
        begun = time.monotonic()
        async with asyncio.timeout(CALL_WITHIN):
            found = await answer
        self.seconds.append(time.monotonic() - begun)
        if found != expected:
            raise AssertionError(f"{found!r} in place of {expected!r}")
        self.done["good"] += 1

    async def by_asyncpg(self, number: int) -> None:
        async with asyncio.timeout(CALL_WITHIN):
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=self.world.listener,
                user="anybody",
                password=self.token,
                database="shop",
                ssl=self.trust,
            )
        try:
            for _ in range(10):
                value = connection.fetchval
                await self.timed(value("SELECT ssn FROM people WHERE id = $1", 1), SHOWN)
                change = "UPDATE carts SET note = note + 1 WHERE id = $1 RETURNING id"
                await self.timed(value(change, number), number)
                await self.timed(value("SELECT $1::text", f"own {number}"), f"own {number}")
                await self.pause(0.5, 2)
                if self.over:
                    break
        finally:
            await connection.close(timeout=CALL_WITHIN)

    async def by_aiomysql(self, number: int) -> None:
        async with asyncio.timeout(CALL_WITHIN):
            connection = await self.mysql_connection()
        try:
            cursor = await connection.cursor()

            async def value(sql: str) -> Any:
                await cursor.execute(sql)
                return (await cursor.fetchone() or (None,))[0]

            for _ in range(10):
                await self.timed(value("SELECT ssn FROM people WHERE id = 1"), SHOWN)
                await self.timed(value(f"SELECT id FROM carts WHERE id = {number}"), number)
                await self.pause(0.5, 2)
                if self.over:
                    break
        finally:
            connection.close()

    async def by_mcp(self, number: int) -> None:
        async with self.world.mcp("rita") as client:
            for _ in range(10):

                async def rows() -> Any:
                    sql = f"SELECT id, ssn FROM people WHERE id = 1 AND {number} = {number}"
                    result = await run_sql(client, sql)
                    content: Any = result.structured_content
                    return content["rows"] if content else result.content

                await self.timed(rows(), [[1, SHOWN]])
                await self.pause(0.5, 2)
                if self.over:
                    break

    async def mysql_connection(self) -> Any:
        place = {"host": "127.0.0.1", "port": self.mysql, "db": "stock"}
        return await aiomysql.connect(
            **place, user="anybody", password=self.token, ssl=self.trust, autocommit=True
        )

    # -- those that do not

    async def bad(self, number: int) -> None:
        ways, address = [getattr(self, name) for name in WAYS], f"127.0.1.{1 + number}"
        while not self.over:
            way = self.chance.choice(ways)
            with suppress(OSError, EOFError, TimeoutError, aiomysql.Error):
                async with asyncio.timeout(15):
                    await way(address)
            for writer in self.writers.pop(address, ()):
                writer.transport.abort()
            self.done[way.__name__] += 1
            await self.pause(0.2, 1)

    async def socket(
        self, address: str, port: int = 0, **more: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = ("127.0.0.1", port or self.world.listener)
        opened = await asyncio.open_connection(*place, local_addr=(address, 0), **more)
        self.writers.setdefault(address, []).append(opened[1])
        return opened

    async def session(self, address: str, token: str = "") -> RawClient:
        """Logged in at the PostgreSQL door, by TLS from the first byte."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["postgresql"])
        client = RawClient(*await self.socket(address, ssl=context))
        await client.log_in(token or self.token, {"user": "u", "database": "shop"})
        return client

    async def says_nothing(self, address: str) -> None:
        port = self.chance.choice((self.world.listener, self.mysql))
        await self.socket(address, port)
        await self.pause(0.5, 3)

    async def half_a_handshake(self, address: str) -> None:
        reader, writer = await self.socket(address)
        writer.write(f.SslRequest().encode())
        await reader.readexactly(1)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        await self.pause(0.5, 3)

    async def half_a_message(self, address: str) -> None:
        client = await self.session(address)
        client.writer.write(f.Query(LARGE).encode()[:-7])
        await self.pause(0.5, 3)

    async def a_wrong_token(self, address: str) -> None:
        await self.session(address, token="ostiary_" + "0" * 16 + "_" + "a" * 43)

    async def garbage(self, address: str) -> None:
        port = self.chance.choice((self.world.listener, self.mysql))
        _, writer = await self.socket(address, port)
        writer.write(self.chance.randbytes(self.chance.randrange(1, 4000)))
        await self.pause(0, 1)

    async def reads_slowly(self, address: str) -> None:
        client = await self.session(address)
        client.send(f.Query(LARGE))
        for _ in range(self.chance.randrange(1, 10)):
            await client.reader.readexactly(1000)
            await asyncio.sleep(0.3)

    async def copies_and_goes(self, address: str) -> None:
        client = await self.session(address)
        client.send(f.Query(f"COPY ({LARGE}) TO STDOUT"))
        await client.reader.readexactly(5000)

    async def goes_in_a_transaction(self, address: str) -> None:
        client = await self.session(address)
        await client.query("BEGIN")
        await client.query(
            f"UPDATE carts SET note = -1 WHERE id = {self.chance.randrange(500, 999)}"
        )

    async def goes_while_it_waits_for_a_person(self, address: str) -> None:
        client = await self.session(address)
        client.send(f.Query(f"UPDATE orders SET status = '{address}' WHERE id = 1"))
        while not isinstance(await client.reply(), b.NoticeResponse):
            pass
        await self.pause(0, 1)

    async def floods(self, address: str) -> None:
        client = await self.session(address)
        client.send(*[f.Query("SELECT 1")] * 300)
        await self.pause(0, 1)

    async def cancels_by_wrong_keys(self, address: str) -> None:
        for _ in range(10):
            _, writer = await self.socket(address)
            key = self.chance.randbytes(4)
            writer.write(struct.pack("!IIi", 16, 80877102, self.chance.randrange(1 << 31)) + key)
            writer.close()

    async def connects_in_a_flood(self, address: str) -> None:
        await asyncio.gather(*(self.socket(address) for _ in range(30)))
        await self.pause(0, 1)

    async def leaves_a_result_of_mysqls(self, _address: str) -> None:
        connection = await self.mysql_connection()
        try:
            cursor = await connection.cursor(aiomysql.SSCursor)
            await cursor.execute("SELECT REPEAT('x', 1000) FROM carts a, carts b")
            await cursor.fetchmany(10)
        finally:
            connection.close()  # with rows unread


WAYS: Final = (
    *("says_nothing", "half_a_handshake", "half_a_message", "a_wrong_token", "garbage"),
    *("reads_slowly", "copies_and_goes", "goes_in_a_transaction", "floods"),
    *("goes_while_it_waits_for_a_person", "cancels_by_wrong_keys", "connects_in_a_flood"),
    "leaves_a_result_of_mysqls",
)


@pytest.fixture
def soak(mariadb: MariaDbServer, worlds: Callable[..., World], tmp_path: Path) -> Iterator[Soak]:
    mariadb.run(MARIADB)
    tls, world, mysql = Certificates.make(tmp_path), worlds(), free_port()
    with psycopg.connect(world.direct_dsn) as direct:
        direct.execute(POSTGRES)
    policies = world.directory / "policies"
    policies.mkdir()
    (policies / "all.cedar").write_text(POLICIES)
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    world.variables = {**world.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    shop = {
        **world.configuration()["targets"]["shop"],
        "columns": [{"column": "public.people.ssn", "label": "pii", "mask": "keep_last(4)"}],
    }
    stock = {
        **shop,
        "kind": "mariadb",
        "address": f"unix:{mariadb.socket}",
        "database": "shop",
        "reader": login,
        "writer": login,
        "columns": [{"column": "shop.people.ssn", "label": "pii", "mask": "keep_last(4)"}],
    }
    doors = [("postgres", world.listener), ("mysql", mysql)]
    world.settings = {
        "policies": str(policies),
        "approvals": {"expire_after": "15m", "native": "60s"},
        "targets": {"shop": shop, "stock": stock},
        "listeners": [
            {"protocol": p, "listen": f"127.0.0.1:{n}", "tls": tls.document} for p, n in doors
        ],
    }
    world.start()
    yield Soak(world, mariadb, mysql, tls.trust, world.token("rita"), random.Random(SEED))
    world.stop()
    mariadb.run("DROP DATABASE shop; DROP USER gateway")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("clients", "seconds"), [(60, 8), pytest.param(200, 120, marks=pytest.mark.full)]
)
async def test_who_misbehaves_hurts_nobody_else_and_leaves_nothing(
    soak: Soak, clients: int, seconds: int
) -> None:
    await soak.by_asyncpg(1)
    await soak.by_aiomysql(1)
    await soak.by_mcp(1)
    before, opened = left(soak), files(soak)
    await crowd(soak, clients, seconds / 4)  # what such a crowd needs is there after it
    early = await settled_megabytes(soak)
    soak.seconds.clear()
    await crowd(soak, clients, seconds)
    assert soak.problems == []
    times = sorted(soak.seconds)
    print(f"good: {len(times)} answers, p50 {times[len(times) // 2] * 1000:.0f} ms,"
          f" p99 {times[len(times) * 99 // 100] * 1000:.0f} ms; {dict(soak.done)}")  # fmt: skip
    assert set(soak.done) >= {"good", *(WAYS if seconds > 60 else ())}
    ended = time.monotonic()
    while (after := left(soak)) != before and time.monotonic() < ended + SETTLED_WITHIN:
        await asyncio.sleep(0.5)
    print(f"all that they left was gone after {time.monotonic() - ended:.1f} s")
    assert after == before
    assert files(soak) <= opened + POOLED
    late = await settled_megabytes(soak)
    print(f"memory: {early:.0f} MB after a quarter of it, {late:.0f} MB at the end")
    assert late - early < GROWN
    with psycopg.connect(soak.world.direct_dsn) as direct:
        assert direct.execute("SELECT count(*) FROM carts WHERE note = -1").fetchone() == (0,)
    assert "Traceback" not in soak.world.log.read_text()
    verified = soak.world.cli("victor", "sessions", "verify")
    assert verified.returncode == 0, verified.stderr


async def crowd(soak: Soak, clients: int, seconds: float) -> None:
    """So many at once for so long, every other one of whom misbehaves."""
    soak.ends = time.monotonic() + seconds
    good = [soak.good(n) for n in range(1, clients // 2 + 1)]
    await asyncio.gather(*good, *[soak.bad(n) for n in range(clients // 2)])


async def settled_megabytes(soak: Soak) -> float:
    """What the gateway holds on to when what is free has been given back."""
    await asyncio.sleep(GIVE_BACK_EVERY * 1.5)
    return megabytes(soak)


def causes(error: Exception) -> list[Exception]:
    """What a group of errors holds, however deep."""
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [cause for held in error.exceptions for cause in causes(held)]


def left(soak: Soak) -> Mapping[str, int]:
    """What clients that are gone must not have left: sessions, connections, locks, tickets."""
    world = soak.world
    with psycopg.connect(world.store_dsn) as store, psycopg.connect(world.direct_dsn) as direct:

        def count(connection: psycopg.Connection[Any], sql: str) -> int:
            ((found,),) = connection.execute(sql).fetchall()  # type: ignore[arg-type]
            return int(found)

        activity = "FROM pg_stat_activity WHERE datname = current_database() AND state"
        counted = {
            "live sessions": count(store, "SELECT count(*) FROM native_sessions"),
            "tickets": count(store, "SELECT count(*) FROM tickets WHERE state = 'pending'"),
            "at work": count(direct, f"SELECT count(*) - 1 {activity} = 'active'"),
            "in transactions": count(direct, f"SELECT count(*) {activity} LIKE 'idle in %'"),
            "locks": count(direct, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
        }
    running: Any = soak.mariadb.connect()
    with running.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM information_schema.innodb_trx")
        ((counted["transactions of MySQL"],),) = cursor.fetchall()
    running.close()
    return counted


def files(soak: Soak) -> int:
    assert soak.world.process is not None
    return len(os.listdir(f"/proc/{soak.world.process.pid}/fd"))


def megabytes(soak: Soak) -> float:
    """Of the gateway and its workers, as their own."""
    assert soak.world.process is not None
    found = 0
    for pid in family(soak.world.process.pid):
        with suppress(OSError):
            smaps = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found += int(smaps.partition("\nPss:")[2].split()[0])
    return found / 1024
