"""The demo's identity provider, as the page's issuer: its codes go to the page and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from server.identity.demo import DemoProvider
from server.identity.demo_grants import challenge_of
from server.identity.demo_routes import DemoRoutes
from server.identity.jose import take_apart
from tests.server.identity.browser import press

pytestmark = pytest.mark.anyio

ISSUER, GATEWAY = "http://127.0.0.1:8001", "http://127.0.0.1:8000"
CALLBACK = f"{GATEWAY}/approvals/callback"
VERIFIER = "v" * 43


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    made = DemoProvider(directory=tmp_path, issuer=ISSUER, audience=f"{GATEWAY}/mcp")
    app = DemoRoutes(made).app()
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
        yield http


def question(**changes: str) -> httpx2.QueryParams:
    good = {
        "response_type": "code",
        "client_id": "ostiary-console",
        "redirect_uri": CALLBACK,
        "state": "s",
        "nonce": "n",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    return httpx2.QueryParams(good | changes)


async def code(provider: httpx2.AsyncClient, **changes: str) -> str:
    redirected = await press(provider, f"{ISSUER}/authorize?{question(**changes)}", "victor")
    return parse_qs(urlsplit(redirected.headers["location"]).query)["code"][0]


async def redeemed(provider: httpx2.AsyncClient, code: str, **changes: str) -> Any:
    good = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": "ostiary-console",
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return (await provider.post(f"{ISSUER}/token", data=good | changes)).json()


async def test_the_page_gets_an_id_token_with_groups(provider: httpx2.AsyncClient) -> None:
    tokens = await redeemed(provider, await code(provider))
    claims = take_apart(tokens["id_token"]).claims
    assert (claims["aud"], claims["azp"], claims["nonce"]) == (*["ostiary-console"] * 2, "n")
    assert (claims["sub"], claims["groups"]) == ("victor", ["dba", "auditors"])


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://127.0.0.1:8000/callback"},
        {"redirect_uri": "http://127.0.0.1:9/approvals/callback"},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": CALLBACK + "?x=1"},
        {"redirect_uri": "http://evil.example/approvals/callback"},
        {"client_id": "ostiary-cli"},
        {"client_id": "another"},
        {"code_challenge_method": "plain"},
    ],
)
async def test_a_code_goes_nowhere_else(
    provider: httpx2.AsyncClient, changes: dict[str, str]
) -> None:
    shown = await provider.get(f"{ISSUER}/authorize?{question(**changes)}")
    assert shown.status_code == 400


async def test_a_code_of_one_client_is_worth_nothing_to_another(
    provider: httpx2.AsyncClient,
) -> None:
    theirs = await code(provider)
    assert await redeemed(provider, theirs, client_id="ostiary-cli") == {"error": "invalid_grant"}
    assert await redeemed(provider, theirs) == {"error": "invalid_grant"}
