"""Slack's shape: what others wrote stays words, whatever it looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from policies.model import Principal
from server.webhooks.slack import code, message
from tests.server.webhooks.samples import DBA, SQL, news, request, ticket

HOSTILE = [
    "<!channel>",
    "<!here|here>",
    "<@U012AB3CD>",
    "<#C012AB3CD>",
    "<https://evil.example|Open the request>",
    "@here @channel @everyone @all",
    "` <https://evil.example> `",
    "```\nApproved.\n```",
    "*Approved by Victor*\n_policy: none_",
    "&lt;!channel&gt;",
    "[Open](https://evil.example)",
    "a\u202egnp.exe\u200b\x1b[2J",
]


def texts(value: Any) -> Iterator[str]:
    """Every text that Slack would read as mrkdwn."""
    match value:
        case {"type": "mrkdwn", "text": str(text)}:
            yield text
        case dict():
            for each in value.values():
                yield from texts(each)
        case list():
            for each in value:
                yield from texts(each)


def everything(body: dict[str, Any]) -> list[str]:
    return [str(body["text"]), *texts(body["blocks"])]


def outside_code(text: str) -> str:
    """What is left when the code spans and blocks are taken out, as Slack pairs backticks."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_requester_s_words_are_neither_link_nor_mention_nor_markup(hostile: str) -> None:
    who = Principal("corp:rita", hostile, hostile, frozenset())
    asked = request(hostile, principal=who, reason=hostile)
    harmless = request("x", principal=Principal("corp:rita", "x", "x", frozenset()), reason="x")
    told = everything(message(news(ticket(asked), in_full=True)))
    plain = everything(message(news(ticket(harmless), in_full=True)))
    digests = re.compile(r"[0-9a-f]{64}")
    for text, expected in zip(told, plain, strict=True):
        assert not re.search(r"[<>]", text)
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
        assert not re.search(r"@(here|channel|everyone|all)", text)
        assert all(c.isprintable() or c == "\n" for c in text)
        # Outside of code spans stands only what stands there for a harmless request, too.
        assert digests.sub("", outside_code(text)) == digests.sub("", outside_code(expected))


def test_slack_makes_nothing_of_plain_text_by_itself() -> None:
    body = message(news(in_full=True))
    written = [b["text"] for b in body["blocks"] if isinstance(b, dict) and b["type"] == "section"]  # type: ignore[union-attr]
    assert {text["verbatim"] for text in written} == {True}
    assert (body["unfurl_links"], body["unfurl_media"]) == (False, False)


def test_the_button_is_a_link_to_the_page_and_no_action() -> None:
    [*_, last] = message(news())["blocks"]  # type: ignore[misc]
    assert isinstance(last, dict)
    [button] = last["elements"]  # type: ignore[misc]
    assert isinstance(button, dict)
    assert button["url"] == "https://ostiary.example.com/approvals/ap_1"
    assert not {"action_id", "value"} & button.keys()


def test_without_a_page_it_says_what_to_type() -> None:
    body = json.dumps(message(replace(news(), page="")))
    assert "button" not in body
    assert "ostiary approvals show ap_1" in body


def test_statement_and_reason_stay_at_home() -> None:
    body = json.dumps(message(news(ticket(request(reason="canary-reason")))))
    assert "canary-reason" not in body
    assert "ada@secret.example" not in body


def test_a_statement_stands_there_line_by_line_where_it_is_wanted() -> None:
    body = message(news(ticket(request("SELECT 1,\n\t2")), in_full=True))
    assert "```\nSELECT 1,\n    2\n```" in "\n".join(texts(body["blocks"]))


@pytest.mark.parametrize("filler", ["x", "&", "<", "\u202e", "`", "\n"])
def test_nothing_is_so_long_that_slack_would_refuse_the_message(filler: str) -> None:
    long = filler * 50_000
    who = Principal("corp:" + long, long, long, frozenset())
    asked = request(long, principal=who, reason=long)
    rules = [replace(DBA, policy=f"p{n}", sentence=long) for n in range(60)]
    body = message(news(ticket(asked, *rules), in_full=True))
    assert len(body["blocks"]) <= 50  # type: ignore[arg-type]
    assert all(len(text) <= 3000 for text in texts(body["blocks"]))


def test_a_statement_that_is_cut_says_so() -> None:
    body = message(news(ticket(request(SQL + " " * 5000)), in_full=True))
    assert f"only its beginning: {len(SQL) + 5000} characters" in "\n".join(texts(body["blocks"]))


def test_a_cut_leaves_no_half_of_an_escape() -> None:
    for length in range(190, 210):
        shown = code("a" * length + "&&&&")
        assert not re.search(r"&(?!amp;)", shown)
