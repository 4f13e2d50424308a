"""`ostiary approvals`: what waits for a person, in full, and their word on it."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator

from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import say, show_fields, show_table
from server.identity.strict import Json, read_object


def list_(arguments: Namespace) -> int:
    """The newest tickets that are yours, or that you may decide."""
    query = {} if arguments.state == "all" else {"state": arguments.state}
    with open_gateway(arguments.gateway, os.environ) as gateway:
        tickets = _documents(gateway.get("approvals", **query).get("approvals"))
    show_table(
        ("id", "state", "requester", "agent", "target", "expires", "request"),
        (_line(ticket) for ticket in tickets),
    )
    return 0


def watch(arguments: Namespace) -> int:
    """Tickets as they come and change, until interrupted."""
    while True:
        # The gateway ends a watch every few minutes, to look at the token again.
        with open_gateway(arguments.gateway, os.environ) as gateway:
            for line in gateway.lines("approvals", "watch"):
                _show(read_object(line))
                say("")


def show(arguments: Namespace) -> int:
    """One ticket in full."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        _show(gateway.get("approvals", arguments.ticket))
    return 0


def approve(arguments: Namespace) -> int:
    """Let the request run, once."""
    return _decide(arguments, verdict=True)


def deny(arguments: Namespace) -> int:
    """Refuse the request."""
    return _decide(arguments, verdict=False)


def _decide(arguments: Namespace, *, verdict: bool) -> int:
    body: dict[str, Json] = {"approve": verdict, "comment": arguments.comment}
    with open_gateway(arguments.gateway, os.environ) as gateway:
        ticket = gateway.post("approvals", arguments.ticket, "decision", body=body)
    say(f"{ticket.get('id')} is {ticket.get('state')}.")
    return 0


def _show(ticket: Document) -> None:
    show_fields((name, value) for name, value in _fields(ticket) if value)


def _fields(ticket: Document) -> Iterator[tuple[str, str]]:
    yield "approval", _text(ticket, "id")
    yield "state", _text(ticket, "state")
    yield "requester", f"{_text(ticket, 'requester')} ({_text(ticket, 'requester_id')})"
    yield "agent", _text(ticket, "agent")
    yield "target", _text(ticket, "target")
    yield "reason", _text(ticket, "reason")
    yield "request", _text(ticket, "text")
    for number, value in enumerate(_list(ticket, "parameters"), start=1):
        yield f"  ${number}", "NULL" if value is None else str(value)
    yield "facts", "\n".join(map(str, _list(ticket, "facts")))
    yield "policies", "\n".join(map(str, _list(ticket, "policies")))
    yield "digest", _text(ticket, "digest")
    yield "expires", _text(ticket, "expires_at")
    yield "decided by", _text(ticket, "decided_by")
    yield "comment", _text(ticket, "comment")


def _line(ticket: Document) -> tuple[str, ...]:
    text = " ".join(_text(ticket, "text").split())
    names = ("id", "state", "requester", "agent", "target", "expires_at")
    shortened = text if len(text) <= 60 else text[:59] + "…"
    return (*(_text(ticket, name) for name in names), shortened)


def _documents(value: Json) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    return "" if value is None else str(value)


def _list(document: Document, name: str) -> list[Json]:
    value = document.get(name)
    return value if isinstance(value, list) else []
