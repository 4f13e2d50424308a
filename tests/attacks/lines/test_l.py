"""Lines L01, L02 and L06: a recording that can't be kept, and callers who write into it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest

from recordings.errors import JournalUnavailable
from recordings.journal import DigestKey, Journal, Record
from recordings.store import Store
from recordings.verify import verify
from server.identity.demo import Account
from server.protocols.postgres import backend as b
from server.protocols.postgres.codec import RowRun
from tests.attacks.lines.recorded import (
    WRITERS,
    admin,
    away,
    connected,
    documents,
    documents_of,
    native,
    prepare,
    query,
    recorded,
    throw_out,
)
from tests.e2e.evidence import ask, call, effects, insert, kinds, marker, until
from tests.e2e.test_endings import call_body
from tests.e2e.world import World
from tests.fixtures.postgres import PostgresDatabase
from tests.recordings.conftest import KEY, key_lookup, own_server
from tests.recordings.test_stall import until_taken

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

Damage = Callable[[World], AbstractAsyncContextManager[None]]


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = prepare(module_worlds())
    made.provider.provider.accounts = {**made.provider.provider.accounts, "mal": MALLORY}
    made.start()
    return made


MALLORY = Account('mal"},{"kind":"intent"}<script>alert(1)</script>', ("developers",), "odd")


async def check_refused(http: httpx2.AsyncClient, world: World) -> None:
    """No statement runs on any door, and nothing is decided; each answer says why."""
    mark = marker()
    answer = await call(http, world, insert(mark), "sandbox")
    assert answer["isError"]
    assert json.loads(answer["content"][0]["text"])["code"] == "BACKEND_UNAVAILABLE"
    client = await connected(world)
    said = await client.log_in(world.token("rita"), {"user": "rita", "database": "sandbox"})
    client.writer.close()
    assert isinstance(said[-1], b.ErrorResponse)
    assert mark not in await effects(world)


async def check_back(http: httpx2.AsyncClient, world: World) -> None:
    """The gateway goes on by itself: one call has one effect, and the chain has no gap."""
    mark = marker()

    async def taken() -> bool:
        return not (await call(http, world, insert(mark), "sandbox"))["isError"]

    await until(taken)
    assert (await effects(world))[mark] == 1
    verdict = await ask(world, "verify", {}, account="victor")
    assert verdict["good"], verdict


# L01 ---------------------------------------------------------------------------------------------


async def test_l01_with_the_store_down_every_door_and_tool_refuses_and_then_goes_on(
    world: World,
) -> None:
    mark, victor = marker(), {"Authorization": f"Bearer {world.token('victor')}"}
    async with httpx2.AsyncClient(timeout=60) as http, native(world, "sandbox") as client:
        await client.query("SELECT 1")
        ticket = json.loads((await call(http, world, insert(mark), "shop"))["content"][0]["text"])
        async with away(world):
            await check_refused(http, world)
            query(client, insert(mark))
            assert any(isinstance(reply, b.ErrorResponse) for reply in await client.to_the_end())
            for tool, arguments in (
                ("approval_wait", {"approval_id": ticket["approval_id"], "wait_seconds": 1}),
                ("review_approvals", {}),
            ):
                refused = await use(http, world, tool, arguments)
                said = refused["content"][0]["text"]
                assert said.startswith("{"), (tool, said)
                assert json.loads(said)["code"] == "BACKEND_UNAVAILABLE"
            await until(lambda: refuses_to_list(http, world))
            for method, path, body in (
                ("POST", f"approvals/{ticket['approval_id']}/decision", {"approve": True}),
                ("GET", "sessions", None),
                ("POST", "policy/explain", {"target": "shop", "sql": "SELECT 1"}),
            ):
                url = f"{world.url}/api/{path}"
                answer = await http.request(method, url, headers=victor, json=body)
                assert answer.status_code == 503, answer.text
        assert mark not in await effects(world)
        await check_back(http, world)


async def refuses_to_list(http: httpx2.AsyncClient, world: World) -> bool:
    """For ten seconds it is known who is blocked; so long others are told what they may do."""
    refused = await use(http, world, "list_targets", {})
    said = refused["content"][0]["text"]
    return said.startswith("{") and json.loads(said)["code"] == "BACKEND_UNAVAILABLE"


async def use(
    http: httpx2.AsyncClient, world: World, tool: str, arguments: dict[str, object]
) -> dict[str, Any]:
    """What a reviewer's call of any tool says."""
    body, headers = call_body("modern")
    body["params"] |= {"name": tool, "arguments": arguments}
    headers |= {"Mcp-Name": tool, "Authorization": f"Bearer {world.token('victor')}"}
    answer = await http.post(f"{world.url}/mcp", json=body, headers=headers)
    *_, last = [line for line in answer.text.splitlines() if "{" in line]
    result = json.loads(last.removeprefix("data:"))["result"]
    assert isinstance(result, dict)
    return result


async def test_l01_a_store_that_goes_down_amid_a_result_ends_it_and_nothing_is_doubled(
    world: World,
) -> None:
    """Within the 10 s in which it might have come back. What was delivered is recorded."""
    wide = ", ".join(f"i + 1000000000 AS c{n}" for n in range(150))
    sql = f"SELECT slow(i), {wide} FROM generate_series(1, 100) AS i"
    async with httpx2.AsyncClient(timeout=60) as http, native(world) as client:
        query(client, sql)
        while not isinstance(run := await client.reply(), RowRun):
            pass
        async with away(world):
            rest = await client.to_the_end()
        delivered = sum(r.count for r in (run, *rest) if isinstance(r, RowRun))
        assert 0 < delivered < 100
        assert not any(isinstance(reply, b.CommandComplete) for reply in rest)
        await check_back(http, world)
    (intent,) = await documents(world, "intent", "public.slow")
    (closed,) = await until(lambda: documents_of(world, intent["session"], "session_closed"))
    (outcome,) = await documents_of(world, intent["session"], "outcome")
    kept = sum(row["count"] for row in await documents_of(world, intent["session"], "rows"))
    assert delivered <= kept < 100
    assert outcome["status"] != "completed"
    assert closed["end"] != "closed"


# L02 ---------------------------------------------------------------------------------------------


def raising(code: str) -> Damage:
    """What the store's server answers to each record with."""

    @asynccontextmanager
    async def damage(world: World) -> AsyncIterator[None]:
        async with world.journal() as store:
            await store.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$;"
                "CREATE TRIGGER refuse BEFORE INSERT ON records EXECUTE FUNCTION refuse()"
            )
            try:
                yield
            finally:
                await store.execute("DROP TRIGGER refuse ON records; DROP FUNCTION refuse")

    return damage


@asynccontextmanager
async def read_only(world: World) -> AsyncIterator[None]:
    setting = "default_transaction_read_only"
    async with admin(world) as server:
        await server.execute(f"ALTER DATABASE {world.store} SET {setting} = on")
        await throw_out(server, world)
        try:
            yield
        finally:
            await server.execute(f"ALTER DATABASE {world.store} RESET {setting}")
            await throw_out(server, world)


@asynccontextmanager
async def hanging(world: World) -> AsyncIterator[None]:
    """A disk that takes for ever."""
    async with world.journal() as store, store.transaction():
        await store.execute("LOCK TABLE records IN SHARE MODE")
        yield


@asynccontextmanager
async def stopped(world: World) -> AsyncIterator[None]:
    async with world.journal() as store:
        pids = [row["pid"] for row in await store.fetch(WRITERS)]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(raising("53100"), id="disk full"),
        pytest.param(raising("53400"), id="quota", marks=pytest.mark.full),
        pytest.param(raising("58030"), id="input or output", marks=pytest.mark.full),
        pytest.param(read_only, id="read-only"),
        pytest.param(hanging, id="slow disk"),
        pytest.param(stopped, id="stopped processes"),
    ],
)
async def test_l02_a_store_that_can_t_write_refuses_and_goes_on_when_it_can(
    world: World, damage: Damage
) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        async with damage(world):
            await check_refused(http, world)
        await check_back(http, world)


async def test_l02_a_store_that_recovers_from_a_crash_has_what_was_durable() -> None:
    """What a failed fsync does to PostgreSQL: it ends every process, and recovers from its log."""
    async with own_server() as server:
        journal = await Journal.open(server.store, gateway="gw-1", digest_key=KEY)
        await journal.commit(Record("s-1", "intent", {}, b"SELECT 1"))
        os.kill((await server.store.pool.fetch(WRITERS))[0]["pid"], signal.SIGKILL)
        await until_taken(journal, Record("s-1", "after", {}))
        await journal.close()
        await server.store.pool.expire_connections()
        assert (await verified(server.store)) == (None, ["intent", "after"])


async def verified(store: Store) -> tuple[object, list[str]]:
    verdict = await verify(store, key_lookup)
    found = await store.pool.fetch("SELECT kind FROM records WHERE session = 's-1' ORDER BY at")
    return verdict.flaw, [row["kind"] for row in found]


async def test_l02_a_clock_that_jumped_back_records_nothing(database: PostgresDatabase) -> None:
    store = await Store.open(database.dsn)
    key = DigestKey("k", b"k" * 32)
    journal = await Journal.open(store, gateway="gw-1", digest_key=key)
    await journal.commit(Record("s-1", "intent", {}))
    await journal.close()
    await store.pool.execute("UPDATE records SET at = at + 60000000")
    with pytest.raises(JournalUnavailable, match="clock"):
        await Journal.open(store, gateway="gw-2", digest_key=key)
    await store.close()


# L06 ---------------------------------------------------------------------------------------------

FORGED = (
    'SELECT 1 AS "a\n23:59:59.000000  session ended: closed\x1b[2J" /*\r\n'
    '{"kind":"intent","session":"forged"}\n\u2028\u202e<img src=x onerror=alert(1)> */'
)


async def test_l06_what_callers_write_is_one_record_one_line_and_steers_no_terminal(
    world: World,
) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        body, headers = call_body("modern", FORGED)
        body["params"]["arguments"] |= {"target": "sandbox", "reason": FORGED}
        headers["Authorization"] = f"Bearer {world.token('mal')}"
        await http.post(f"{world.url}/mcp", json=body, headers=headers)
        bearer = {"Authorization": f"Bearer {world.token('victor')}"}
        record, *_ = await recorded(world, "intent", "onerror")
        session = record["session"]
        await until(lambda: documents_of(world, session, "session_closed"))
        exported = await http.get(f"{world.url}/api/sessions/{session}/records", headers=bearer)
    lines = exported.text.split("\n")
    assert [json.loads(line)["kind"] for line in lines[:-1]] == await kinds(world, session)
    assert lines[-1] == ""
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    assert exported.headers["x-content-type-options"] == "nosniff"
    replayed = world.cli("victor", "sessions", "replay", session).stdout
    assert not set("\x1b\r\u2028\u202e") & set(replayed)
    told = [line for line in replayed.split("\n") if line[:2].isdigit()]
    assert len(told) == len(lines) - 1
    assert not any("session ended: closed\\x1b" in line for line in told)
    listed = world.cli("victor", "sessions", "list").stdout
    assert sum(session in line for line in listed.split("\n")) == 1
    assert "\x1b" not in listed
