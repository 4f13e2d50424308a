"""A person with a browser, as far as the approval page needs one: cookies, links, its forms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx2

from tests.server.identity.browser import press


class Read(HTMLParser):
    """What a page holds: its text, its links, the fields of its forms by where they go."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.links: dict[str, str] = {}
        self.forms: dict[str, dict[str, str]] = {}
        self.buttons: list[str] = []
        self.scripts = 0
        self._form: dict[str, str] = {}
        self._href = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.scripts += tag == "script" or any(name.startswith("on") for name in given)
        match tag:
            case "a":
                self._href = given["href"]
            case "form":
                assert given["method"] == "post"
                self._form = self.forms.setdefault(given["action"], {})
            case "input":
                self._form[given["name"]] = given["value"]
            case "button" if "value" in given:
                self.buttons.append(given["value"])

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._href:
            self.links[data.strip()] = self._href
            self._href = ""


@dataclass(slots=True)
class Visitor:
    """One browser profile at one gateway. Redirects are followed by hand."""

    gateway: str
    http: httpx2.AsyncClient
    answer_url: str = ""

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.http.get(urljoin(self.gateway, path), **more)

    async def read(self, path: str) -> Read:
        return Read((await self.get(path)).text)

    async def start(self, path: str = "/approvals", *, issuer: str = "demo") -> str:
        """Press "Sign in" on the page: where the identity provider wants the browser."""
        page = await self.read(path)
        login = await self.http.get(page.links[f"Sign in with {issuer}"])
        assert login.status_code == 303, login.text
        return login.headers["location"]

    async def answer(self, account: str, path: str = "/approvals") -> str:
        """Sign in at the provider: the callback's address, not visited yet."""
        redirected = await press(self.http, await self.start(path), account)
        assert redirected.status_code == 303, redirected.text
        return redirected.headers["location"]

    async def sign_in(self, account: str, path: str = "/approvals") -> httpx2.Response:
        """The whole way; the answer of the callback."""
        self.answer_url = await self.answer(account, path)
        back = await self.http.get(self.answer_url)
        assert back.status_code == 303, back.text
        return back

    async def form(self, path: str) -> dict[str, str]:
        """The fields of the form that decides on a ticket."""
        page = await self.read(path)
        assert path in page.forms, page.text
        return page.forms[path]

    async def post(
        self, path: str, fields: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send a form as a browser does from the gateway's own page, or with other headers."""
        own = {"Origin": self.gateway, "Sec-Fetch-Site": "same-origin"}
        sent = own if headers is None else headers
        return await self.http.post(urljoin(self.gateway, path), data=dict(fields), headers=sent)

    async def decide(self, path: str, act: str, comment: str = "") -> httpx2.Response:
        fields = await self.form(path)
        return await self.post(path, fields | {"act": act, "comment": comment})

    def cookie(self, name: str) -> str:
        """The value of one of the gateway's cookies."""
        (found,) = [c.value for c in self.http.cookies.jar if c.name.startswith(f"ostiary_{name}")]
        return found or ""


@asynccontextmanager
async def visiting(gateway: str, **client: Any) -> AsyncIterator[Visitor]:
    """A browser profile that nobody else has."""
    async with httpx2.AsyncClient(timeout=60, follow_redirects=False, **client) as http:
        yield Visitor(gateway, http)
