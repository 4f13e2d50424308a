"""Tokens that are none of ours, through the real doors: the same words for all, and a record."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from server.identity.demo import DemoProvider
from tests.attacks.attacker import Attacker, body

pytestmark = pytest.mark.anyio


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), json.loads(
        base64.urlsafe_b64decode(claims + "==")
    )


def of_another_audience(attacker: Attacker) -> str:
    """Signed with the provider's own key, for another gateway that trusts it too."""
    ours = attacker.world.provider.provider
    other = DemoProvider(
        directory=attacker.world.directory, issuer=ours.issuer, audience=ours.audience + "/"
    )
    return other.token("victor", seconds=600, agent="ostiary-cli")


def of_a_foreign_key(attacker: Attacker) -> str:
    header, claims = parts(attacker.world.token("victor"))
    key = generate_private_key(SECP256R1())
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": header["kid"]})


def unsigned(attacker: Attacker) -> str:
    header, claims = parts(attacker.world.token("victor"))
    sections = ({**header, "alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(s).encode()).rstrip(b"=") for s in sections]
    return b".".join([*encoded, b""]).decode()


def with_other_claims(attacker: Attacker) -> str:
    header, claims, signature = attacker.world.token("rita").split(".")
    _, theirs, _ = attacker.world.token("victor").split(".")
    assert theirs != claims
    return ".".join((header, theirs, signature))


FORGED: dict[str, Callable[[Attacker], str]] = {
    "another audience": of_another_audience,
    "a foreign key": of_a_foreign_key,
    "unsigned": unsigned,
    "another's claims": with_other_claims,
    "expired": lambda a: a.world.token("victor", seconds=-120),
    "an ID token": lambda a: a.world.provider.provider.id_token("victor", nonce=None),
    "endless": lambda _: "a" * 50_000 + ".b.c",
    "five parts": lambda a: a.world.token("victor") + ".a.b",
}
ROUTES = [
    ("GET", "/api/whoami"),
    ("GET", "/api/approvals"),
    ("GET", "/api/approvals/watch"),
    ("GET", "/api/approvals/ap_1"),
    ("POST", "/api/approvals/ap_1/decision"),
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/x"),
    ("GET", "/api/sessions/x/records"),
    ("POST", "/api/verify"),
    ("POST", "/api/policy/explain"),
]


@pytest.mark.parametrize("kind", FORGED)
async def test_a_token_that_is_not_ours_opens_nothing_and_is_recorded(
    attacker: Attacker, kind: str
) -> None:
    token = FORGED[kind](attacker)
    known = await attacker.stored("SELECT count(*) FROM records WHERE kind = 'sign_in_failed'")
    bearer = {"Authorization": f"Bearer {token}"}
    answers = [await attacker.api(method, path, headers=bearer) for method, path in ROUTES]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["www-authenticate"] for answer in answers}) == 1
    at_mcp = await attacker.post(body("list_targets", {}), name="list_targets", **bearer)
    assert at_mcp.status_code == 401
    await attacker.recorded("sign_in_failed", at_least=known + len(ROUTES) + 1)
    for word in ("signature", "expired", "audience", "issuer", "kid"):
        assert word not in answers[0].text + at_mcp.text


@pytest.mark.parametrize(
    ("path", "status"), [("/api/whoami", 400), ("/api/sessions", 400), ("/mcp", 400)]
)
async def test_a_token_in_the_url_is_no_token(attacker: Attacker, path: str, status: int) -> None:
    token = attacker.world.token("victor")
    answer = await attacker.api("GET", f"{path}?access_token={token}")
    assert answer.status_code == status
    assert token not in attacker.world.log.read_text()


async def test_no_part_of_a_refused_token_is_kept(attacker: Attacker) -> None:
    token = of_a_foreign_key(attacker)
    before = await attacker.stored("SELECT count(*) FROM records WHERE kind = 'sign_in_failed'")
    await attacker.api("GET", "/api/whoami", headers={"Authorization": f"Bearer {token}"})
    await attacker.recorded("sign_in_failed", at_least=before + 1)
    for section in token.split("."):
        assert section not in attacker.world.log.read_text()
        kept = await attacker.stored(
            "SELECT count(*) FROM records WHERE document LIKE $1", f"%{section}%"
        )
        assert kept == 0
