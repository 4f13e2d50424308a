"""The demo provider over real HTTP: what it signs, whom it lets in, and what it turns away."""

from __future__ import annotations

import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from policies.errors import ConfigError, Unauthenticated
from server.identity.demo import DemoProvider
from server.identity.demo_grants import CODE_SECONDS, DEVICE_SECONDS, challenge_of
from server.identity.demo_pages import BANNER
from server.identity.demo_routes import DEVICE_GRANT, DemoRoutes
from server.identity.fetch import open_http
from server.identity.jwks import REFETCH_EVERY
from server.identity.oidc import REMEMBER, Verifier
from tests.server.identity.browser import Page, press
from tests.server.identity.conftest import Clock
from tests.server.identity.serving import Stage

pytestmark = pytest.mark.anyio

RESOURCE = "http://127.0.0.1:8000/mcp"
REDIRECT = "http://127.0.0.1:40000/callback"
SECRET = "v" * 43


@pytest.fixture
def provider(tmp_path: Path, stage: Stage, clock: Clock) -> DemoProvider:
    provider = DemoProvider(
        directory=tmp_path / "state", issuer=stage.url, audience=RESOURCE, now=clock
    )
    stage.app = DemoRoutes(provider).app()
    return provider


@pytest.fixture
async def browser(provider: DemoProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=provider.issuer, trust_env=False) as browser:
        yield browser


@pytest.fixture
async def gateway(
    provider: DemoProvider, clock: Clock, tls: ssl.SSLContext
) -> AsyncIterator[Verifier]:
    async with open_http(tls) as http:
        verifier = Verifier([provider.settings()], http=http, clock=clock, now=clock)
        yield verifier
        await verifier.aclose()


def sign_in_url(provider: DemoProvider, **changes: str) -> str:
    question = {
        "response_type": "code",
        "client_id": "ostiary-cli",
        "redirect_uri": REDIRECT,
        "state": "s1",
        "nonce": "n1",
        "code_challenge": challenge_of(SECRET),
        "code_challenge_method": "S256",
    }
    return f"{provider.issuer}/authorize?{urlencode(question | changes)}"


async def code_for(browser: httpx2.AsyncClient, provider: DemoProvider, account: str) -> str:
    answer = await press(browser, sign_in_url(provider), account)
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


async def redeem(
    browser: httpx2.AsyncClient, code: str, **changes: str
) -> tuple[int, dict[str, object]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "client_id": "ostiary-cli",
        "code_verifier": SECRET,
    }
    answer = await browser.post("/token", data=form | changes)
    return answer.status_code, answer.json()


async def test_a_gateway_takes_the_tours_tokens(provider: DemoProvider, gateway: Verifier) -> None:
    rita = await gateway.verify(provider.token("rita", seconds=60, agent="claude-code"))
    victor = await gateway.verify(provider.token("victor", seconds=60, agent="ostiary-cli"))
    assert (rita.id, rita.agent, rita.groups) == (
        "demo:rita",
        "claude-code",
        frozenset({"developers"}),
    )
    assert (victor.id, victor.groups) == ("demo:victor", frozenset({"dba", "auditors"}))


async def test_a_tour_token_ends_when_it_says(
    provider: DemoProvider, gateway: Verifier, clock: Clock
) -> None:
    token = provider.token("rita", seconds=60, agent="a")
    clock.seconds += 60 + 60
    with pytest.raises(Unauthenticated):
        await gateway.verify(token)


async def test_an_id_token_opens_no_gateway(provider: DemoProvider, gateway: Verifier) -> None:
    with pytest.raises(Unauthenticated):
        await gateway.verify(provider.id_token("victor", nonce=None))


async def test_the_key_outlives_the_process_and_is_its_owners_alone(
    provider: DemoProvider, gateway: Verifier, tmp_path: Path
) -> None:
    again = DemoProvider(
        directory=tmp_path / "state", issuer=provider.issuer, audience=RESOURCE, now=provider.now
    )
    assert (await gateway.verify(again.token("rita", seconds=60, agent="a"))).id == "demo:rita"
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_after_a_rotation_old_tokens_are_refused_and_new_ones_taken(
    provider: DemoProvider, gateway: Verifier, clock: Clock
) -> None:
    old = provider.token("rita", seconds=60, agent="a")
    await gateway.verify(old)
    provider.rotate()
    clock.seconds += REFETCH_EVERY
    new = provider.token("rita", seconds=60, agent="a")
    assert (await gateway.verify(new)).id == "demo:rita"
    clock.seconds += REMEMBER
    with pytest.raises(Unauthenticated):
        await gateway.verify(old)


@pytest.mark.parametrize(
    "issuer", ["https://127.0.0.1:1", "http://idp.example", "http://0.0.0.0:1", "127.0.0.1:1"]
)
async def test_it_is_for_loopback_only(tmp_path: Path, issuer: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        DemoProvider(directory=tmp_path, issuer=issuer, audience=RESOURCE)


async def test_it_answers_no_other_host_name(
    provider: DemoProvider, browser: httpx2.AsyncClient
) -> None:
    answer = await browser.get("/jwks", headers={"Host": "rebound.example"})
    assert answer.status_code == 403


async def test_a_broken_key_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "demo-identity-provider.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="delete it"):
        DemoProvider(directory=tmp_path, issuer="http://127.0.0.1:1", audience=RESOURCE)


async def test_the_page_says_what_it_is_and_offers_both_accounts(
    provider: DemoProvider, browser: httpx2.AsyncClient
) -> None:
    shown = await browser.get(sign_in_url(provider))
    assert BANNER in shown.text
    assert Page(shown.text).accounts == ["rita", "victor"]
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]


async def test_signing_in_by_code_gives_a_token_for_the_gateway(
    provider: DemoProvider, browser: httpx2.AsyncClient, gateway: Verifier
) -> None:
    answer = await press(browser, sign_in_url(provider), "victor")
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.headers["location"].startswith(REDIRECT + "?")
    assert (query["state"], query["iss"]) == (["s1"], [provider.issuer])
    status, tokens = await redeem(browser, query["code"][0])
    assert status == 200
    assert (await gateway.verify(str(tokens["access_token"]))).id == "demo:victor"


async def test_a_get_signs_nobody_in(provider: DemoProvider, browser: httpx2.AsyncClient) -> None:
    answer = await browser.get(sign_in_url(provider) + "&account=victor")
    assert answer.status_code == 200
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("redirect_uri", "http://127.0.0.1:40000/callback/../x"),
        ("redirect_uri", "http://127.0.0.1:40000@evil.example/callback"),
        ("redirect_uri", "http://127.0.0.1.evil.example/callback"),
        ("redirect_uri", "http://localhost:40000/callback"),
        ("redirect_uri", "https://127.0.0.1:40000/callback"),
        ("redirect_uri", "http://127.0.0.1:40000/callback\n"),
        ("redirect_uri", "//evil.example"),
        ("client_id", "somebody"),
        ("response_type", "token"),
        ("code_challenge_method", "plain"),
        ("code_challenge", ""),
        ("state", ""),
    ],
)
async def test_a_sign_in_link_that_is_not_safe_shows_no_form(
    provider: DemoProvider, browser: httpx2.AsyncClient, field: str, value: str
) -> None:
    answer = await browser.get(sign_in_url(provider, **{field: value}))
    assert answer.status_code == 400
    assert "<form" not in answer.text


async def test_what_a_link_carries_is_escaped(
    provider: DemoProvider, browser: httpx2.AsyncClient
) -> None:
    payload = '"><script>alert(1)</script>'
    page = Page((await browser.get(sign_in_url(provider, state=payload))).text)
    assert page.scripts == 0
    assert page.fields["state"] == payload


async def test_a_form_from_another_site_is_refused(
    provider: DemoProvider, browser: httpx2.AsyncClient
) -> None:
    fields = Page((await browser.get(sign_in_url(provider))).text).fields
    form = fields | {"account": "victor"}
    async with httpx2.AsyncClient(base_url=provider.issuer, trust_env=False) as victim:
        without_cookie = await victim.post("/authorize", data=form)
        await victim.get(sign_in_url(provider))
        other_cookie = await victim.post("/authorize", data=form)
        no_token = await victim.post("/authorize", data=form | {"form_token": ""})
    assert [a.status_code for a in (without_cookie, other_cookie, no_token)] == [403, 403, 403]


async def test_an_unknown_account_signs_in_nobody(
    provider: DemoProvider, browser: httpx2.AsyncClient
) -> None:
    assert (await press(browser, sign_in_url(provider), "root")).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"redirect_uri": "http://127.0.0.1:40001/callback"},
        {"client_id": "somebody"},
        {"resource": "https://other.example/mcp"},
        {"grant_type": "password"},
        {"code": "guess"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_code_is_redeemed_only_by_whoever_asked_for_it(
    provider: DemoProvider, browser: httpx2.AsyncClient, changes: dict[str, str]
) -> None:
    code = await code_for(browser, provider, "victor")
    status, answer = await redeem(browser, changes.pop("code", code), **changes)
    assert status == 400
    assert "access_token" not in answer


async def test_a_code_works_once(provider: DemoProvider, browser: httpx2.AsyncClient) -> None:
    code = await code_for(browser, provider, "rita")
    assert (await redeem(browser, code))[0] == 200
    assert await redeem(browser, code) == (400, {"error": "invalid_grant"})


async def test_a_code_ends_after_a_minute(
    provider: DemoProvider, browser: httpx2.AsyncClient, clock: Clock
) -> None:
    code = await code_for(browser, provider, "rita")
    clock.seconds += CODE_SECONDS
    assert await redeem(browser, code) == (400, {"error": "invalid_grant"})


async def poll(browser: httpx2.AsyncClient, device_code: str) -> dict[str, object]:
    form = {"grant_type": DEVICE_GRANT, "device_code": device_code, "client_id": "ostiary-cli"}
    answer: dict[str, object] = (await browser.post("/token", data=form)).json()
    return answer


async def test_a_device_waits_until_somebody_signs_in_for_it(
    provider: DemoProvider, browser: httpx2.AsyncClient, gateway: Verifier
) -> None:
    asked = (await browser.post("/device_authorization", data={"client_id": "ostiary-cli"})).json()
    assert await poll(browser, asked["device_code"]) == {"error": "authorization_pending"}
    done = await press(browser, asked["verification_uri_complete"], "victor")
    assert done.status_code == 200
    tokens = await poll(browser, asked["device_code"])
    assert (await gateway.verify(str(tokens["access_token"]))).id == "demo:victor"
    assert await poll(browser, asked["device_code"]) == {"error": "expired_token"}


async def test_a_device_code_ends(
    provider: DemoProvider, browser: httpx2.AsyncClient, clock: Clock
) -> None:
    asked = (await browser.post("/device_authorization", data={"client_id": "ostiary-cli"})).json()
    clock.seconds += DEVICE_SECONDS
    assert (await press(browser, asked["verification_uri_complete"], "rita")).status_code == 400
    assert await poll(browser, asked["device_code"]) == {"error": "expired_token"}


async def test_a_device_signed_in_for_cannot_be_taken_over(
    provider: DemoProvider, browser: httpx2.AsyncClient, gateway: Verifier
) -> None:
    asked = (await browser.post("/device_authorization", data={"client_id": "ostiary-cli"})).json()
    await press(browser, asked["verification_uri_complete"], "rita")
    again = await press(browser, asked["verification_uri_complete"], "victor")
    assert again.status_code == 400
    tokens = await poll(browser, asked["device_code"])
    assert (await gateway.verify(str(tokens["access_token"]))).id == "demo:rita"
