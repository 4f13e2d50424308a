"""One issuer on a real port, and a verifier that trusts it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from server.identity.fetch import open_http
from server.identity.oidc import Verifier
from tests.server.identity.issuer import NOW, Issuer, rsa_key
from tests.server.identity.serving import Stage, listening, serving, url_of


@dataclass
class Clock:
    """Seconds that pass only when a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="session")
def issuer_key() -> RSAPrivateKey:
    return rsa_key()


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    """Loaded once: the roots of trust take longer to read than a test to run."""
    return ssl.create_default_context()


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    with listening() as listener:
        stage = Stage(url_of(listener))
        with serving(stage, listener):
            yield stage


@pytest.fixture
def issuer(stage: Stage, issuer_key: RSAPrivateKey) -> Issuer:
    issuer = Issuer(stage.url, issuer_key)
    stage.app = issuer.app()
    return issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(issuer: Issuer, clock: Clock, tls: ssl.SSLContext) -> AsyncIterator[Verifier]:
    async with open_http(tls) as http:
        verifier = Verifier([issuer.settings()], http=http, clock=clock, now=lambda: NOW)
        yield verifier
        await verifier.aclose()
