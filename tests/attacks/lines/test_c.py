"""Section C of the list of attacks, the MCP surface, C01 to C04: one test a line of many parts.

All of it is raw HTTP against a whole gateway with a real target.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.attacks.attacker import Attacker, body, said, sound
from tests.attacks.lines.mcp_caller import (
    GOOD,
    INTENTS,
    beside,
    cancelled,
    hello,
    legacy_call,
    mcp,
    opened,
)
from tests.e2e.test_endings import ACTIVE, BUSY, until
from tests.e2e.world import World
from tests.fixtures.modern import document
from tests.fixtures.raw_http import exchange, post

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

READ: Final = b'"sql": "SELECT 1"'
BOM: Final = b"\xef\xbb\xbf"

C01: Final[Mapping[str, tuple[bytes, int]]] = {
    "method in capitals": (GOOD.replace('"method"', '"Method"').encode(), 400),
    "a second method in capitals": (
        GOOD.replace('"method"', '"Method": "tools/list", "method"').encode(),
        400,
    ),
    "name in capitals": (GOOD.replace('"name"', '"Name"').encode(), 400),
    "a method twice": (GOOD.replace('"id"', '"method": "tools/list", "id"').encode(), 400),
    "a statement twice": (GOOD.encode().replace(READ, b'"sql": "DROP TABLE x", ' + READ), 400),
    "a key twice by escape": (GOOD.encode().replace(READ, READ + b', "s\\u0071l": "x"'), 400),
    "params twice": (GOOD.replace('"params"', '"params": {}, "params"').encode(), 400),
    "a byte order mark": (BOM + GOOD.encode(), 400),
    "UTF-16": (GOOD.encode("utf-16"), 400),
    "UTF-16 without mark": (GOOD.encode("utf-16-le"), 400),
    "UTF-32": (GOOD.encode("utf-32"), 400),
    "not UTF-8": (GOOD.encode().replace(b"SELECT 1", b"SELECT '\xc0\xa7'"), 400),
    "NaN": (GOOD.encode().replace(READ, READ + b', "params": [NaN]'), 400),
    "Infinity": (GOOD.encode().replace(READ, READ + b', "params": [-Infinity]'), 400),
    "a float past all": (GOOD.encode().replace(READ, READ + b', "params": [1e999]'), 400),
    "a huge integer": (GOOD.encode().replace(READ, READ + b', "max_rows": ' + b"9" * 4000), 400),
    "an integer that rounds": (
        GOOD.encode().replace(READ, READ + b', "params": [' + b"9" * 20 + b"]"),
        400,
    ),
    "a batch": (f"[{GOOD}]".encode(), 400),
    "an empty batch": (b"[]", 400),
    "a batch of two": (f"[{GOOD},{GOOD}]".encode(), 400),
    "100,000 deep": (GOOD.encode().replace(b'"SELECT 1"', b"[" * 100_000 + b"]" * 100_000), 400),
    "100,000 deep and open": (b'{"a":' * 100_000, 400),
    "100 deep": (GOOD.encode().replace(b'"SELECT 1"', b"[" * 100 + b"]" * 100), 400),
    "params as a list": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["run_sql"]}',
        400,
    ),
    "params as text": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"run_sql"}', 400),
    "id null": (GOOD.replace('"id": 1', '"id": null').encode(), 400),
    "id float": (GOOD.replace('"id": 1', '"id": 1.5').encode(), 400),
    "id true": (GOOD.replace('"id": 1', '"id": true').encode(), 400),
    "id twice": (GOOD.replace('"id": 1', '"id": 1, "id": 2').encode(), 400),
    "id without end": (GOOD.replace('"id": 1', f'"id": "{"x" * 100_000}"').encode(), 400),
    "a notification with a call": (GOOD.replace('"id": 1, ', "").encode(), 202),
    "too large": (GOOD.encode() + b" " * (4 * 1024 * 1024), 413),
}


async def test_c01_a_body_that_can_be_read_in_two_ways_runs_nothing(attacker: Attacker) -> None:
    session = await opened(attacker)
    before = await attacker.stored(INTENTS)
    for name, (content, status) in C01.items():
        answer = await attacker.post(content)
        assert answer.status_code == status, name
        answer = sound(await attacker.http.post(mcp(attacker), headers=session, content=content))
        assert answer.status_code == status or "error" in document(answer), name
    assert await attacker.stored(INTENTS) == before


async def test_c01_another_content_type_runs_nothing(attacker: Attacker) -> None:
    before = await attacker.stored(INTENTS)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "a"):
        assert (await attacker.post(GOOD, **{"Content-Type": kind})).status_code == 400
    assert await attacker.stored(INTENTS) == before


async def test_c01_an_id_of_another_client_is_no_way_to_its_answer(attacker: Attacker) -> None:
    """The same id at the same time, by two people, in both eras."""
    calls = [
        attacker.call("run_sql", {"target": "shop", "sql": f"SELECT '{who}' AS me"}, account=who)
        for who in ("rita", "roy", "victor") * 5
    ]
    told = await asyncio.gather(*calls)
    assert [answer["rows"] for answer in told] == [[["rita"]], [["roy"]], [["victor"]]] * 5


async def test_c01_an_id_in_flight_is_not_used_twice(attacker: Attacker) -> None:
    session = await opened(attacker)
    call = legacy_call(BUSY, 7)
    async with attacker.world.direct() as direct:
        first = asyncio.create_task(attacker.http.post(mcp(attacker), headers=session, json=call))
        await until(direct, ACTIVE, 1)
        again = await attacker.http.post(mcp(attacker), headers=session, json=call)
        assert again.status_code == 400
        await attacker.http.post(mcp(attacker), headers=session, json=cancelled(7))
        assert (await first).status_code == 200
        await until(direct, ACTIVE, 0)


C02: Final[Mapping[str, dict[str, Any]]] = {
    "an unknown argument": {"role": "admin"},
    "an argument in capitals": {"SQL": "SELECT 1"},
    "a number as text": {"max_rows": "1"},
    "a float for an integer": {"max_rows": 1.0},
    "true for an integer": {"max_rows": True},
    "a list for a text": {"sql": ["SELECT 1"]},
    "an object for a text": {"sql": {"text": "SELECT 1"}},
    "null for a text": {"reason": None},
    "a text for a list": {"params": "[1]"},
    "proto": {"__proto__": {"max_rows": 1}},
}


async def test_c02_an_argument_is_neither_bent_nor_dropped(attacker: Attacker) -> None:
    before = await attacker.stored(INTENTS)
    for name, changed in C02.items():
        arguments = {"target": "shop", "sql": "SELECT 1", **changed}
        assert (await attacker.call("run_sql", arguments))["code"] == "ARGUMENTS_INVALID", name
    assert await attacker.stored(INTENTS) == before


async def test_c02_no_other_spelling_is_a_tool(attacker: Attacker) -> None:
    odd = ("run\uff3fsql", "run_\u0455ql", "run_sql\u200b")
    for name in ("RUN_SQL", "Run_Sql", "run_sql ", "run-sql", *odd):
        encoded = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
        content = body(name, {"target": "shop", "sql": "SELECT 1"})
        assert said(await attacker.post(content, name=encoded))["code"] == "TOOL_UNKNOWN"


async def test_c02_no_other_spelling_is_a_target(attacker: Attacker) -> None:
    for target in ("SHOP", "\uff53hop", "sh\u043ep", "shop\u200b", "shop ", "shop\u0000"):
        refused = await attacker.call("run_sql", {"target": target, "sql": "SELECT 1"})
        assert refused["code"] in ("TARGET_UNKNOWN", "ARGUMENTS_INVALID")


async def test_c03_a_session_does_not_exist_for_anybody_else(attacker: Attacker) -> None:
    """To use it, to listen on it, to resume a stream of it, to end it."""
    session = await opened(attacker)
    for account, agent in (("victor", "test-agent"), ("norah", "test-agent"), ("rita", "other")):
        token = attacker.world.token(account, agent=agent)
        stolen = {**session, "Authorization": f"Bearer {token}", "Last-Event-ID": "1"}
        for method in ("POST", "GET", "DELETE"):
            content = legacy_call("SELECT 1", 3) if method == "POST" else None
            answer = await attacker.http.request(
                method, mcp(attacker), headers=stolen, json=content
            )
            assert answer.status_code == 404
    assert (await attacker.http.delete(mcp(attacker), headers=session)).status_code == 200


async def test_c03_a_session_is_neither_guessed_nor_chosen_nor_used_after_its_end(
    attacker: Attacker,
) -> None:
    session = await opened(attacker)
    for guess in ("x", "0" * 32, session["Mcp-Session-Id"][:-1], "' OR 1=1 --", "a" * 5_000):
        answer = await attacker.http.post(
            mcp(attacker), headers={**session, "Mcp-Session-Id": guess}, json=hello()
        )
        assert answer.status_code == 404
    assert (await attacker.http.delete(mcp(attacker), headers=session)).status_code == 200
    for method, content in (("POST", legacy_call("SELECT 1", 3)), ("GET", None), ("DELETE", None)):
        answer = await attacker.http.request(method, mcp(attacker), headers=session, json=content)
        assert answer.status_code == 404


async def test_c03_nothing_is_resumed(attacker: Attacker) -> None:
    """No stream is kept for anybody, one's own neither."""
    session = {**await opened(attacker), "Last-Event-ID": "1"}
    async with attacker.http.stream("GET", mcp(attacker), headers=session) as answer:
        assert answer.status_code in (200, 400, 405)
        assert "id:" not in answer.headers.get("content-type", "")
    await attacker.http.delete(mcp(attacker), headers=session)


async def test_c03_a_session_of_one_gateway_is_none_of_another(
    attacker: Attacker, tmp_path: Path
) -> None:
    other = beside(attacker.world, tmp_path)
    other.start()
    try:
        session = await opened(attacker)
        message = legacy_call("SELECT 1", 3)
        answer = await attacker.http.post(f"{other.url}/mcp", headers=session, json=message)
        assert answer.status_code == 404
    finally:
        other.stop()


ROUTES: Final = (
    "/mcp",
    "/.well-known/oauth-protected-resource/mcp",
    "/api/whoami",
    "/api/approvals",
    "/approvals",
    "/nowhere",
)
FOREIGN: Final = (
    ("Host", "evil.example", 421),
    ("Host", "127.0.0.1", 421),
    ("Host", "localhost:{port}", 421),
    ("Host", "127.0.0.1:{port}.evil.example", 421),
    ("Origin", "https://evil.example", 403),
    ("Origin", "null", 403),
    ("Origin", "https://127.0.0.1:{port}", 403),
)


@pytest.mark.parametrize("path", ROUTES)
async def test_c04_a_foreign_host_or_origin_is_turned_away_everywhere(
    attacker: Attacker, path: str
) -> None:
    for name, value, status in FOREIGN:
        named = {name: value.format(port=attacker.world.port)}
        assert (await attacker.api("GET", path, "rita", headers=named)).status_code == status


async def test_c04_what_is_turned_away_is_recorded_and_fills_nothing(attacker: Attacker) -> None:
    for _ in range(50):
        await attacker.api("GET", "/mcp", "rita", headers={"Host": "evil.example"})
        await attacker.api("GET", "/mcp")
    assert 1 <= await attacker.recorded("turned_away", '"host"') <= 3
    assert 1 <= await attacker.recorded("turned_away", '"no_token"') <= 3


async def test_c04_no_answer_lets_another_origin_read_it(attacker: Attacker) -> None:
    own = {"Origin": attacker.world.url, "Access-Control-Request-Method": "POST"}
    for path in ROUTES:
        for method in ("OPTIONS", "GET"):
            answer = await attacker.api(method, path, "rita", headers=own)
            assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_c04_without_a_protocol_version_there_is_no_call(attacker: Attacker) -> None:
    headers = attacker.headers("rita")
    del headers["MCP-Protocol-Version"]
    before = await attacker.stored(INTENTS)
    answer = await attacker.http.post(mcp(attacker), headers=headers, content=GOOD)
    assert sound(answer).status_code == 400
    assert await attacker.stored(INTENTS) == before


async def test_c04_two_credentials_and_one_in_the_url_are_refused(attacker: Attacker) -> None:
    token = attacker.world.token("rita")
    headers = {k.lower().encode(): v.encode() for k, v in attacker.headers("rita").items()}
    twice = {**headers, b"Authorization": f"Bearer {attacker.world.token('victor')}".encode()}
    answer = await exchange(attacker.world.url, post("/mcp", twice, GOOD.encode()))
    assert answer.status == 400
    for query in (f"access_token={token}", f"x=1&Access_Token={token}"):
        for sent in (headers, {k: v for k, v in headers.items() if k != b"authorization"}):
            answer = await exchange(attacker.world.url, post(f"/mcp?{query}", sent, GOOD.encode()))
            assert answer.status == 400
            assert token.encode() not in answer.head + answer.body


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_c04_on_stdio_there_is_no_way_in_without_a_token_that_holds(
    world: World, token: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "server.cli", "mcp", "--config", str(world.file)],
        env={**world.environment, "OSTIARY_TOKEN": token},
        input=GOOD + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
