"""ID tokens: proof of this very sign-in by this client, and of nothing else."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from policies.errors import Denied, Unauthenticated
from policies.model import Principal
from server.console.id_tokens import IdTokens
from server.identity.fetch import open_http
from server.identity.jwks import KeyCache
from tests.server.identity.issuer import NOW, Issuer, rsa_key

pytestmark = pytest.mark.anyio

CLIENT, NONCE = "ostiary-console", "nonce-1"


@pytest.fixture
async def tokens(issuer: Issuer, tls: ssl.SSLContext) -> AsyncIterator[IdTokens]:
    async with open_http(tls) as http:
        keys = KeyCache(issuer.url, http=http)
        yield IdTokens(issuer.settings(audience=CLIENT), keys, now=lambda: NOW)
        await keys.aclose()


def id_token(issuer: Issuer, *, header: Any = None, key: Any = None, **changes: Any) -> str:
    """A good ID token, changed; `...` leaves a claim out."""
    good = {"aud": CLIENT, "azp": CLIENT, "nonce": NONCE}
    claims = json.dumps(issuer.claims(**good | changes)).encode()
    return issuer.sign(header={"typ": "JWT"} | (header or {}), payload=claims, key=key)


async def test_a_good_one_says_who_signed_in_through_this_client(
    tokens: IdTokens, issuer: Issuer
) -> None:
    token = id_token(issuer, at_hash="x", email="rita@corp.example", email_verified=True)
    assert await tokens.principal(token, nonce=NONCE) == Principal(
        "corp:rita", "Rita", CLIENT, frozenset({"developers"}), "rita@corp.example"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "ID"},
        {"token_use": "id"},
        {"azp": ...},
        {"aud": [CLIENT], "azp": ...},
        {"aud": [CLIENT, "project"], "azp": CLIENT},
        {"c_hash": "x", "auth_time": NOW},
    ],
)
async def test_what_providers_add_is_no_harm(
    tokens: IdTokens, issuer: Issuer, changes: dict[str, Any]
) -> None:
    found = await tokens.principal(id_token(issuer, **changes), nonce=NONCE)
    assert found.id == "corp:rita"


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "of another sign-in"},
        {"nonce": ...},
        {"nonce": None},
        {"nonce": "\ud800"},
        {"nonce": [NONCE]},
        {"aud": "another-client"},
        {"aud": ["another-client", "project"]},
        {"aud": [CLIENT, "another"], "azp": ...},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another-client"},
        {"azp": None},
        {"aud": ...},
        {"exp": NOW - 3600},
        {"exp": ...},
        {"iat": ...},
        {"iat": NOW + 3600},
        {"nbf": NOW + 3600},
        {"sub": ...},
        {"sub": ""},
        {"sub": "rita\u202e"},
        {"iss": "https://another.example"},
        {"typ": "Bearer"},
        {"typ": "Logout"},
        {"token_use": "access"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"groups": {"dba": True}},
    ],
)
async def test_what_is_for_somebody_else_or_of_another_time_proves_nothing(
    tokens: IdTokens, issuer: Issuer, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.principal(id_token(issuer, **changes), nonce=NONCE)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "application/at+jwt"},
        {"typ": "logout+jwt"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"crit": ["exp"]},
        {"kid": "unknown"},
    ],
)
async def test_a_token_of_another_kind_proves_nothing(
    tokens: IdTokens, issuer: Issuer, header: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.principal(id_token(issuer, header=header), nonce=NONCE)


async def test_a_signature_of_another_key_proves_nothing(tokens: IdTokens, issuer: Issuer) -> None:
    for token in (id_token(issuer, key=rsa_key()), id_token(issuer)[:-4] + "AAAA", "", "a.b.c"):
        with pytest.raises(Unauthenticated):
            await tokens.principal(token, nonce=NONCE)


async def test_groups_that_were_left_out_are_said_to_whoever_signs_in(
    tokens: IdTokens, issuer: Issuer
) -> None:
    elsewhere = {"groups": ..., "_claim_names": {"groups": "src1"}}
    with pytest.raises(Denied) as denied:
        await tokens.principal(id_token(issuer, **elsewhere), nonce=NONCE)
    assert denied.value.refusal.code == "GROUPS_LEFT_OUT"


async def test_a_refusal_quotes_nothing_of_the_token(tokens: IdTokens, issuer: Issuer) -> None:
    token = id_token(issuer, nonce="canary-nonce", sub="canary-sub")
    with pytest.raises(Unauthenticated) as refused:
        await tokens.principal(token, nonce=NONCE)
    assert "canary" not in str(refused.value)
    assert token[:20] not in str(refused.value)
