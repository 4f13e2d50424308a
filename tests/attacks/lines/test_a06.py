"""A06: the approver's link. CSRF, effects of a GET, leaks of what is secret, replay.

Without a browser: what one would send is sent by hand. In a real one: `test_console_browser`.
The time window of signed webhooks is in their own tests; there are no workspaces.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.attacks.attacker import Attacker
from tests.server.console.visitor import Read, Visitor, visiting

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]


@pytest.fixture
async def victor(attacker: Attacker) -> AsyncIterator[Visitor]:
    async with visiting(attacker.world.url) as visitor:
        await visitor.sign_in("victor")
        yield visitor


@pytest.fixture
async def stranger(attacker: Attacker) -> AsyncIterator[Visitor]:
    async with visiting(attacker.world.url) as visitor:
        yield visitor


async def ask(attacker: Attacker) -> str:
    """The path of a new pending ticket of rita's."""
    sql = f"UPDATE orders SET status = '{secrets.token_hex(4)}' WHERE id = 6"
    pending = await attacker.sql(sql)
    return f"/approvals/{pending['approval_id']}"


async def state(attacker: Attacker, path: str) -> Any:
    return await attacker.stored("SELECT state FROM tickets WHERE id = $1", path.rpartition("/")[2])


async def decisions(attacker: Attacker, path: str) -> Any:
    ticket = path.rpartition("/")[2]
    return await attacker.stored("SELECT count(*) FROM ticket_decisions WHERE ticket = $1", ticket)


FOREIGN: Mapping[str, Mapping[str, str]] = {
    "another site": {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another port": {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    "an opaque origin": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "nobody says": {},
    "only its referrer": {"Referer": "GATEWAY/approvals"},
    "an address bar": {"Origin": "GATEWAY", "Sec-Fetch-Site": "none"},
    "two origins": {"Origin": "GATEWAY, http://evil.example"},
}


@pytest.mark.parametrize("sender", FOREIGN)
async def test_a06_a_form_that_another_page_sends_decides_nothing(
    attacker: Attacker, victor: Visitor, sender: str
) -> None:
    """Even with the token and digest of the real form."""
    path = await ask(attacker)
    fields = await victor.form(path) | {"act": "approve"}
    headers = {k: v.replace("GATEWAY", victor.gateway) for k, v in FOREIGN[sender].items()}
    assert (await victor.post(path, fields, headers=headers)).status_code == 403
    assert await state(attacker, path) == "pending"


async def test_a06_a_form_needs_the_token_of_its_own_session(
    attacker: Attacker, victor: Visitor
) -> None:
    path = await ask(attacker)
    fields = await victor.form(path) | {"act": "approve"}
    async with visiting(attacker.world.url) as vera:
        await vera.sign_in("vera")
        theirs = (await vera.form(path))["token"]
    before = (await attacker.refusals())["FORM_FOREIGN"]
    for token in ("", "0" * 64, theirs, fields["token"][:-1], fields["token"].upper()):
        forged = await victor.post(path, fields | {"token": token})
        assert forged.status_code == 403
    without = {name: value for name, value in fields.items() if name != "token"}
    assert (await victor.post(path, without)).status_code == 403
    assert await state(attacker, path) == "pending"
    assert (await attacker.refusals())["FORM_FOREIGN"] == before + 6


async def test_a06_a_session_of_one_person_and_a_form_of_another_decide_nothing(
    attacker: Attacker, victor: Visitor
) -> None:
    """Rita sends what victor was shown: neither his form nor her own session approves."""
    path = await ask(attacker)
    fields = await victor.form(path) | {"act": "approve"}
    async with visiting(attacker.world.url) as rita:
        await rita.sign_in("rita")
        assert (await rita.post(path, fields)).status_code == 403
        own = (await rita.read(path)).forms[path]
        assert (await rita.post(path, own | {"act": "approve"})).status_code == 403
    assert await state(attacker, path) == "pending"


async def test_a06_the_form_decides_on_what_it_was_shown_for(
    attacker: Attacker, victor: Visitor
) -> None:
    one, other = await ask(attacker), await ask(attacker)
    fields = await victor.form(one) | {"act": "approve"}
    assert (await victor.post(other, fields)).status_code == 403
    assert (await victor.post(one, fields | {"digest": ""})).status_code == 403
    assert [await state(attacker, path) for path in (one, other)] == ["pending", "pending"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a06_a_get_changes_nothing_whatever_it_says(
    attacker: Attacker, victor: Visitor, method: str
) -> None:
    """As a link preview does, with the approver's own cookies and the fields of the form."""
    path = await ask(attacker)
    fields = await victor.form(path)
    for act in ("approve", "deny", "withdraw", "revoke"):
        url = attacker.world.url + path
        seen = await victor.http.request(method, url, params=fields | {"act": act})
        assert seen.status_code == 200
    await victor.http.request(method, f"{attacker.world.url}/approvals/logout")
    assert await state(attacker, path) == "pending"
    assert await decisions(attacker, path) == 0
    assert (await victor.form(path))["token"] == fields["token"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_a06_no_other_method_is_known(
    attacker: Attacker, victor: Visitor, method: str
) -> None:
    path = await ask(attacker)
    fields = await victor.form(path) | {"act": "approve"}
    headers = {"Origin": victor.gateway}
    url = attacker.world.url + path
    answer = await victor.http.request(method, url, data=fields, headers=headers)
    assert answer.status_code == 405
    assert await state(attacker, path) == "pending"


async def test_a06_a_preview_without_a_session_learns_nothing_of_the_ticket(
    attacker: Attacker, stranger: Visitor
) -> None:
    known, unknown = await ask(attacker), "/approvals/ap_" + "A" * 16
    pages = [(await stranger.get(path)).text.replace(path[11:], "ID") for path in (known, unknown)]
    assert pages[0] == pages[1]
    assert "orders" not in pages[0]


async def test_a06_a_form_can_be_sent_once(attacker: Attacker, victor: Visitor) -> None:
    path = await ask(attacker)
    fields = await victor.form(path) | {"act": "approve"}
    assert (await victor.post(path, fields)).status_code == 303
    assert (await victor.post(path, fields | {"act": "deny"})).status_code == 403
    assert (await victor.post(path, fields)).status_code == 403
    assert await decisions(attacker, path) == 1
    assert await state(attacker, path) == "approved"


async def test_a06_a_form_that_can_be_read_in_two_ways_decides_nothing(
    attacker: Attacker, victor: Visitor
) -> None:
    path = await ask(attacker)
    fields = await victor.form(path)
    token, digest = fields["token"], fields["digest"]
    common = f"token={token}&digest={digest}"
    url = attacker.world.url + path
    form = "application/x-www-form-urlencoded"
    for kind, body in (
        (form, f"{common}&act=deny&act=approve"),
        (form, f"{common}&act=approve&digest={digest}"),
        (form, f"{common}&act=%ff"),
        (form, f"{common}&act=Approve"),
        (form, common),
        (form, f"{common}&act=approve&comment={'x' * 70_000}"),
        (form, f"{common}&act=approve&comment={'x' * 2_001}"),
        ("application/json", f'{{"token":"{token}","digest":"{digest}","act":"approve"}}'),
        ("text/plain", f"{common}&act=approve"),
        ("", f"{common}&act=approve"),
    ):
        headers = {"Origin": victor.gateway, "Content-Type": kind}
        answer = await victor.http.post(url, content=body, headers=headers)
        assert answer.status_code == 400, (kind, body[:200])
    assert await state(attacker, path) == "pending"


# --- signing in ----------------------------------------------------------------------------------


async def test_a06_the_answer_of_a_sign_in_is_good_for_one_browser_and_one_time(
    attacker: Attacker, stranger: Visitor
) -> None:
    """Without its cookie, with that of another sign-in, with its own once more."""
    answer = await stranger.answer("victor")
    sealed = dict(stranger.http.cookies)
    assert (await stranger.http.get(answer)).headers["location"] == "/approvals"
    async with AsyncExitStack() as lifetime:
        without, other, thief = [
            await lifetime.enter_async_context(visiting(attacker.world.url)) for _ in range(3)
        ]
        await other.start()
        for name, value in sealed.items():
            thief.http.cookies.set(name, value, domain="127.0.0.1")
        for visitor in (stranger, without, other, thief):
            assert (await visitor.http.get(answer)).status_code == 403
        for visitor in (without, other, thief):
            assert "victor" not in (await visitor.get("/approvals")).text
    assert "victor" in (await stranger.get("/approvals")).text
    assert await attacker.recorded("sign_in_failed", "code: not redeemed") >= 1


async def test_a06_nobody_is_signed_in_as_somebody_else(attacker: Attacker) -> None:
    """Login CSRF: the attacker's own answer, in the browser of a person who began a sign-in."""
    async with visiting(attacker.world.url) as mallory, visiting(attacker.world.url) as victor:
        theirs = await mallory.answer("norah")
        await victor.start()
        assert (await victor.http.get(theirs)).status_code == 403
        assert "norah" not in (await victor.get("/approvals")).text
        assert await attacker.recorded("sign_in_failed", "state: of another sign-in") >= 1


async def test_a06_every_part_of_the_answer_counts(attacker: Attacker) -> None:
    async with visiting(attacker.world.url) as visitor:
        for change in (
            lambda url: re.sub(r"state=[^&]+", "state=", url),
            lambda url: re.sub(r"state=[^&]+&?", "", url),
            lambda url: re.sub(r"code=[^&]+", "code=", url),
            lambda url: re.sub(r"code=[^&]+", "code=guessed", url),
            lambda url: re.sub(r"iss=[^&]+", "iss=http%3A%2F%2F127.0.0.1%3A1", url),
            lambda url: re.sub(r"&iss=[^&]+", "", url),
            lambda url: url + "&error=access_denied",
            lambda url: url + "&code=another",
        ):
            answer = await visitor.http.get(change(await visitor.answer("victor")))
            assert answer.status_code == 403
            assert "victor" not in (await visitor.get("/approvals")).text


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "../../mcp",
        "%2f%2fevil.example",
        "ap_1\r\nSet-Cookie: a=b",
        "a" * 65,
    ],
)
async def test_a06_a_sign_in_leads_to_the_approvals_and_nowhere_else(
    attacker: Attacker, stranger: Visitor, wanted: str
) -> None:
    del attacker
    names = {"issuer": "demo", "ticket": wanted, "next": wanted, "return_to": wanted}
    login = await stranger.get("/approvals/login", params=names)
    started = login.headers["location"]
    assert "evil" not in started
    answer = await stranger.http.get(started)
    page = Read(answer.text)
    form = page.forms["/authorize"] | {"account": "victor"}
    redirected = await stranger.http.post(started.partition("?")[0], data=form)
    back = await stranger.http.get(redirected.headers["location"])
    assert back.headers["location"] == "/approvals"


async def test_a06_a_sign_in_leads_to_the_ticket_that_was_asked_for(
    attacker: Attacker, stranger: Visitor
) -> None:
    path = await ask(attacker)
    back = await stranger.sign_in("victor", path)
    assert back.headers["location"] == path


# --- what gets out -------------------------------------------------------------------------------


async def test_a06_nothing_secret_is_in_an_address_a_log_or_the_store(
    attacker: Attacker, stranger: Visitor
) -> None:
    path = await ask(attacker)
    back = await stranger.sign_in("victor", path)
    session, fields = stranger.cookie("session"), await stranger.form(path)
    assert (await stranger.decide(path, "approve")).headers["location"] == path
    code = re.search(r"code=([^&]+)", stranger.answer_url)
    assert code is not None
    secret = (session, fields["token"], code[1])
    page = (await stranger.get(path)).text
    log = attacker.world.log.read_text()
    async with attacker.world.journal() as store:
        rows = await store.fetch(
            "SELECT document AS text FROM records"
            " UNION ALL SELECT row_to_json(s)::text FROM console_sessions s"
        )
    stored = "".join(row["text"] for row in rows)
    assert session not in page
    for word in secret:
        assert word not in log
        assert word not in stored
        assert word not in back.headers["location"]
    assert "victor" in stored


async def test_a06_every_page_is_closed_to_frames_scripts_caches_and_other_sites(
    attacker: Attacker, victor: Visitor
) -> None:
    path = await ask(attacker)
    answers = [
        await victor.get(path),
        await victor.get("/approvals"),
        await victor.get("/approvals/nothing"),
        await victor.get("/approvals/callback"),
        await victor.get("/approvals/login?issuer=demo"),
        await victor.post(path, {}),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        for directive in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert directive in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
        assert Read(answer.text).scripts == 0
    assert all("httponly" in c.lower() for a in answers for c in a.headers.get_list("set-cookie"))


async def test_a06_another_host_name_is_not_this_gateway(
    attacker: Attacker, victor: Visitor
) -> None:
    """DNS rebinding: a page of the attacker's whose name leads here now."""
    path = await ask(attacker)
    answer = await victor.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert "orders" not in answer.text
