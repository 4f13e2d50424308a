"""What a gateway leaves behind when it is killed: effects in the target, records in the store.

Each call inserts a marker of its own into the table `effects`, so that an effect can be found
again in the body of its intent.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import httpx2

from tests.e2e.policy_sets import rewrite, starter_copy
from tests.e2e.test_endings import call_body
from tests.e2e.world import World

TABLE: Final = "CREATE TABLE effects (marker text NOT NULL)"
MARKER: Final = re.compile(r"m-[0-9a-f]{16}")
STATEMENTS: Final = (
    "SELECT r.session, r.document, convert_from(b.body, 'UTF8') AS text"
    " FROM records r JOIN bodies b USING (stream, sequence) WHERE r.kind = 'intent'"
)


def settings(world: World, *, hold: str) -> dict[str, Any]:
    """Two targets on one database: on `shop` changes need approval, on `sandbox` they do not."""
    targets = world.configuration()["targets"]
    sandbox = copy.deepcopy(targets["shop"]) | {"environment": "development"}
    directory = world.directory / "policies"
    if not directory.exists():
        gates = starter_copy(directory) / "gates.cedar"
        rewrite(gates, '\n@row_limit("1000")', '\n@row_limit("100000000")')
    return {
        "targets": {"shop": targets["shop"], "sandbox": sandbox},
        "policies": str(directory),
        "approvals": {"expire_after": "15m", "hold": hold},
    }


def marker() -> str:
    return f"m-{secrets.token_hex(8)}"


def insert(mark: str) -> str:
    return f"INSERT INTO effects (marker) VALUES ('{mark}')"


async def call(http: httpx2.AsyncClient, world: World, sql: str, target: str) -> dict[str, Any]:
    """One modern call by hand, without anything that would repeat it; its result."""
    body, headers = call_body("modern", sql)
    body["params"]["arguments"]["target"] = target
    headers["Authorization"] = f"Bearer {world.token('rita')}"
    response = await http.post(f"{world.url}/mcp", json=body, headers=headers)
    *_, last = [line for line in response.text.splitlines() if "{" in line]
    result = json.loads(last.removeprefix("data:"))["result"]
    assert isinstance(result, dict)
    return result


async def until(asked: Callable[[], Awaitable[Any]]) -> Any:
    """What this answers once it is something. Dead gateways are looked for every 30 s."""
    async with asyncio.timeout(45):
        while not (found := await asked()):
            await asyncio.sleep(0.02)
    return found


async def ticket_for(world: World, mark: str) -> str:
    """The ticket of a call that waits; there will be one."""
    query = "SELECT id FROM tickets WHERE state = 'pending' AND document::text LIKE $1"
    async with world.journal() as journal:
        return str(await until(lambda: journal.fetchval(query, f"%{mark}%")))


async def effects(world: World) -> Counter[str]:
    async with world.direct() as direct:
        return Counter(row[0] for row in await direct.fetch("SELECT marker FROM effects"))


async def intents(world: World, mark: str = "") -> list[asyncpg.Record]:
    """Statements that were about to be sent, all of them or those with one marker."""
    async with world.journal() as journal:
        return [row for row in await journal.fetch(STATEMENTS) if mark in row["text"]]


async def kinds(world: World, session: str) -> list[str]:
    query = "SELECT kind FROM records WHERE session = $1 ORDER BY at, stream, sequence"
    async with world.journal() as journal:
        return [row[0] for row in await journal.fetch(query, session)]


async def check_accounts(world: World) -> None:
    """Every effect has its intent, nothing happened twice, and no approval served two calls."""
    found, sent = await effects(world), await intents(world)
    intended = {mark for row in sent for mark in MARKER.findall(row["text"])}
    assert set(found) <= intended
    assert [mark for mark, times in found.items() if times > 1] == []
    tickets = Counter(json.loads(row["document"])["ticket"] for row in sent)
    assert [ticket for ticket, times in tickets.items() if ticket and times > 1] == []
    verified = await ask(world, "verify", {}, account="victor")
    assert verified["good"], verified


async def ask(world: World, path: str, body: dict[str, Any], *, account: str) -> dict[str, Any]:
    """What the command line would ask, without starting one."""
    headers = {"Authorization": f"Bearer {world.token(account)}"}
    async with httpx2.AsyncClient(timeout=60) as http:
        answered = await http.post(f"{world.url}/api/{path}", json=body, headers=headers)
    assert answered.status_code == 200, answered.text
    found = answered.json()
    assert isinstance(found, dict)
    return found


async def approve(world: World, ticket: str) -> None:
    await ask(world, f"approvals/{ticket}/decision", {"approve": True}, account="victor")


async def deny_all(world: World) -> None:
    """What still waits is denied, so that the requester's 50 are never used up."""
    async with world.journal() as journal:
        waiting = await journal.fetch("SELECT id FROM tickets WHERE state = 'pending'")
    for row in waiting:
        path = f"approvals/{row['id']}/decision"
        await ask(world, path, {"approve": False}, account="victor")
