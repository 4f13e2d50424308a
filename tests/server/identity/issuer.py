"""A token issuer that can do everything wrong: any header, any claims, any key, any HTTP answer."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from server.identity.claims import IssuerSettings
from server.identity.strict import write_base64url

NOW = 1_800_000_000
AUDIENCE = "https://gateway.example/mcp"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_jwk(key: PrivateKey, **parameters: Any) -> dict[str, Any]:
    public = key.public_key()
    match public:
        case rsa.RSAPublicKey():
            document = RSAAlgorithm.to_jwk(public, as_dict=True)
        case ec.EllipticCurvePublicKey():
            document = ECAlgorithm.to_jwk(public, as_dict=True)
        case ed25519.Ed25519PublicKey():
            document = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {name: value for name, value in document.items() if name != "key_ops"} | parameters


def compact(header: bytes, payload: bytes, signature: bytes) -> str:
    return ".".join(write_base64url(part) for part in (header, payload, signature))


@dataclass
class Issuer:
    """Serves discovery and keys over HTTP, and counts who asks."""

    url: str
    key: PrivateKey
    kid: str = "k1"
    algorithm: str = "RS256"
    jwks: list[Mapping[str, Any]] = field(default_factory=list)
    status: int = 200
    redirect_to: str = ""
    claimed_issuer: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    on_asked: Callable[[], object] = lambda: None
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.jwks = [public_jwk(self.key, kid=self.kid)]
        self.gate.set()

    def settings(self, **changes: Any) -> IssuerSettings:
        values = {"name": "corp", "issuer": self.url, "audience": AUDIENCE}
        return IssuerSettings(
            **values | {"algorithms": ("RS256", "PS256", "ES256", "EdDSA")} | changes
        )

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/jwks", self._jwks),
            ]
        )

    def _discovery(self, request: Request) -> Response:
        self.asked["discovery"] += 1
        self.on_asked()
        self.gate.wait(timeout=10)
        if self.redirect_to:
            return RedirectResponse(self.redirect_to)
        document = {"issuer": self.claimed_issuer or self.url, "jwks_uri": f"{self.url}/jwks"}
        return JSONResponse(document, status_code=self.status)

    def _jwks(self, request: Request) -> Response:
        self.asked["jwks"] += 1
        return JSONResponse({"keys": self.jwks}, status_code=self.status)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A good token's claims, changed; `...` leaves one out."""
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "rita",
            "exp": NOW + 300,
            "iat": NOW,
            "groups": ["developers"],
            "azp": "claude-code",
            "preferred_username": "Rita",
        }
        return {name: value for name, value in (good | changes).items() if value is not ...}

    def token(self, **changes: Any) -> str:
        return self.sign(payload=json.dumps(self.claims(**changes)).encode())

    def sign(
        self,
        *,
        header: Mapping[str, Any] | bytes | None = None,
        payload: bytes | None = None,
        key: Any = None,
        algorithm: str = "",
    ) -> str:
        """Sign these exact bytes; whatever isn't given is as in a good token."""
        if not isinstance(header, bytes):
            good = {"alg": algorithm or self.algorithm, "kid": self.kid, "typ": "at+jwt"}
            changed = good | dict(header or {})
            left = {name: value for name, value in changed.items() if value is not ...}
            header = json.dumps(left).encode()
        payload = json.dumps(self.claims()).encode() if payload is None else payload
        signer = jwt.get_algorithm_by_name(algorithm or self.algorithm)
        signed = ".".join(write_base64url(part) for part in (header, payload))
        signature = signer.sign(signed.encode(), self.key if key is None else key)
        return f"{signed}.{write_base64url(signature)}"
