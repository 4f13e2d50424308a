"""One request to one receiver, and what its answer means. Follows no redirect, reads no body."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final

import httpx2
import orjson

from policies.errors import ConfigError
from recordings.journal import Json
from server.identity.fetch import FetchFailed, check_url
from server.references import Secret
from server.webhooks.settings import Webhook
from server.webhooks.signing import signed_headers, signing_keys

LONGEST_RETRY_AFTER: Final = 86_400.0  # seconds

_LOGS_URLS: Final = ("httpx2", "httpcore2")
"""Libraries that log whole URLs below the level of a warning; a URL may be a secret itself."""

_ASKING_TO_WAIT: Final = (429, 503)
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver answered with a status of success."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It did not. `why` holds nothing of the URL and nothing that the receiver wrote.

    `wait` is how many seconds it asked for; `gone`: it wants no more of this.
    """

    why: str
    wait: float = 0.0
    gone: bool = False


Outcome = Delivered | Refused


@dataclass(frozen=True, slots=True)
class Sender:
    """Posts documents, each within `timeout` seconds."""

    http: httpx2.AsyncClient
    timeout: float

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, timeout: float, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Sender]:
        """HTTPS may go through the proxy of the environment; loopback HTTP never does.

        `tls`: other roots of trust.
        """
        for library in _LOGS_URLS:
            logging.getLogger(library).setLevel(logging.WARNING)
        trust = tls or httpx2.create_ssl_context()
        async with httpx2.AsyncClient(
            verify=trust,
            follow_redirects=False,
            timeout=timeout,
            mounts={"http://": httpx2.AsyncHTTPTransport(verify=trust)},
            headers={"User-Agent": f"Ostiary/{version('ostiary')}", "Accept-Encoding": "identity"},
        ) as http:
            yield cls(http, timeout)

    async def post(
        self, webhook: Webhook, document: Mapping[str, Json], *, identifier: str, now: datetime
    ) -> Outcome:
        """Send it, signed with the time `now`. Never raises for the receiver or a secret."""
        try:
            request = self._request(webhook, document, identifier, now)
        except (ConfigError, FetchFailed) as error:
            return Refused(str(error))
        except httpx2.InvalidURL:
            return Refused("not a URL")
        try:
            async with asyncio.timeout(self.timeout):
                response = await self.http.send(request, stream=True)
                await response.aclose()
        except (TimeoutError, httpx2.TimeoutException):
            return Refused(f"no answer within {self.timeout:g} s")
        except httpx2.HTTPError as error:
            return Refused(f"no connection ({type(error).__name__})")
        return _outcome(response, now)

    def _request(
        self, webhook: Webhook, document: Mapping[str, Json], identifier: str, now: datetime
    ) -> httpx2.Request:
        body = orjson.dumps(document)
        headers = {"Content-Type": "application/json"}
        if webhook.secret is not None:
            keys = signing_keys(webhook.secret.resolve())
            seconds = int(now.timestamp())
            headers |= signed_headers(keys, identifier=identifier, seconds=seconds, body=body)
        return self.http.build_request("POST", address(webhook), content=body, headers=headers)


def check_webhook(webhook: Webhook) -> None:
    """Raises `ConfigError` where its URL or its secret is not there, or not what it should be."""
    try:
        address(webhook)
        if webhook.secret is not None:
            signing_keys(webhook.secret.resolve())
    except (ConfigError, FetchFailed) as error:
        raise ConfigError(f"the webhook {webhook.name}: {error}") from None


def address(webhook: Webhook) -> str:
    """The receiver's URL, read now. Raises `ConfigError`, `FetchFailed`; neither repeats it."""
    written = webhook.url.resolve() if isinstance(webhook.url, Secret) else webhook.url
    return check_url(written)


def _outcome(response: httpx2.Response, now: datetime) -> Outcome:
    status = response.status_code
    if response.is_success:
        return Delivered()
    why = f"HTTP status {status}"
    if response.has_redirect_location:
        why += ": redirects are not followed, write the receiver's own URL"
    wait = _retry_after(response, now) if status in _ASKING_TO_WAIT else 0.0
    return Refused(why, wait, gone=status == _GONE)


def _retry_after(response: httpx2.Response, now: datetime) -> float:
    """Seconds, from seconds or a date (RFC 9110 section 10.2.3); 0 where it says neither."""
    written = response.headers.get("retry-after", "").strip()
    if written.isascii() and written.isdecimal():
        return min(float(written[:9]), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(written)
    except ValueError:
        return 0.0
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), LONGEST_RETRY_AFTER)
