"""The approval page: the list, a request, and the form that decides on it. A GET changes nothing.

Whether somebody may decide is asked of the desk, as on every other door.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.errors import Denied, ProtocolError, Refusal
from policies.model import Channel, Principal
from recordings.journal import Journal
from recordings.store import Store
from server.config import Configuration, Issuer
from server.console.descriptions import Descriptions
from server.console.guards import Desk, Form, Guards, redirect, ticket_in
from server.console.id_tokens import IdTokens
from server.console.pages import Pages
from server.console.records import Note
from server.console.sessions import BrowserSession, Sessions
from server.console.sign_in import Client, SignIn, sealing
from server.console.signing import Signing
from server.console.site import Site
from server.console.views import sections, sheet
from server.identity.claims import IssuerSettings
from server.identity.fetch import open_http
from server.identity.jwks import KeyCache
from server.keys import KeyRing, Purpose
from tools.gateway import TicketView

MAX_COMMENT: Final = 2000
CALLBACK: Final = "/approvals/callback"


@dataclass(frozen=True, slots=True)
class Console:
    """The page's endpoints."""

    guards: Guards
    signing: Signing

    def routes(self) -> list[Route]:
        """Every path; all below `/approvals` want a session, but for style and sign-in."""
        get, post = ["GET"], ["POST"]
        anybody, reading, acting = self.guards.anybody, self.guards.reading, self.guards.acting
        return [
            Route("/approvals/style.css", anybody(self._style), methods=get),
            Route("/approvals/login", anybody(self.signing.login), methods=get),
            Route(CALLBACK, anybody(self.signing.callback), methods=get),
            Route("/approvals/logout", acting(self.signing.logout), methods=post),
            Route("/approvals", reading(self._list), methods=get),
            Route("/approvals/{id}", reading(self._show), methods=get),
            Route("/approvals/{id}", acting(self._act), methods=post),
        ]

    async def _style(self, _request: Request) -> Response:
        return self.guards.pages.style_sheet()

    async def _list(self, _request: Request, session: BrowserSession) -> Response:
        tickets = await self.guards.desk.seen_by(session.principal, None)
        content = {"session": session, "sections": sections(session.principal, tickets)}
        return await asyncio.to_thread(self.guards.pages.page, "list", content)

    async def _show(self, request: Request, session: BrowserSession) -> Response:
        ticket = await self.guards.desk.ticket(session.principal, ticket_in(request))
        return await self._ticket(session, ticket)

    async def _act(self, request: Request, session: BrowserSession, form: Form) -> Response:
        ticket = await self.guards.desk.ticket(session.principal, ticket_in(request))
        comment = form.get("comment", "").replace("\r\n", "\n")
        if len(comment) > MAX_COMMENT:
            raise ProtocolError(f"a comment has at most {MAX_COMMENT} characters")
        if not hmac.compare_digest(form.get("digest", "").encode(), ticket.digest.encode()):
            await self.guards.refuse(session, _other_digest())
        try:
            await self._acted(session.principal, ticket.id, form.get("act", ""), comment)
        except Denied as denied:
            now = await self.guards.desk.ticket(session.principal, ticket.id)
            return await self._ticket(session, now, refusal=denied.refusal, comment=comment)
        return redirect(f"{self.guards.site.approvals}/{ticket.id}")

    async def _acted(self, principal: Principal, ticket: str, act: str, comment: str) -> None:
        desk, channel = self.guards.desk, Channel.WEB
        match act:
            case "approve" | "deny":
                approve = act == "approve"
                await desk.decide(
                    principal, ticket, approve=approve, comment=comment, channel=channel
                )
            case "withdraw":
                await desk.withdraw(principal, ticket, comment=comment, channel=channel)
            case "revoke":
                await desk.revoke(principal, ticket, comment=comment, channel=channel)
            case _:
                raise ProtocolError("the form does not say what to do")

    async def _ticket(
        self,
        session: BrowserSession,
        ticket: TicketView,
        *,
        refusal: Refusal | None = None,
        comment: str = "",
    ) -> Response:
        """A request's page; after a refusal, with its words and what was typed.

        In a thread: a long text full of odd characters takes a second; others' calls go on.
        """
        content = {
            "session": session,
            "sheet": await asyncio.to_thread(sheet, ticket),
            "notice": refusal,
            "comment": Markup.escape(comment),  # as it was typed: it is sent again
        }
        status = 403 if refusal else 200
        return await asyncio.to_thread(self.guards.pages.page, "ticket", content, status=status)


def console_url(configuration: Configuration) -> str:
    """The gateway's address where it has the page, empty where it has none."""
    with_page = any(i.console is not None for i in configuration.identity.issuers)
    return configuration.gateway.public_url.rstrip("/") if with_page else ""


@asynccontextmanager
async def open_console(
    configuration: Configuration,
    keys: KeyRing,
    store: Store,
    *,
    journal: Journal,
    desk: Desk,
    admit: Callable[[Principal], None],
    note: Note,
) -> AsyncIterator[Sequence[Route]]:
    """The page's routes while open: none where no issuer has a client for it."""
    issuers = [i for i in configuration.identity.issuers if i.console is not None]
    if not issuers:
        yield []
        return
    async with AsyncExitStack() as lifetime:
        http = await lifetime.enter_async_context(open_http())
        clients = [_client(i, KeyCache(i.issuer, http=http)) for i in issuers]
        for client in clients:
            lifetime.push_async_callback(client.id_tokens.keys.aclose)
        site = Site.of(configuration.gateway.public_url)
        sign_in = SignIn(
            clients={client.issuer: client for client in clients},
            redirect_uri=site.origin + site.base + CALLBACK,
            http=http,
            seal=sealing([key.secret for key in keys.keys[Purpose.REQUEST_STATE]]),
            descriptions=Descriptions(http),
        )
        sessions = Sessions(
            store,
            [key.secret for key in keys.keys[Purpose.TOKEN_HASH]],
            lifetime=timedelta(seconds=configuration.console.session),
            idle=timedelta(seconds=configuration.console.idle),
        )
        guards = Guards(
            site=site,
            pages=Pages.of(site),
            issuers=[i.name for i in issuers],
            sessions=sessions,
            note=note,
            desk=desk,
            admit=admit,
        )
        yield Console(guards, Signing(guards, sign_in, journal)).routes()


def _client(issuer: Issuer, keys: KeyCache) -> Client:
    assert issuer.console is not None  # noqa: S101 -- chosen by it
    named, secret = issuer.console.client_id, issuer.console.client_secret
    settings = IssuerSettings(
        name=issuer.name,
        issuer=issuer.issuer,
        audience=named,  # ID tokens are for the client
        groups_claim=issuer.groups_claim,
        name_claim=issuer.name_claim,
        algorithms=issuer.algorithms,
    )
    return Client(
        name=issuer.name,
        issuer=issuer.issuer,
        client_id=named,
        id_tokens=IdTokens(settings, keys),
        client_secret=secret.resolve() if secret else "",
    )


def _other_digest() -> Refusal:
    return Refusal(
        code="DIGEST_DIFFERS",
        reason="What the form was shown for is not what this request would run.",
        next_step="Open the request again, read it, and decide again.",
    )
