"""A local OpenID provider for the demo: two accounts without passwords, on loopback only.

Whoever reaches its port can sign in as anybody. Its pages are in `demo_pages`, its routes in
`demo_routes`.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from policies.errors import ConfigError
from server.identity.claims import IssuerSettings
from server.identity.fetch import is_loopback
from server.identity.strict import Json, write_base64url

CLIENT_ID: Final = "ostiary-cli"
CONSOLE_CLIENT_ID: Final = "ostiary-console"
TOKEN_SECONDS: Final = 12 * 3600
_KEY_FILE: Final = "demo-identity-provider.pem"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can sign in here."""

    name: str
    groups: tuple[str, ...]
    description: str

    @property
    def email(self) -> str:
        return f"{self.name}@demo.example"


RITA: Final = Account("rita", ("developers",), "the requester, whose agent asks")
VICTOR: Final = Account("victor", ("dba", "auditors"), "the reviewer, who may approve")


class DemoProvider:
    """Signs tokens for the demo accounts with a key of its own, kept in `directory`."""

    def __init__(
        self,
        *,
        directory: Path,
        issuer: str,
        audience: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Loads the signing key or makes it. Raises `ConfigError` for an issuer off loopback."""
        parts = urlsplit(issuer)
        if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
            raise ConfigError("the demo identity provider runs on http:// and loopback only")
        self.issuer = issuer
        self.audience = audience
        self.now = now
        self.accounts: Mapping[str, Account] = {each.name: each for each in (RITA, VICTOR)}
        self._path = directory / _KEY_FILE
        self._key = _load(self._path) if self._path.exists() else _create(self._path)

    def settings(self) -> IssuerSettings:
        """How a gateway trusts this provider."""
        return IssuerSettings(
            name="demo",
            issuer=self.issuer,
            audience=self.audience,
            algorithms=("ES256",),
            client_id=CLIENT_ID,
        )

    @property
    def console_redirect(self) -> str:
        """Where the gateway's approval page takes its codes: nowhere else do they go."""
        return self.audience.removesuffix("/mcp") + "/approvals/callback"

    def token(self, account: str, *, seconds: int, agent: str) -> str:
        """An access token for the gateway. Raises `KeyError` for an unknown account."""
        who = self.accounts[account]
        claims: dict[str, Json] = {
            "aud": self.audience,
            "azp": agent,
            "client_id": agent,
            "jti": secrets.token_urlsafe(16),
            "groups": list(who.groups),
            "email": who.email,
            "email_verified": True,
        }
        return self._sign(who, claims, seconds=seconds, kind="at+jwt")

    def id_token(
        self, account: str, *, nonce: str | None, client: str = CLIENT_ID, seconds: int = 300
    ) -> str:
        """Proof of the sign-in for the client itself; no gateway takes it as a bearer token."""
        who = self.accounts[account]
        claims: dict[str, Json] = {
            "aud": client,
            "azp": client,
            "groups": list(who.groups),
            "email": who.email,
            "email_verified": True,
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self._sign(who, claims, seconds=seconds, kind="JWT")

    def key_set(self) -> dict[str, Json]:
        """The public key as a JWKS."""
        numbers = self._key.public_key().public_numbers()
        coordinates: dict[str, Json] = {
            name: write_base64url(value.to_bytes(32, "big"))
            for name, value in (("x", numbers.x), ("y", numbers.y))
        }
        public: dict[str, Json] = {
            "kty": "EC",
            "crv": "P-256",
            "use": "sig",
            "alg": "ES256",
            "kid": self._key_id(),
        }
        return {"keys": [public | coordinates]}

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish the old one no longer."""
        self._key = _create(self._path)

    def _sign(self, who: Account, claims: dict[str, Json], *, seconds: int, kind: str) -> str:
        issued = int(self.now())
        common: dict[str, Json] = {
            "iss": self.issuer,
            "sub": who.name,
            "preferred_username": who.name,
            "iat": issued,
            "exp": issued + seconds,
        }
        headers = {"kid": self._key_id(), "typ": kind}
        return jwt.encode(common | claims, self._key, algorithm="ES256", headers=headers)

    def _key_id(self) -> str:
        digest = Hash(SHA256())
        digest.update(
            self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        return write_base64url(digest.finalize()[:12])


def _create(path: Path) -> EllipticCurvePrivateKey:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    # Created for its owner only: a mode set afterwards leaves a moment in which others can read.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return key


def _load(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: not a private key; delete it to make a new one") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigError(f"{path}: not a P-256 key; delete it to make a new one")
    return key
