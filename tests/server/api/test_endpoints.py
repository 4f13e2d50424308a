"""The HTTP API over a real socket: who may ask, what is answered, and how each error is worded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from policies.model import Channel, ExplainPolicy, ReadRecording
from recordings.export import ndjson_line
from server.api.endpoints import Login
from server.api.requests import MAX_BODY
from tests.recordings.samples import OPENED
from tests.server.api.world import BAD, METADATA, RECORDS, RESOURCE, RITA, TICKET, VICTOR, World
from tests.server.identity.serving import Stage, listening, serving, url_of

pytestmark = pytest.mark.anyio

LOGIN = Login("corp", "https://idp.example.com", "ostiary-cli")

EVERY_PATH = [
    ("GET", "/api/whoami"),
    ("GET", "/api/approvals"),
    ("GET", "/api/approvals/watch"),
    ("GET", "/api/approvals/ap_1"),
    ("POST", "/api/approvals/ap_1/decision"),
    ("POST", "/api/approvals/ap_1/withdrawal"),
    ("POST", "/api/approvals/ap_1/revocation"),
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/s-1"),
    ("GET", "/api/sessions/s-1/records"),
    ("POST", "/api/verify"),
    ("POST", "/api/policy/explain"),
]
GATED = [
    ("GET", "/api/sessions", None),
    ("GET", "/api/sessions/s-1", None),
    ("GET", "/api/sessions/unknown", None),
    ("GET", "/api/sessions/s-1/records", None),
    ("POST", "/api/verify", {}),
    ("POST", "/api/policy/explain", {"target": "shop", "sql": "SELECT 1"}),
]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with listening() as listener:
        stage = Stage(url_of(listener))
        with serving(stage, listener):
            yield stage


@pytest.fixture
def world(stage: Stage) -> World:
    world = World()
    stage.app = world.app(logins=[LOGIN])
    return world


async def client_with(stage: Stage, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(
        base_url=stage.url, headers=headers, trust_env=False, timeout=10
    ) as client:
        yield client


@pytest.fixture
async def rita(world: World, stage: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in client_with(stage, "rita-token"):
        yield client


@pytest.fixture
async def victor(world: World, stage: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in client_with(stage, "victor-token"):
        yield client


@pytest.fixture
async def nobody(world: World, stage: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in client_with(stage, ""):
        yield client


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    error = answer.json()["error"]
    assert error["reason"]
    assert error["next_step"]
    return answer.status_code, error["code"]


async def test_anybody_may_learn_where_to_sign_in(nobody: httpx2.AsyncClient) -> None:
    answer = (await nobody.get("/api/login")).json()
    issuer = {"name": "corp", "issuer": "https://idp.example.com", "client_id": "ostiary-cli"}
    assert answer == {"resource": RESOURCE, "issuers": [issuer]}


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
async def test_everything_else_needs_a_token(
    nobody: httpx2.AsyncClient, method: str, path: str
) -> None:
    answer = await nobody.request(method, path)
    assert error_of(answer) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{METADATA}"'


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Basic cml0YTp4", "Bearer", "Bearer rita-token x", "rita-token", "Bearer é"],
)
async def test_a_token_that_does_not_hold_is_named_invalid(
    nobody: httpx2.AsyncClient, header: str
) -> None:
    answer = await nobody.get("/api/whoami", headers={b"Authorization": header.encode("latin-1")})
    assert error_of(answer) == (401, "UNAUTHENTICATED")
    challenge = f'Bearer error="invalid_token", resource_metadata="{METADATA}"'
    assert answer.headers["www-authenticate"] == challenge


async def test_two_authorization_headers_are_one_too_many(nobody: httpx2.AsyncClient) -> None:
    headers = [("Authorization", "Bearer victor-token"), ("Authorization", "Bearer rita-token")]
    assert (await nobody.get("/api/whoami", headers=headers)).status_code == 401


async def test_a_token_in_the_url_is_not_looked_at(nobody: httpx2.AsyncClient) -> None:
    answer = await nobody.get("/api/whoami", params={"access_token": "victor-token"})
    assert answer.status_code == 401


async def test_whoami_says_who_the_gateway_takes_one_for(rita: httpx2.AsyncClient) -> None:
    assert (await rita.get("/api/whoami")).json() == {
        "id": RITA.id,
        "name": "Rita",
        "agent": "claude-code",
        "groups": ["developers"],
        "email": "rita@demo.example",
    }


async def test_approvals_are_listed_by_state(rita: httpx2.AsyncClient) -> None:
    pending = (await rita.get("/api/approvals", params={"state": "pending"})).json()
    used = (await rita.get("/api/approvals", params={"state": "used"})).json()
    assert [t["id"] for t in pending["approvals"]] == ["ap_1"]
    assert pending["approvals"][0]["expires_at"] == "2030-01-02T03:04:05+00:00"
    assert used == {"approvals": []}


async def test_an_unknown_state_is_a_bad_request(rita: httpx2.AsyncClient) -> None:
    answer = await rita.get("/api/approvals", params={"state": "maybe"})
    assert error_of(answer) == (400, "BAD_REQUEST")


async def test_one_approval_is_shown_in_full(rita: httpx2.AsyncClient) -> None:
    shown = (await rita.get("/api/approvals/ap_1")).json()
    assert shown["text"] == TICKET.text
    assert shown["parameters"] == ["7", None]
    assert shown["facts"] == list(TICKET.facts)


@pytest.mark.parametrize("ticket", ["ap_2", "..%2f..%2fsessions", "%00", "a" * 65])
async def test_an_approval_that_is_not_there_is_not_found(
    rita: httpx2.AsyncClient, ticket: str
) -> None:
    answer = await rita.get(f"/api/approvals/{ticket}")
    assert answer.status_code == 404
    assert "html" not in answer.headers["content-type"]


async def test_a_reviewer_decides_over_the_api_channel(
    victor: httpx2.AsyncClient, world: World
) -> None:
    body = {"approve": True, "comment": "checked"}
    answer = await victor.post("/api/approvals/ap_1/decision", json=body)
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    assert world.approvals.decided == [(VICTOR.id, "ap_1", True, "checked", Channel.API)]


async def test_a_requester_withdraws_and_a_reviewer_revokes(
    rita: httpx2.AsyncClient, victor: httpx2.AsyncClient, world: World
) -> None:
    body = {"comment": "a mistake"}
    withdrawn = await rita.post("/api/approvals/ap_1/withdrawal", json=body)
    revoked = await victor.post("/api/approvals/ap_1/revocation", json={})
    assert (withdrawn.json()["state"], revoked.json()["state"]) == ("withdrawn", "revoked")
    assert world.approvals.ended == [
        (RITA.id, "ap_1", "withdrawn", "a mistake", Channel.API),
        (VICTOR.id, "ap_1", "revoked", "", Channel.API),
    ]
    refused = await victor.post("/api/approvals/ap_1/withdrawal", json=body)
    assert refused.json()["error"]["code"] == "APPROVAL_NOT_YOURS"


async def test_a_refusal_is_a_403_with_everything_that_helps(
    rita: httpx2.AsyncClient, world: World
) -> None:
    answer = await rita.post("/api/approvals/ap_1/decision", json={"approve": True})
    assert error_of(answer) == (403, "APPROVAL_NOT_YOURS")
    assert answer.json()["error"]["policy"] == "auditors-read"
    assert world.approvals.decided == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"approve": "true"}',
        b'{"approve": 1}',
        b'{"approve": true, "extra": 1}',
        b'{"approve": false, "approve": true}',
        b'{"approve": true} {}',
        b'{"approve": true, "comment": "' + b"x" * 2001 + b'"}',
        b'{"approve": true, "comment": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 50_000,
    ],
    ids=lambda body: body[:40],
)
async def test_a_decision_that_is_not_exactly_one_changes_nothing(
    victor: httpx2.AsyncClient, world: World, body: bytes
) -> None:
    answer = await victor.post(
        "/api/approvals/ap_1/decision", content=body, headers={"Content-Type": "application/json"}
    )
    assert error_of(answer) == (400, "BAD_REQUEST")
    assert world.approvals.decided == []


async def test_a_form_cannot_decide(victor: httpx2.AsyncClient, world: World) -> None:
    answer = await victor.post("/api/approvals/ap_1/decision", data={"approve": "true"})
    assert error_of(answer) == (400, "BAD_REQUEST")
    plain = {"Content-Type": "text/plain"}
    answer = await victor.post(
        "/api/approvals/ap_1/decision", content=b'{"approve": true}', headers=plain
    )
    assert error_of(answer) == (400, "BAD_REQUEST")
    assert world.approvals.decided == []


async def test_a_get_decides_nothing(victor: httpx2.AsyncClient, world: World) -> None:
    answer = await victor.get("/api/approvals/ap_1/decision", params={"approve": "true"})
    assert answer.status_code == 405
    assert world.approvals.decided == []


async def test_an_oversized_body_is_refused(victor: httpx2.AsyncClient) -> None:
    body = {"target": "shop", "sql": "x" * MAX_BODY}
    answer = await victor.post("/api/policy/explain", json=body)
    assert error_of(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(("method", "path", "body"), GATED)
async def test_the_gate_is_asked_before_anything_is_read(
    rita: httpx2.AsyncClient, world: World, method: str, path: str, body: Any
) -> None:
    answer = await rita.request(method, path, json=body)
    assert error_of(answer) == (403, "POLICY_DENIED")
    ((who, _action, channel),) = world.gate.asked
    assert (who, channel) == (RITA.id, Channel.API)


@pytest.mark.parametrize(("method", "path", "body"), GATED)
async def test_while_the_journal_is_away_nothing_is_read(
    victor: httpx2.AsyncClient, world: World, method: str, path: str, body: Any
) -> None:
    world.gate.away = True
    answer = await victor.request(method, path, json=body)
    assert error_of(answer) == (503, "BACKEND_UNAVAILABLE")


async def test_an_auditor_reads_the_list_of_sessions(
    victor: httpx2.AsyncClient, world: World
) -> None:
    (session,) = (await victor.get("/api/sessions")).json()["sessions"]
    assert (session["id"], session["end"], session["statements"]) == ("s-1", "interrupted", 1)
    assert world.gate.asked == [(VICTOR.id, ReadRecording(), Channel.API)]


async def test_an_auditor_reads_one_session(victor: httpx2.AsyncClient, world: World) -> None:
    session = (await victor.get("/api/sessions/s-1")).json()
    assert session["document"]["target"] == "shop"
    assert world.gate.asked == [(VICTOR.id, ReadRecording("s-1"), Channel.API)]


@pytest.mark.parametrize("path", ["/api/sessions/nope", "/api/sessions/nope/records"])
async def test_a_session_that_is_not_there_is_not_found(
    victor: httpx2.AsyncClient, path: str
) -> None:
    assert error_of(await victor.get(path)) == (404, "SESSION_UNKNOWN")


async def test_records_come_as_they_are_exported(victor: httpx2.AsyncClient) -> None:
    answer = await victor.get("/api/sessions/s-1/records")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content == b"".join(map(ndjson_line, RECORDS))


async def test_a_part_of_a_recording_never_looks_like_the_whole(
    victor: httpx2.AsyncClient, world: World
) -> None:
    world.recordings.breaks_after = 3
    with pytest.raises(httpx2.RemoteProtocolError):
        await victor.get("/api/sessions/s-1/records")


async def test_verifying_says_what_was_checked_and_what_is_wrong(
    victor: httpx2.AsyncClient, world: World
) -> None:
    good = (await victor.post("/api/verify", json={})).json()
    world.recordings.verdict = BAD
    bad = (await victor.post("/api/verify", json={})).json()
    assert (good["good"], good["checked"]["records"]) == (True, 7)
    assert bad["good"] is False
    assert bad["checked"]["flaw"]["sequence"] == 3


async def test_one_may_ask_what_policy_would_say_to_oneself(
    victor: httpx2.AsyncClient, world: World
) -> None:
    body = {"target": "shop", "sql": "SELECT 1"}
    answer = await victor.post("/api/policy/explain", json=body)
    assert answer.json()["effect"] == "permit"
    assert world.explainer.asked == [(VICTOR, "shop", "SELECT 1")]
    assert world.gate.asked == [(VICTOR.id, ExplainPolicy("SELECT 1", VICTOR.id), Channel.API)]


async def test_one_may_ask_for_somebody_seen_before_or_described(
    victor: httpx2.AsyncClient, world: World
) -> None:
    body = {"target": "shop", "sql": "SELECT 1", "principal": "rita"}
    await victor.post("/api/policy/explain", json=body)
    await victor.post("/api/policy/explain", json=body | {"principal": "x", "groups": ["g"]})
    known, described = (who for who, _, _ in world.explainer.asked)
    assert known == RITA
    assert (described.id, described.groups) == ("x", frozenset({"g"}))


async def test_somebody_never_seen_needs_groups(victor: httpx2.AsyncClient) -> None:
    body = {"target": "shop", "sql": "SELECT 1", "principal": "ghost"}
    answer = await victor.post("/api/policy/explain", json=body)
    assert error_of(answer) == (404, "PRINCIPAL_UNKNOWN")


async def test_explaining_an_unknown_target_is_refused(victor: httpx2.AsyncClient) -> None:
    answer = await victor.post("/api/policy/explain", json={"target": "x", "sql": "SELECT 1"})
    assert error_of(answer) == (403, "TARGET_UNKNOWN")


async def test_a_bug_is_answered_with_an_id_and_nothing_else(
    victor: httpx2.AsyncClient, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.recordings.records_of["s-1"] = [replace(OPENED, document={"lone": "\ud800"})]
    answer = await victor.get("/api/sessions/s-1")
    assert error_of(answer) == (500, "INTERNAL")
    identifier = answer.json()["error"]["reason"].split()[-1].rstrip(".")
    assert "TypeError" not in answer.text
    assert identifier in caplog.text


async def test_a_watch_shows_what_waits_and_then_each_change(
    victor: httpx2.AsyncClient, world: World
) -> None:
    seen: list[tuple[str, str]] = []
    async with (
        asyncio.timeout(10),
        victor.stream("GET", "/api/approvals/watch") as answer,
    ):
        async for line in answer.aiter_lines():
            ticket = json.loads(line)
            seen.append((ticket["id"], ticket["state"]))
            if len(seen) == 1:
                world.approvals.tickets["ap_2"] = replace(TICKET, id="ap_2")
            if len(seen) == 2:
                world.approvals.tickets["ap_1"] = replace(TICKET, state="denied")
            if len(seen) == 3:
                break
    assert seen == [("ap_1", "pending"), ("ap_2", "pending"), ("ap_1", "denied")]


async def test_a_watch_ends_when_its_client_leaves(
    victor: httpx2.AsyncClient, world: World, stage: Stage
) -> None:
    left = asyncio.Event()
    loop = asyncio.get_running_loop()
    inner = stage.app

    async def observed(scope: Any, receive: Any, send: Any) -> None:
        try:
            await inner(scope, receive, send)
        finally:
            loop.call_soon_threadsafe(left.set)

    stage.app = observed
    async with asyncio.timeout(10):
        async with victor.stream("GET", "/api/approvals/watch") as answer:
            await anext(answer.aiter_lines())
        await left.wait()
