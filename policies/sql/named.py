"""PREPARE, DECLARE and what uses their names: what each says by itself.

What a name stands for is known to a session alone, which follows it. By themselves these statements
are opaque; the session judges the statement inside, whose exact text is cut out here.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from policies.sql.facts import Named, Opaque
from policies.sql.grammar import unwrap, unwrap_as
from policies.sql.not_understood import NEXT_STEPS, NotUnderstood
from policies.sql.parser import Tree, parse_one
from policies.sql.tokens import Kind, tokens

NO_SESSION: Final = Opaque(
    "NAME_OF_SESSION",
    "Names of statements and cursors last as long as a session, and are known only there.",
    NEXT_STEPS["NAME_OF_SESSION"],
)

LONGEST_NAME: Final = 62
"""One less than what the server keeps of a name: one of that length may have been cut."""

_ALL: Final = 2**63 - 1  # how the grammar says ALL
# CURSOR_OPT_BINARY and the others of nodes/parsenodes.h.
_BINARY, _SCROLL, _NO_SCROLL, _INSENSITIVE, _ASENSITIVE, _HOLD = (1 << n for n in range(6))
_FAST_PLAN: Final = 0x100
_UNDERSTOOD: Final = _SCROLL | _NO_SCROLL | _INSENSITIVE | _ASENSITIVE | _FAST_PLAN
_BY_COUNT: Final = ("FETCH_FORWARD", "FETCH_BACKWARD")
_TO_PLACE: Final = ("FETCH_ABSOLUTE", "FETCH_RELATIVE")


class Types(Protocol):
    """What knows the types that may be named, and the text."""

    @property
    def findings(self) -> Text: ...

    def type_name(self, body: Tree) -> None: ...


class Text(Protocol):
    """The bytes of the statement."""

    encoded: bytes


def by_name(kind: str, body: Tree, types: Types) -> Named | None:
    """What a statement makes or uses a name for; None for one that does not.

    Raises NotUnderstood.
    """
    match kind:
        case "PrepareStmt":
            for node in body.get("argtypes", []):
                types.type_name(unwrap_as("TypeName", node))
            begins = _begins(types.findings.encoded, "as", body["query"])
            return Named("prepare", followed_name(body["name"]), begins)
        case "DeclareCursorStmt":
            _check_options(body.get("options", 0))
            begins = _begins(types.findings.encoded, "for", body["query"])
            return Named("declare", followed_name(body["portalname"]), begins)
        case "ExecuteStmt":
            for node in body.get("params", []):
                _check_argument(node, types)
            return Named("execute", followed_name(body["name"]))
        case "FetchStmt":
            named = "move" if body.get("ismove") else "fetch"
            return Named(named, followed_name(body["portalname"]), rows=_rows(body))
        case _:
            return None


def followed_name(name: str) -> str:
    """The server cuts long names, and folds other letters than these by its own encoding."""
    if name.isascii() and 0 < len(name) <= LONGEST_NAME:
        return name
    raise NotUnderstood("NAME_NOT_FOLLOWED", "names of other letters, or longer ones, are not kept")


def _check_options(options: int) -> None:
    if options & _HOLD:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", "a cursor WITH HOLD would run at COMMIT")
    if options & _BINARY:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD", "a BINARY cursor would give values that can't be masked as text"
        )
    if options & ~_UNDERSTOOD:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", "this kind of cursor is not understood")


def _check_argument(node: Tree, types: Types) -> None:
    """A constant, or one that is cast to a built-in type: nothing that reads or calls."""
    kind, body = unwrap(node)
    if kind == "TypeCast":
        types.type_name(body["typeName"])
        kind, _ = unwrap(body["arg"])
    if kind != "A_Const":
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"EXECUTE with {kind} is not understood")


def _rows(body: Tree) -> int | None:
    """At most so many; a place in the result has one row."""
    count: int = body.get("howMany", 0)
    if body["direction"] in _TO_PLACE:
        return 1
    if body["direction"] not in _BY_COUNT:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{body['direction']} is not understood")
    return None if abs(count) >= _ALL else max(1, abs(count))  # 0 gives the row again


def _begins(encoded: bytes, word: str, query: Tree) -> int:
    """Where the statement inside begins: read by itself it must give the very same tree."""
    text, depth = encoded.decode(), 0
    for token in tokens(text):
        sign = token.value if token.kind is Kind.SIGN else ""
        depth += (sign == "(") - (sign == ")")
        if token.kind is Kind.WORD and token.value == word and depth == 0:
            begins = len(text[: token.end].encode())
            if _unplaced(parse_one(encoded[begins:])) == _unplaced(query):
                return begins
            break
    raise NotUnderstood("SQL_NOT_UNDERSTOOD", "the statement inside can't be told apart")


def _unplaced(node: Any) -> Any:
    """A tree without the places in the text that its nodes name."""
    if isinstance(node, dict):
        return {k: _unplaced(v) for k, v in node.items() if not k.endswith(_PLACES)}
    if isinstance(node, list):
        return [_unplaced(item) for item in node]
    return node


_PLACES: Final = ("location", "list_start", "list_end")
