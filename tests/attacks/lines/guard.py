"""Both doors as the lines on SQL try them, what each answers, and what has changed behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import mcp.types as t
from mcp import Client

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.attacks.lines.leaks import found, found_in_bytes
from tests.attacks_sql.doors import listener
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient, Reply

HOSTILE: Final = Path(__file__).parents[2] / "attacks_sql" / "hostile.sql"
PREPARED: Final = Path(__file__).parent / "prepared.sql"
MASKS: Final = frozenset({None, "<redacted>"})

_CATALOGS: Final = (
    *("class", "attribute", "attrdef", "proc", "trigger", "type", "operator", "cast", "namespace"),
    *("rewrite", "policy", "extension", "foreign_server", "foreign_data_wrapper", "user_mapping"),
    *("publication", "subscription", "event_trigger", "constraint", "index", "description"),
    *("language", "collation", "conversion", "ts_config", "statistic_ext", "seclabel", "inherits"),
    *("authid", "auth_members", "db_role_setting", "database", "largeobject_metadata"),
    *("largeobject", "default_acl", "opclass", "am", "transform", "enum", "aggregate"),
)
_TABLES: Final = (
    *("orders", "customers", "witness", "copies", "checked", "typed", "people", "private"),
    *("counted", "referring", "ledger", "evil.people"),
)
_COUNTED: Final = " UNION ALL ".join(
    f"SELECT '{name} ' || count(*) || ' ' || coalesce(max(xmin::text::bigint), 0) FROM {name}"
    for name in (*(f"pg_catalog.pg_{c}" for c in _CATALOGS), *_TABLES)
)
_STATE: Final = f"""
{_COUNTED}
UNION ALL SELECT 'sequence ' || sequencename || coalesce(last_value, 0) FROM pg_sequences
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts
UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 'setting ' || name || setting FROM pg_file_settings
UNION ALL SELECT 'reset ' || stats_reset FROM pg_stat_database
    WHERE datname = current_database() AND stats_reset IS NOT NULL
UNION ALL SELECT 'loaded ' || pg_conf_load_time()
UNION ALL SELECT 'file ' || name FROM pg_ls_dir('.') AS name
"""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What each way of asking was answered: OK, a refusal's code or policy, or a SQLSTATE."""

    mcp: str
    extended: str
    simple: str

    @classmethod
    def all(cls, code: str) -> Verdicts:
        return cls(code, code, code)


# Names of statements and cursors are a session's: run_sql has none, and a session knows its own.
NO_NAME: Final = Verdicts("NAME_OF_SESSION", "NAME_UNKNOWN", "NAME_UNKNOWN")

# A native session does not wait: it says that approval is needed.
WAITING: Final = Verdicts("APPROVAL_PENDING", "APPROVAL_NEEDED", "APPROVAL_NEEDED")


@dataclass(frozen=True, slots=True)
class Answer:
    """One statement's verdicts, and everything that came back for it."""

    verdicts: Verdicts
    result: t.CallToolResult
    wire: bytes

    @property
    def cells(self) -> set[Any]:
        content = self.result.structured_content or {}
        return {_plain(cell) for row in content.get("rows", []) for cell in row}

    @property
    def leaks(self) -> set[str]:
        said = self.result.model_dump_json() + text_of(self.result)
        return found(said) | found_in_bytes(self.wire)


@dataclass(slots=True)
class Guard:
    """One requester at both doors, and a superuser's own connection behind them."""

    world: World
    client: Client
    raw: RawClient
    direct: asyncpg.Connection[asyncpg.Record]
    store: asyncpg.Connection[asyncpg.Record]
    notified: list[str] = field(default_factory=list)

    async def ask(self, sql: str, **arguments: Any) -> Answer:
        """One statement through MCP, the extended protocol (in binary) and the simple one."""
        result = await self.mcp(sql, **arguments)
        extended = await self._kept(self.extended(sql))
        simple = await self._kept(self.simple(sql))
        if mcp_verdict(result) == "APPROVAL_PENDING":
            # Nobody has many requests open: those of other statements must not be in the way.
            await self.store.execute("UPDATE tickets SET state = 'denied' WHERE state = 'pending'")
        verdicts = Verdicts(mcp_verdict(result), wire_verdict(extended), wire_verdict(simple))
        return Answer(verdicts, result, everything([*extended, *simple]))

    async def mcp(self, sql: str, **arguments: Any) -> t.CallToolResult:
        result = await self.client.call_tool("run_sql", {"target": "shop", "sql": sql, **arguments})
        assert isinstance(result, t.CallToolResult)
        return result

    async def extended(self, sql: str, *, binary: int = 1) -> list[Reply]:
        bind = f.Bind("", "", result_formats=(binary,))
        self.raw.send(f.Parse("", sql), bind, f.Describe("P", ""), f.Execute(""), f.Sync())
        return await self._idle(await self.raw.until_ready())

    async def simple(self, sql: str) -> list[Reply]:
        return await self._idle(await self.raw.query(sql))

    async def _kept(self, asking: Awaitable[list[Reply]]) -> list[Reply]:
        """The replies; where the session has ended, none, and the next statement gets a new one."""
        try:
            return await asking
        except (EOFError, ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.world.listener)
            self.raw = RawClient(reader, writer)
            await self.raw.log_in(self.world.token("rita"), {"user": "rita", "database": "shop"})
            return []

    async def _idle(self, replies: list[Reply]) -> list[Reply]:
        if replies[-1] != b.ReadyForQuery("I"):
            await self.raw.query("ROLLBACK")
        return replies

    async def state(self) -> set[str]:
        """All that a statement could have changed behind the gateway."""
        assert self.notified == []
        return {str(row[0]) for row in await self.direct.fetch(_STATE)}

    async def refuses(self, code: str, *statements: str) -> None:
        """Every statement is refused with this code, by every way, and nothing has happened."""
        await self.answers({sql: Verdicts.all(code) for sql in statements})

    async def answers(self, expected: dict[str, Verdicts]) -> None:
        """Every statement is answered as expected, nothing has happened, and nothing came out."""
        before = await self.state()
        asked = {sql: await self.ask(sql) for sql in expected}
        assert {sql: answer.verdicts for sql, answer in asked.items()} == expected
        assert await self.state() - before == set()
        assert {sql: answer.leaks for sql, answer in asked.items() if answer.leaks} == {}

    async def waits(self, *statements: str) -> None:
        """Every statement waits for a person's approval, and nothing has happened."""
        await self.answers(dict.fromkeys(statements, WAITING))

    async def runs(self, *statements: str) -> None:
        """Every statement is a read that runs, and changes nothing."""
        await self.refuses("OK", *statements)

    async def masks(self, *statements: str) -> None:
        """Every statement runs, and each cell of each result is masked whole."""
        asked = {sql: await self.ask(sql) for sql in statements}
        verdicts = {sql: answer.verdicts for sql, answer in asked.items()}
        assert verdicts == {sql: Verdicts.all("OK") for sql in statements}
        shown = {sql: answer.cells - MASKS for sql, answer in asked.items()}
        assert shown == {sql: set() for sql in statements}
        assert {sql: answer.leaks for sql, answer in asked.items() if answer.leaks} == {}


def mcp_verdict(result: t.CallToolResult) -> str:
    if not result.is_error:
        return "OK"
    document = json.loads(text_of(result))
    code = document.get("code") or document["status"]
    match code:
        case "FORBIDDEN" if document["policy"] != "built-in":
            return str(document["policy"])
        case "SQL_ERROR":
            return str(document["sqlstate"])
        case _:
            return str(code)


def wire_verdict(replies: Sequence[Reply]) -> str:
    """The first error's code; that of a refusal stands in its detail."""
    errors = [r for r in replies if isinstance(r, b.ErrorResponse)]
    if not errors:
        return "OK" if replies else "ENDED"
    state, detail = errors[0].text("C"), errors[0].text("D")
    code, separator, rest = detail.partition(", policy ")
    if state != "42501" or not separator:
        return state
    policy = rest.partition(":")[0]
    return policy if code == "FORBIDDEN" and policy != "built-in" else code


def everything(replies: Sequence[Reply]) -> bytes:
    """All bytes of all replies."""
    return b"".join(r.frames if isinstance(r, RowRun) else r.encode() for r in replies)


def text_of(result: t.CallToolResult) -> str:
    """The text that a model reads."""
    return "".join(c.text for c in result.content if isinstance(c, t.TextContent))


def _plain(cell: Any) -> Any:
    return json.dumps(cell) if isinstance(cell, list | dict) else cell


@asynccontextmanager
async def open_guard(world: World) -> AsyncIterator[Guard]:
    async with (
        world.mcp("rita") as client,
        world.direct() as direct,
        world.journal() as store,
        listener(world) as raw,
    ):
        guard = Guard(world, client, raw, direct, store)
        for channel in ("x", "a"):
            await direct.add_listener(channel, lambda *sent: guard.notified.append(str(sent[2:])))
        yield guard
