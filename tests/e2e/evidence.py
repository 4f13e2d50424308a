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
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import asyncpg
import httpx2

from tests.e2e.policy_sets import rewrite, starter_copy
from tests.e2e.test_endings import call_body
from tests.e2e.world import World

TABLE: Final = "CREATE TABLE effects (marker text NOT NULL)"
MARKER: Final = re.compile(r"m-[0-9a-f]{16}")
SESSIONS_WITH_OUTCOME: Final = (
    "SELECT DISTINCT session FROM records WHERE kind IN ('outcome', 'answer')"
)
STATEMENTS: Final = (
    "SELECT r.session, r.document, convert_from(b.body, 'UTF8') AS text"
    " FROM records r JOIN bodies b USING (stream, sequence) WHERE r.kind = 'intent'"
    ' AND r.document NOT LIKE \'%"kind":"SqlPreview"%\''
)
"""A preview of a change is always rolled back, and needs no approval."""


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


def plain_http(timeout: float = 30) -> httpx2.AsyncClient:
    """Without TLS, and so without the certificates, which take longer to load than a call."""
    return httpx2.AsyncClient(timeout=timeout, verify=False)


async def call(
    http: httpx2.AsyncClient, world: World, sql: str, target: str, *, url: str = ""
) -> dict[str, Any]:
    """One modern call by hand, without anything that would repeat it; its result."""
    body, headers = call_body("modern", sql)
    body["params"]["arguments"]["target"] = target
    headers["Authorization"] = f"Bearer {world.token('rita')}"
    response = await http.post(f"{url or world.url}/mcp", json=body, headers=headers)
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
    await check_tickets(world, found, sent)
    verified = await ask(world, "verify", {}, account="victor")
    assert verified["good"], verified


async def check_tickets(world: World, found: Counter[str], sent: Sequence[asyncpg.Record]) -> None:
    """What needs approval ran by a ticket of its own, that was used for it and for nothing else."""
    async with world.journal() as journal:
        rows = await journal.fetch("SELECT id, state, document::text AS text FROM tickets")
    tickets = {row["id"]: row for row in rows}
    used: Counter[str] = Counter()
    for row in sent:
        document, marks = json.loads(row["document"]), set(MARKER.findall(row["text"]))
        if document["target"] == "shop" and marks:
            ticket = tickets[document["ticket"]]
            assert ticket["state"] == "used"
            assert marks <= set(MARKER.findall(ticket["text"]))
            used[document["ticket"]] += 1
    assert [ticket for ticket, times in used.items() if times > 1] == []


async def moments(world: World) -> Counter[str]:
    """How far each statement, and each approval, had come when its gateway ended."""
    found, sent = await effects(world), await intents(world)
    async with world.journal() as journal:
        ended = {r[0] for r in await journal.fetch(SESSIONS_WITH_OUTCOME)}
        states = {r["id"]: r["state"] for r in await journal.fetch("SELECT id, state FROM tickets")}
    seen: Counter[str] = Counter()
    for row in sent:
        effect = any(found[mark] for mark in MARKER.findall(row["text"]))
        seen[f"intent{', effect' * effect}{', outcome' * (row['session'] in ended)}"] += 1
    ran = {json.loads(row["document"])["ticket"] for row in sent}
    seen["approval not used"] = sum(state == "approved" for state in states.values())
    seen["approval used, no intent"] = sum(
        state == "used" and ticket not in ran for ticket, state in states.items()
    )
    return seen


async def still(world: World) -> None:
    """Until what killed gateways left behind on the target has ended, one way or the other."""
    busy = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state <> 'idle'"
    )

    async with world.direct() as direct:

        async def over() -> bool:
            return not await direct.fetchval(busy)

        await until(over)


async def check_dead_are_closed(world: World) -> None:
    """One gateway lives; the sessions of all others have an end, and so have their streams."""
    open_sessions = """
    SELECT count(*) FROM streams s JOIN writers w ON w.number = s.writer
    JOIN records o ON o.stream = s.number AND o.kind = 'session_opened'
    WHERE w.ended_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM records c WHERE c.session = o.session AND c.kind = 'session_closed')
    """
    alive = "SELECT count(*) FROM writers WHERE ended_at IS NULL"
    unclosed = (
        "SELECT count(*) FROM streams s JOIN writers w ON w.number = s.writer"
        " WHERE w.ended_at IS NOT NULL AND s.closed_at IS NULL"
    )
    async with world.journal() as journal:
        assert [await journal.fetchval(q) for q in (alive, open_sessions, unclosed)] == [1, 0, 0]


async def ask(world: World, path: str, body: dict[str, Any], *, account: str) -> dict[str, Any]:
    """What the command line would ask, without starting one."""
    headers = {"Authorization": f"Bearer {world.token(account)}"}
    async with plain_http(timeout=300) as http:
        answered = await http.post(f"{world.url}/api/{path}", json=body, headers=headers)
    assert answered.status_code == 200, answered.text
    found = answered.json()
    assert isinstance(found, dict)
    return found


async def approve(world: World, ticket: str) -> None:
    await ask(world, f"approvals/{ticket}/decision", {"approve": True}, account="victor")


async def deny(world: World, marks: Collection[str]) -> None:
    """What still waits of these is denied, so that the requester's 50 are never used up."""
    pending = "SELECT id, document::text AS text FROM tickets WHERE state = 'pending'"
    async with world.journal() as journal:
        waiting = await journal.fetch(pending)
    for row in waiting:
        if set(MARKER.findall(row["text"])) & set(marks):
            path = f"approvals/{row['id']}/decision"
            await ask(world, path, {"approve": False}, account="victor")
