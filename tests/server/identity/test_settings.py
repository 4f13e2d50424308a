"""Issuers that a verifier does not begin with."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from policies.errors import ConfigError
from server.identity.fetch import open_http
from server.identity.oidc import IssuerSettings, Verifier
from tests.server.identity.issuer import AUDIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def construct(tls: ssl.SSLContext) -> AsyncIterator[Callable[..., Verifier]]:
    async with open_http(tls) as http:
        yield lambda *issuers: Verifier(issuers, http=http)


def _settings(**changes: Any) -> IssuerSettings:
    values = {"name": "corp", "issuer": "https://idp.example", "audience": AUDIENCE}
    return IssuerSettings(**values | changes)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"issuer": "http://idp.example"}, "https"),
        ({"issuer": "ftp://127.0.0.1"}, "https"),
        ({"issuer": "https://user@idp.example"}, "URL"),
        ({"issuer": "http://127.0.0.1.example.com"}, "https"),
        ({"algorithms": ("HS256",)}, "HS256"),
        ({"algorithms": ("none",)}, "none"),
        ({"algorithms": ()}, "algorithms"),
        ({"audience": ""}, "audience"),
        ({"audience": "ostiary-cli", "client_id": "ostiary-cli"}, "ID token"),
        ({"name": "corp:x"}, "name"),
    ],
)
async def test_settings_that_are_not_safe_do_not_load(
    construct: Callable[..., Verifier], changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        construct(_settings(**changes))


async def test_two_issuers_never_share_a_name_or_an_address(
    construct: Callable[..., Verifier],
) -> None:
    with pytest.raises(ConfigError, match="same name"):
        construct(_settings(), _settings(issuer="https://other.example"))
    with pytest.raises(ConfigError, match="same issuer"):
        construct(_settings(), _settings(name="other"))
