"""The demo provider's few pages. Everything put into them is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from starlette.responses import HTMLResponse

BANNER: Final = "DEMO IDENTITY PROVIDER - not for production"

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self' http://127.0.0.1:* https://127.0.0.1:*"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_STYLE: Final = (
    "body{font:16px system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}"
    ".banner{background:#b00020;color:#fff;padding:.6rem 1rem;font-weight:700}"
    "button{font:inherit;display:block;margin:.5rem 0;padding:.6rem 1rem}"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """An account that the page offers, and what it may do in the demo."""

    account: str
    description: str


def sign_in_page(
    *,
    path: str,
    asked: str,
    choices: Sequence[Choice],
    hidden: Mapping[str, str],
    shown: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A form that posts to `path`: one button an account, `hidden` fields, `shown` ones to type."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    typed = "".join(
        f'<p><label>Code <input name="{escape(name)}" value="{escape(value)}" '
        'autocomplete="off" required></label></p>'
        for name, value in (shown or {}).items()
    )
    buttons = "".join(
        f'<button name="account" value="{escape(choice.account)}">'
        f"{escape(choice.account)}: {escape(choice.description)}</button>"
        for choice in choices
    )
    form = f'<form method="post" action="{escape(path)}">{fields}{typed}{buttons}</form>'
    return _page(f"<p>{escape(asked)}</p>{form}", status=200)


def message_page(sentence: str, *, status: int) -> HTMLResponse:
    """One sentence."""
    return _page(f"<p>{escape(sentence)}</p>", status=status)


def _page(body: str, *, status: int) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{BANNER}</title><style>{_STYLE}</style>"
        f'<p class="banner">{BANNER}</p>{body}</html>',
        status_code=status,
        headers=_HEADERS,
    )
