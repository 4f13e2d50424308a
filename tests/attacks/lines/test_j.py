"""Section J of the list of attacks, identity: one test a line, most of many parts.

J01 to J05 are against a verifier and a real key server over HTTP; J08 and J09 against a gateway.
J06 (the sign-in) and J07 (SAML) are elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from policies.errors import ConfigError, Unauthenticated
from server.identity.fetch import open_http
from server.identity.jwks import MAX_AGE, REFETCH_EVERY, RENEW
from server.identity.oidc import OVERAGE, REFUSAL, REMEMBER, IssuerSettings, Verifier
from tests.attacks.attacker import Attacker, body, said
from tests.server.identity.conftest import Clock, clock, issuer, issuer_key, stage, tls, verifier
from tests.server.identity.forgeries import J01, J02, J03, J04, Attack
from tests.server.identity.issuer import AUDIENCE, NOW, Issuer, public_jwk, rsa_key
from tests.server.identity.serving import listening, serving, url_of

__all__ = ["clock", "issuer", "issuer_key", "stage", "tls", "verifier"]

pytestmark = pytest.mark.anyio


async def refused(verifier: Verifier, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the same words for every cause; the log says which it was, and never the token."""
    with caplog.at_level(logging.DEBUG, "server.identity"), pytest.raises(Unauthenticated) as told:
        await verifier.verify(token)
    assert str(told.value) == REFUSAL
    assert any("token refused" in record.message for record in caplog.records)
    assert not token or token not in caplog.text


@pytest.mark.parametrize("attack", J01.values(), ids=J01)
async def test_j01_a_signature_that_proves_nothing(
    issuer: Issuer, verifier: Verifier, caplog: pytest.LogCaptureFixture, attack: Attack
) -> None:
    await refused(verifier, attack(issuer), caplog)


@pytest.mark.parametrize("attack", J02.values(), ids=J02)
async def test_j02_a_header_that_chooses_its_own_key_or_rules(
    issuer: Issuer, verifier: Verifier, caplog: pytest.LogCaptureFixture, attack: Attack
) -> None:
    await refused(verifier, attack(issuer), caplog)


@asynccontextmanager
async def two_issuers(
    issuer: Issuer, tls: ssl.SSLContext
) -> AsyncIterator[tuple[Issuer, Verifier]]:
    """A second issuer on a port of its own, whose key has the same id; and who trusts both."""
    with listening() as listener:
        other = Issuer(url_of(listener), rsa_key(), kid=issuer.kid)
        with serving(other.app(), listener):
            settings = [issuer.settings(), other.settings(name="other")]
            async with open_http(tls) as http:
                verifier = Verifier(settings, http=http, now=lambda: NOW)
                yield other, verifier
                await verifier.aclose()


async def test_j02_one_issuers_key_id_does_not_open_another_issuers_door(
    issuer: Issuer, tls: ssl.SSLContext
) -> None:
    async with two_issuers(issuer, tls) as (other, verifier):
        assert (await verifier.verify(issuer.token())).id == "corp:rita"
        assert (await verifier.verify(other.token())).id == "other:rita"
        for claimed, signer in ((issuer, other), (other, issuer)):
            claims = json.dumps(claimed.claims()).encode()
            with pytest.raises(Unauthenticated):
                await verifier.verify(signer.sign(payload=claims))
        other.kid = "theirs"
        other.jwks = [public_jwk(other.key, kid="theirs")]
        with pytest.raises(Unauthenticated):
            await verifier.verify(issuer.sign(header={"kid": "theirs"}))


async def test_j02_a_flood_of_unknown_keys_is_no_flood_at_the_provider(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    for _ in range(3):
        clock.seconds += REFETCH_EVERY
        flood = [issuer.sign(header={"kid": f"k{n}"}) for n in range(2, 30)]
        answers = await asyncio.gather(*map(verifier.verify, flood), return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unauthenticated}
    assert issuer.asked["jwks"] == 1 + 3
    assert (await verifier.verify(issuer.token(sub="roy"))).id == "corp:roy"


@pytest.mark.parametrize("attack", J03.values(), ids=J03)
async def test_j03_claims_that_are_not_for_us_not_now_or_not_a_persons(
    issuer: Issuer, verifier: Verifier, caplog: pytest.LogCaptureFixture, attack: Attack
) -> None:
    await refused(verifier, attack(issuer), caplog)


async def test_j03_groups_as_text_or_list_and_an_email_only_when_it_is_verified(
    issuer: Issuer, verifier: Verifier
) -> None:
    as_text = await verifier.verify(issuer.token(groups="dba"))
    as_list = await verifier.verify(issuer.token(groups=["dba"]))
    assert as_text.groups == as_list.groups == {"dba"}
    for unproven in (..., False, "true", 1, None):
        claims = {"email": "victor@example.com", "email_verified": unproven}
        assert (await verifier.verify(issuer.token(**claims))).email is None


@pytest.mark.parametrize(
    "changes",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "x"}}},
        {"hasgroups": True},
    ],
)
async def test_j03_groups_that_were_left_out_are_never_read_as_none(
    issuer: Issuer, verifier: Verifier, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated) as told:
        await verifier.verify(issuer.token(groups=..., **changes))
    assert str(told.value) == OVERAGE


@pytest.mark.parametrize("attack", J04.values(), ids=J04)
async def test_j04_text_that_two_readers_read_in_two_ways(
    issuer: Issuer, verifier: Verifier, caplog: pytest.LogCaptureFixture, attack: Attack
) -> None:
    await refused(verifier, attack(issuer), caplog)


async def down_at_the_start(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    issuer.status = 503
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    issuer.status = 200
    clock.seconds += REFETCH_EVERY
    await verifier.verify(issuer.token())


async def rotated(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    old = issuer.token()
    await verifier.verify(old)
    issuer.key, issuer.kid = rsa_key(), "k2"
    issuer.jwks = [public_jwk(issuer.key, kid="k2")]
    clock.seconds += REFETCH_EVERY
    await verifier.verify(issuer.token())
    with pytest.raises(Unauthenticated):
        await verifier.verify(old)


async def removed(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    """Within 5 minutes, and one more for a token that was verified just before."""
    await verifier.verify(issuer.token())
    issuer.jwks = []
    clock.seconds += RENEW + REMEMBER
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    assert RENEW + REMEMBER <= 360


async def removed_while_the_provider_is_silent(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    issuer.status = 503
    clock.seconds += MAX_AGE + 1
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    assert MAX_AGE <= 3600


async def redirected(issuer: Issuer, verifier: Verifier, _clock: Clock) -> None:
    issuer.redirect_to = f"{issuer.url}/jwks"
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    assert issuer.asked["jwks"] == 0


async def not_encrypted(_issuer: Issuer, _verifier: Verifier, _clock: Clock) -> None:
    async with open_http() as http:
        for url in ("http://idp.example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1"):
            with pytest.raises(ConfigError, match="https"):
                Verifier([IssuerSettings(name="x", issuer=url, audience=AUDIENCE)], http=http)


J05: Final[dict[str, Callable[[Issuer, Verifier, Clock], Awaitable[None]]]] = {
    part.__name__: part
    for part in (
        down_at_the_start,
        rotated,
        removed,
        removed_while_the_provider_is_silent,
        redirected,
        not_encrypted,
    )
}


@pytest.mark.parametrize("part", J05.values(), ids=J05)
async def test_j05_a_providers_keys(
    issuer: Issuer,
    verifier: Verifier,
    clock: Clock,
    part: Callable[[Issuer, Verifier, Clock], Awaitable[None]],
) -> None:
    await part(issuer, verifier, clock)


async def test_j08_the_door_is_a_resource_server_for_tokens_of_its_own(attacker: Attacker) -> None:
    world = attacker.world
    metadata_url = f"{world.url}/.well-known/oauth-protected-resource/mcp"
    metadata = (await attacker.http.get(metadata_url)).json()
    assert metadata["resource"] == f"{world.url}/mcp"
    assert metadata["authorization_servers"] == [world.provider.provider.issuer]
    for header in ({"Authorization": ""}, {"Authorization": f"Bearer {for_another(attacker)}"}):
        answer = await attacker.post(body("list_targets", {}), name="list_targets", **header)
        assert answer.status_code == 401
        assert f'resource_metadata="{metadata_url}"' in answer.headers["www-authenticate"]


def for_another(attacker: Attacker) -> str:
    """Signed by the provider that we trust, for another resource."""
    provider = attacker.world.provider.provider
    ours, provider.audience = provider.audience, "https://other.example/mcp"
    try:
        return attacker.world.token("victor")
    finally:
        provider.audience = ours


async def test_j08_a_token_in_the_query_string_is_no_token(attacker: Attacker) -> None:
    token = attacker.world.token("victor")
    for path in ("/mcp", "/api/whoami"):
        answer = await attacker.api("GET", f"{path}?access_token={token}")
        assert answer.status_code in (400, 401)
        both = await attacker.api("GET", f"{path}?access_token={token}", "victor")
        assert both.status_code != 200
    assert token not in attacker.world.log.read_text()


async def test_j08_a_token_goes_no_further_than_the_gateway(attacker: Attacker) -> None:
    """Not to the target, not into the store, not into the log."""
    token = attacker.world.token("rita")
    sql = "SELECT count(*) FROM pg_stat_activity"
    answer = await attacker.post(
        body("run_sql", {"target": "shop", "sql": "SELECT 1"}), Authorization=f"Bearer {token}"
    )
    assert said(answer)["code"] == "OK"
    secret = token.rpartition(".")[2]
    seen = f"{sql} WHERE pid <> pg_backend_pid() AND query || application_name LIKE '%{secret}%'"
    assert await attacker.direct(seen) == 0
    kept = "SELECT count(*) FROM records WHERE document LIKE $1"
    assert await attacker.stored(kept, f"%{secret}%") == 0
    bodies = "SELECT count(*) FROM bodies WHERE position($1::bytea IN body) > 0"
    assert await attacker.stored(bodies, secret.encode()) == 0
    assert secret not in attacker.world.log.read_text()


async def log_in(attacker: Attacker, token: str) -> asyncpg.Connection[Any]:
    return await asyncpg.connect(
        host="127.0.0.1",
        port=attacker.world.listener,
        user="rita",
        database="shop",
        password=token,
        timeout=10,
    )


async def test_j09_an_open_session_ends_with_its_token(attacker: Attacker) -> None:
    """Who was disabled or left a group gets no new token: the old one's lifetime is the bound."""
    refused_from = time.time() + 3
    seconds = round(refused_from - time.time()) - 60  # the leeway for clocks
    psql = await log_in(attacker, attacker.world.token("rita", seconds=seconds))
    ended = asyncio.Event()
    psql.add_termination_listener(lambda _connection: ended.set())
    try:
        assert await psql.fetchval("SELECT 1") == 1
        async with asyncio.timeout(10):
            await ended.wait()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await log_in(attacker, attacker.world.token("rita", seconds=-61))
    finally:
        psql.terminate()


async def test_j09_a_disabled_user_is_out_of_open_sessions_within_five_seconds(
    attacker: Attacker,
) -> None:
    """By the kill switch: `ostiary agents block --person`."""
    token = attacker.world.token("roy")
    psql = await log_in(attacker, token)
    ended = asyncio.Event()
    psql.add_termination_listener(lambda _connection: ended.set())
    switch = {"kind": "person", "name": "demo:roy", "reason": "left the company"}
    try:
        blocked = await attacker.api("POST", "/api/agents/block", "vera", json=switch)
        assert blocked.status_code == 200
        async with asyncio.timeout(5):
            await ended.wait()
        assert (await attacker.sql("SELECT 1", account="roy"))["code"] == "PERSON_BLOCKED"
        assert (await attacker.api("GET", "/api/whoami", "roy")).status_code == 403
    finally:
        await attacker.api("POST", "/api/agents/unblock", "vera", json=switch)
        psql.terminate()


async def test_j09_a_changed_group_counts_with_the_next_token(attacker: Attacker) -> None:
    provider = attacker.world.provider.provider
    accounts = provider.accounts
    assert (await attacker.sql("SELECT 1", account="roy"))["code"] == "OK"
    provider.accounts = {**accounts, "roy": type(accounts["roy"])("roy", (), "left the group")}
    try:
        assert (await attacker.sql("SELECT 1", account="roy"))["code"] == "TARGET_UNKNOWN"
    finally:
        provider.accounts = accounts
