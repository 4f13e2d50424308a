"""Sign-in at an issuer: what is sent there, and what must come back in the sealed cookie."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from policies.errors import BackendUnavailable, Unauthenticated
from server.console.descriptions import FRESH, RETRY_EVERY, Descriptions
from server.console.id_tokens import IdTokens
from server.console.sign_in import SIGN_IN_SECONDS, Client, SignIn, sealing
from server.identity.demo_grants import challenge_of
from server.identity.fetch import FetchFailed, open_http
from server.identity.jwks import KeyCache
from tests.server.identity.conftest import Clock
from tests.server.identity.issuer import NOW, Issuer
from tests.server.identity.serving import Stage

pytestmark = pytest.mark.anyio

CALLBACK = "https://ostiary.example.com/approvals/callback"
KEYS = [b"k" * 32]


@dataclass
class Provider:
    """An issuer with sign-in, that answers a code with whatever the test says."""

    issuer: Issuer
    methods: list[str] | None = None
    announces: bool = True
    status: int = 200
    described: int = 0
    away: bool = False
    asked: list[tuple[dict[str, str], str]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)

    def app(self) -> Starlette:
        keys = self.issuer.app().routes[1]
        discovery = Route("/.well-known/openid-configuration", self._discovery)
        return Starlette(routes=[discovery, Route("/token", self._token, methods=["POST"]), keys])

    async def _discovery(self, _request: Request) -> Response:
        self.described += 1
        url = self.issuer.url
        document: dict[str, Any] = {
            "issuer": url,
            "jwks_uri": f"{url}/jwks",
            "authorization_endpoint": f"{url}/authorize?tenant=1",
            "token_endpoint": f"{url}/token",
            "authorization_response_iss_parameter_supported": self.announces,
        }
        if self.methods is not None:
            document["token_endpoint_auth_methods_supported"] = self.methods
        return JSONResponse(document, status_code=500 if self.away else 200)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.asked.append((form, request.headers.get("authorization", "")))
        return JSONResponse(self.answer, status_code=self.status)


@dataclass
class Building:
    provider: Provider
    sign_in: SignIn
    client: Client

    async def started(self) -> tuple[dict[str, str], str]:
        """A sign-in under way: the question to the issuer, and the sealed cookie."""
        started = await self.sign_in.start(self.client, ticket="ap_1")
        question = {k: v[0] for k, v in parse_qs(urlsplit(started.url).query).items()}
        self.answers(nonce=question["nonce"])
        return question, started.sealed

    def answers(self, **changes: Any) -> None:
        """The issuer's ID token for the next code."""
        good = {"aud": "web", "azp": "web"}
        payload = json.dumps(self.provider.issuer.claims(**good | changes)).encode()
        token = self.provider.issuer.sign(header={"typ": "JWT"}, payload=payload)
        self.provider.answer = {"id_token": token, "access_token": "x", "token_type": "Bearer"}

    def answer_to(self, question: dict[str, str], **changes: Any) -> dict[str, str]:
        issuer = self.provider.issuer.url
        good = {"code": "code-1", "state": question["state"], "iss": issuer}
        return {k: v for k, v in (good | changes).items() if v is not ...}


@pytest.fixture
async def building(issuer: Issuer, stage: Stage, tls: ssl.SSLContext) -> AsyncIterator[Building]:
    provider = Provider(issuer)
    stage.app = provider.app()
    async with open_http(tls) as http:
        keys = KeyCache(issuer.url, http=http)
        tokens = IdTokens(issuer.settings(audience="web"), keys, now=lambda: NOW)
        client = Client("corp", issuer.url, "web", tokens, "s€cret:&")
        clients = {issuer.url: client}
        sign_in = SignIn(clients, CALLBACK, http, sealing(KEYS), Descriptions(http))
        yield Building(provider, sign_in, client)
        await keys.aclose()


async def test_the_issuer_is_asked_for_a_code_with_pkce_state_and_nonce(
    building: Building,
) -> None:
    question, sealed = await building.started()
    challenge, state, nonce = (question.pop(n) for n in ("code_challenge", "state", "nonce"))
    assert question == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "web",
        "redirect_uri": CALLBACK,
        "scope": "openid profile email",
        "code_challenge_method": "S256",
    }
    for secret in (challenge, state, nonce):
        assert secret not in sealed
    asked = {"state": state, "code": "c", "iss": building.client.issuer}
    await building.sign_in.finish(sealed, asked)
    assert challenge_of(building.provider.asked[0][0]["code_verifier"]) == challenge


async def test_who_signed_in_and_what_they_wanted_come_back(building: Building) -> None:
    question, sealed = await building.started()
    finished = await building.sign_in.finish(sealed, building.answer_to(question))
    assert (finished.principal.id, finished.principal.agent) == ("corp:rita", "web")
    assert finished.ticket == "ap_1"


@pytest.mark.parametrize("methods", [None, ["client_secret_basic", "client_secret_post"]])
async def test_a_secret_goes_into_the_header_where_the_issuer_takes_it_there(
    building: Building, methods: list[str] | None
) -> None:
    building.provider.methods = methods
    question, sealed = await building.started()
    await building.sign_in.finish(sealed, building.answer_to(question))
    form, header = building.provider.asked[0]
    assert "client_secret" not in form
    # RFC 6749 section 2.3.1: both are form-encoded first.
    assert base64.b64decode(header.removeprefix("Basic ")) == b"web:s%E2%82%ACcret%3A%26"


async def test_a_secret_goes_into_the_form_where_the_issuer_takes_it_only_there(
    building: Building,
) -> None:
    building.provider.methods = ["client_secret_post"]
    question, sealed = await building.started()
    await building.sign_in.finish(sealed, building.answer_to(question))
    form, header = building.provider.asked[0]
    assert (form["client_secret"], header) == ("s€cret:&", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": ...},
        {"state": ""},
        {"state": "another"},
        {"state": "é"},
        {"code": ...},
        {"code": ""},
        {"code": "c" * 5000},
        {"error": "access_denied"},
        {"iss": ...},
        {"iss": "https://another.example"},
    ],
)
async def test_another_answer_is_not_taken_to_the_issuer(
    building: Building, changes: dict[str, Any]
) -> None:
    question, sealed = await building.started()
    with pytest.raises(Unauthenticated):
        await building.sign_in.finish(sealed, building.answer_to(question, **changes))
    assert building.provider.asked == []


async def test_an_issuer_that_does_not_say_who_it_is_need_not(building: Building) -> None:
    building.provider.announces = False
    question, sealed = await building.started()
    without = building.answer_to(question, iss=...)
    assert (await building.sign_in.finish(sealed, without)).principal.id == "corp:rita"
    another = building.answer_to(question, iss="https://another.example")
    with pytest.raises(Unauthenticated):
        await building.sign_in.finish(sealed, another)


async def test_a_cookie_is_ours_whole_and_of_the_last_minutes(building: Building) -> None:
    question, sealed = await building.started()
    key = building.sign_in.seal._fernets[0]
    opened = building.sign_in.seal.decrypt(sealed)
    now = Fernet.extract_timestamp(key, sealed.encode())
    aged = key.encrypt_at_time(opened, now - SIGN_IN_SECONDS - 5).decode()
    foreign = sealing([b"x" * 32]).encrypt(opened).decode()
    parts = [key.encrypt(part).decode() for part in (b"", b"{}", b"[]", b'"x"', opened[:-1])]
    more = key.encrypt(json.dumps(json.loads(opened) | {"more": 1}).encode()).decode()
    for other in ("", "x", "é", sealed[:-2], aged, foreign, more, *parts):
        with pytest.raises(Unauthenticated):
            await building.sign_in.finish(other, building.answer_to(question))
    assert building.provider.asked == []


async def test_a_cookie_outlives_the_change_of_its_key_by_the_old_one(building: Building) -> None:
    _question, sealed = await building.started()
    assert sealing([b"n" * 32, *KEYS]).decrypt(sealed)


@pytest.mark.parametrize(
    ("status", "answer"), [(400, {"error": "invalid_grant"}), (200, {}), (200, {"id_token": 1})]
)
async def test_a_code_that_is_not_redeemed_signs_nobody_in(
    building: Building, status: int, answer: dict[str, Any]
) -> None:
    question, sealed = await building.started()
    building.provider.status, building.provider.answer = status, answer
    with pytest.raises(Unauthenticated):
        await building.sign_in.finish(sealed, building.answer_to(question))


async def test_an_id_token_of_another_sign_in_signs_nobody_in(building: Building) -> None:
    question, sealed = await building.started()
    building.answers(nonce="of another")
    with pytest.raises(Unauthenticated):
        await building.sign_in.finish(sealed, building.answer_to(question))


async def test_an_issuer_that_is_away_is_said(building: Building) -> None:
    building.provider.away = True
    with pytest.raises(BackendUnavailable, match="corp can't be used now"):
        await building.started()


async def test_an_issuer_is_asked_for_itself_rarely(building: Building) -> None:
    clock = Clock()
    descriptions = Descriptions(building.sign_in.http, clock)
    url, provider = building.client.issuer, building.provider
    for _ in range(3):
        await descriptions.of(url)
    assert provider.described == 1
    clock.seconds += FRESH
    provider.away = True
    for _ in range(3):
        with pytest.raises(FetchFailed):
            await descriptions.of(url)
    assert provider.described == 2
    clock.seconds += RETRY_EVERY
    provider.away = False
    assert (await descriptions.of(url))["issuer"] == url
