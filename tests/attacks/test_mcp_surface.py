"""Odd bytes, odd JSON and odd arguments at the MCP door, and what belongs to others there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from tests.attacks.attacker import Attacker, body, sound

pytestmark = pytest.mark.anyio

GOOD = body("run_sql", {"target": "shop", "sql": "SELECT 1"})
DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        f"[{GOOD}]",
        f"[{GOOD},{GOOD}]",
        "{",
        GOOD + GOOD,
        "[" * 100_000,
        '{"a":' * 30_000,
        b"\xff\xfe",
        GOOD.replace('"id": 1', '"id": null'),
        GOOD.replace('"id": 1', '"id": 1.5'),
        GOOD.replace('"id": 1', '"id": {}'),
        GOOD.replace('"id": 1', '"id": ' + "9" * 5_000),
        GOOD.replace('"method"', '"Method"'),
        GOOD.replace('"name"', '"Name"'),
        GOOD.replace('"2.0"', '"1.0"'),
        GOOD.replace('"arguments": {', '"arguments": [], "x": {'),
        GOOD.replace('"sql": ', f'"x": {DEEP}, "sql": '),
        GOOD.replace("run_sql", "review_approvals"),
        GOOD.replace("run_sql", "RUN_SQL"),
        GOOD.replace("run_sql", "run_sql\\u0000"),
    ],
)
async def test_what_is_no_call_runs_nothing(attacker: Attacker, content: str | bytes) -> None:
    before = await attacker.stored("SELECT count(*) FROM records WHERE kind = 'intent'")
    answer = await attacker.post(content)
    assert answer.status_code == 400
    assert "error" in answer.json()
    assert await attacker.stored("SELECT count(*) FROM records WHERE kind = 'intent'") == before


async def test_a_call_without_an_id_runs_nothing(attacker: Attacker) -> None:
    before = await attacker.stored("SELECT count(*) FROM records WHERE kind = 'intent'")
    answer = await attacker.post(GOOD.replace('"id": 1, ', ""))
    assert answer.status_code == 202
    await attacker.api("GET", "/api/whoami", "rita")
    assert await attacker.stored("SELECT count(*) FROM records WHERE kind = 'intent'") == before


async def test_a_body_that_is_too_large_is_turned_away(attacker: Attacker) -> None:
    assert (await attacker.post("x" * (5 * 1024 * 1024))).status_code == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_turned_away(attacker: Attacker, kind: str) -> None:
    assert (await attacker.post(GOOD, **{"Content-Type": kind})).status_code == 400


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "127.0.0.1:1", 421),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1.evil.example", 403),
        ("Mcp-Method", "tools/list", 400),
        ("Mcp-Name", "list_targets", 400),
        ("MCP-Protocol-Version", "1999-01-01", 400),
    ],
)
async def test_a_header_that_does_not_fit_is_turned_away(
    attacker: Attacker, name: str, value: str, status: int
) -> None:
    assert (await attacker.post(GOOD, **{name: value})).status_code == status


@pytest.mark.parametrize(
    "method",
    ["resources/list", "completion/complete", "logging/setLevel", "tasks/list", "tools/Call"],
)
async def test_what_is_not_offered_does_not_exist(attacker: Attacker, method: str) -> None:
    message = json.loads(body("run_sql", {})) | {"method": method}
    answer = await attacker.post(json.dumps(message), **{"Mcp-Method": method})
    assert answer.json()["error"]["code"] in (-32601, -32602)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"target": 1}, "target: Input should be a valid string"),
        ({"target": "sh\0op"}, "target: holds a NUL character"),
        ({"target": "\ud800"}, "target: holds half a character"),
        ({"sql": ["SELECT 1"]}, "sql: Input should be a valid string"),
        ({"sql": "SELECT '\ud800'"}, "sql: holds half a character"),
        ({"max_rows": "1"}, "max_rows: Input should be a valid integer"),
        ({"max_rows": 1.0}, "max_rows: Input should be a valid integer"),
        ({"max_rows": True}, "max_rows: Input should be a valid integer"),
        ({"max_rows": 10**18}, "max_rows: Input should be less than or equal to 1000"),
        ({"params": "[1]"}, "params: Input should be a valid list"),
        ({"params": ["a\0b"]}, "params: holds a NUL character"),
        ({"params": [[1]]}, "params[0]: wrong type"),
        ({"cursor": "\0"}, "cursor: holds a NUL character"),
        ({"reason": None}, "reason: Input should be a valid string"),
        ({"reason": "a\0"}, "reason: holds a NUL character"),
        ({"Target": "shop"}, "Target: unknown argument"),
        ({"role": "admin"}, "role: unknown argument"),
    ],
)
async def test_an_argument_that_does_not_fit_is_named_and_recorded(
    attacker: Attacker, changed: dict[str, Any], reason: str
) -> None:
    before = (await attacker.refusals())["ARGUMENTS_INVALID"]
    refused = await attacker.sql("SELECT 1", **changed) if "sql" not in changed else None
    if refused is None:
        refused = await attacker.call("run_sql", {"target": "shop", **changed})
    assert refused["code"] == "ARGUMENTS_INVALID"
    assert refused["reason"] == reason
    assert (await attacker.refusals())["ARGUMENTS_INVALID"] == before + 1


async def test_thousands_of_wrong_arguments_are_answered_and_recorded_in_few_bytes(
    attacker: Attacker,
) -> None:
    many: dict[str, Any] = {f"a{number}": 1 for number in range(50_000)}
    refused = await attacker.sql("SELECT 1", **many)
    assert refused["reason"] == "50002 arguments; no tool has more than 32"
    few = {f"a{number}" * 500: 1 for number in range(30)}
    refused = await attacker.call("run_sql", few)
    assert refused["reason"].endswith("and 12 more")
    assert len(refused["reason"]) < 2_000


async def test_thousands_of_wrong_parameters_are_one_fault(attacker: Attacker) -> None:
    refused = await attacker.sql("SELECT 1", params=[[]] * 60_000)
    assert refused["reason"] == "params[0]: wrong type"


async def test_more_parameters_than_a_message_can_count_are_the_callers_fault(
    attacker: Attacker,
) -> None:
    refused = await attacker.sql("SELECT 1", params=[1] * 65_536)
    assert refused["code"] == "ARGUMENTS_INVALID"
    most = await attacker.sql("SELECT 1", params=[1] * 65_535)
    assert most.get("sqlstate") == "08P01", most


@pytest.mark.parametrize("target", ["SHOP", "\uff53hop", "shop ", "shop/..", "", "x" * 1_000_000])
async def test_no_spelling_of_a_target_but_its_own_finds_it(
    attacker: Attacker, target: str
) -> None:
    before = (await attacker.refusals())["TARGET_UNKNOWN"]
    refused = await attacker.call("run_sql", {"target": target, "sql": "SELECT 1"})
    assert refused["code"] == "TARGET_UNKNOWN"
    assert len(refused["reason"]) < 200
    assert (await attacker.refusals())["TARGET_UNKNOWN"] == before + 1


async def test_a_nobody_is_told_nothing_of_what_there_is(attacker: Attacker) -> None:
    theirs = await attacker.sql("SELECT 1", account="norah")
    missing = await attacker.call("run_sql", {"target": "nope", "sql": "SELECT 1"}, account="norah")
    assert theirs["reason"].replace("shop", "nope") == missing["reason"]
    assert (await attacker.call("list_targets", {}, account="norah"))["targets"] == []


async def test_a_cursor_is_good_for_its_caller_statement_and_target_only(
    attacker: Attacker,
) -> None:
    sql = "SELECT id FROM orders ORDER BY id"
    first = await attacker.sql(sql, max_rows=5)
    assert first["code"] == "OK", first
    cursor = first["next_cursor"]
    flipped = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    tries = [
        await attacker.sql(sql, cursor=cursor, account="roy"),
        await attacker.sql(sql, cursor=cursor, account="victor"),
        await attacker.sql(sql + " ", cursor=cursor),
        await attacker.sql(sql, cursor=cursor, params=["x"]),
        await attacker.sql(sql, cursor=flipped),
        await attacker.sql(sql, cursor=cursor + "="),
        await attacker.sql(sql, cursor=cursor[:-1]),
        await attacker.sql(sql, cursor="é"),
        await attacker.sql(sql, cursor="A" * 1_000_000),
    ]
    assert {each["code"] for each in tries} == {"CURSOR_INVALID"}
    assert (await attacker.sql(sql, cursor=cursor))["rows"][0] == [6]


async def legacy_session(attacker: Attacker) -> dict[str, str]:
    accept = {
        "Authorization": f"Bearer {attacker.world.token('rita')}",
        "Accept": "application/json, text/event-stream",
    }
    client = {"name": "attack", "version": "1"}
    version = "2025-11-25"
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    opened = await attacker.http.post(f"{attacker.world.url}/mcp", headers=accept, json=hello)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    return accept | session | {"MCP-Protocol-Version": version}


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize(
    ("account", "agent"), [("victor", "test-agent"), ("norah", "test-agent"), ("rita", "other")]
)
async def test_a_session_does_not_exist_for_another_person_or_agent(
    attacker: Attacker, method: str, account: str, agent: str
) -> None:
    session = await legacy_session(attacker)
    stolen = session | {"Authorization": f"Bearer {attacker.world.token(account, agent=agent)}"}
    url = f"{attacker.world.url}/mcp"
    content = json.loads(GOOD) if method == "POST" else None
    answer = await attacker.http.request(method, url, headers=stolen, json=content)
    assert answer.status_code == 404
    assert (await attacker.http.delete(url, headers=session)).status_code == 200


@pytest.mark.parametrize("session", ["x", "../x", "' OR 1=1 --", "a" * 10_000])
async def test_a_session_is_not_guessed(attacker: Attacker, session: str) -> None:
    guessed = await legacy_session(attacker) | {"Mcp-Session-Id": session}
    answer = await attacker.http.post(
        f"{attacker.world.url}/mcp", headers=guessed, json=json.loads(GOOD)
    )
    assert sound(answer).status_code == 404


async def test_a_caller_that_leaves_in_the_middle_of_its_request_leaves_no_trace(
    attacker: Attacker,
) -> None:
    headers = attacker.headers("rita") | {"Content-Length": "1000"}

    async def half() -> Any:
        yield GOOD.encode()[:20]
        raise ConnectionAbortedError

    with pytest.raises((httpx2.HTTPError, ConnectionAbortedError)):
        await attacker.http.post(f"{attacker.world.url}/mcp", headers=headers, content=half())


async def test_an_unknown_ticket_is_unknown_whatever_its_spelling(attacker: Attacker) -> None:
    before = (await attacker.refusals())["TICKET_UNKNOWN"]
    for ticket in ("ap_x", "", "../x", "é", "' OR 1=1 --"):
        waited = {"approval_id": ticket, "wait_seconds": 0}
        assert (await attacker.call("approval_wait", waited))["code"] == "TICKET_UNKNOWN"
    review = {"approval_id": "ap_x"}
    refused = await attacker.call("review_approvals", review, account="victor")
    assert refused["code"] == "TICKET_UNKNOWN"
    assert (await attacker.refusals())["TICKET_UNKNOWN"] == before + 6


async def test_a_head_without_end_is_cut_off_before_its_sender_has_a_name(
    attacker: Attacker,
) -> None:
    """Neither memory nor a connection is for those who never finish what they ask."""
    reader, writer = await asyncio.open_connection("127.0.0.1", attacker.world.port)
    writer.write(b"GET /mcp HTTP/1.1\r\nX: " + b"a" * 100_000)
    async with asyncio.timeout(20):
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()
