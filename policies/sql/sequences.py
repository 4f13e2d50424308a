"""Sequences named in calls, and rows made up of nothing: what `generate_series` counts to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from policies.sql import names
from policies.sql.catalog import Catalog, Relation
from policies.sql.grammar import location_of, unwrap
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

# Rows that nobody stored. More of them only burn time; the target's timeout ends what is left.
MAXIMUM_MADE_ROWS: Final = 100_000

_WORD: Final = r'(?:[A-Za-z_][\w$]*|"(?:[^"]|"")+")'
_NAME = re.compile(rf"({_WORD})(?:\.({_WORD}))?", re.ASCII)


def sequence_of(catalog: Catalog, arguments: list[Tree]) -> Relation:
    """The sequence that `currval('name')` is about; its name must be written out."""
    text = _text(arguments[0]) if len(arguments) == 1 else None
    found = None if text is None else _NAME.fullmatch(text.strip())
    if found is None:
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED", "currval of a name that is computed", location_of(arguments)
        )
    first, second = (part and _unquoted(part) for part in found.groups())
    schema, name = (first, second) if second else (None, first)
    relation = names.resolve_relation(catalog, schema, name, location=location_of(arguments))
    return names.sequence(relation, location=location_of(arguments))


def _text(node: Tree) -> str | None:
    kind, body = unwrap(node)
    if kind == "TypeCast" and body["typeName"]["names"][-1] == {"String": {"sval": "regclass"}}:
        return _text(body["arg"])
    text: str | None = body.get("sval", {}).get("sval") if kind == "A_Const" else None
    return text


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()


class MadeRows:
    """How many rows the constant `generate_series` calls of one statement make together."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}

    def count(self, body: Tree) -> None:
        """Notes a call; walking it twice counts once. Raises NotUnderstood past the maximum."""
        location = body.get("location", 0)
        self._calls[location] = _rows(body.get("args", []))
        rows = 1
        for made in self._calls.values():
            rows *= made
        if rows >= MAXIMUM_MADE_ROWS:
            raise NotUnderstood(
                "SQL_TOO_COMPLEX", f"generate_series makes {rows} rows together", location
            )


def _rows(arguments: list[Tree]) -> int:
    """Rows of one call, where its arguments are constants; else at least one."""
    numbers = [_number(argument) for argument in arguments]
    if len(numbers) not in (2, 3) or None in numbers:
        return 1
    start, stop, *rest = (number for number in numbers if number is not None)
    step = rest[0] if rest else 1.0
    return max(1, int((stop - start) / step) + 1) if step else 1


def _number(node: Tree) -> float | None:
    kind, body = unwrap(node)
    if kind == "TypeCast":
        return _number(body["arg"])
    if kind == "A_Expr" and body["name"] == [{"String": {"sval": "-"}}] and "lexpr" not in body:
        inner = _number(body["rexpr"])
        return None if inner is None else -inner
    constant: Mapping[str, Tree] = body if kind == "A_Const" else {}
    if "ival" in constant:
        return float(constant["ival"].get("ival", 0))
    try:
        return float(constant["fval"]["fval"])
    except (KeyError, ValueError, OverflowError):
        return None
