"""Signing in and out of the approval page, as endpoints. How a sign-in is checked: `sign_in`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from policies.errors import Denied, ProtocolError, Unauthenticated
from recordings.journal import Journal
from server.console.guards import SESSION, Form, Guards, redirect, ticket_or_none
from server.console.records import signed_in, signed_out
from server.console.sessions import BrowserSession
from server.console.sign_in import SIGN_IN_SECONDS, SignIn
from server.console.site import read_fields

_log = logging.getLogger(__name__)

SIGNING_IN: Final = "signing_in"
_TRY_AGAIN: Final = "That sign-in did not work. Nothing was changed; try again."


@dataclass(frozen=True, slots=True)
class Signing:
    """The endpoints. A session begins under a new id, whatever the browser had before."""

    guards: Guards
    sign_in: SignIn
    journal: Journal

    async def login(self, request: Request) -> Response:
        """Lead the browser to an identity provider; nothing is kept here meanwhile."""
        query = read_fields(request.scope["query_string"])
        clients = [c for c in self.sign_in.clients.values() if c.name == query.get("issuer")]
        if not clients:
            return self.guards.message(404, "There is no such identity provider here")
        ticket = ticket_or_none(query.get("ticket", ""))
        started = await self.sign_in.start(clients[0], ticket=ticket)
        answer = redirect(started.url)
        site = self.guards.site
        site.set_cookie(answer, SIGNING_IN, started.sealed, seconds=SIGN_IN_SECONDS)
        return answer

    async def callback(self, request: Request) -> Response:
        """The browser comes back from the identity provider, signed in or not."""
        try:
            answer = await self._signed_in(request)
        except (Unauthenticated, ProtocolError) as error:
            _log.info("sign-in to the approval page refused: %s", error)
            self.guards.failed(str(error))
            answer = self.guards.ask_to_sign_in(notice=_TRY_AGAIN, status=403)
        except Denied as denied:
            self.guards.failed(denied.refusal.code)
            raise
        self.guards.site.drop_cookie(answer, SIGNING_IN)
        return answer

    async def logout(self, _request: Request, session: BrowserSession, _form: Form) -> Response:
        await self.guards.sessions.close(session.id)
        await self.journal.accept(signed_out(session.principal))
        answer = redirect(self.guards.site.approvals)
        self.guards.site.drop_cookie(answer, SESSION)
        return answer

    async def _signed_in(self, request: Request) -> Response:
        site, sessions = self.guards.site, self.guards.sessions
        sealed = request.cookies.get(site.cookie(SIGNING_IN), "")
        fields = read_fields(request.scope["query_string"])
        finished = await self.sign_in.finish(sealed, fields)
        self.guards.admit(finished.principal)
        await self.journal.commit(signed_in(finished.principal))
        before = await self.guards.session(request)
        if before is not None:
            await sessions.close(before.id)
        session = await sessions.open(finished.principal)
        below = f"/{finished.ticket}" if finished.ticket else ""
        answer = redirect(f"{site.approvals}{below}")
        lifetime = int(sessions.lifetime.total_seconds())
        site.set_cookie(answer, SESSION, session.id, seconds=lifetime)
        return answer
