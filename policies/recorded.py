"""Recorded requests -> the questions that they were: facts as they were recorded, no catalog.

Reads the lines of `recordings.export`: `session_opened`, which is a request of its own, and the
intents and decisions after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from typing import Any, Final

from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Connect,
    Principal,
    SqlPrepare,
    SqlStatement,
    Target,
)
from policies.sql.facts import Opaque, SqlEffect, SqlFacts, TableName, TableUse

Line = Mapping[str, Any]

_ASKED: Final = frozenset({"session_opened", "intent", "decision"})


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it was; `effect` is what was decided then: permit, deny or pending."""

    request: AccessRequest
    effect: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A request that can't be decided anew, and why."""

    why: str


def recorded_requests(
    lines: Iterable[Line], targets: Mapping[str, Target]
) -> Iterator[RecordedRequest | Skipped]:
    """Every request among these lines, in their order; whoever asked is in an earlier line."""
    people: dict[str, Principal] = {}
    for line in lines:
        document = line.get("document", {})
        if line["kind"] == "session_opened":
            people[line["session"]] = _principal(document["principal"])
        if line["kind"] in _ASKED and "action" in document:
            yield _request(line, people.get(line["session"]), targets)


def _request(
    line: Line, principal: Principal | None, targets: Mapping[str, Target]
) -> RecordedRequest | Skipped:
    document = line["document"]
    action = _action(document["action"], str(line.get("body") or ""))
    if action is None:
        return Skipped("acts on the gateway itself")
    if principal is None:
        return Skipped("requests of sessions that never opened, whose groups are not recorded")
    target = targets.get(document["target"])
    if target is None:
        return Skipped("requests on targets that are not configured here")
    facts = document.get("facts")
    request = AccessRequest(
        principal=principal,
        target=target,
        action=action,
        channel=Channel(document["channel"]),
        now=datetime.fromisoformat(line["time"]),
        session=line["session"],
        facts=None if facts is None else facts_of(facts, document["questions"]),
        reason=document["reason"],
    )
    return RecordedRequest(request, document["effect"])


def _action(document: Mapping[str, Any], text: str) -> Action | None:
    match document["kind"]:
        case "SqlStatement":
            return SqlStatement(text)
        case "SqlPrepare":
            return SqlPrepare(text)
        case "Connect":
            return Connect()
        case _:
            return None


def _principal(document: Mapping[str, Any]) -> Principal:
    groups = frozenset(document["groups"])
    return Principal(document["id"], document["name"], document["agent"], groups)


def facts_of(document: Mapping[str, Any], questions: Iterable[Mapping[str, Any]] = ()) -> SqlFacts:
    """The facts that policy saw. `questions` tell a dot in a name from one between two."""
    opaque = document["opaque"]
    named = {f.name: f for f in fields(SqlFacts)}
    plain: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value
        for name, value in document.items()
        if name in named and name not in ("effect", "tables", "opaque") and _simple(named[name])
    }
    return SqlFacts(
        effect=SqlEffect(document["effect"]),
        tables=tuple(_uses(document["tables"], questions)),
        opaque=None if opaque is None else Opaque(opaque, "It was not understood then.", ""),
        **plain,
    )


def _simple(field: Any) -> bool:
    """A set of texts, or one value: what JSON brings back as it was."""
    default = field.default if field.default is not MISSING else None
    return isinstance(default, frozenset | bool | int | str) or field.name == "limit"


def _uses(
    tables: Iterable[Mapping[str, Any]], questions: Iterable[Mapping[str, Any]]
) -> Iterator[TableUse]:
    asked = {str(name): name for name in map(_table, questions) if name is not None}
    for use in tables:
        written = use["table"]
        schema, _, name = written.partition(".")
        table = asked.get(written, TableName(schema, name))
        columns, labels = frozenset(use["columns"]), frozenset(use["labels"])
        kind, through = use.get("kind", "table"), use.get("through", "")
        written = frozenset((column, label) for column, label in use.get("written", ()))
        yield TableUse(
            table, use["verb"], columns, labels, kind=kind, through=through, written=written
        )


def _table(question: Mapping[str, Any]) -> TableName | None:
    """The table of `Table::"shop/public/orders"`, or the schema of `Schema::"shop/public"`."""
    kind, _, quoted = question["resource"].partition('::"')
    parts = [_unescaped(part) for part in quoted[:-1].split("/")]
    match kind, parts:
        case "Table", [_, schema, name]:
            return TableName(schema, name)
        case "Schema", [_, schema]:
            return TableName(schema, "")
        case _:
            return None


def _unescaped(part: str) -> str:
    return part.replace("%2F", "/").replace("%25", "%")
