"""`ostiary agents`: which agents came lately, and the kill switch."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from typing import Final

from policies.errors import ConfigError
from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import complain, say, show_table
from server.identity.strict import Json

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def list_(arguments: Namespace) -> int:
    """Who came lately, the newest first, and what is blocked."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        found = gateway.get("agents")
    for title, part, names in (
        ("blocked:", "blocked", ("kind", "name", "until", "blocked_by", "blocked_at", "reason")),
        ("seen lately:", "seen", ("agent", "principal", "principal_name", "seen_at")),
    ):
        say(title)
        show_table(names, [_cells(each, names) for each in _documents(found.get(part))])
    return 0


def block(arguments: Namespace) -> int:
    """Let an agent, or a person, in no more. Raises `ConfigError` for a moment that is none."""
    body = _body(arguments)
    if arguments.until is not None:
        body["until"] = moment(arguments.until, now=datetime.now(UTC)).isoformat()
    with open_gateway(arguments.gateway, os.environ) as gateway:
        blocked = gateway.post("agents", "block", body=body)
    until = blocked.get("until")
    say(f"{blocked.get('name')} is blocked{f' until {until}' if until else ''}.")
    if blocked.get("seen") is False:
        complain(
            "nobody of this name has come here: see `ostiary agents list` for how it is written"
        )
    return 0


def unblock(arguments: Namespace) -> int:
    """Let them in again."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        unblocked = gateway.post("agents", "unblock", body=_body(arguments))
    say(f"{unblocked.get('name')} is not blocked any more.")
    return 0


def moment(text: str, *, now: datetime) -> datetime:
    """`2h` from now, or an ISO 8601 date and time with its offset. Raises `ConfigError`."""
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ConfigError(f"--until {text!r} is no moment: write 2h, 7d or 2030-01-31T18:00Z")
    return parsed


def _body(arguments: Namespace) -> dict[str, Json]:
    kind, name = ("person", arguments.person) if arguments.person else ("agent", arguments.agent)
    return {"kind": kind, "name": name, "reason": arguments.reason}


def _cells(document: Document, names: tuple[str, ...]) -> tuple[str, ...]:
    values = (document.get(name) for name in names)
    return tuple("" if value is None else str(value) for value in values)


def _documents(value: Json) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
