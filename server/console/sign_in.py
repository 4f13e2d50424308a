"""Sign-in of a browser: the authorization code flow with PKCE, state and nonce (OpenID Connect).

What the browser must bring back travels in a sealed cookie: before somebody has signed in, nothing
is kept here, so that nobody can fill the store. Not in here: the session that follows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

import httpx2
import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from policies.errors import BackendUnavailable, Unauthenticated
from policies.model import Principal
from server.console.descriptions import Descriptions
from server.console.id_tokens import IdTokens
from server.identity.discovery import endpoint
from server.identity.fetch import FetchFailed, post_form
from server.identity.strict import Json, write_base64url

SCOPE: Final = "openid profile email"
SIGN_IN_SECONDS: Final = 600
"""How long the way through the identity provider may take."""

_MAX_CODE: Final = 4096


@dataclass(frozen=True, slots=True)
class Client:
    """The page's client at one issuer. `name` is the issuer's, as principals' ids begin."""

    name: str
    issuer: str
    client_id: str
    id_tokens: IdTokens
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and what to put into its cookie."""

    url: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Who signed in, and the ticket that they wanted to see, empty for the list."""

    principal: Principal
    ticket: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one sign-in must come back with."""

    issuer: str
    ticket: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """Signs browsers in at the issuers that have a client. `redirect_uri` is the page's own."""

    clients: Mapping[str, Client]
    redirect_uri: str
    http: httpx2.AsyncClient
    seal: MultiFernet = field(repr=False)
    descriptions: Descriptions

    async def start(self, client: Client, *, ticket: str) -> Started:
        """Begin at one issuer. Raises `BackendUnavailable` where it can't be reached."""
        described = await self._described(client)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        attempt = _Attempt(client.issuer, ticket, state, nonce, verifier)
        question = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": write_base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        where = _endpoint(described, "authorization_endpoint")
        url = f"{where}{'&' if '?' in where else '?'}{urlencode(question)}"
        return Started(url, self.seal.encrypt(orjson.dumps(attempt)).decode())

    async def finish(self, sealed: str, answer: Mapping[str, str]) -> Finished:
        """Check what came back and redeem the code.

        Raises `Unauthenticated`, whose text is for the log, `Denied` where the issuer left the
        groups out, and `BackendUnavailable`.
        """
        attempt = self._opened(sealed)
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise Unauthenticated("state: of another sign-in")
        client = self.clients.get(attempt.issuer)
        if client is None:
            raise Unauthenticated("issuer: not configured any more")
        described = await self._described(client)
        code = _code(answer, described, client)
        token = await self._redeem(client, described, code=code, verifier=attempt.verifier)
        principal = await client.id_tokens.principal(token, nonce=attempt.nonce)
        return Finished(principal, attempt.ticket)

    def _opened(self, sealed: str) -> _Attempt:
        try:
            opened = self.seal.decrypt(sealed.encode(), ttl=SIGN_IN_SECONDS)
            return _Attempt(**orjson.loads(opened))
        except (InvalidToken, ValueError, TypeError) as error:
            raise Unauthenticated("cookie: missing, too old or not ours") from error

    async def _described(self, client: Client) -> Mapping[str, Json]:
        try:
            return await self.descriptions.of(client.issuer)
        except FetchFailed as error:
            raise BackendUnavailable(
                f"the identity provider {client.name} can't be used now; try again"
            ) from error

    async def _redeem(
        self, client: Client, described: Mapping[str, Json], *, code: str, verifier: str
    ) -> str:
        """The ID token for a code, from the issuer's token endpoint."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": client.client_id,
            "code_verifier": verifier,
        }
        proof, headers = _client_proof(client, described)
        where = _endpoint(described, "token_endpoint")
        try:
            status, tokens = await post_form(self.http, where, form | proof, headers=headers)
        except FetchFailed as error:
            raise BackendUnavailable(
                f"the identity provider {client.name} can't be used now; try again"
            ) from error
        token = tokens.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise Unauthenticated(f"code: not redeemed (HTTP status {status})")
        return token


def sealing(keys: Sequence[bytes]) -> MultiFernet:
    """What seals the cookie of a sign-in under way; keys of this use alone, from the ring's."""
    derived = (hmac.digest(key, b"ostiary approval page sign-in", "sha256") for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])


def _endpoint(described: Mapping[str, Json], name: str) -> str:
    try:
        return endpoint(described, name)
    except FetchFailed as error:
        raise BackendUnavailable("the identity provider can't be used: its description") from error


def _code(answer: Mapping[str, str], described: Mapping[str, Json], client: Client) -> str:
    """The code, if this issuer sent it and not another (RFC 9207)."""
    says_who = described.get("authorization_response_iss_parameter_supported") is True
    if answer.get("iss", "" if says_who else client.issuer) != client.issuer:
        raise Unauthenticated("iss: the answer comes from another issuer than was asked")
    code = answer.get("code", "")
    if "error" in answer or not 0 < len(code) <= _MAX_CODE:
        raise Unauthenticated("code: none; the identity provider refused")
    return code


def _client_proof(
    client: Client, described: Mapping[str, Json]
) -> tuple[dict[str, str], dict[str, str]]:
    """What proves the client: form fields and headers (RFC 6749 section 2.3.1)."""
    if not client.client_secret:
        return {}, {}
    # OpenID Connect Discovery section 3: without a list, only client_secret_basic is meant.
    methods = described.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if isinstance(methods, list) and "client_secret_basic" in methods:
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        return {}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {"client_secret": client.client_secret}, {}
