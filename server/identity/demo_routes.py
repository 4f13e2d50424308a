"""The demo provider over HTTP: discovery, keys, sign-in by code with PKCE and by device code."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server.identity.demo import CLIENT_ID, CONSOLE_CLIENT_ID, TOKEN_SECONDS, DemoProvider
from server.identity.demo_grants import (
    CODE_SECONDS,
    DEVICE_SECONDS,
    POLL_SECONDS,
    CodeGrant,
    DeviceGrant,
    FormSeal,
    Shelf,
    challenge_of,
    new_user_code,
    sign_in_device,
)
from server.identity.demo_pages import Choice, message_page, sign_in_page
from server.identity.fetch import is_loopback
from server.identity.strict import Json

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_BROWSER_COOKIE: Final = "demo_identity_browser"
_MAX_FORM: Final = 16 * 1024

# One host and one path, any port (RFC 8252 section 7.3): nowhere else can a code go.
_LOOPBACK_REDIRECT: Final = re.compile(r"http://127\.0\.0\.1:[0-9]{1,5}/callback")

_Short = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class SignInQuestion(BaseModel):
    """An authorization request (RFC 6749 section 4.1.1 with RFC 7636); S256 only."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    response_type: Literal["code"]
    client_id: Literal["ostiary-cli", "ostiary-console"]
    redirect_uri: Annotated[str, StringConstraints(max_length=128)]
    state: _Short
    nonce: _Short | None = None
    code_challenge: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    code_challenge_method: Literal["S256"]

    def leads_to(self, console: str) -> bool:
        """Whether the code goes where this client may have it: the console to its own page."""
        if self.client_id == CONSOLE_CLIENT_ID:
            return self.redirect_uri == console
        return _LOOPBACK_REDIRECT.fullmatch(self.redirect_uri) is not None


class OnlyLoopback:
    """Answers only callers on this machine who also named this machine (no DNS rebinding)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_local(scope):
            refusal = PlainTextResponse("this demo provider answers loopback only\n", 403)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    peer = scope.get("client")
    named = urlsplit("//" + Headers(scope=scope).get("host", "")).hostname
    return peer is not None and is_loopback(peer[0]) and is_loopback(named or "")


class DemoRoutes:
    """The endpoints over one provider; codes live in memory and end with the process."""

    def __init__(self, provider: DemoProvider) -> None:
        self._provider = provider
        self._seal = FormSeal()
        self._codes: Shelf[CodeGrant] = Shelf(CODE_SECONDS, provider.now)
        self._devices: Shelf[DeviceGrant] = Shelf(DEVICE_SECONDS, provider.now)

    def app(self) -> ASGIApp:
        """The provider as an ASGI application."""
        routes = [
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/.well-known/oauth-authorization-server", self.discovery),
            Route("/jwks", self.jwks),
            Route("/authorize", self.show_sign_in, methods=["GET"]),
            Route("/authorize", self.sign_in, methods=["POST"]),
            Route("/device", self.show_device, methods=["GET"]),
            Route("/device", self.device, methods=["POST"]),
            Route("/device_authorization", self.device_authorization, methods=["POST"]),
            Route("/token", self.token, methods=["POST"]),
        ]
        return OnlyLoopback(Starlette(routes=routes))

    async def discovery(self, request: Request) -> Response:
        issuer = self._provider.issuer
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "device_authorization_endpoint": f"{issuer}/device_authorization",
                "jwks_uri": f"{issuer}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", DEVICE_GRANT],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "scopes_supported": ["openid", "profile", "email"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def jwks(self, request: Request) -> Response:
        return JSONResponse(self._provider.key_set())

    async def show_sign_in(self, request: Request) -> Response:
        question = self._question(dict(request.query_params))
        if question is None:
            return message_page("This sign-in link is not complete or not allowed.", status=400)
        hidden = {name: value for name, value in question.model_dump().items() if value}
        return self._form(request, path="/authorize", hidden=hidden)

    async def sign_in(self, request: Request) -> Response:
        form = await self._sealed_form(request)
        if form is None:
            return message_page("This form was not shown to this browser.", status=403)
        question = self._question(form)
        if question is None:
            return message_page("This sign-in is not complete or not allowed.", status=400)
        if form.get("account") not in self._provider.accounts:
            return message_page("There is no such account.", status=400)
        return self._back_to_client(question, form["account"])

    def _question(self, fields: Mapping[str, str]) -> SignInQuestion | None:
        """The authorization request, if it is whole and its code would go where it may."""
        try:
            question = SignInQuestion.model_validate(fields)
        except ValidationError:
            return None
        return question if question.leads_to(self._provider.console_redirect) else None

    def _back_to_client(self, question: SignInQuestion, account: str) -> Response:
        code = self._codes.keep(
            CodeGrant(
                account=account,
                redirect_uri=question.redirect_uri,
                challenge=question.code_challenge,
                nonce=question.nonce,
                client=question.client_id,
            )
        )
        # `iss` tells the client which provider answered (RFC 9207).
        answer = {"code": code, "state": question.state, "iss": self._provider.issuer}
        return RedirectResponse(f"{question.redirect_uri}?{urlencode(answer)}", status_code=303)

    async def show_device(self, request: Request) -> Response:
        code = request.query_params.get("user_code", "")[:16]
        return self._form(request, path="/device", shown={"user_code": code})

    async def device(self, request: Request) -> Response:
        form = await self._sealed_form(request)
        if form is None:
            return message_page("This form was not shown to this browser.", status=403)
        account, code = form.get("account", ""), form.get("user_code", "").strip().upper()
        known = account in self._provider.accounts
        if not known or not sign_in_device(self._devices, code, account):
            return message_page("No device waits with this code, or it is over.", status=400)
        return message_page("Signed in. You can go back to the terminal.", status=200)

    async def device_authorization(self, request: Request) -> Response:
        form = await _read_form(request)
        if form.get("client_id") != CLIENT_ID:
            return _refuse("invalid_client")
        grant = DeviceGrant(new_user_code())
        page = f"{self._provider.issuer}/device"
        return JSONResponse(
            {
                "device_code": self._devices.keep(grant),
                "user_code": grant.user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={grant.user_code}",
                "expires_in": int(DEVICE_SECONDS),
                "interval": POLL_SECONDS,
            }
        )

    async def token(self, request: Request) -> Response:
        form = await _read_form(request)
        if form.get("client_id") not in (CLIENT_ID, CONSOLE_CLIENT_ID):
            return _refuse("invalid_client")
        if form.get("resource", self._provider.audience) != self._provider.audience:
            return _refuse("invalid_target")
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem_code(form)
            case "urn:ietf:params:oauth:grant-type:device_code":
                return self._redeem_device(form.get("device_code", ""))
            case _:
                return _refuse("unsupported_grant_type")

    def _redeem_code(self, form: Mapping[str, str]) -> Response:
        grant = self._codes.take(form.get("code", ""))
        if grant is None or grant.redirect_uri != form.get("redirect_uri"):
            return _refuse("invalid_grant")
        if grant.client != form.get("client_id"):
            return _refuse("invalid_grant")
        if grant.challenge != challenge_of(form.get("code_verifier", "")):
            return _refuse("invalid_grant")
        client = grant.client
        proof = self._provider.id_token(grant.account, nonce=grant.nonce, client=client)
        return self._tokens(grant.account, {"id_token": proof}, agent=client)

    def _redeem_device(self, code: str) -> Response:
        grant = self._devices.look(code)
        if grant is None:
            return _refuse("expired_token")
        if grant.account is None:
            return _refuse("authorization_pending")
        self._devices.take(code)
        return self._tokens(grant.account, {})

    def _tokens(self, account: str, extra: dict[str, Json], *, agent: str = CLIENT_ID) -> Response:
        access = self._provider.token(account, seconds=TOKEN_SECONDS, agent=agent)
        answer: dict[str, Json] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
        }
        return JSONResponse(answer | extra, headers={"Cache-Control": "no-store"})

    def _form(
        self,
        request: Request,
        *,
        path: str,
        hidden: Mapping[str, str] | None = None,
        shown: Mapping[str, str] | None = None,
    ) -> Response:
        browser = request.cookies.get(_BROWSER_COOKIE) or secrets.token_urlsafe(32)
        page = sign_in_page(
            path=path,
            asked="Sign in to Ostiary as:",
            choices=[Choice(a.name, a.description) for a in self._provider.accounts.values()],
            hidden={**(hidden or {}), "form_token": self._seal.token(browser)},
            shown=shown,
        )
        page.set_cookie(_BROWSER_COOKIE, browser, httponly=True, samesite="strict")
        return page

    async def _sealed_form(self, request: Request) -> dict[str, str] | None:
        form = await _read_form(request)
        browser = request.cookies.get(_BROWSER_COOKIE, "")
        sealed = self._seal.fits(browser=browser, token=form.pop("form_token", ""))
        return form if sealed else None


def _refuse(code: str) -> Response:
    return JSONResponse({"error": code}, status_code=400, headers={"Cache-Control": "no-store"})


async def _read_form(request: Request) -> dict[str, str]:
    """The fields of a small form; none at all if it is too big or names one twice."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            return {}
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=32)
    except ValueError:
        return {}
    form = dict(pairs)
    return form if len(form) == len(pairs) else {}
