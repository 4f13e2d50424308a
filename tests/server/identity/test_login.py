"""`ostiary login` against the demo provider, and against providers that cheat (J06)."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from policies.errors import BackendUnavailable, ProtocolError, Unauthenticated
from server.identity.demo import CLIENT_ID, DemoProvider
from server.identity.demo_routes import DemoRoutes
from server.identity.fetch import open_http
from server.identity.login import (
    Offer,
    SignedIn,
    read_offer,
    sign_in_with_browser,
    sign_in_with_device,
)
from server.identity.strict import write_base64url
from tests.server.identity.browser import press
from tests.server.identity.serving import Stage

pytestmark = pytest.mark.anyio

RESOURCE = "http://127.0.0.1:8000/mcp"
DEADLINE = 20

Visit = Callable[[str], Awaitable[object]]


@pytest.fixture
async def http(tls: ssl.SSLContext) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(tls) as http:
        yield http


@pytest.fixture
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as browser:
        yield browser


@pytest.fixture
def provider(tmp_path: Path, stage: Stage) -> DemoProvider:
    provider = DemoProvider(directory=tmp_path, issuer=stage.url, audience=RESOURCE)

    async def login(_request: Request) -> Response:
        issuer = {"name": "demo", "issuer": stage.url, "client_id": CLIENT_ID}
        return JSONResponse({"resource": RESOURCE, "issuers": [issuer]})

    routes = [Route("/api/login", login), Mount("/", DemoRoutes(provider).app())]
    stage.app = Starlette(routes=routes)
    return provider


def subject(signed_in: SignedIn) -> str:
    payload = signed_in.token.split(".")[1]
    claims: dict[str, str] = json.loads(_decoded(payload))
    return claims["sub"]


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def in_browser(http: httpx2.AsyncClient, offer: Offer, visit: Visit) -> SignedIn:
    """Sign in while somebody visits the page that was opened."""
    visits: list[asyncio.Task[object]] = []

    def opened(url: str) -> None:
        visits.append(asyncio.ensure_future(visit(url)))

    async with asyncio.timeout(DEADLINE):
        try:
            return await sign_in_with_browser(
                http, offer, tell=lambda _line: None, open_browser=opened
            )
        finally:
            await asyncio.gather(*visits)


async def test_signing_in_with_a_browser(
    http: httpx2.AsyncClient, browser: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    offer = await read_offer(http, provider.issuer, None)

    async def visit(url: str) -> object:
        answer = await press(browser, url, "victor")
        return await browser.get(answer.headers["location"])

    signed_in = await in_browser(http, offer, visit)
    assert subject(signed_in) == "victor"
    assert signed_in.expires_at is not None


async def test_signing_in_with_a_device_code(
    http: httpx2.AsyncClient, browser: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    offer = await read_offer(http, provider.issuer, "demo")
    told: list[str] = []
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            await press(browser, f"{provider.issuer}/device?user_code={told[0][-9:]}", "rita")

    signed_in = await sign_in_with_device(http, offer, tell=told.append, wait=wait)
    assert subject(signed_in) == "rita"
    assert len(waits) == 2


async def test_a_redirect_with_another_state_is_turned_away_and_the_right_one_still_counts(
    http: httpx2.AsyncClient, browser: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    offer = await read_offer(http, provider.issuer, None)
    statuses: list[int] = []

    async def visit(url: str) -> object:
        redirect_uri = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        for forged in ("state=x&code=evil", "code=evil", "state=&code=evil"):
            statuses.append((await browser.get(f"{redirect_uri}?{forged}")).status_code)
        statuses.append((await browser.get(redirect_uri.replace("callback", "x"))).status_code)
        answer = await press(browser, url, "rita")
        return await browser.get(answer.headers["location"])

    assert subject(await in_browser(http, offer, visit)) == "rita"
    assert statuses == [404] * 4


async def test_an_answer_of_another_issuer_is_refused(
    http: httpx2.AsyncClient, browser: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    offer = await read_offer(http, provider.issuer, None)

    async def visit(url: str) -> object:
        answer = await press(browser, url, "rita")
        location = answer.headers["location"].partition("&iss=")[0]
        return await browser.get(f"{location}&iss=https%3A%2F%2Fevil.example")

    with pytest.raises(Unauthenticated, match="another issuer"):
        await in_browser(http, offer, visit)


class Cheat:
    """A provider whose token answer is whatever a test says."""

    def __init__(self, url: str, **endpoints: str) -> None:
        self.url = url
        self.endpoints = endpoints
        self.nonce = ""
        self.tokens: dict[str, Any] = {}
        self.polls: list[dict[str, Any]] = []
        self.claims: dict[str, Any] = {"iss": url, "aud": "c1", "nonce": ...}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/token", self._token, methods=["POST"]),
                Route("/device", self._device, methods=["POST"]),
            ]
        )

    async def _discovery(self, _request: Request) -> Response:
        own = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
        }
        return JSONResponse(own | self.endpoints)

    async def _device(self, _request: Request) -> Response:
        page = f"{self.url}/enter"
        answer = {"device_code": "d", "user_code": "BCDF", "verification_uri": page, "interval": 1}
        return JSONResponse(answer | {"expires_in": 60} | self.tokens)

    async def _token(self, _request: Request) -> Response:
        if self.polls:
            answer = self.polls.pop(0)
            return JSONResponse(answer, status_code=400 if "error" in answer else 200)
        claims = {k: self.nonce if v is ... else v for k, v in self.claims.items()}
        header = write_base64url(b'{"alg":"RS256"}')
        id_token = f"{header}.{write_base64url(json.dumps(claims).encode())}.{header}"
        good = {"access_token": "abc", "token_type": "Bearer", "id_token": id_token}
        return JSONResponse(good | self.tokens)


@pytest.fixture
def cheat(stage: Stage) -> Cheat:
    cheat = Cheat(stage.url)
    stage.app = cheat.app()
    return cheat


async def sign_in_at(cheat: Cheat, http: httpx2.AsyncClient, browser: httpx2.AsyncClient) -> str:
    async def visit(url: str) -> object:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        cheat.nonce = asked["nonce"]
        answer = urlencode({"state": asked["state"], "code": "c"})
        return await browser.get(f"{asked['redirect_uri']}?{answer}")

    return (await in_browser(http, Offer(cheat.url, "c1", RESOURCE), visit)).token


async def test_the_cheat_that_does_not_cheat_is_believed(
    cheat: Cheat, http: httpx2.AsyncClient, browser: httpx2.AsyncClient
) -> None:
    assert await sign_in_at(cheat, http, browser) == "abc"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"aud": "somebody else"},
        {"aud": ["somebody else"]},
        {"iss": "https://evil.example"},
    ],
    ids=str,
)
async def test_an_id_token_of_another_sign_in_is_refused(
    cheat: Cheat, http: httpx2.AsyncClient, browser: httpx2.AsyncClient, claims: dict[str, Any]
) -> None:
    cheat.claims |= claims
    with pytest.raises(Unauthenticated, match="ID token"):
        await sign_in_at(cheat, http, browser)


@pytest.mark.parametrize(
    "tokens",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "a\r\nX-Evil: 1"},
        {"access_token": ["abc"]},
        {"token_type": "mac"},
        {"token_type": None},
    ],
    ids=str,
)
async def test_an_answer_without_a_bearer_token_is_refused(
    cheat: Cheat, http: httpx2.AsyncClient, browser: httpx2.AsyncClient, tokens: dict[str, Any]
) -> None:
    cheat.tokens = tokens
    with pytest.raises(ProtocolError):
        await sign_in_at(cheat, http, browser)


async def test_a_missing_id_token_is_refused(
    cheat: Cheat, http: httpx2.AsyncClient, browser: httpx2.AsyncClient
) -> None:
    cheat.tokens = {"id_token": None}
    with pytest.raises(Unauthenticated, match="ID token"):
        await sign_in_at(cheat, http, browser)


@pytest.mark.parametrize("url", ["http://idp.example/token", "javascript:alert(1)", "/token"])
async def test_an_endpoint_that_is_not_safe_is_never_used(
    cheat: Cheat, http: httpx2.AsyncClient, url: str
) -> None:
    cheat.endpoints = {"authorization_endpoint": url}
    opened: list[str] = []
    with pytest.raises(ProtocolError):
        await sign_in_with_browser(
            http,
            Offer(cheat.url, "c1", RESOURCE),
            tell=opened.append,
            open_browser=opened.append,
        )
    assert opened == []


async def at_device(cheat: Cheat, http: httpx2.AsyncClient) -> tuple[SignedIn, list[float]]:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    offer = Offer(cheat.url, "c1", RESOURCE)
    return await sign_in_with_device(http, offer, tell=lambda _line: None, wait=wait), waits


async def test_slow_down_is_obeyed(cheat: Cheat, http: httpx2.AsyncClient) -> None:
    cheat.polls = [{"error": "authorization_pending"}, {"error": "slow_down"}]
    signed_in, waits = await at_device(cheat, http)
    assert signed_in.token == "abc"
    assert waits == [1, 1, 6]


async def test_a_sign_in_that_the_person_refuses_ends(
    cheat: Cheat, http: httpx2.AsyncClient
) -> None:
    cheat.polls = [{"error": "access_denied"}]
    with pytest.raises(Unauthenticated, match="access_denied"):
        await at_device(cheat, http)


async def test_a_device_code_that_nobody_enters_ends(
    cheat: Cheat, http: httpx2.AsyncClient
) -> None:
    cheat.polls = [{"error": "authorization_pending"}] * 100
    with pytest.raises(Unauthenticated, match="ran out"):
        await at_device(cheat, http)
    assert len(cheat.polls) == 40


async def test_a_page_for_the_code_that_is_not_safe_is_not_shown(
    cheat: Cheat, http: httpx2.AsyncClient
) -> None:
    cheat.tokens = {"verification_uri": "http://evil.example/\x1b[2J"}
    with pytest.raises(ProtocolError, match="safe"):
        await at_device(cheat, http)


async def test_a_gateway_that_is_away_or_no_gateway_is_said_so(
    cheat: Cheat, http: httpx2.AsyncClient, stage: Stage
) -> None:
    with pytest.raises(BackendUnavailable):
        await read_offer(http, cheat.url, None)
    with pytest.raises(BackendUnavailable):
        await read_offer(http, "http://gateway.example", None)


async def test_an_issuer_must_be_named_when_there_are_several(
    http: httpx2.AsyncClient, stage: Stage
) -> None:
    async def login(_request: Request) -> Response:
        issuers = [
            {"name": name, "issuer": f"https://{name}.example", "client_id": "c"} for name in "ab"
        ]
        return JSONResponse({"resource": RESOURCE, "issuers": issuers})

    stage.app = Starlette(routes=[Route("/api/login", login)])
    with pytest.raises(ProtocolError, match="--issuer"):
        await read_offer(http, stage.url, None)
    assert (await read_offer(http, stage.url, "b")).issuer == "https://b.example"
