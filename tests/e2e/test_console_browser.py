"""The approval page in a real Chromium, with a real OpenID provider for login, page and tokens."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from tests.e2e.chromium import chromium, person, press_account, sign_in
from tests.e2e.openid_provider import SECRET, openid_provider
from tests.e2e.programs import folder_of_programs
from tests.e2e.world import World, free_port
from tests.server.identity.serving import listening, serving, url_of

pytestmark = [pytest.mark.anyio, pytest.mark.programs]

WITHIN: Final = 60.0  # seconds
MARKUP: Final = '</code><script>document.title="pwned"</script><img src=x onerror=alert(1)>'
UNSEEN: Final = "\x1b[31m\u202e\u200b"


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> Iterator[World]:
    programs = folder_of_programs()
    made = module_worlds()
    port, log = free_port(), made.directory / "openid-provider.log"
    with openid_provider(programs, log, port=port, gateway=made.url) as provider:
        demo = made.configuration()["identity"]["issuers"]
        corp = provider.in_configuration(made.url)
        made.settings = {
            "identity": {"issuers": [corp, *demo]},
            "approvals": {"expire_after": "15m", "hold": "25s"},
        }
        made.variables = {**made.variables, "E2E_CONSOLE_SECRET": SECRET}
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Any]:
    async with chromium() as opened:
        yield opened


@dataclass
class Elsewhere:
    """A site of somebody else's: one page, on a port of its own."""

    url: str
    body: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await HTMLResponse(self.body)(scope, receive, send)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with listening() as listener:
        site = Elsewhere(url_of(listener))
        with serving(site, listener):
            yield site


@pytest.fixture(scope="module")
async def rita(world: World, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rita's own token: by `ostiary login` in a terminal, and a browser that she signs in with."""
    home = tmp_path_factory.mktemp("rita")
    process = await ostiary(world, home, "login", "--no-browser", "--issuer", "corp")
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN), person(browser) as page:
        shown = (await process.stdout.readline()).decode()
        await page.goto(shown.removeprefix("Sign in here: ").strip())
        await press_account(page, "rita")
        await page.get_by_text("You can close this window").wait_for()
        assert await process.wait() == 0
    return (await output(await ostiary(world, home, "token"))).strip()


async def ostiary(world: World, home: Path, *arguments: str) -> asyncio.subprocess.Process:
    settled = {"OSTIARY_GATEWAY": world.url, "XDG_CONFIG_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.cli", *arguments),
        env={**os.environ, **settled},
        stdout=asyncio.subprocess.PIPE,
    )


async def output(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(WITHIN):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def run_sql(world: World, token: str, sql: str, reason: str = "") -> dict[str, Any]:
    """One call of rita's agent, which waits for its approval: its refusal or its result."""
    headers = {"Authorization": f"Bearer {token}"}
    timeout = httpx2.Timeout(30, read=120)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout) as http:
        transport = streamable_http_client(f"{world.url}/mcp", http_client=http)
        async with Client(transport, mode="auto") as client:
            arguments = {"target": "shop", "sql": sql, "reason": reason}
            result = await client.call_tool("run_sql", arguments)
    text = "".join(part.text for part in result.content if part.type == "text")
    if result.is_error:
        refusal: dict[str, Any] = json.loads(text)
        return refusal
    return {"code": "OK", **(result.structured_content or {})}


async def ticket_of(world: World, sql: str) -> str:
    """The ticket that was opened for a statement; waits for one that is on its way."""
    query = "SELECT id FROM tickets WHERE document -> 'action' ->> 'text' = $1"
    async with world.journal() as store, asyncio.timeout(WITHIN):
        while (found := await store.fetchval(query, sql)) is None:
            await asyncio.sleep(0.05)
    return str(found)


async def state_of(world: World, ticket: str) -> str:
    async with world.journal() as store:
        return str(await store.fetchval("SELECT state FROM tickets WHERE id = $1", ticket))


async def asked(world: World, rita: str, sql: str, reason: str = "") -> tuple[str, Any]:
    """The ticket's page, and the call that waits for it."""
    waiting = asyncio.create_task(run_sql(world, rita, sql, reason))
    return f"{world.url}/approvals/{await ticket_of(world, sql)}", waiting


async def test_a_token_of_a_real_provider_says_who_asks(world: World, rita: str) -> None:
    headers = {"Authorization": f"Bearer {rita}"}
    async with httpx2.AsyncClient() as http:
        who = (await http.get(f"{world.url}/api/whoami", headers=headers)).json()
    assert who == {
        "id": "corp:rita",
        "name": "rita",
        "agent": "ostiary-cli",
        "groups": ["developers"],
        "email": "rita@corp.example",
    }


async def test_a_reviewer_signs_in_reads_and_approves_and_the_waiting_call_runs(
    world: World, browser: Any, rita: str
) -> None:
    sql = "UPDATE orders SET status = 'by page' WHERE id = 11"
    url, waiting = await asked(world, rita, sql, "goodwill, ticket 4711")
    async with person(browser) as page, world.direct() as direct:
        await sign_in(page, url, "victor")
        text = await page.inner_text("main")
        for shown in (sql, "rita", "ostiary-cli", "shop", "goodwill, ticket 4711", "own words"):
            assert shown in text
        assert "changes-need-approval" in text
        assert not waiting.done()
        await page.get_by_label("Comment").fill("fine by me")
        await page.get_by_role("button", name="Approve").click()
        await page.locator(".state.approved, .state.used").wait_for()
        assert "victor approved (web, ostiary-console)" in await page.inner_text("main")
        assert (await waiting)["code"] == "OK"
        assert await direct.fetchval("SELECT status FROM orders WHERE id = 11") == "by page"


async def test_a_denial_ends_the_call_with_the_reviewers_words(
    world: World, browser: Any, rita: str
) -> None:
    sql = "UPDATE orders SET status = 'denied by page' WHERE id = 12"
    url, waiting = await asked(world, rita, sql)
    async with person(browser) as page, world.direct() as direct:
        await sign_in(page, url, "victor")
        await page.get_by_label("Comment").fill("not before Monday")
        await page.get_by_role("button", name="Deny").click()
        await page.locator(".state.denied").wait_for()
        refused = await waiting
        assert refused["code"] == "APPROVAL_DENIED"
        assert "not before Monday" in json.dumps(refused)
        assert await direct.fetchval("SELECT status FROM orders WHERE id = 12") != "denied by page"


async def test_a_requester_sees_no_way_to_approve_and_withdraws(
    world: World, browser: Any, rita: str
) -> None:
    url, waiting = await asked(world, rita, "UPDATE orders SET status = 'own' WHERE id = 13")
    async with person(browser) as page:
        await sign_in(page, url, "rita")
        assert await page.get_by_role("button", name="Approve").count() == 0
        await page.get_by_role("button", name="Withdraw").click()
        await page.locator(".state.withdrawn").wait_for()
    assert (await waiting)["code"] == "APPROVAL_WITHDRAWN"


async def tried_out(world: World, url: str) -> None:
    """Wait until the request's preview is there."""
    query = "SELECT count(*) FROM previews WHERE ticket = $1 AND state = 'done'"
    async with world.journal() as store, asyncio.timeout(WITHIN):
        while not await store.fetchval(query, url.rpartition("/")[2]):
            await asyncio.sleep(0.05)


async def test_an_approver_sees_rows_before_and_after_and_the_requester_does_not(
    world: World, browser: Any, rita: str
) -> None:
    sql = "UPDATE customers SET balance = balance + 5, notes = '<b>tried</b>' WHERE id < 3"
    url, waiting = await asked(world, rita, sql)
    await tried_out(world, url)
    async with person(browser) as page:
        await sign_in(page, url, "rita")
        assert "tried out" not in await page.inner_text("main")
    async with person(browser) as page:
        await sign_in(page, url, "victor")
        assert "it changed 2 rows" in await page.inner_text("main")
        marked = await page.locator("tr.after mark").all_inner_texts()
        assert {"15.00", "25.00", "<b>tried</b>"} <= set(marked)
        assert "ada.canary" not in await page.content()
        for width in (320, 1100):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            await keep(page, f"preview-{width}")
        await page.get_by_role("button", name="Deny").click()
        await page.locator(".state.denied").wait_for()
    await waiting


async def test_text_of_others_is_shown_and_does_nothing(
    world: World, browser: Any, rita: str
) -> None:
    sql = f"UPDATE orders SET status = '{MARKUP}' WHERE id = 14 -- \u202e\u200b\u0430"
    url, waiting = await asked(world, rita, sql, MARKUP + UNSEEN)
    await tried_out(world, url)
    async with person(browser) as page:
        spoken: list[str] = []
        page.on("dialog", lambda dialog: spoken.append(dialog.message))
        await sign_in(page, url, "victor")
        text = await page.inner_text("main")
        assert text.count(MARKUP) == 3  # the statement, the row that it wrote, the reason
        assert "\\u{202e}\\u{200b}" in text
        assert "\\u{1b}[31m\\u{202e}\\u{200b}" in text
        assert not set(UNSEEN[0] + UNSEEN[-2:]) & set(text)
        titles = await page.locator("mark").evaluate_all("found => found.map(e => e.title)")
        assert "U+0430 CYRILLIC SMALL LETTER A" in titles
        await page.get_by_label("Comment").fill(MARKUP)
        await page.get_by_role("button", name="Deny").click()
        await page.locator(".state.denied").wait_for()
        assert (await page.inner_text("main")).count(MARKUP) == 4
        assert await page.locator("script, img, style").count() == 0
        assert "pwned" not in await page.title()
        assert spoken == []
    await waiting


async def test_a_form_on_another_site_decides_nothing(
    world: World, browser: Any, rita: str, elsewhere: Elsewhere
) -> None:
    """With the very fields of the real form, which no other site can know.

    From a site of another name, and from another port here, where the cookie comes along.
    """
    url, waiting = await asked(world, rita, "UPDATE orders SET status = 'forged' WHERE id = 15")
    async with person(browser) as page:
        await sign_in(page, url, "victor")
        hidden = page.locator("form.decide input[type=hidden]")
        fields = await hidden.evaluate_all("found => found.map(e => e.outerHTML).join('')")
        elsewhere.body = (
            f'<form method="post" action="{url}">{fields}'
            '<button name="act" value="approve">Win a prize</button></form>'
        )
        for site in (elsewhere.url, elsewhere.url.replace("127.0.0.1", "localhost")):
            await page.goto(site)
            async with page.expect_response(url) as answered:
                await page.get_by_role("button", name="Win a prize").click()
            assert (await answered.value).status == 403
        assert await state_of(world, url.rpartition("/")[2]) == "pending"
        await page.goto(url)
        await page.get_by_role("button", name="Deny").click()
        await page.locator(".state.denied").wait_for()
    assert (await waiting)["code"] == "APPROVAL_DENIED"


async def test_no_other_page_can_frame_it(world: World, browser: Any, elsewhere: Elsewhere) -> None:
    """What has nothing to press is framed for comparison."""
    paths = ("/healthz", "/approvals")
    elsewhere.body = "".join(f'<iframe src="{world.url}{path}"></iframe>' for path in paths)
    async with person(browser) as page:
        await sign_in(page, f"{world.url}/approvals", "victor")
        async with page.expect_event("requestfailed") as failed:
            await page.goto(elsewhere.url)
        blocked = await failed.value
        assert blocked.url == f"{world.url}/approvals"
        assert blocked.failure == "net::ERR_BLOCKED_BY_RESPONSE"
        assert "ok" in await page.frames[1].content()


async def test_it_fits_every_window_in_light_and_in_dark(
    world: World, browser: Any, rita: str
) -> None:
    words = " ".join(f"AND note_{n} = {n}" for n in range(40))
    sql = f"UPDATE orders SET status = '{'x' * 400}' WHERE id = 16 -- {words}"
    url, waiting = await asked(world, rita, sql)
    for scheme in ("light", "dark"):
        async with person(browser, color_scheme=scheme) as page:
            await sign_in(page, url, "victor")
            for width in (320, 800, 1600):
                await page.set_viewport_size({"width": width, "height": 700})
                for path in (url, f"{world.url}/approvals"):
                    await page.goto(path)
                    wide = await page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, (path, scheme, width)
                    await keep(page, f"{scheme}-{width}-{'list' if path != url else 'ticket'}")
            await page.goto(url)
            assert sql in await page.inner_text(".text")
            colours = await page.evaluate(
                "[getComputedStyle(document.documentElement).backgroundColor,"
                " getComputedStyle(document.documentElement).color]"
            )
            assert (brightness(colours[0]) > brightness(colours[1])) is (scheme == "light")
    async with person(browser) as page:
        await sign_in(page, url, "vera")
        await page.get_by_role("button", name="Deny").click()
        await page.locator(".state.denied").wait_for()
    await waiting


async def test_signing_out_ends_the_session_for_good(world: World, browser: Any) -> None:
    async with person(browser) as page:
        await sign_in(page, f"{world.url}/approvals", "vera")
        cookies = await page.context.cookies(world.url)
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("link", name="Sign in with corp").wait_for()
        await page.context.add_cookies(cookies)
        await page.goto(f"{world.url}/approvals")
        await page.get_by_role("link", name="Sign in with corp").wait_for()


def brightness(colour: str) -> int:
    """Of `rgb(r, g, b)`."""
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


async def keep(page: Any, name: str) -> None:
    """A picture to look at, where `OSTIARY_SCREENSHOTS` names a directory."""
    if directory := os.environ.get("OSTIARY_SCREENSHOTS"):
        await page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)
