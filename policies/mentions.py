"""What one policy names: entities, labels, groups and actions, read off its JSON form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

Document = Mapping[str, Any]

SCHEMA: Final = Path(__file__).with_name("schema.cedarschema")

_DECLARED = re.compile(
    r'^action ((?:"[^"]+"|[\w, ])+?)(?: in \[([^\]]*)\])? *(?:;|//|$)', re.MULTILINE
)
_NAME = re.compile(r'"([^"]+)"|(\w+)')
_UNDER_A_TARGET: Final = frozenset({"Schema", "Table"})


def entities(node: object) -> Iterator[tuple[str, str]]:
    """Every entity that stands anywhere in a policy, as type and id."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
            yield node["type"], node["id"]
        for value in node.values():
            yield from entities(value)
    elif isinstance(node, list):
        for item in node:
            yield from entities(item)


def targets_named(node: object) -> Iterator[tuple[str, str]]:
    """Targets by name, with the entity as written: tables and schemas name theirs as well."""
    for kind, identifier in entities(node):
        if kind == "Target":
            yield identifier, f'Target::"{identifier}"'
        elif kind in _UNDER_A_TARGET:
            name = identifier.partition("/")[0].replace("%2F", "/").replace("%25", "%")
            yield name, f'{kind}::"{identifier}"'


def narrowing(document: Document) -> list[object]:
    """The parts that say what a policy is about, without what a forbid exempts.

    An exemption for what is not there exempts nothing, and is no mistake.
    """
    scope = [document[part] for part in ("principal", "action", "resource")]
    exempt = "unless" if document["effect"] == "forbid" else ""
    return [*scope, *(c["body"] for c in document["conditions"] if c["kind"] != exempt)]


def labels_named(node: object) -> Iterator[str]:
    """Labels that conditions compare with `context.sql.labels` and its like."""
    if isinstance(node, list):
        for item in node:
            yield from labels_named(item)
    if not isinstance(node, dict):
        return
    for operation in node.values():
        if isinstance(operation, dict) and {"left", "right"} <= operation.keys():
            left, right = operation["left"], operation["right"]
            yield from _texts(right) if _reads_labels(left) else ()
            yield from _texts(left) if _reads_labels(right) else ()
        yield from labels_named(operation)


def words(node: object) -> Iterator[str]:
    """Every text in a policy, names of attributes among them."""
    match node:
        case str():
            yield node
        case dict():
            for key, value in node.items():
                yield key
                yield from words(value)
        case list():
            for item in node:
                yield from words(item)


def attributes(node: object) -> Iterator[str]:
    """The names of attributes that conditions read, or ask for with `has`."""
    match node:
        case {"attr": str(name)}:
            yield name
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from attributes(item)


def _reads_labels(node: object) -> bool:
    match node:
        case {".": {"attr": str(name)}}:
            return name == "labels" or name.startswith("labels_")
        case _:
            return False


def _texts(node: object) -> Iterator[str]:
    match node:
        case {"Value": str(text)}:
            yield text
        case {"Set": list(items)}:
            for item in items:
                yield from _texts(item)


def actions(document: Document) -> frozenset[str]:
    """Every action that a policy is about, groups of actions written out."""
    scope = document["action"]
    if scope["op"] == "All":
        return frozenset(members())
    named = scope.get("entities") or [scope["entity"]]
    whole = (members().get(e["id"], frozenset()) | {e["id"]} for e in named)
    found = frozenset[str]().union(*whole) if scope["op"] == "in" else {e["id"] for e in named}
    return frozenset(found)


def about_anybody(document: Document) -> bool:
    """Whether the scope leaves the principal open; every principal is a User."""
    scope = document["principal"]
    return scope in ({"op": "All"}, {"op": "is", "entity_type": "User"})


def is_unconditional(document: Document) -> bool:
    """No conditions, or only such as `when { true }`."""
    return all(c["body"] == {"Value": c["kind"] == "when"} for c in document["conditions"])


def principal_groups(document: Document) -> frozenset[str] | None:
    """The groups that a policy's scope names; None where it is about anybody, or one person."""
    scope = document["principal"]
    match scope:
        case {"op": "in", "entity": {"type": "Group", "id": str(group)}}:
            return frozenset({group})
        case _:
            return None


@cache
def members() -> Mapping[str, frozenset[str]]:
    """Each action of the schema, and for groups of actions what is in them."""
    found: dict[str, frozenset[str]] = {}
    for declared in _DECLARED.finditer(SCHEMA.read_text(encoding="utf-8")):
        names = _names(declared.group(1))
        for name in names:
            found.setdefault(name, frozenset())
        for parent in _names(declared.group(2) or ""):
            found[parent] = found.get(parent, frozenset()) | set(names)
    return found


def _names(text: str) -> list[str]:
    return [quoted or plain for quoted, plain in _NAME.findall(text)]
