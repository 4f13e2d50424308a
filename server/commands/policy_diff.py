"""`ostiary policy diff`: recorded requests decided by two policy sets, and what changes."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from policies import cedar
from policies.cases import determining, verdict
from policies.comparison import Changes, Example, compare
from policies.errors import ConfigError
from policies.model import AccessRequest, Decision, SqlPrepare, SqlStatement, Target
from policies.recorded import Line, recorded_requests
from server.case_files import configured_targets
from server.commands.gateway_client import open_gateway
from server.commands.live_facts import described
from server.commands.policy_check import configured
from server.commands.terminal import say
from server.config import load

_LONGEST_TEXT: Final = 120


def diff(arguments: Namespace) -> int:
    """Decide each request by both sets, and say what would be decided otherwise."""
    configuration = load(Path(arguments.config)) if arguments.config else None
    before = configured(configuration) if configuration else cedar.load(arguments.base)
    after = configured(configuration, arguments.new) if configuration else cedar.load(arguments.new)
    targets = configured_targets(configuration) if configuration else {}
    lines = list(_replayed(Path(arguments.replay)) if arguments.replay else _newest(arguments))
    requests = recorded_requests(lines, {**_described(lines), **targets})
    changes = compare(requests, before=before, after=after)
    if arguments.json:
        print(json.dumps(_document(changes)))
    else:
        _tell(changes, before, after)
    return 0


def _newest(arguments: Namespace) -> Iterator[Line]:
    with open_gateway(arguments.gateway, os.environ) as gateway:
        lines = gateway.lines("policy", "requests", last=str(arguments.last))
        yield from map(orjson.loads, lines)


def _replayed(path: Path) -> Iterator[Line]:
    """Lines of `ostiary sessions export`, of one session or of several. Raises `ConfigError`."""
    try:
        texts = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    for number, text in enumerate(texts, start=1):
        if text.strip():
            yield _line(f"{path}:{number}", text)


def _line(place: str, text: bytes) -> Line:
    try:
        line = orjson.loads(text)
        if isinstance(line, dict) and isinstance(line.get("kind"), str):
            return line
    except orjson.JSONDecodeError:
        pass
    raise ConfigError(f"{place}: no record; `ostiary sessions export` writes them")


def _described(lines: list[Line]) -> Mapping[str, Target]:
    return described(next((line["targets"] for line in lines if line["kind"] == "targets"), {}))


def _tell(
    changes: Changes, before: cedar.CedarDecisionPoint, after: cedar.CedarDecisionPoint
) -> None:
    say(f"decided anew: {changes.decided} requests; {changes.changed} would come out otherwise")
    for why, count in sorted(changes.skipped.items()):
        say(f"left out: {count} {why}")
    if {"email"} & (before.attributes | after.attributes):
        say("note: policies read principal.email, which is not recorded; it counts as unknown")
    for kind, count in changes.counts.most_common():
        say(f"{count:>6}  {kind}")
        for example in changes.examples[kind]:
            say(f"        {_who(example.request)}: {_what(example.request)}")
            say(f"          before: {_decided(example.before, before)}")
            say(f"          after:  {_decided(example.after, after)}")


def _who(request: AccessRequest) -> str:
    target = request.target.name if request.target else "?"
    return f"{request.principal.name} through {request.principal.agent} on {target}"


def _what(request: AccessRequest) -> str:
    match request.action:
        case SqlStatement(text) | SqlPrepare(text):
            said = " ".join(text.split()) or "(a statement whose text was deleted)"
            return said if len(said) <= _LONGEST_TEXT else said[:_LONGEST_TEXT] + "…"
        case _:
            return "connect"


def _decided(decision: Decision, point: cedar.CedarDecisionPoint) -> str:
    policies = (f"{p} ({point.location(p) or 'built in'})" for p in determining(decision))
    return f"{verdict(decision)} by {', '.join(policies) or 'no policy'}"


def _document(changes: Changes) -> dict[str, Any]:
    examples = {kind: [_example(e) for e in found] for kind, found in changes.examples.items()}
    return {
        "decided": changes.decided,
        "changed": changes.changed,
        "counts": dict(changes.counts),
        "skipped": dict(changes.skipped),
        "examples": examples,
    }


def _example(example: Example) -> dict[str, Any]:
    return {
        "session": example.request.session,
        "principal": example.request.principal.id,
        "agent": example.request.principal.agent,
        "target": example.request.target.name if example.request.target else "",
        "statement": _what(example.request),
        "before": {"decision": verdict(example.before), "by": determining(example.before)},
        "after": {"decision": verdict(example.after), "by": determining(example.after)},
    }
