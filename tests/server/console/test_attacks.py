"""Ways round the approval page that somebody tried, each as it must end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.console.guards import SESSION
from server.console.site import Site
from tests.server.console.test_console import ORIGIN, PAGE, Building, building
from tests.server.console.tickets import VICTOR, ticket
from tests.server.console.visitor import Visitor

__all__ = ["building"]

pytestmark = pytest.mark.anyio

SENT = {
    "Origin": ORIGIN,
    "Sec-Fetch-Site": "same-origin",
    "Content-Type": "application/x-www-form-urlencoded",
}


async def sent_slowly(building: Building, visitor: Visitor, *, closed: bool) -> int:
    """An approval whose body arrives in two parts; the session may be closed between them."""
    form = await visitor.form(PAGE)
    session = visitor.http.cookies[building.site.cookie(SESSION)]

    async def body() -> AsyncIterator[bytes]:
        yield f"token={form['token']}&digest={form['digest']}".encode()
        if closed:
            await building.sessions.close(session)
        yield b"&act=approve&comment="

    return (await visitor.http.post(PAGE, content=body(), headers=SENT)).status_code


@pytest.mark.parametrize(("closed", "status", "acts"), [(False, 303, 1), (True, 403, 0)])
async def test_what_counts_is_who_is_signed_in_when_the_form_has_arrived(
    building: Building, closed: bool, status: int, acts: int
) -> None:
    """A body may take hours: longer than a session lasts, or than a person stays signed in."""
    async with building.visitor(VICTOR) as visitor:
        assert await sent_slowly(building, visitor, closed=closed) == status
    assert len(building.desk.acts) == acts


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://ostiary.example.com:443", "https://ostiary.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("https://ostiary.example.com:8443", "https://ostiary.example.com:8443"),
        ("https://ostiary.example.com:80", "https://ostiary.example.com:80"),
        ("http://[::1]:80/under", "http://[::1]"),
    ],
)
def test_the_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    """Else no form of the page's own would be taken."""
    assert Site.of(url).origin == origin


@pytest.mark.parametrize("who", ["former:victor", "corpse:victor", ":victor"])
async def test_a_session_through_an_issuer_that_is_configured_no_more_is_over(
    building: Building, who: str
) -> None:
    async with building.visitor(replace(VICTOR, id=who)) as visitor:
        shown = await visitor.read(PAGE)
        assert "Sign in with corp" in shown.links
        assert PAGE not in shown.forms


async def test_long_lines_full_of_odd_characters_make_no_long_list(building: Building) -> None:
    """Fifty requests of one requester: 24 MB of page, and seconds in which no call went on."""
    for n in range(50):
        building.desk.tickets[f"ap_{n}"] = ticket(id=f"ap_{n}", text="\u200b" * 60_000)
    async with building.visitor(VICTOR) as visitor:
        answer = await visitor.get("/approvals")
    assert "60,000 characters" in answer.text
    assert len(answer.text) < 150_000
