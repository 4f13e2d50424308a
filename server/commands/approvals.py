"""`ostiary approvals`: what waits for a person, in full, and their word on it."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from policies.errors import BackendUnavailable
from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import complain, say, show_fields, show_table
from server.identity.strict import Json, read_object
from tools.escaping import visible

_TRY_AGAIN: Final = 5.0  # seconds


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
    """New tickets in full, then a line for each thing that happens to one, until interrupted."""
    watched = _Watched()
    try:
        while True:
            _watch_once(arguments.gateway, watched)
    except KeyboardInterrupt:
        return 0


def _watch_once(gateway_argument: str | None, watched: _Watched) -> None:
    """One watch; the gateway ends it every few minutes, to look at the token again.

    Raises `BackendUnavailable` where there was no gateway from the beginning.
    """
    try:
        with open_gateway(gateway_argument, os.environ) as gateway:
            for ticket in watched.pending():
                watched.see(gateway.get("approvals", ticket))
            for line in gateway.lines("approvals", "watch"):
                watched.see(read_object(line))
    except BackendUnavailable as error:
        if not watched.seen:
            raise
        complain(f"{error}; trying again every {_TRY_AGAIN:.0f} s")
        time.sleep(_TRY_AGAIN)


@dataclass(slots=True)
class _Watched:
    """What was shown of each ticket, so that a new watch repeats nothing."""

    seen: dict[str, Document] = field(default_factory=dict)

    def pending(self) -> list[str]:
        """Those that may have been decided while nobody watched."""
        return [ticket for ticket, last in self.seen.items() if last.get("state") == "pending"]

    def see(self, ticket: Document) -> None:
        """Print what is new about it."""
        known = self.seen.get(_text(ticket, "id"))
        self.seen[_text(ticket, "id")] = ticket
        if known is None:
            _show(ticket)
            say("")
        elif _news(known) != _news(ticket):
            say("; ".join([_sentence(ticket), *map(str, _list(ticket, "progress"))]))


def _news(ticket: Document) -> tuple[object, ...]:
    return ticket.get("state"), ticket.get("decisions"), ticket.get("progress")


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


def withdraw(arguments: Namespace) -> int:
    """Take one's own request back."""
    return _post(arguments, "withdrawal", {"comment": arguments.comment})


def revoke(arguments: Namespace) -> int:
    """Take an approval back before it is used."""
    return _post(arguments, "revocation", {"comment": arguments.comment})


def _decide(arguments: Namespace, *, verdict: bool) -> int:
    return _post(arguments, "decision", {"approve": verdict, "comment": arguments.comment})


def _post(arguments: Namespace, act: str, body: Document) -> int:
    with open_gateway(arguments.gateway, os.environ) as gateway:
        ticket = gateway.post("approvals", arguments.ticket, act, body=body)
    say(f"{_text(ticket, 'id')} is {_text(ticket, 'state')}.")
    for needed in _list(ticket, "progress"):
        say(f"still needed: {needed}")
    return 0


def _sentence(ticket: Document) -> str:
    by = f" by {_text(ticket, 'decided_by')}" if ticket.get("decided_by") else ""
    comment = f": {_text(ticket, 'comment')}" if ticket.get("comment") else ""
    return f"{_text(ticket, 'id')} is {_text(ticket, 'state')}{by}{comment}"


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
    yield "preview", "\n".join(_preview(ticket.get("preview")))
    yield "policies", "\n".join(map(str, _list(ticket, "policies")))
    yield "digest", _text(ticket, "digest")
    yield "expires", _text(ticket, "expires_at")
    yield "needed", "\n".join(map(str, _list(ticket, "progress")))
    yield "decisions", "\n".join(map(str, _list(ticket, "decisions")))
    if _text(ticket, "state") in ("withdrawn", "revoked"):
        yield _text(ticket, "state"), f"by {_text(ticket, 'decided_by')}"
        yield "comment", _text(ticket, "comment")
    yield "page", _text(ticket, "url")
    yield "you may", ", ".join(_acts(ticket))


def _preview(preview: Json) -> Iterator[str]:
    """What trying it out did, and some of the rows before and after, column by column."""
    if not isinstance(preview, dict):
        return
    yield _text(preview, "sentence")
    names, after = _list(preview, "columns"), _list(preview, "after")
    for number, before in enumerate(_list(preview, "before")):
        yield f"row {number + 1}{' before' if after else ''}: {_cells(names, before)}"
        if after:
            yield f"row {number + 1} after:  {_cells(names, after[number])}"


def _cells(names: list[Json], row: Json) -> str:
    cells = row if isinstance(row, list) else []
    shown = ("NULL" if cell is None else visible(str(cell)) for cell in cells)
    return ", ".join(f"{name}={cell}" for name, cell in zip(names, shown, strict=False))


def _acts(ticket: Document) -> Iterator[str]:
    if ticket.get("may_decide") is True:
        yield "approve"
        yield "deny"
    if ticket.get("may_withdraw") is True:
        yield "withdraw"
    if ticket.get("may_revoke") is True:
        yield "revoke"


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
