"""The page over HTTP, with real sessions in a real store; sign-in itself is in other tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from policies.errors import BackendUnavailable, Denied, Refusal
from policies.model import Channel, Principal
from recordings.chain import DigestKey
from recordings.journal import Journal, Record
from recordings.store import Store
from server.console.console import CALLBACK, Console
from server.console.descriptions import Descriptions
from server.console.guards import SESSION, Guards
from server.console.pages import Pages
from server.console.sessions import Sessions
from server.console.sign_in import SignIn, sealing
from server.console.signing import Signing
from server.console.site import Site
from server.identity.fetch import open_http
from tests.server.console.tickets import RITA, VICTOR, MemoryDesk, ticket
from tests.server.console.visitor import Read, Visitor

pytestmark = pytest.mark.anyio

ORIGIN = "https://ostiary.example.com"
PAGE = "/approvals/ap_1"
MARKUP = "<script>alert(1)</script><b onclick=x>\"'&amp;"
BLOCKED = Refusal("PERSON_BLOCKED", "Your account is blocked.", "Ask the security team.")
TOO_FAST = Refusal("RATE_LIMITED", "More than 600 calls a minute.", "Try again in 1 s.")


@dataclass
class Building:
    """One page, and everything round it that a test changes."""

    store: Store
    journal: Journal
    sessions: Sessions
    site: Site
    desk: MemoryDesk = field(default_factory=MemoryDesk)
    noted: list[tuple[Hashable, Record]] = field(default_factory=list)
    turned_away: Refusal | None = None

    def admit(self, _principal: Principal) -> None:
        if self.turned_away is not None:
            raise Denied(self.turned_away)

    def note(self, kind: Hashable, record: Record) -> None:
        self.noted.append((kind, record))

    @asynccontextmanager
    async def visitor(self, principal: Principal | None = None) -> AsyncIterator[Visitor]:
        """A browser, signed in as somebody."""
        async with open_http() as outside:
            app = self._app(outside)
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as http:
                if principal is not None:
                    session = await self.sessions.open(principal)
                    http.cookies.set(self.site.cookie(SESSION), session.id)
                yield Visitor(ORIGIN, http)

    def _app(self, outside: httpx2.AsyncClient) -> Starlette:
        seal = sealing([b"k" * 32])
        callback = self.site.origin + CALLBACK
        sign_in = SignIn({}, callback, outside, seal, Descriptions(outside))
        guards = Guards(
            site=self.site,
            pages=Pages.of(self.site),
            issuers=["corp"],
            sessions=self.sessions,
            note=self.note,
            desk=self.desk,
            admit=self.admit,
        )
        routes = Console(guards, Signing(guards, sign_in, self.journal)).routes()
        return Starlette(
            routes=[Mount(self.site.base, routes=routes)] if self.site.base else routes
        )


@pytest.fixture
async def building(store: Store) -> AsyncIterator[Building]:
    key = DigestKey("digest-1", b"a digest key of thirty-two bytes")
    journal = await Journal.open(store, gateway="test", digest_key=key)
    bounds = {"lifetime": timedelta(hours=1), "idle": timedelta(minutes=30)}
    sessions = Sessions(store, [b"s" * 32], **bounds)
    yield Building(store, journal, sessions, Site.of(ORIGIN))
    await journal.close()


async def test_everything_of_a_ticket_is_on_its_page(building: Building) -> None:
    building.desk.tickets["ap_1"] = ticket(
        text="UPDATE orders\n  SET total = $1",
        parameters=("10.00", None, ""),
        facts=("effect: write", "update public.orders (total)"),
        reason="goodwill\nticket 4711",
        decisions=("Vera approved (api, cli) at 2030-01-01: first\nsecond",),
    )
    async with building.visitor(VICTOR) as visitor:
        text = (await visitor.read(PAGE)).text
    for shown in (
        *("Rita", "corp:rita", "claude", "shop", "ap_1", "d1" * 32, "2030-01-01 12:30:00 UTC"),
        *("UPDATE orders", "  SET total = $1", "2 lines, 30 characters"),
        *("10.00", "NULL", "effect: write", "update public.orders (total)"),
        *("goodwill", "ticket 4711", "own words"),
        *("changes-need-approval: A DBA looks at changes.", "1 more of dba"),
        *("Vera approved (api, cli) at 2030-01-01: first", "second"),
    ):
        assert shown in text


async def test_no_text_of_others_becomes_markup(building: Building) -> None:
    hostile = MARKUP + "\u202e\x1b[0m"
    building.desk.tickets["ap_1"] = ticket(
        text=hostile,
        requester=hostile,
        agent=hostile,
        target=hostile,
        parameters=(hostile,),
        facts=(hostile,),
        policies=(hostile,),
        progress=(hostile,),
        decisions=(f"{hostile}\n{hostile}",),
        reason=f"{hostile}\n{hostile}",
    )
    named = Principal("corp:x", hostile, "web")
    async with building.visitor(named) as visitor:
        for path in (PAGE, "/approvals"):
            answer = await visitor.get(path)
            page = Read(answer.text)
            assert page.scripts == 0
            assert MARKUP in page.text
            assert "\\u{202e}\\u{1b}[0m" in page.text
            assert not {"\u202e", "\x1b"} & set(answer.text)


async def test_who_ended_a_request_and_why_is_on_its_page(building: Building) -> None:
    for state, words in (("withdrawn", "withdrew it"), ("revoked", "took the approval back")):
        ended = ticket(state=state, may_decide=False, decided_by="Vera", comment="one\ntwo")
        building.desk.tickets["ap_1"] = ended
        async with building.visitor(VICTOR) as visitor:
            page = await visitor.read(PAGE)
        for shown in (f"Vera {words}", "one", "two", "Rita asked to run", "What was asked"):
            assert shown in page.text
        assert page.buttons == []


@pytest.mark.parametrize(
    ("act", "state"),
    [
        ("approve", "approved"),
        ("deny", "denied"),
        ("withdraw", "withdrawn"),
        ("revoke", "revoked"),
    ],
)
async def test_a_form_does_what_its_button_says_by_the_web(
    building: Building, act: str, state: str
) -> None:
    async with building.visitor(VICTOR) as visitor:
        answer = await visitor.decide(PAGE, act, "one\r\ntwo")
        assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert building.desk.acts == [(VICTOR.id, "ap_1", act, "one\ntwo", Channel.WEB)]
    assert building.desk.tickets["ap_1"].state == state


async def test_only_what_one_may_do_is_offered(building: Building) -> None:
    offered = {
        "approve deny": {},
        "withdraw": {"may_decide": False, "may_withdraw": True},
        "revoke": {"may_decide": False, "may_revoke": True, "state": "approved"},
        "": {"may_decide": False},
    }
    for buttons, changes in offered.items():
        building.desk.tickets["ap_1"] = ticket(**changes)
        async with building.visitor(RITA) as visitor:
            assert (await visitor.read(PAGE)).buttons == buttons.split()


async def test_what_is_refused_is_said_on_the_page_and_the_comment_is_kept(
    building: Building,
) -> None:
    async with building.visitor(VICTOR) as visitor:
        fields = await visitor.form(PAGE) | {"act": "deny", "comment": "not <now>\nlater"}
        building.desk.tickets["ap_1"] = ticket(state="expired", may_revoke=True, may_decide=False)
        answer = await visitor.post(PAGE, fields)
    assert answer.status_code == 403
    page = Read(answer.text)
    assert "The ticket is closed already." in page.text
    assert "not <now>\nlater" in page.text
    assert building.desk.acts == []


async def test_who_is_blocked_is_signed_out_at_once(building: Building) -> None:
    async with building.visitor(VICTOR) as visitor:
        fields = await visitor.form(PAGE)
        building.turned_away = BLOCKED
        answer = await visitor.post(PAGE, fields | {"act": "approve"})
        assert answer.status_code == 403
        assert "Your account is blocked." in answer.text
        building.turned_away = None
        assert "Sign in with corp" in (await visitor.read(PAGE)).links
    assert building.desk.acts == []
    assert await building.store.pool.fetchval("SELECT count(*) FROM console_sessions") == 0


async def test_who_asks_too_often_waits_and_stays_signed_in(building: Building) -> None:
    async with building.visitor(VICTOR) as visitor:
        building.turned_away = TOO_FAST
        assert (await visitor.get(PAGE)).status_code == 429
        building.turned_away = None
        assert (await visitor.form(PAGE))["digest"] == "d1" * 32


async def test_a_form_of_a_session_that_is_over_changes_nothing(building: Building) -> None:
    async with building.visitor(VICTOR) as visitor:
        fields = await visitor.form(PAGE)
        await building.store.pool.execute("UPDATE console_sessions SET seen_at = '2020-01-01'")
        answer = await visitor.post(PAGE, fields | {"act": "approve"})
    assert answer.status_code == 403
    assert "Your session is over. Nothing was changed." in answer.text
    assert Read(answer.text).links["Sign in with corp"].endswith("issuer=corp&ticket=ap_1")
    assert building.desk.acts == []
    assert [record.kind for _, record in building.noted] == ["sign_in_failed"]


async def test_a_foreign_form_is_refused_and_recorded(building: Building) -> None:
    async with building.visitor(VICTOR) as visitor:
        fields = await visitor.form(PAGE) | {"act": "approve", "token": "0" * 64}
        assert (await visitor.post(PAGE, fields)).status_code == 403
    assert building.desk.refusals == [(VICTOR.id, "approval page", "FORM_FOREIGN")]


async def test_signing_out_needs_ones_own_form_and_is_recorded(building: Building) -> None:
    async with building.visitor(VICTOR) as visitor:
        assert (await visitor.post("/approvals/logout", {"token": "x"})).status_code == 403
        fields = (await visitor.read("/approvals")).forms["/approvals/logout"]
        assert (await visitor.post("/approvals/logout", fields)).status_code == 303
        assert "Sign in with corp" in (await visitor.read("/approvals")).links
    await building.journal.flush()
    query = "SELECT document FROM records WHERE kind = 'sign_out'"
    assert VICTOR.id in await building.store.pool.fetchval(query)


@pytest.mark.parametrize(
    "cookie", ["", "x", "a" * 43, "a" * 5000, '"; DROP TABLE tickets; --', "\x7f"]
)
async def test_a_cookie_that_is_not_ours_is_nobody(building: Building, cookie: str) -> None:
    async with building.visitor() as visitor:
        header = {"Cookie": f"{building.site.cookie(SESSION)}={cookie}"}
        answer = await visitor.get(PAGE, headers=header)
    assert (answer.status_code, "orders" in answer.text) == (200, False)
    assert "Sign in with corp" in Read(answer.text).links


async def test_a_ticket_that_one_may_not_see_is_as_unknown_as_none(building: Building) -> None:
    async with building.visitor(RITA) as visitor:
        for path in ("/approvals/ap_2", "/approvals/" + "a" * 65, "/approvals/%3Cb%3E"):
            answer = await visitor.get(path)
            assert answer.status_code == 404
            assert "There is no such ticket for you." in answer.text


async def test_a_store_that_is_away_is_said_and_a_failure_has_a_number(
    building: Building, caplog: pytest.LogCaptureFixture
) -> None:
    async with building.visitor(VICTOR) as visitor:
        building.desk.fails = BackendUnavailable("the approval store can't be reached; try again")
        away = await visitor.get(PAGE)
        assert (away.status_code, "store can&#39;t be reached" in away.text) == (503, True)
        building.desk.fails = RuntimeError("canary-detail")
        failed = await visitor.get(PAGE)
        assert (failed.status_code, "canary" in failed.text) == (500, False)
        identifier = failed.text.partition("id ")[2][:12]
    assert identifier in caplog.text


async def test_below_a_path_every_link_and_form_is_below_it_too(building: Building) -> None:
    building.site = Site.of(f"{ORIGIN}/ostiary")
    async with building.visitor(VICTOR) as visitor:
        page = await visitor.read("/ostiary/approvals/ap_1")
        assert set(page.forms) == {"/ostiary/approvals/logout", "/ostiary/approvals/ap_1"}
        assert all(link.startswith("/ostiary/approvals") for link in page.links.values())
        answer = await visitor.decide("/ostiary/approvals/ap_1", "deny")
        assert answer.headers["location"] == "/ostiary/approvals/ap_1"


async def test_the_style_sheet_is_the_only_thing_that_a_page_loads(building: Building) -> None:
    async with building.visitor(VICTOR) as visitor:
        html = (await visitor.get(PAGE)).text
        assert html.count(" src=") == 0
        (href,) = [part.split('"')[0] for part in html.split('rel="stylesheet" href="')[1:]]
        style = await visitor.get(href)
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text
    assert "@import" not in style.text
