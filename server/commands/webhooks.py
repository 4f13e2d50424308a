"""`ostiary webhooks`: who is told of requests, what could not be delivered, and trying one."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator

from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import say, show_table
from server.identity.strict import Json


def list_(arguments: Namespace) -> int:
    """How each configured webhook stands."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        found = _documents(gateway.get("webhooks").get("webhooks"))
    show_table(
        ("name", "format", "events", "groups", "waiting", "delivered", "dead", "last trouble"),
        (tuple(_standing(webhook)) for webhook in found),
    )
    return 0


def failed(arguments: Namespace) -> int:
    """The newest dead letters."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        found = _documents(gateway.get("webhooks", "failed").get("failed"))
    names = ("id", "webhook", "ticket", "event", "tries", "ended_at", "why")
    show_table(
        ("id", "webhook", "approval", "event", "tries", "given up", "why"),
        (tuple(_text(letter, name) for name in names) for letter in found),
    )
    return 0


def retry(arguments: Namespace) -> int:
    """Begin again with one dead letter, or with all."""
    body: dict[str, Json] = {"all": True} if arguments.all else {"id": arguments.id}
    with open_gateway(arguments.gateway, os.environ) as gateway:
        answer = gateway.post("webhooks", "retry", body=body)
    say(f"{_text(answer, 'again')} on the way again")
    return 0


def test(arguments: Namespace) -> int:
    """Send a test event now; 1 if the receiver does not take it."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        answer = gateway.post("webhooks", "test", body={"name": arguments.name})
    if answer.get("delivered") is True:
        say(f"{arguments.name} has taken a test event")
        return 0
    say(f"{arguments.name} has not taken it: {_text(answer, 'why')}")
    return 1


def _standing(webhook: Document) -> Iterator[str]:
    counts = webhook.get("counts")
    held: Document = counts if isinstance(counts, dict) else {}
    yield _text(webhook, "name")
    yield _text(webhook, "format")
    yield _joined(webhook, "events")
    yield _joined(webhook, "groups") or "all"
    yield from (_text(held, name) for name in ("waiting", "delivered", "dead", "trouble"))


def _documents(value: Json) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    return "" if value is None else str(value)


def _joined(document: Document, name: str) -> str:
    value = document.get(name)
    return ", ".join(map(str, value)) if isinstance(value, list) else ""
