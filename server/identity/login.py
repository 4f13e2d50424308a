"""Sign in from the command line: in the browser (code flow with PKCE), or by a device code.

The gateway says which issuer and client to use; the token that comes back is the user's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import httpx2

from policies.errors import BackendUnavailable, ProtocolError, Unauthenticated
from server.identity.discovery import discover, endpoint
from server.identity.fetch import FetchFailed, check_url, fetch_json, post_form
from server.identity.jose import Malformed, take_apart
from server.identity.redirect import expect_redirect
from server.identity.strict import Json, write_base64url

SCOPE: Final = "openid profile email"
BROWSER_SECONDS: Final = 300.0
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

Tell = Callable[[str], object]
"""Shows one line to the person who signs in; it escapes what it shows."""

Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Offer:
    """Where a gateway's users sign in, and what the token must be for (RFC 8707)."""

    issuer: str
    client_id: str
    resource: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An access token; `expires_at` in seconds since 1970, `None` where the issuer did not say."""

    token: str
    expires_at: float | None


async def read_offer(http: httpx2.AsyncClient, gateway: str, issuer_name: str | None) -> Offer:
    """Ask the gateway where to sign in. Raises `BackendUnavailable`, `ProtocolError`."""
    try:
        answer = await fetch_json(http, gateway.rstrip("/") + "/api/login")
    except FetchFailed as error:
        raise BackendUnavailable(f"the gateway does not say where to sign in: {error}") from error
    match answer:
        case {"resource": str(resource), "issuers": list(issuers)}:
            named = [_offer(each, resource) for each in issuers if _is(each, issuer_name)]
        case _:
            raise ProtocolError("this is not an Ostiary gateway")
    if len(named) != 1:
        raise ProtocolError("the gateway has several issuers, or none of this name: use --issuer")
    return named[0]


def _is(issuer: Json, name: str | None) -> bool:
    return isinstance(issuer, dict) and name in (None, issuer.get("name"))


def _offer(issuer: Json, resource: str) -> Offer:
    match issuer:
        case {"issuer": str(url), "client_id": str(client_id)} if client_id:
            return Offer(url, client_id, resource)
        case _:
            raise ProtocolError("the gateway names no client id for this issuer")


async def sign_in_with_browser(
    http: httpx2.AsyncClient, offer: Offer, *, tell: Tell, open_browser: Callable[[str], object]
) -> SignedIn:
    """The authorization code flow with PKCE, state and nonce, to a loopback redirect.

    Raises `Unauthenticated`, `BackendUnavailable`, `ProtocolError`.
    """
    described = await _described(http, offer)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    async with expect_redirect(state) as redirect:
        question = {
            "response_type": "code",
            "client_id": offer.client_id,
            "redirect_uri": redirect.uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": write_base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "resource": offer.resource,
        }
        url = f"{_endpoint(described, 'authorization_endpoint')}?{urlencode(question)}"
        tell(f"Sign in here: {url}")
        open_browser(url)
        answer = await _within(redirect.answer)
    _check_answer(answer, described, offer)
    tokens = await _redeem(
        http,
        described,
        {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect.uri,
            "client_id": offer.client_id,
            "code_verifier": verifier,
            "resource": offer.resource,
        },
    )
    _check_id_token(tokens, offer, nonce)
    return _signed_in(tokens)


async def sign_in_with_device(
    http: httpx2.AsyncClient, offer: Offer, *, tell: Tell, wait: Wait = asyncio.sleep
) -> SignedIn:
    """The device flow (RFC 8628): the person types a code on another screen.

    Raises `Unauthenticated`, `BackendUnavailable`, `ProtocolError`.
    """
    described = await _described(http, offer)
    asked = {"client_id": offer.client_id, "scope": SCOPE, "resource": offer.resource}
    status, answer = await _post(http, _endpoint(described, "device_authorization_endpoint"), asked)
    match answer:
        case {"device_code": str(code), "user_code": str(shown), "verification_uri": str(page)}:
            tell(f"Open {_checked(page)} and enter the code {shown}")
        case _:
            raise ProtocolError(f"the issuer refused the device flow (HTTP status {status})")
    form = {
        "grant_type": DEVICE_GRANT,
        "device_code": code,
        "client_id": offer.client_id,
        "resource": offer.resource,
    }
    return await _poll(http, described, form, asked=answer, wait=wait)


async def _poll(
    http: httpx2.AsyncClient,
    described: Mapping[str, Json],
    form: Mapping[str, str],
    *,
    asked: Mapping[str, Json],
    wait: Wait,
) -> SignedIn:
    interval = _number(asked, "interval", otherwise=5.0)
    left = _number(asked, "expires_in", otherwise=600.0)
    while left > 0:
        await wait(interval)
        left -= interval
        status, answer = await _post(http, _endpoint(described, "token_endpoint"), form)
        match answer.get("error"):
            case None if status == 200:
                return _signed_in(answer)
            case "authorization_pending":
                pass
            case "slow_down":
                interval += 5  # RFC 8628 section 3.5
            case refusal:
                raise Unauthenticated(f"sign-in was refused: {str(refusal)[:64]}")
    raise Unauthenticated("nobody signed in before the code ran out")


async def _described(http: httpx2.AsyncClient, offer: Offer) -> Mapping[str, Json]:
    try:
        return await discover(http, offer.issuer)
    except FetchFailed as error:
        raise BackendUnavailable(f"the identity provider can't be used: {error}") from error


def _endpoint(described: Mapping[str, Json], name: str) -> str:
    try:
        return endpoint(described, name)
    except FetchFailed as error:
        raise ProtocolError(f"the identity provider: {error}") from error


def _checked(page: str) -> str:
    try:
        return check_url(page)
    except FetchFailed as error:
        raise ProtocolError("the identity provider names no page that is safe to open") from error


async def _within(answer: asyncio.Future[Mapping[str, str]]) -> Mapping[str, str]:
    try:
        async with asyncio.timeout(BROWSER_SECONDS):
            return await answer
    except TimeoutError as error:
        raise Unauthenticated("nobody signed in within five minutes") from error


def _check_answer(answer: Mapping[str, str], described: Mapping[str, Json], offer: Offer) -> None:
    """The state has been checked; here, that this issuer answered, and not another (RFC 9207)."""
    says_who = described.get("authorization_response_iss_parameter_supported") is True
    if answer.get("iss", "" if says_who else offer.issuer) != offer.issuer:
        raise Unauthenticated("the answer comes from another issuer than was asked")
    if "error" in answer or not answer.get("code"):
        raise Unauthenticated(f"sign-in was refused: {answer.get('error', 'no code')[:64]}")


async def _redeem(
    http: httpx2.AsyncClient, described: Mapping[str, Json], form: Mapping[str, str]
) -> Mapping[str, Json]:
    status, tokens = await _post(http, _endpoint(described, "token_endpoint"), form)
    if status != 200:
        raise Unauthenticated(f"sign-in was refused: {str(tokens.get('error'))[:64]}")
    return tokens


async def _post(
    http: httpx2.AsyncClient, url: str, form: Mapping[str, str]
) -> tuple[int, Mapping[str, Json]]:
    try:
        return await post_form(http, url, form)
    except FetchFailed as error:
        raise BackendUnavailable(f"the identity provider can't be used: {error}") from error


def _check_id_token(tokens: Mapping[str, Json], offer: Offer, nonce: str) -> None:
    """The sign-in is the one that was asked for.

    The ID token came from the token endpoint itself, which stands for its signature (OpenID
    Connect Core section 3.1.3.7, point 6); the gateway verifies the access token's.
    """
    try:
        claims = take_apart(str(tokens.get("id_token"))).claims
    except Malformed as error:
        raise Unauthenticated("the issuer sent no readable ID token") from error
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != offer.issuer or offer.client_id not in audiences:
        raise Unauthenticated("the ID token is for somebody else")
    if claims.get("nonce") != nonce:
        raise Unauthenticated("the ID token belongs to another sign-in")


def _signed_in(tokens: Mapping[str, Json]) -> SignedIn:
    token, kind = tokens.get("access_token"), tokens.get("token_type")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise ProtocolError("the issuer sent no access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ProtocolError("the issuer sent a token that is no bearer token")
    lifetime = _number(tokens, "expires_in", otherwise=0.0)
    return SignedIn(token, time.time() + lifetime if lifetime else None)


def _number(document: Mapping[str, Json], name: str, *, otherwise: float) -> float:
    value = document.get(name)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9
    return float(value) if fits and isinstance(value, int | float) else otherwise
