"""The API for the people who write policy: who may ask what, and what is asked of the gate."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from policies.errors import Denied
from policies.model import Channel, ExplainPolicy, Principal, ReadRecording, Target
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from policies.sql.postgres import analyse
from policies.sql.snapshot import catalog_of
from recordings.export import ndjson_line
from server.api.endpoints import Api
from server.api.policy import AT_ONCE, EVERYBODY, PolicyApi
from tests.policies.catalogs import catalog
from tests.server.api.world import (
    METADATA,
    RECORDS,
    RESOURCE,
    TARGET_UNKNOWN,
    FakeApprovals,
    FakeExplainer,
    FakeGate,
    FakeRecordings,
    FakeVerifier,
)

pytestmark = pytest.mark.anyio

SHOP = Target("shop", "postgres", "production", frozenset({"eu"}))
SELECT = {"id": 1, "sql": "SELECT id FROM users"}
ROUTES = [
    ("POST", "/api/facts"),
    ("GET", "/api/policy/targets"),
    ("GET", "/api/policy/catalog?target=shop"),
    ("GET", "/api/policy/requests?last=1"),
]


class CatalogExplainer:
    """Judges by the tests' catalog, on one target."""

    async def facts(self, principal: Principal, *, target: str, sql: str) -> SqlFacts:
        if target != "shop":
            raise Denied(TARGET_UNKNOWN)
        return analyse(sql, catalog())

    async def catalog(self, principal: Principal, target: str) -> tuple[str, Catalog]:
        if target != "shop":
            raise Denied(TARGET_UNKNOWN)
        return "postgres", catalog()

    def targets(self, principal: Principal) -> Sequence[Target]:
        return [SHOP]


@dataclass
class Requests:
    asked: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def requests(self, last: int) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked.append(last)

        async def lines() -> AsyncIterator[bytes]:
            for record in RECORDS[:2]:
                yield ndjson_line(record)

        yield lines()


@dataclass
class Setting:
    """The API over these fakes, and a client that speaks as one of its users."""

    gate: FakeGate = field(default_factory=FakeGate)
    requests: Requests = field(default_factory=Requests)
    verifier: FakeVerifier = field(default_factory=FakeVerifier)

    def client(self, token: str = "victor-token") -> httpx2.AsyncClient:
        api = Api(
            verifier=self.verifier,
            gate=self.gate,
            approvals=FakeApprovals(),
            recordings=FakeRecordings(),
            explainer=FakeExplainer(),
            logins=(),
            resource=RESOURCE,
            metadata_url=METADATA,
        )
        policy = PolicyApi(self.gate, CatalogExplainer(), self.requests, [SHOP], api.signed_in)
        transport = httpx2.ASGITransport(Starlette(routes=policy.routes()))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(
            transport=transport, base_url="http://gateway.example", headers=headers
        )

    async def facts(self, *statements: object, **body: Any) -> httpx2.Response:
        async with self.client() as http:
            sent = {"target": "shop", "statements": statements, **body}
            return await http.post("/api/facts", json=sent)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_said_without_a_token(method: str, path: str) -> None:
    async with Setting().client(token="") as http:
        assert (await http.request(method, path)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [route for route in ROUTES if not route[1].endswith("targets")]
)
async def test_what_the_gate_refuses_is_not_answered(method: str, path: str) -> None:
    body = {"target": "shop", "statements": [SELECT]} if method == "POST" else None
    async with Setting().client("rita-token") as http:
        answer = await http.request(method, path, json=body)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "POLICY_DENIED"


async def test_each_statement_is_asked_of_the_gate_by_itself_before_it_is_judged() -> None:
    setting = Setting()
    answer = await setting.facts(SELECT, {"id": "b", "sql": "DROP TABLE users"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["id"], line["effect"]) for line in lines] == [(1, "read"), ("b", "ddl")]
    assert setting.gate.asked == [
        ("demo:victor", ExplainPolicy("SELECT id FROM users", "demo:victor"), Channel.API),
        ("demo:victor", ExplainPolicy("DROP TABLE users", "demo:victor"), Channel.API),
    ]


async def test_an_unknown_target_is_refused_before_the_answer_begins() -> None:
    answer = await Setting().facts(SELECT, target="other")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "TARGET_UNKNOWN"


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [SELECT] * (AT_ONCE + 1),
        ["SELECT 1"],
        [{"id": 1}],
        [{**SELECT, "x": 1}],
        [{**SELECT, "id": None}],
    ],
)
async def test_what_is_no_batch_of_statements_is_not_judged(statements: list[object]) -> None:
    assert (await Setting().facts(*statements)).status_code == 400


async def test_targets_are_told_as_policies_see_them() -> None:
    async with Setting().client() as http:
        answer = await http.get("/api/policy/targets")
    described = {"kind": "postgres", "environment": "production", "groups": ["eu"]}
    assert answer.json() == {"targets": {"shop": described}}


async def test_a_catalog_is_asked_for_as_everybodys() -> None:
    setting = Setting()
    async with setting.client() as http:
        answer = await http.get("/api/policy/catalog?target=shop")
    assert catalog_of(answer.json()) == catalog()
    assert setting.gate.asked == [("demo:victor", ExplainPolicy("", EVERYBODY), Channel.API)]


async def test_whoever_is_called_everybody_is_not_asking_for_their_own() -> None:
    setting = Setting()
    named = Principal("demo:mallory", EVERYBODY, "ostiary-cli", frozenset({"dba"}))

    class Verifier(FakeVerifier):
        async def verify(self, token: str) -> Principal:
            return named

    setting.verifier = Verifier()
    async with setting.client() as http:
        answer = await http.get("/api/policy/catalog?target=shop")
    assert answer.status_code == 403
    assert setting.gate.asked == []


async def test_requests_come_with_the_targets_that_they_are_about() -> None:
    setting = Setting()
    async with setting.client() as http:
        answer = await http.get("/api/policy/requests?last=7")
    first, *rest = [json.loads(line) for line in answer.text.splitlines()]
    assert first["targets"]["shop"]["environment"] == "production"
    assert [line["kind"] for line in rest] == [record.kind for record in RECORDS[:2]]
    assert setting.requests.asked == [7]
    assert setting.gate.asked == [("demo:victor", ReadRecording(), Channel.API)]


@pytest.mark.parametrize(
    "last", ["", "0", "-1", "x", "10001", "1e3", "٣", "1" * 40, "0" * 8 + "19999999"]
)
async def test_how_many_requests_is_a_number_within_bounds(last: str) -> None:
    setting = Setting()
    async with setting.client() as http:
        answer = await http.get("/api/policy/requests", params={"last": last})
    assert answer.status_code == 400
    assert setting.requests.asked == []
