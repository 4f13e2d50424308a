"""`ostiary policy`: do the policies load, and what would they say."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator

from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import show_fields
from server.identity.strict import Json


def explain(arguments: Namespace) -> int:
    """What would be decided for somebody; nothing runs. 1 if it would be refused."""
    body: dict[str, Json] = {"target": arguments.target, "sql": arguments.sql}
    if arguments.principal is not None:
        body["principal"] = arguments.principal
    if arguments.group:
        body["groups"] = list(arguments.group)
    with open_gateway(arguments.gateway, os.environ) as gateway:
        answer = gateway.post("policy", "explain", body=body)
    show_fields(_fields(answer))
    return 1 if answer.get("effect") == "deny" else 0


def _fields(document: Document, under: str = "") -> Iterator[tuple[str, str]]:
    """Every member by its path, nested ones too: nothing that was said is left out."""
    for name, value in document.items():
        path = f"{under}{name}"
        match value:
            case dict():
                yield from _fields(value, f"{path}.")
            case list():
                yield path, "\n".join(_words(each) for each in value) or "-"
            case _:
                yield path, _words(value)


def _words(value: Json) -> str:
    match value:
        case None:
            return "-"
        case dict():
            return "; ".join(f"{name} {_words(member)}" for name, member in value.items())
        case list():
            return ", ".join(map(_words, value)) or "-"
        case _:
            return str(value)
