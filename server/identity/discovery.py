"""What an issuer says of itself, and the endpoints in it (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx2

from server.identity.fetch import FetchFailed, check_url, fetch_json
from server.identity.strict import Json

PATH: Final = "/.well-known/openid-configuration"


async def discover(http: httpx2.AsyncClient, issuer: str) -> Mapping[str, Json]:
    """The issuer's description, if it names exactly this issuer; raises `FetchFailed`."""
    described = await fetch_json(http, issuer.removesuffix("/") + PATH)
    if described.get("issuer") != issuer:
        raise FetchFailed("the discovery document names another issuer")
    return described


def endpoint(described: Mapping[str, Json], name: str) -> str:
    """One endpoint's URL: https, unless the issuer itself is on loopback. Raises `FetchFailed`."""
    url, issuer = described.get(name), described.get("issuer")
    if not isinstance(url, str) or not isinstance(issuer, str):
        raise FetchFailed(f"the discovery document names no {name}")
    if urlsplit(check_url(url)).scheme != "https" and urlsplit(issuer).scheme == "https":
        raise FetchFailed(f"{name} is not https")
    return url
