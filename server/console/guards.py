"""Who may go on: the right host, a session, a form of one's own. And words for what is refused."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from policies.errors import BackendUnavailable, Denied, ProtocolError, Refusal
from policies.model import Channel, Principal
from server.console.pages import HEADERS, Pages
from server.console.records import Note, sign_in_failed
from server.console.sessions import BrowserSession, Sessions
from server.console.site import Site, form_token_fits, read_form
from tools.gateway import TicketView

_log = logging.getLogger(__name__)

SESSION: Final = "session"
"""The name of the session's cookie, before the site gives it a prefix."""

_TICKET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_BLOCKED: Final = frozenset({"AGENT_BLOCKED", "PERSON_BLOCKED"})
_STATUS: Final = {"TICKET_UNKNOWN": 404, "RATE_LIMITED": 429}

Form = Mapping[str, str]
Endpoint = Callable[[Request], Awaitable[Response]]
Reading = Callable[[Request, BrowserSession], Awaitable[Response]]
Acting = Callable[[Request, BrowserSession, Form], Awaitable[Response]]


class Desk(Protocol):
    """What the page asks of the gateway. Each raises `Denied` for what one may not see or do."""

    async def ticket(self, principal: Principal, ticket: str) -> TicketView: ...

    async def seen_by(self, principal: Principal, state: str | None) -> Sequence[TicketView]: ...

    async def decide(
        self, principal: Principal, ticket: str, *, approve: bool, comment: str, channel: Channel
    ) -> TicketView: ...

    async def withdraw(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView: ...

    async def revoke(
        self, principal: Principal, ticket: str, *, comment: str, channel: Channel
    ) -> TicketView: ...

    async def refused(self, principal: Principal, tool: str, refusal: Refusal) -> None: ...


@dataclass(frozen=True, slots=True)
class Guards:
    """What stands before each endpoint. `issuers` are the names of those to sign in with.

    `admit` raises `Denied` for whoever is blocked, or asks too often.
    """

    site: Site
    pages: Pages
    issuers: Sequence[str]
    sessions: Sessions
    note: Note
    desk: Desk
    admit: Callable[[Principal], None]

    def anybody(self, endpoint: Endpoint) -> Endpoint:
        """Whoever asks. The gateway's boundary has checked the host that the request names."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Exception as error:  # noqa: BLE001 -- the connection boundary
                return self._answer_to(error)

        return answer

    def reading(self, endpoint: Reading) -> Endpoint:
        """Who is signed in; others are asked to."""

        async def answer(request: Request) -> Response:
            session = await self.session(request)
            if session is None:
                return self.ask_to_sign_in(ticket=ticket_in(request))
            return await self._admitted(session) or await endpoint(request, session)

        return self.anybody(answer)

    def acting(self, endpoint: Acting) -> Endpoint:
        """Who is signed in and sends a form that this very session was shown."""

        async def answer(request: Request) -> Response:
            form = await read_form(request)  # first: it may take longer than the session lasts
            session = await self.session(request)
            if session is None:
                self.failed("a form without a session")
                notice = "Your session is over. Nothing was changed."
                return self.ask_to_sign_in(ticket=ticket_in(request), notice=notice, status=403)
            await self._require_own(request, session, form)
            return await self._admitted(session) or await endpoint(request, session, form)

        return self.anybody(answer)

    async def session(self, request: Request) -> BrowserSession | None:
        """Who is signed in, if it is through an issuer that people may still sign in with."""
        value = request.cookies.get(self.site.cookie(SESSION), "")
        found = await self.sessions.find(value) if _COOKIE.fullmatch(value) else None
        if found is None or found.principal.id.partition(":")[0] not in self.issuers:
            return None
        return found

    async def _require_own(self, request: Request, session: BrowserSession, form: Form) -> None:
        if not self.site.sent(request) or not form_token_fits(form, session.form_token):
            await self.refuse(session, _foreign_form())

    async def refuse(self, session: BrowserSession, refusal: Refusal) -> None:
        """Record what a signed-in person's form was refused for. Raises `Denied`."""
        await self.desk.refused(session.principal, "approval page", refusal)
        raise Denied(refusal)

    async def _admitted(self, session: BrowserSession) -> Response | None:
        """The answer to whoever has been blocked: they are signed out at once."""
        try:
            self.admit(session.principal)
        except Denied as denied:
            if denied.refusal.code not in _BLOCKED:
                raise
            await self.sessions.close(session.id)
            answer = self._answer_to(denied)
            self.site.drop_cookie(answer, SESSION)
            return answer
        return None

    def failed(self, because: str) -> None:
        """Note what is no sign-in, or no session's form."""
        self.note(("approval page", because), sign_in_failed(because))

    # --- words -----------------------------------------------------------------------------------

    def ask_to_sign_in(self, *, ticket: str = "", notice: str = "", status: int = 200) -> Response:
        """Where one may sign in, and be led to the ticket that was asked for."""
        wanted = {"ticket": ticket} if ticket else {}
        where = f"{self.site.url}/login"
        choices = [
            {"name": name, "url": f"{where}?{urlencode({'issuer': name} | wanted)}"}
            for name in self.issuers
        ]
        page = {"session": None, "choices": choices, "notice": notice}
        return self.pages.page("sign_in", page, status=status)

    def message(self, status: int, heading: str, reason: str = "", next_step: str = "") -> Response:
        """A page that says one thing."""
        content = {"session": None, "heading": heading, "reason": reason, "next_step": next_step}
        return self.pages.page("message", content, status=status)

    def _answer_to(self, error: Exception) -> Response:
        match error:
            case Denied(refusal=refusal):
                status = _STATUS.get(refusal.code, 403)
                return self.message(status, "Refused", refusal.reason, refusal.next_step)
            case ProtocolError():
                return self.message(400, "That request can't be read", f"{error}.")
            case BackendUnavailable():
                return self.message(503, "Not now", f"{error}.", "Try again in a moment.")
            case _:
                return self._bug(error)

    def _bug(self, error: Exception) -> Response:
        identifier = secrets.token_hex(6)
        _log.error("the approval page failed, id %s", identifier, exc_info=error)
        return self.message(500, f"The gateway failed, id {identifier}", "Tell its operator.")


def ticket_in(request: Request) -> str:
    """The ticket's id in the path, empty where there is none that can be one."""
    return ticket_or_none(str(request.path_params.get("id", "")))


def ticket_or_none(value: str) -> str:
    return value if _TICKET.fullmatch(value) else ""


def redirect(url: str) -> Response:
    """The browser asks there next, with GET, whatever it sent here."""
    return RedirectResponse(url, status_code=303, headers=HEADERS)


def _foreign_form() -> Refusal:
    return Refusal(
        code="FORM_FOREIGN",
        reason="This form does not come from your own session's page. Nothing was changed.",
        next_step="Open the request here, read it, and decide again.",
    )
