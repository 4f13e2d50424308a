"""A person with a browser, as far as the demo provider needs one: cookies, forms, buttons."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2


class Page(HTMLParser):
    """The one form of a page: where it goes, its fields, and the accounts that can be pressed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.accounts: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                assert given["method"] == "post"
                self.action = given["action"]
            case "input":
                self.fields[given["name"]] = given["value"]
            case "button":
                self.accounts.append(given["value"])
            case "script":
                self.scripts += 1


async def press(browser: httpx2.AsyncClient, url: str, account: str) -> httpx2.Response:
    """Open the page and press an account's button; the answer, which may be a redirect."""
    shown = await browser.get(url)
    assert shown.status_code == 200, shown.text
    page = Page(shown.text)
    form = page.fields | {"account": account}
    return await browser.post(urljoin(url, page.action), data=form)
