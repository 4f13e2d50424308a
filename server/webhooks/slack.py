"""The same news in the shape of Slack's incoming webhooks, where others' words stay words.

Whatever came from outside stands in a code span: there, Slack and its look-alikes make nothing of
it; `&`, `<` and `>` are escaped as Slack asks, since links and mentions are written with them.
Source: Slack's "Formatting text for app surfaces" and "Reference: Block Kit".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from recordings.journal import Json
from server.webhooks.messages import News
from tools.escaping import visible

_HEADLINES: Final = {
    "asked": "A request waits for a person",
    "approved": "A request was approved",
    "denied": "A request was denied",
    "withdrawn": "A request was withdrawn by its requester",
    "revoked": "An approval was revoked",
    "expired": "A request has expired",
    "void": "A request is void: policy asks for something else now",
    "used": "An approved request was run",
}
_LONGEST_VALUE: Final = 200
_LONGEST_BLOCK: Final = 2800
"""Characters; Slack takes 2000 in a field and 3000 in a section's text, escapes included."""
_MOST_TABLES: Final = 10
_MOST_LINES: Final = 5

_ENTITIES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("`"): "\u02cb"}
_EVERYBODY: Final = re.compile(r"@(?=here|channel|everyone|all\b|group|team)", re.IGNORECASE)
_CUT_ENTITY: Final = re.compile(r"&[a-z]{0,4}$")


def message(news: News) -> dict[str, Json]:
    """The body: one line for the notification, and blocks."""
    blocks: list[Json] = [{"type": "section", "text": _text(block)} for block in _sections(news)]
    if news.page:
        blocks.append({"type": "actions", "elements": [_link(news.page)]})
    return {
        "text": _headline(news),
        "blocks": blocks,
        # Nobody fetches the page for a preview.
        "unfurl_links": False,
        "unfurl_media": False,
    }


def sample_message(name: str) -> dict[str, Json]:
    """The body of `ostiary webhooks test`."""
    sentence = f"A test: {code(name)} is told of approvals in Ostiary."
    return {"text": sentence, "blocks": [{"type": "section", "text": _text(sentence)}]}


def code(value: str) -> str:
    """Others' text as a code span: on one line, everything visible, at most 200 characters."""
    shown = _inert(visible(value))
    if len(shown) > _LONGEST_VALUE:
        shown = _cut(shown, _LONGEST_VALUE) + "…"
    return f"`{shown or '-'}`"


def _headline(news: News) -> str:
    ticket = news.ticket
    return (
        f"{_HEADLINES[news.event]}: {code(news.effect)} on {code(ticket.target)}"
        f" by {code(ticket.principal_name)}"
    )


def _sections(news: News) -> Iterator[str]:
    yield f"*{_HEADLINES[news.event]}*"
    yield from _packed(f"{name}: {value}" for name, value in _fields(news))
    if news.in_full:
        yield _block(news.shown.text)
    if not news.page and news.ticket.state == "pending":
        yield f"See it with: {code(f'ostiary approvals show {news.ticket.id}')}"


def _fields(news: News) -> Iterator[tuple[str, str]]:
    ticket, shown = news.ticket, news.shown
    yield "requester", f"{code(ticket.principal_name)} ({code(ticket.principal)})"
    yield "agent", code(ticket.agent)
    yield "target", code(ticket.target)
    yield "effect", code(news.effect)
    yield from (("table", code(_table(use))) for use in news.tables[:_MOST_TABLES])
    if (more := len(news.tables) - _MOST_TABLES) > 0:
        yield "tables", f"and {more} more"
    if news.facts.get("has_where") is False:
        yield "rows", "no WHERE that narrows them"
    if news.changed is not None:
        yield "rows", f"{news.changed}, when it was tried out"
    if news.in_full and shown.reason:
        yield "reason", code(shown.reason)
    yield from (("policy", code(line)) for line in shown.policies[:_MOST_LINES])
    yield from (("needs", code(line)) for line in shown.progress[:_MOST_LINES])
    for decision in ticket.decisions[:_MOST_LINES]:
        yield ("approved by" if decision.approve else "denied by"), code(decision.name)
    if ticket.ended_by:
        yield f"{ticket.state} by", code(ticket.ended_name)
    yield "digest", code(ticket.digest.hex())
    if ticket.state == "pending":
        yield "expires", code(f"{ticket.expires_at:%Y-%m-%d %H:%M:%S} UTC")


def _table(use: dict[str, Json]) -> str:
    labels = use.get("labels")
    marked = ", ".join(map(str, labels)) if isinstance(labels, list) else ""
    return f"{use.get('verb')} {use.get('table')}" + (f" (labels: {marked})" if marked else "")


def _block(text: str) -> str:
    """A statement, line by line; what does not fit is on the page."""
    shown = _inert("\n".join(visible(line) for line in text.expandtabs(4).split("\n")))
    if len(shown) <= _LONGEST_BLOCK:
        return f"```\n{shown}\n```"
    kept = _cut(shown, _LONGEST_BLOCK)
    return f"```\n{kept}\n```\nThis is only its beginning: {len(text)} characters in all."


def _cut(shown: str, length: int) -> str:
    """The beginning, without the half of an entity."""
    return _CUT_ENTITY.sub("", shown[:length])


def _packed(lines: Iterable[str]) -> Iterator[str]:
    """Lines in blocks that Slack takes: one that is too long would make it refuse all of it."""
    block = ""
    for line in lines:
        if block and len(block) + len(line) >= _LONGEST_BLOCK:
            yield block
            block = ""
        block = f"{block}\n{line}" if block else line
    yield block


def _inert(shown: str) -> str:
    return _EVERYBODY.sub("\uff20", shown.translate(_ENTITIES))


def _text(written: str) -> Json:
    # Verbatim: Slack makes no links and no mentions of what looks like some.
    return {"type": "mrkdwn", "text": written, "verbatim": True}


def _link(page: str) -> Json:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open the request", "emoji": False},
        "url": page,
    }
