"""Tokens that count, and whom they name. Those that do not are in `forgeries`."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from policies.errors import Unauthenticated
from server.identity.claims import LEEWAY
from server.identity.fetch import open_http
from server.identity.oidc import OVERAGE, REFUSAL, IssuerSettings, Verifier
from tests.server.identity.conftest import Clock
from tests.server.identity.issuer import (
    AUDIENCE,
    NOW,
    Issuer,
    PrivateKey,
    public_jwk,
    rsa_key,
)

pytestmark = pytest.mark.anyio


async def test_a_good_token_names_its_principal(issuer: Issuer, verifier: Verifier) -> None:
    token = issuer.token(email="rita@example.com", email_verified=True)
    principal = await verifier.verify(token)
    assert principal.id == "corp:rita"
    assert principal.name == "Rita"
    assert principal.agent == "claude-code"
    assert principal.groups == {"developers"}
    assert principal.email == "rita@example.com"


GOOD: dict[str, dict[str, Any]] = {
    "audience in a list": {"aud": ["other", AUDIENCE]},
    "fractional expiry": {"exp": NOW + 1.5},
    "expired within the leeway": {"exp": NOW - 59},
    "issued within the leeway": {"iat": NOW + 59, "nbf": NOW + 59},
    "no iat": {"iat": ...},
    "no groups": {"groups": ...},
    "no groups left out": {"hasgroups": False, "_claim_names": {"address": "src1"}},
    "Keycloak's word for an access token": {"typ": "Bearer"},
    "Cognito's word for an access token": {"token_use": "access"},
    "a name that can't be shown": {"preferred_username": "Ri\u202eta"},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
async def test_a_harmless_variation_is_accepted(
    issuer: Issuer, verifier: Verifier, changes: dict[str, Any]
) -> None:
    assert (await verifier.verify(issuer.token(**changes))).id == "corp:rita"


async def test_a_group_claim_that_is_one_string_is_one_group(
    issuer: Issuer, verifier: Verifier
) -> None:
    principal = await verifier.verify(issuer.token(groups="dba developers"))
    assert principal.groups == {"dba developers"}


async def test_an_unverified_email_is_not_taken_over(issuer: Issuer, verifier: Verifier) -> None:
    principal = await verifier.verify(issuer.token(email="victor@example.com"))
    assert principal.email is None


async def test_a_name_that_could_mislead_falls_back_to_the_subject(
    issuer: Issuer, verifier: Verifier
) -> None:
    principal = await verifier.verify(issuer.token(preferred_username="\x1b[2Jroot"))
    assert principal.name == "rita"


async def test_the_agent_falls_back_to_client_id_and_then_to_unknown(
    issuer: Issuer, verifier: Verifier
) -> None:
    with_client = await verifier.verify(issuer.token(azp=..., client_id="inspector"))
    without = await verifier.verify(issuer.token(azp=...))
    assert (with_client.agent, without.agent) == ("inspector", "unknown")


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", ...])
async def test_access_token_types_are_accepted(
    issuer: Issuer, verifier: Verifier, kind: object
) -> None:
    token = issuer.sign(header={"typ": kind})
    assert (await verifier.verify(token)).id == "corp:rita"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("PS256", rsa_key()),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["PS256", "ES256", "EdDSA"],
)
async def test_each_asymmetric_family_verifies(
    issuer: Issuer, verifier: Verifier, algorithm: str, key: PrivateKey
) -> None:
    issuer.jwks = [public_jwk(key, kid=issuer.kid)]
    token = issuer.sign(key=key, algorithm=algorithm)
    assert (await verifier.verify(token)).id == "corp:rita"


async def test_a_token_says_its_issuer_and_another_issuers_key_does_not_verify_it(
    issuer: Issuer, tls: ssl.SSLContext
) -> None:
    other = IssuerSettings(
        name="other", issuer="http://127.0.0.1:9", audience=AUDIENCE, algorithms=("RS256",)
    )
    async with open_http(tls) as http:
        verifier = Verifier([issuer.settings(), other], http=http, now=lambda: NOW)
        with pytest.raises(Unauthenticated):
            await verifier.verify(issuer.token(iss=other.issuer))
        assert (await verifier.verify(issuer.token())).id == "corp:rita"


async def test_a_token_is_never_believed_past_its_expiry(
    issuer: Issuer, clock: Clock, tls: ssl.SSLContext
) -> None:
    now = Clock(NOW)
    async with open_http(tls) as http:
        verifier = Verifier([issuer.settings()], http=http, clock=clock, now=now)
        token = issuer.token(exp=NOW + 10)
        await verifier.verify(token)
        now.seconds += 9
        await verifier.verify(token)
        now.seconds += LEEWAY + 1
        with pytest.raises(Unauthenticated):
            await verifier.verify(token)


OVERAGES: dict[str, dict[str, Any]] = {
    "a claim by reference": {"groups": ..., "_claim_names": {"groups": "src1"}},
    "a claim by reference, and some groups": {"_claim_names": {"groups": "src1"}},
    "names that are no object": {"groups": ..., "_claim_names": ["groups"]},
    "hasgroups": {"groups": ..., "hasgroups": True},
    "hasgroups as text": {"groups": ..., "hasgroups": "true"},
    "a link of its own": {
        "groups": ...,
        "groups:src1": "https://graph.example/me/getMemberObjects",
    },
}


@pytest.mark.parametrize("changes", OVERAGES.values(), ids=OVERAGES)
async def test_groups_that_were_left_out_are_not_read_as_none(
    issuer: Issuer, verifier: Verifier, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated) as said:
        await verifier.verify(issuer.token(**changes))
    assert str(said.value) == OVERAGE


async def test_only_who_holds_a_real_token_is_told_of_left_out_groups(
    issuer: Issuer, verifier: Verifier
) -> None:
    claims = json.dumps(issuer.claims(groups=..., hasgroups=True)).encode()
    with pytest.raises(Unauthenticated) as said:
        await verifier.verify(issuer.sign(payload=claims, key=rsa_key()))
    assert str(said.value) == REFUSAL


async def test_groups_left_out_of_another_claim_are_none_of_ours(
    issuer: Issuer, tls: ssl.SSLContext
) -> None:
    async with open_http(tls) as http:
        settings = issuer.settings(groups_claim="roles")
        verifier = Verifier([settings], http=http, now=lambda: NOW)
        claims = {"roles": ["dba"], "hasgroups": True, "_claim_names": {"groups": "src1"}}
        principal = await verifier.verify(issuer.token(**claims))
    assert principal.groups == {"dba"}


async def test_what_is_remembered_is_bounded(
    issuer: Issuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.identity.oidc.REMEMBERED", 3)
    for number in range(5):
        await verifier.verify(issuer.token(sub=f"s{number}"))
    assert verifier.remembered == 3
