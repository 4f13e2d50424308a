"""`ostiary policy explain`: what would be decided for somebody, and why."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Final

from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import say, show_fields
from server.identity.strict import Json

_SAID: Final = frozenset({"effect", "principal", "agent", "target", "policy_version"})
_TOLD: Final = frozenset({"questions", "obligations", "audits", "refusal"})
_LONGEST_LINE: Final = 160


def explain(arguments: Namespace) -> int:
    """What would be decided for somebody; nothing runs. 1 if it would be refused."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        answer = gateway.post("policy", "explain", body=_question(arguments))
    if arguments.json:
        print(json.dumps(answer))
    else:
        _tell(answer, arguments.sql)
    return 1 if answer.get("effect") == "deny" else 0


def _question(arguments: Namespace) -> dict[str, Json]:
    body: dict[str, Json] = {"target": arguments.target, "sql": arguments.sql}
    given = {
        "principal": arguments.principal,
        "agent": arguments.agent,
        "reason": arguments.reason or None,
        "channel": arguments.channel if arguments.channel != "mcp" else None,
        "groups": list(arguments.group) if arguments.group else None,
    }
    return body | {name: value for name, value in given.items() if value is not None}


def _tell(answer: Document, sql: str) -> None:
    heads = ((n, _words(answer[n])) for n in sorted(_SAID, key=_head_first) if n in answer)
    show_fields(heads)
    for question in _documents(answer.get("questions")):
        verdict = "yes" if question.get("allowed") else "NO"
        say(f"{verdict:<4}{_words(question.get('action'))} on {_words(question.get('resource'))}")
        _tell_policies(question.get("policies"))
    for obligation in _documents(answer.get("obligations")):
        say(f"must {_obligation(obligation)}, says {_policy(obligation, 'policy')}")
    for audit in _documents(answer.get("audits")):
        say(f"audit mode: {_policy(audit, 'policy')} {_would(audit)}")
    _tell_refusal(answer.get("refusal"), sql)
    show_fields(_fields({n: v for n, v in answer.items() if n not in _SAID | _TOLD}))


def _head_first(name: str) -> tuple[bool, str]:
    return name != "effect", name


def _tell_policies(policies: Json) -> None:
    for policy in _items(policies):
        say(f"      {_policy(policy, 'id') if isinstance(policy, dict) else _words(policy)}")


def _policy(document: Document, key: str) -> str:
    """A policy with where it stands, and what its author says."""
    name, place = _words(document.get(key)), _words(document.get("location") or "built in")
    sentence = document.get("sentence")
    return f"{name} ({place})" + (f": {_words(sentence)}" if sentence else "")


def _obligation(document: Document) -> str:
    kind = document.get("kind")
    match kind:
        case "approval":
            groups = _words(document.get("groups"))
            own = ", or the requester" if document.get("self_confirmation") else ""
            return f"be approved by {_words(document.get('people'))} of {groups}{own}"
        case "mask":
            return f"mask {_words(document.get('labels'))}"
        case "row_limit":
            return f"end after {_words(document.get('count'))} rows"
        case "timeout":
            return f"end after {_words(document.get('seconds'))} s"
        case _:
            return _words(kind)


def _would(audit: Document) -> str:
    match audit.get("would"):
        case "refuse":
            return "- would have refused"
        case "oblige":
            owed = "; ".join(_obligation(o) for o in _documents(audit.get("obligations")))
            return f"- would have asked: {owed}"
        case _:
            return "- could not be evaluated"


def _tell_refusal(refusal: Json, sql: str) -> None:
    if not isinstance(refusal, dict):
        return
    say(f"refused: {_words(refusal.get('reason'))} ({_words(refusal.get('code'))})")
    say(f"   by {_policy(refusal, 'policy')}, about {_words(refusal.get('subject') or 'it all')}")
    match refusal.get("span"):
        case [int(start), int(end)]:
            for line in marked(sql, start, end):
                say(f"   {line}")
    say(f"next: {_words(refusal.get('next_step'))}")
    for change in _items(refusal.get("would_pass")):
        say(f"would pass: {_words(change)}")


def marked(sql: str, start: int, end: int) -> Iterator[str]:
    """The line that a span of bytes begins on, and a line with marks below it."""
    encoded = sql.encode("utf-8", "surrogatepass")
    before = encoded[:start].decode("utf-8", "replace")
    column = len(before) - (before.rfind("\n") + 1)
    text = sql.split("\n")[before.count("\n")]
    width = len(encoded[start:end].decode("utf-8", "replace").split("\n")[0])
    left = max(0, column - _LONGEST_LINE // 2)
    yield text[left : left + _LONGEST_LINE]
    yield " " * (column - left) + "^" * max(1, min(width, _LONGEST_LINE - (column - left)))


def _documents(value: Json) -> list[dict[str, Json]]:
    return [each for each in _items(value) if isinstance(each, dict)]


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else []


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
