"""The check in front of every HTTP route: Host, Origin, one credential, none in the URL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from server.mcp.boundary import Allowed
from tests.fixtures.gateway import FakeGateway, shop
from tests.fixtures.mcp import Door, serving
from tests.fixtures.modern import Modern
from tests.fixtures.raw_http import exchange, post

pytestmark = pytest.mark.anyio
METADATA = "/.well-known/oauth-protected-resource/mcp"


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


def counted(door: Door) -> list[object]:
    return [record.document["because"] for record in door.turned_away]


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("gw.example", "gw.example"),
        ("gw.example", "GW.Example"),
        ("gw.example:8443", "gw.example:8443"),
        ("gw.example:*", "gw.example:1"),
        ("https://gw.example:*", "https://gw.example:1"),
        ("[::1]:*", "[::1]:8000"),
    ],
)
def test_an_allowed_name_is_taken(allowed: str, name: str) -> None:
    assert name in Allowed.of([allowed])


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("gw.example", ""),
        ("gw.example", "gw.example:80"),
        ("gw.example", "gw.example."),
        ("gw.example", "gw.example.evil.test"),
        ("gw.example:*", "gw.example"),
        ("gw.example:*", "gw.example:"),
        ("gw.example:*", "gw.example:8000.evil.test"),
        ("gw.example:*", "gw.example:*"),
        ("gw.example:*", "evil.test/gw.example:80"),
        ("https://gw.example", "null"),
        ("https://gw.example", "http://gw.example"),
    ],
)
def test_any_other_name_is_not(allowed: str, name: str) -> None:
    assert name not in Allowed.of([allowed])


@pytest.mark.parametrize("path", ["/mcp", METADATA, "/nowhere"])
@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("host", "evil.example", 421),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
    ],
)
async def test_a_foreign_name_is_turned_away_from_every_route(
    door: Door, http: httpx2.AsyncClient, path: str, header: str, value: str, status: int
) -> None:
    answer = await http.get(door.url + path, headers={header: value})
    assert answer.status_code == status
    assert counted(door) == [header]


async def test_two_credentials_are_none(door: Door, http: httpx2.AsyncClient) -> None:
    """One reader takes the first, another the last."""
    alice = Modern(http, door.url, "alice-token")
    headers = [*alice.headers("tools/list").items(), ("Authorization", "Bearer bob-token")]
    answer = await http.post(door.url + "/mcp", headers=headers, json=alice.body("tools/list", {}))
    assert answer.status_code == 400
    assert counted(door) == ["two_credentials"]


@pytest.mark.parametrize(
    "query", ["access_token=alice-token", "x=1&ACCESS_TOKEN=a", "access%5Ftoken=a", "access_token"]
)
async def test_a_token_in_the_url_is_refused_even_beside_a_good_one(
    door: Door, http: httpx2.AsyncClient, query: str
) -> None:
    alice = Modern(http, door.url, "alice-token")
    answer = await http.post(
        f"{door.url}/mcp?{query}",
        headers=alice.headers("tools/list"),
        json=alice.body("tools/list", {}),
    )
    assert answer.status_code == 400
    assert "alice-token" not in answer.text


@pytest.mark.parametrize("blanks", [b"  ", b"\t", b" \t "])
async def test_blanks_round_a_header_are_no_part_of_it(door: Door, blanks: bytes) -> None:
    async with httpx2.AsyncClient() as http:
        alice = Modern(http, door.url, "alice-token")
    headers = {k.encode(): v.encode() for k, v in alice.headers("tools/list").items()}
    headers[b"mcp-method"] = blanks + b"tools/list" + blanks
    body = json.dumps(alice.body("tools/list", {})).encode()
    answer = await exchange(door.url, post("/mcp", headers, body))
    assert answer.status == 200
    assert b"run_sql" in answer.body


async def test_a_call_without_a_token_is_recorded_and_one_with_a_wrong_one_left_to_its_verifier(
    door: Door, http: httpx2.AsyncClient
) -> None:
    for credential in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer wrong"}):
        assert (await http.get(door.url + "/mcp", headers=credential)).status_code == 401
    assert counted(door) == ["no_token", "no_token"]


async def test_no_answer_invites_other_origins(door: Door, http: httpx2.AsyncClient) -> None:
    own = {"origin": door.url, "access-control-request-method": "POST"}
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        answer = await http.request(method, door.url + "/mcp", headers=own)
        assert not any(name.startswith("access-control-") for name in answer.headers)
