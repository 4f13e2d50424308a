"""The gateway's HTTP API as its user sees it: one token, and our exceptions for its answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx2

from policies.errors import (
    BackendUnavailable,
    ConfigError,
    Denied,
    ProtocolError,
    Refusal,
    Unauthenticated,
)
from server.identity.fetch import FetchFailed, check_url
from server.identity.strict import Json, read_object
from server.identity.token_store import TokenStore

DEFAULT_GATEWAY: Final = "http://127.0.0.1:8000"
_SECONDS: Final = 30.0
_MAX_ANSWER: Final = 16 * 1024 * 1024

Document = Mapping[str, Json]


def gateway_url(argument: str | None, environment: Mapping[str, str]) -> str:
    """The gateway to speak to: the option, the variable or this machine's. Raises `ConfigError`."""
    url = (argument or environment.get("OSTIARY_GATEWAY") or DEFAULT_GATEWAY).rstrip("/")
    try:
        return check_url(url)
    except FetchFailed as error:
        raise ConfigError(f"--gateway {url}: {error}; a token goes nowhere else") from error


def current_token(gateway: str, environment: Mapping[str, str]) -> str:
    """`OSTIARY_TOKEN`, or what `ostiary login` stored. Raises `Unauthenticated`."""
    given = environment.get("OSTIARY_TOKEN", "").strip()
    if given:
        return given
    stored = TokenStore.of_user(environment).load(gateway)
    if stored is None:
        raise Unauthenticated(f"you are not signed in to {gateway}: run `ostiary login`")
    if stored.expires_at is not None and stored.expires_at <= time.time():
        raise Unauthenticated("your sign-in has expired: run `ostiary login`")
    return stored.token


@dataclass(frozen=True, slots=True)
class GatewayClient:
    """Requests to one gateway."""

    http: httpx2.Client
    gateway: str

    def get(self, *path: str, **query: str) -> Document:
        """GET one document; each part of the path is quoted."""
        return self._document(self.http.build_request("GET", _path(path), params=query))

    def post(self, *path: str, body: Document) -> Document:
        """POST a document and read the answer."""
        return self._document(self.http.build_request("POST", _path(path), json=dict(body)))

    def lines(self, *path: str, **query: str) -> Iterator[bytes]:
        """GET a stream of lines. Raises `BackendUnavailable` if it ends before its end."""
        request = self.http.build_request("GET", _path(path), params=query)
        # A watch is silent for as long as nothing happens.
        request.extensions["timeout"] = httpx2.Timeout(_SECONDS, read=None).as_dict()
        yield from self._lines(request)

    def post_lines(self, *path: str, body: Document, patience: float = _SECONDS) -> Iterator[bytes]:
        """POST a document and read the answer's lines; `patience` is seconds between two."""
        request = self.http.build_request("POST", _path(path), json=dict(body))
        request.extensions["timeout"] = httpx2.Timeout(_SECONDS, read=patience).as_dict()
        yield from self._lines(request)

    def _lines(self, request: httpx2.Request) -> Iterator[bytes]:
        with self._sent(request) as response:
            rest = b""
            for chunk in response.iter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
            if rest:
                raise ProtocolError("the gateway's answer ends in the middle of a line")

    def _document(self, request: httpx2.Request) -> Document:
        with self._sent(request) as response:
            return _read(response)

    @contextmanager
    def _sent(self, request: httpx2.Request) -> Iterator[httpx2.Response]:
        try:
            response = self.http.send(request, stream=True)
            try:
                if response.status_code != 200:
                    raise _refusal_in(response)
                yield response
            finally:
                response.close()
        except httpx2.ConnectError as error:
            raise BackendUnavailable(
                f"no gateway answers at {self.gateway}: is it running? Choose one with --gateway"
            ) from error
        except httpx2.HTTPError as error:
            raise BackendUnavailable(f"the gateway's answer broke off: {error!r}") from error


@contextmanager
def open_gateway(argument: str | None, environment: Mapping[str, str]) -> Iterator[GatewayClient]:
    """A client with the user's token. Raises `ConfigError`, `Unauthenticated`."""
    gateway = gateway_url(argument, environment)
    headers = {
        "Authorization": f"Bearer {_clean(current_token(gateway, environment))}",
        "Accept-Encoding": "identity",
    }
    trust = httpx2.create_ssl_context()
    with httpx2.Client(
        base_url=gateway,
        headers=headers,
        verify=trust,
        timeout=_SECONDS,
        follow_redirects=False,
        mounts={"http://": httpx2.HTTPTransport(verify=trust)},
    ) as http:
        yield GatewayClient(http, gateway)


def _clean(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Unauthenticated("OSTIARY_TOKEN holds no token: it has characters that no token has")
    return token


def _path(parts: tuple[str, ...]) -> str:
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def _read(response: httpx2.Response) -> Document:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise ProtocolError("the gateway's answer is too large")
    try:
        return read_object(bytes(body))
    except ValueError as error:
        raise ProtocolError("this is not an Ostiary gateway: its answer is not JSON") from error


def _refusal_in(response: httpx2.Response) -> Exception:
    match _read(response):
        case {
            "error": {
                "code": str(code),
                "reason": str(reason),
                "next_step": str(next_step),
                "policy": str(policy),
                "subject": str(subject),
            }
        }:
            pass
        case _:
            return ProtocolError(f"the gateway answered with HTTP status {response.status_code}")
    match response.status_code:
        case 401:
            return Unauthenticated(f"{reason} ({next_step})")
        case 403 | 404:
            return Denied(Refusal(code, reason, next_step, policy, subject))
        case 500 | 503:
            return BackendUnavailable(reason)
        case _:
            return ProtocolError(reason)
