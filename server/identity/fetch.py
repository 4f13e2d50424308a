"""Documents of an identity provider over HTTP: no redirects, a size bound, a deadline."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2

from server.identity.strict import Json, read_object

MAX_DOCUMENT = 512 * 1024
"""Bytes; the largest JWKS of a big provider is some 20 KiB."""

DEADLINE = 5.0
"""Seconds for one whole document, however slowly it drips."""


class FetchFailed(Exception):
    """The document can't be had now; the text is for the log."""


def open_http(tls: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """The client for identity providers; the caller closes it. `tls`: other roots of trust.

    HTTPS may go through the proxy of the environment. Plain HTTP is spoken with loopback only,
    and never through a proxy.
    """
    trust = tls or httpx2.create_ssl_context()
    return httpx2.AsyncClient(
        verify=trust,
        follow_redirects=False,
        timeout=DEADLINE,
        mounts={"http://": httpx2.AsyncHTTPTransport(verify=trust)},
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address literal means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str) -> str:
    """The URL, if it is HTTPS or loopback HTTP without credentials; raises `FetchFailed`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise FetchFailed("not a URL") from error
    if not host or "@" in parts.netloc or parts.fragment or not url.isprintable():
        raise FetchFailed("not a plain absolute URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise FetchFailed("neither https nor http on loopback")
    return url


async def fetch_json(http: httpx2.AsyncClient, url: str) -> Mapping[str, Json]:
    """GET a JSON object; raises `FetchFailed`."""
    status, document = await _exchange(http, http.build_request("GET", check_url(url)))
    if status != 200:
        raise FetchFailed(f"HTTP status {status}")
    return document


async def post_form(
    http: httpx2.AsyncClient,
    url: str,
    form: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, Json]]:
    """POST a form; the status and the JSON object that comes back. Raises `FetchFailed`."""
    request = http.build_request("POST", check_url(url), data=dict(form), headers=headers)
    return await _exchange(http, request)


async def _exchange(
    http: httpx2.AsyncClient, request: httpx2.Request
) -> tuple[int, Mapping[str, Json]]:
    try:
        async with asyncio.timeout(DEADLINE):
            status, body = await _answer(http, request)
            return status, read_object(body)
    except TimeoutError as error:
        raise FetchFailed(f"no whole answer within {DEADLINE:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise FetchFailed(type(error).__name__) from error
    except ValueError as error:
        raise FetchFailed("not a JSON object") from error


async def _answer(http: httpx2.AsyncClient, request: httpx2.Request) -> tuple[int, bytes]:
    body = bytearray()
    response = await http.send(request, stream=True)
    try:
        # Raw: a content coding that nobody asked for would be a way round the size bound.
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise FetchFailed(f"larger than {MAX_DOCUMENT} bytes")
    finally:
        await response.aclose()
    return response.status_code, bytes(body)
