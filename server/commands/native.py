"""`ostiary token --target`, `tokens`, and the live sessions of `ostiary sessions`."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from typing import Final

from policies.errors import ConfigError
from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import say, show_table
from server.identity.strict import Json

_SPAN: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TOKENS: Final = (
    *("id", "principal", "agent", "target", "protocol", "issued_at", "expires_at", "used_at"),
)
_SESSIONS: Final = (
    "id",
    "opened_at",
    "principal",
    "agent",
    "target",
    "channel",
    "address",
    "token",
)


def issue(arguments: Namespace) -> str:
    """A new token for a target. Raises `ConfigError` for a time that is none."""
    body: dict[str, Json] = {"target": arguments.target}
    if arguments.ttl is not None:
        body["seconds"] = seconds(arguments.ttl)
    with open_gateway(arguments.gateway, os.environ) as gateway:
        issued = gateway.post("tokens", "issue", body=body)
    return str(issued.get("token"))


def seconds(text: str) -> float:
    """`90s`, `30m`, `1h` or `2d`. Raises `ConfigError`."""
    span = _SPAN.fullmatch(text)
    if span is None:
        raise ConfigError(f"--ttl {text!r} is no time: write 30m, 1h or 8h")
    return float(int(span[1]) * _SECONDS[span[2]])


def list_(arguments: Namespace) -> int:
    """The tokens that can be used."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        found = gateway.get("tokens").get("tokens")
    show_table(_TOKENS, [_cells(each, _TOKENS) for each in _documents(found)])
    return 0


def revoke(arguments: Namespace) -> int:
    """Take a token back."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        revoked = gateway.post("tokens", "revoke", body={"id": arguments.token})
    say(f"{revoked.get('id')} for {revoked.get('target')} is revoked; its sessions end.")
    return 0


def live(arguments: Namespace) -> int:
    """The sessions of native doors that are open now."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        found = gateway.get("live-sessions").get("sessions")
    show_table(_SESSIONS, [_cells(each, _SESSIONS) for each in _documents(found)])
    return 0


def kill(arguments: Namespace) -> int:
    """End a live session."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        ended = gateway.post("live-sessions", "end", body={"id": arguments.session})
    say(f"{ended.get('id')} of {ended.get('principal')} on {ended.get('target')} is ended.")
    return 0


def _cells(document: Document, names: tuple[str, ...]) -> tuple[str, ...]:
    values = (document.get(name) for name in names)
    return tuple("" if value is None else str(value) for value in values)


def _documents(value: Json) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
