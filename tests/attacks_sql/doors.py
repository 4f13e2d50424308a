"""The two doors as an attacker uses them, and what to look for in everything that came back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import mcp.types as t
from mcp import Client

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient, Reply

# What is in the columns of the sample database that have a label.
LABELLED = (
    "ada.canary@example.com",
    "219-09-9991",
    "+1 202 555 0101",
    "chinua.canary@example.org",
    "457-55-5462",
    "612-34-7789",
    "123-45-6780",
    "vip.canary@example.com",
)

STATE = """
SELECT md5(string_agg(x, '|' ORDER BY x)) FROM (
    SELECT concat('o', t) AS x FROM orders t UNION ALL SELECT concat('w', t) FROM witness t
    UNION ALL SELECT concat('c', t) FROM customers t UNION ALL SELECT concat('k', t) FROM copies t
    UNION ALL SELECT concat('r', oid, relname, relkind) FROM pg_class WHERE relname !~ 'toast'
    UNION ALL SELECT concat('p', oid) FROM pg_proc UNION ALL SELECT concat('t', oid) FROM pg_trigger
    UNION ALL SELECT concat('a', rolname, rolpassword) FROM pg_authid
    UNION ALL SELECT concat('s', slot_name) FROM pg_replication_slots
    UNION ALL SELECT concat('l', objid) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT concat('g', oid) FROM pg_largeobject_metadata
    UNION ALL SELECT concat('e', extname) FROM pg_extension
    UNION ALL SELECT concat('d', setdatabase, setrole, setconfig) FROM pg_db_role_setting
) AS state"""


@dataclass(frozen=True, slots=True)
class Said:
    """All that one statement brought back: `text` is every byte of it, as text."""

    code: str
    text: str

    @property
    def refused(self) -> bool:
        return self.code != ""


async def call(client: Client, sql: str, **arguments: Any) -> t.CallToolResult:
    result = await client.call_tool("run_sql", {"target": "shop", "sql": sql, **arguments})
    assert isinstance(result, t.CallToolResult)
    return result


def said(result: t.CallToolResult) -> Said:
    text = "".join(c.text for c in result.content if isinstance(c, t.TextContent))
    if not result.is_error:
        return Said("", text + json.dumps(result.structured_content, ensure_ascii=False))
    document = json.loads(text)
    return Said(document.get("code") or document["status"], text)


@asynccontextmanager
async def listener(
    world: World, account: str = "rita", *, database: str = "shop"
) -> AsyncIterator[RawClient]:
    """A logged-in client that sends just what it is told to."""
    async with knocking(world) as client:
        seen = await client.log_in(world.token(account), {"user": account, "database": database})
        assert isinstance(seen[-1], b.ReadyForQuery), seen
        yield client


@asynccontextmanager
async def knocking(world: World) -> AsyncIterator[RawClient]:
    """A client that has said nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


@dataclass(slots=True)
class Doors:
    """Both doors, open for one account, and a direct connection to look at what is behind them."""

    world: World
    client: Client
    raw: RawClient
    direct: asyncpg.Connection[asyncpg.Record]

    async def mcp(self, sql: str, **arguments: Any) -> Said:
        return said(await call(self.client, sql, **arguments))

    async def listener(self, sql: str) -> Said:
        """By the extended protocol, all columns in binary; and again by the simple one."""
        self.raw.send(f.Parse("", sql), f.Bind("", "", result_formats=(1,)), f.Describe("P", ""))
        self.raw.send(f.Execute(""), f.Sync())
        replies = [*await self.raw.until_ready(), *await self.raw.query(sql)]
        if replies[-1] != b.ReadyForQuery("I"):
            await self.raw.query("ROLLBACK")
        refusals = [r.text("C") for r in replies if isinstance(r, b.ErrorResponse)]
        return Said(refusals[0] if refusals else "", everything(replies))

    async def state(self) -> str:
        """A digest of all that a statement could have changed."""
        return str(await self.direct.fetchval(STATE))


def everything(replies: list[Reply]) -> str:
    """All bytes of all replies."""
    frames = (r.frames if isinstance(r, RowRun) else r.encode() for r in replies)
    return b"".join(frames).decode("utf-8", "replace")


@asynccontextmanager
async def open_doors(world: World) -> AsyncIterator[Doors]:
    async with world.mcp("rita") as client, world.direct() as direct, listener(world) as raw:
        yield Doors(world, client, raw, direct)


@asynccontextmanager
async def driver(
    world: World, account: str = "rita", **options: Any
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user=account,
        password=world.token(account),
        database="shop",
        ssl=False,
        timeout=20,
        **options,
    )
    try:
        yield connection
    finally:
        await connection.close()


async def approved(world: World, sql: str, account: str = "rita") -> Said:
    """Run a change through MCP with a reviewer's consent."""
    async with world.mcp(account) as client:
        first = said(await call(client, sql))
        if "approval_id" not in first.text:
            return first
        ticket = json.loads(first.text)["approval_id"]
        decided = world.cli("victor", "approvals", "approve", ticket)
        assert decided.returncode == 0, decided
        return said(await call(client, sql))


def found(text: str, values: tuple[str, ...] = LABELLED) -> set[str]:
    """Which encodings of labelled values stand in a text (M40)."""
    return {form for value in values for form in _forms(value) if form in text}


def _forms(value: str) -> set[str]:
    digits = "".join(c for c in value if c.isalnum())
    spaced = [
        separator.join(value) for separator in (" ", ",", ", ", "\n", '", "', '","', "\u200b")
    ]
    coded = [", ".join(str(ord(c)) for c in value), "".join(f"\\u{ord(c):04x}" for c in value)]
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)
    plain = {value, value.upper(), value[::-1], digits, digits[::-1], wide, *spaced, *coded}
    return plain | {value.encode().hex(), value.encode("utf-16-le").hex()} | _base64(value.encode())


def _base64(value: bytes) -> set[str]:
    """Whatever stands before the value, one of these three is in the encoded text."""
    return {
        base64.b32encode(value).decode().rstrip("=")[:-2],
        *(base64.b64encode(b"x" * n + value).decode()[4 if n else 0 : -4] for n in range(3)),
    }
