"""Lines L09 and L10: two gateways on one store, and recordings that are read back."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from recordings.rows import ROW_CODECS
from server.commands.sessions import stored_record
from server.keys import KeyRing, Purpose
from server.protocols.postgres.codec import RowRun
from tests.attacks.lines.recorded import documents, documents_of, native, prepare
from tests.e2e.evidence import ask, call, insert, marker, until
from tests.e2e.world import World, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = prepare(module_worlds())
    made.start()
    return made


def beside(world: World) -> World:
    """Another gateway on the same store, with the same keys, people and targets."""
    directory = world.directory / "second"
    directory.mkdir()
    (directory / "keys.json").write_bytes((world.directory / "keys.json").read_bytes())
    (directory / "keys.json").chmod(0o600)
    return replace(
        world, directory=directory, listener=free_port(), process=None, variables=world.variables
    )


async def all_are_closed(world: World) -> bool:
    """What ends sessions is written behind, within a second."""
    async with world.journal() as journal:
        return bool(
            await journal.fetchval(
                "SELECT count(*) FILTER (WHERE kind = 'session_opened')"
                " = count(*) FILTER (WHERE kind = 'session_closed') FROM records"
            )
        )


async def test_l09_two_gateways_on_one_store_keep_apart_and_only_the_dead_one_is_closed(
    world: World,
) -> None:
    other = beside(world)
    port = free_port()
    document = world.configuration()
    other.settings = {
        **world.settings,
        "gateway": {
            "listen": f"127.0.0.1:{port}",
            "public_url": f"http://127.0.0.1:{port}",
            "allowed_hosts": [f"127.0.0.1:{port}"],
        },
        "identity": document["identity"],
    }
    other.port = port
    other.start()
    try:
        async with httpx2.AsyncClient(timeout=60) as http:
            calls = (call(http, each, insert(marker()), "sandbox") for each in (world, other) * 10)
            answers = await asyncio.gather(*calls)
            assert not any(answer["isError"] for answer in answers)
        await until(lambda: all_are_closed(world))
        async with native(world) as kept, native(other) as cut_off:
            await kept.query("SELECT 1")
            await cut_off.query("SELECT 1")
            other.kill()
            opened = await documents(world, "session_opened", '"channel":"postgres"')
            other.start()  # who starts looks for the dead, as everybody does every 30 s
            ends = await until(lambda: documents(world, "session_closed", "interrupted"))
            assert [end["session"] for end in ends] == [opened[-1]["session"]]
            assert len(await kept.query("SELECT 2")) > 1
        await check_apart(world)
        for each in (world, other):
            verdict = await ask(each, "verify", {}, account="victor")
            assert verdict["good"], verdict
            assert len(verdict["checked"]["elsewhere"]) == 1
    finally:
        other.stop()


async def check_apart(world: World) -> None:
    """No session has records in streams of two gateways, and times rise in each."""
    async with world.journal() as store:
        shared = await store.fetchval(
            "SELECT count(*) FROM (SELECT session FROM records JOIN streams ON number = stream"
            " WHERE session <> '' AND kind <> 'session_closed' GROUP BY session"
            " HAVING count(DISTINCT writer) > 1) AS s"
        )
        back = await store.fetchval(
            "SELECT count(*) FROM (SELECT at <= lag(at) OVER (PARTITION BY writer ORDER BY at,"
            " stream, sequence) AS back FROM records JOIN streams ON number = stream) AS t"
            " WHERE back"
        )
    assert (shared, back) == (0, 0)


async def test_l10_what_is_recorded_is_what_the_caller_saw(world: World) -> None:
    sql = "SELECT id, ssn, total FROM customers JOIN orders USING (id) ORDER BY id"
    async with httpx2.AsyncClient(timeout=60) as http, native(world) as client:
        answer = await call(http, world, sql, "shop")
        seen = b"".join(r.frames for r in await client.query(sql) if isinstance(r, RowRun))
        native_session = (await documents(world, "session_opened", "postgres"))[-1]["session"]
        tool_session = answer["structuredContent"]["session"]
        assert await frames(world, native_session) == seen
    rows = ROW_CODECS["postgres"].decode(await frames(world, tool_session))
    shown = [[str(cell) for cell in row] for row in answer["structuredContent"]["rows"]]
    assert [[(cell or b"").decode() for cell in row] for row in rows] == shown
    assert "***-**-9991" in shown[0]


async def frames(world: World, session: str) -> bytes:
    """The bodies of a session's rows, once they are there."""
    query = (
        "SELECT string_agg(body, ''::bytea ORDER BY at, stream, sequence) FROM records"
        " JOIN bodies USING (stream, sequence) WHERE session = $1"
        " AND kind IN ('rows', 'answer')"
        " AND EXISTS (SELECT FROM records WHERE session = $1 AND kind IN ('done', 'answer'))"
    )
    async with world.journal() as store:
        found_bytes = await until(lambda: store.fetchval(query, session))
    assert isinstance(found_bytes, bytes)
    return found_bytes


async def exported(world: World, session: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {world.token('victor')}"}
    url = f"{world.url}/api/sessions/{session}/records"
    found_records: list[dict[str, Any]] = []
    async with (
        httpx2.AsyncClient(timeout=600) as http,
        http.stream("GET", url, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            found_records.append(stripped(line))
    return found_records


def stripped(line: str) -> dict[str, Any]:
    """A record as exported, its hash computed again from nothing but the line."""
    record: dict[str, Any] = json.loads(line)
    match record["body_encoding"]:
        case "utf-8":
            body = record["body"].encode()
        case "base64":
            body = base64.b64decode(record["body"])
        case _:
            body = b""
    assert stored_record(line.encode()).body == body
    record.pop("rows", None)
    return {**record, "body": body}


@pytest.mark.parametrize(
    ("results", "rows"), [(2, 3000), pytest.param(300, 60_000, marks=pytest.mark.full)]
)
async def test_l10_an_export_holds_every_byte_and_the_chain_again(
    world: World, results: int, rows: int
) -> None:
    """At full count some 300 MB, of which each result is recorded up to its bound."""
    policies = world.directory / "policies" / "gates.cedar"
    bounded = policies.read_text()
    policies.write_text(bounded.replace('@row_limit("1000")', '@row_limit("100000000")'))
    loaded = len(await documents(world, "policy_loaded"))

    async def taken_in() -> bool:
        return len(await documents(world, "policy_loaded")) > loaded

    await until(taken_in)
    seen = 0
    async with native(world) as client:
        for _ in range(results):
            sql = f"SELECT i, i AS j FROM generate_series(1, {rows}) AS i"
            seen += sum(len(r.frames) for r in await client.query(sql) if isinstance(r, RowRun))
        session = (await documents(world, "session_opened", "postgres"))[-1]["session"]
    policies.write_text(bounded)
    await until(lambda: documents_of(world, session, "session_closed"))
    records = await exported(world, session)
    outcomes = [r["document"] for r in records if r["kind"] in ("outcome", "answer")]
    kept = sum(len(r["body"]) for r in records if r["kind"] in ("rows", "answer"))
    assert sum(outcome["bytes"] for outcome in outcomes) == seen
    assert sum(outcome["recorded_bytes"] for outcome in outcomes) == kept
    key = KeyRing.load(world.directory / "keys.json").current(Purpose.BODY_DIGEST)
    for record in records:
        body = record["body"]
        digest = hmac.new(key.secret, body, "sha256").hexdigest() if body else ""
        assert record["digest"] == digest


async def test_l10_a_corrupt_chunk_is_named_and_still_exported(world: World) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        answer = await call(http, world, "SELECT 424242 AS n", "sandbox")
    session = answer["structuredContent"]["session"]
    await frames(world, session)
    chunk = "FROM records r WHERE (r.stream, r.sequence) = (b.stream, b.sequence)"
    flip = (
        f"UPDATE bodies b SET body = set_byte(body, 4, get_byte(body, 4) # 255) {chunk}"
        " AND session = $1 AND kind = 'rows' RETURNING b.stream, b.sequence"
    )
    async with world.journal() as store:
        place = await store.fetchrow(flip, session)
        assert place is not None
        broken = await ask(world, "verify", {}, account="victor")
        replayed = world.cli("victor", "sessions", "replay", session)
        whole = await exported(world, session)
        await store.fetchrow(flip, session)
    flaw = broken["checked"]["flaw"]
    assert (flaw["stream"], flaw["sequence"]) == tuple(place)
    assert "bytes that can't be read as rows" in replayed.stdout
    assert [r["kind"] for r in whole if r["kind"] == "rows"] == ["rows"]
    assert (await ask(world, "verify", {}, account="victor"))["good"]
