"""Raw calls against a running gateway, by people of every kind, and a look at what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from server.identity.demo import RITA, VICTOR, Account
from tests.e2e.world import World

MODERN: Final = "2026-07-28"
PEOPLE: Final = (
    RITA,
    VICTOR,
    Account("vera", ("dba",), "another reviewer"),
    Account("roy", ("developers",), "another requester"),
    Account("norah", (), "somebody with a token and no group"),
)
LEAKS: Final = ("Traceback", "asyncpg", "pydantic", 'File "', "site-packages", "ostiary_tickets")
"""What no answer may hold: text of libraries, traces, names inside the store."""


@dataclass(frozen=True, slots=True)
class Attacker:
    """Speaks HTTP by hand, so that nothing of a client's own good manners is in the way."""

    world: World
    http: httpx2.AsyncClient

    def headers(self, account: str, name: str = "run_sql", **more: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.world.token(account)}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": name,
            **more,
        }

    async def post(
        self, content: str | bytes, *, account: str = "rita", name: str = "run_sql", **more: str
    ) -> httpx2.Response:
        """A POST to the MCP door whose body is these bytes."""
        headers = self.headers(account, name, **more)
        return sound(
            await self.http.post(f"{self.world.url}/mcp", content=content, headers=headers)
        )

    async def call(self, name: str, arguments: Any, *, account: str = "rita") -> dict[str, Any]:
        """What a modern tools/call says: its refusal or its structured content."""
        return said(await self.post(body(name, arguments), account=account, name=name))

    async def sql(self, text: str, *, account: str = "rita", **arguments: Any) -> dict[str, Any]:
        return await self.call(
            "run_sql", {"target": "shop", "sql": text, **arguments}, account=account
        )

    async def api(
        self, method: str, path: str, account: str = "", *, headers: Any = (), **more: Any
    ) -> httpx2.Response:
        sent = dict(headers)
        if account:
            sent["Authorization"] = f"Bearer {self.world.token(account)}"
        return sound(await self.http.request(method, self.world.url + path, headers=sent, **more))

    async def decide(
        self, ticket: str, account: str = "victor", *, verdict: str = "approve", comment: str = ""
    ) -> httpx2.Response:
        decision = {"approve": verdict == "approve", "comment": comment}
        return await self.api("POST", f"/api/approvals/{ticket}/decision", account, json=decision)

    async def direct(self, query: str) -> Any:
        async with self.world.direct() as connection:
            return await connection.fetchval(query)

    async def stored(self, query: str, *values: Any) -> Any:
        async with self.world.journal() as journal:
            return await journal.fetchval(query, *values)

    async def refusals(self) -> Counter[str]:
        """How often each code of a refusal is in the journal."""
        async with self.world.journal() as journal:
            documents = await journal.fetch("SELECT document FROM records WHERE kind = 'decision'")
        found = (json.loads(row[0]).get("refusal") for row in documents)
        return Counter(refusal["code"] for refusal in found if refusal)

    async def recorded(self, kind: str, part: str = "", *, at_least: int = 1) -> int:
        """How many records of a kind hold this text; waits for those that are on their way."""
        query = "SELECT count(*) FROM records WHERE kind = $1 AND document LIKE $2"
        async with self.world.journal() as journal, asyncio.timeout(10):
            while (count := await journal.fetchval(query, kind, f"%{part}%")) < at_least:
                await asyncio.sleep(0.05)
        return int(count)

    async def check_still_sound(self) -> None:
        """After every test: the process lives, answers, and logged no trace of a failure."""
        assert self.world.process is not None
        assert self.world.process.poll() is None
        assert (await self.api("GET", "/api/whoami", "rita")).status_code == 200
        assert "Traceback" not in self.world.log.read_text()


@asynccontextmanager
async def open_attacker(world: World) -> AsyncIterator[Attacker]:
    world.provider.provider.accounts = {each.name: each for each in PEOPLE}
    limits = httpx2.Limits(max_connections=100)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as http:
        yield Attacker(world, http)


def body(name: str, arguments: Any, *, number: Any = 1, **more: Any) -> str:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": name, "arguments": arguments, "_meta": meta, **more}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


def said(response: httpx2.Response) -> dict[str, Any]:
    """The refusal in an answer, else its structured content, else the protocol's error."""
    document: dict[str, Any] = response.json()
    if "result" not in document:
        return document
    result: Mapping[str, Any] = document["result"]
    if result.get("isError"):
        refusal: dict[str, Any] = json.loads(result["content"][0]["text"])
        return refusal
    return {"code": "OK", "text": result["content"][0]["text"], **result["structuredContent"]}


def sound(response: httpx2.Response) -> httpx2.Response:
    """No answer is a bare failure, and none tells of what is inside."""
    assert response.status_code != 500, response.text
    for leak in LEAKS:
        assert leak not in response.text
    return response
