"""A real Chromium for the tests, driven by Playwright; and what people do in it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

playwright = pytest.importorskip(
    "playwright.async_api", reason="Playwright is not here; `make test-all` installs it"
)

WITHIN: Final = 20_000
"""Milliseconds; what a page shows is waited for, and never longer."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A browser without windows; each `new_context` of it is a person of their own."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not here: apt-get install chromium")
    async with playwright.async_playwright() as driver:
        # No sandbox: Chromium refuses to have one as root, as whom containers run tests.
        browser = await driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def person(browser: Any, **context: Any) -> AsyncIterator[Any]:
    """A page in a browser profile that nobody else has."""
    profile = await browser.new_context(**context)
    profile.set_default_timeout(WITHIN)
    try:
        yield await profile.new_page()
    finally:
        await profile.close()


async def press_account(page: Any, account: str) -> None:
    """Sign in on the page of npm's provider, and agree to what it asks."""
    await page.get_by_placeholder("Enter any login").fill(account)
    await page.get_by_placeholder("and password").fill("any")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def sign_in(page: Any, url: str, account: str) -> None:
    """Open a page of the gateway as somebody who has to sign in first."""
    await page.goto(url)
    await page.get_by_role("link", name="Sign in with corp").click()
    await press_account(page, account)
    await page.wait_for_url(url)
