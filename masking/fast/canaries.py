"""Short texts in which a pattern matches, made from its parse tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from masking.fast.supersets import without_references
from masking.fast.trees import Characters, Node, NotUnderstood, characters, nodes_of, parsed

_CHARACTERS: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_NOTHING: Final = frozenset({"AT", "ASSERT", "ASSERT_NOT", "GROUPREF"})
_PLEASANT: Final = b"a1A0-. "
_MANY: Final = 100


def canaries_of(pattern: str, flags: int) -> list[str]:
    """Short texts in which the pattern may match; conditions such as `\\b` are not looked at.

    Whoever uses them tries which one is a canary. Raises `NotUnderstood`.
    """
    tree = parsed(pattern, flags)
    nodes = without_references(tree.nodes, {})
    return [_text(nodes, tree.flags, least) for least in (0, 1)]


def _text(nodes: Sequence[Node], flags: int, least: int) -> str:
    return "".join(_of(operation, argument, flags, least) for operation, argument in nodes)


def _of(operation: str, argument: Any, flags: int, least: int) -> str:
    if operation in _CHARACTERS:
        return _one(characters(operation, argument, flags))
    if operation in _REPEATS:
        times = max(int(argument[0]), min(least, int(argument[1])))
        return _text(nodes_of(argument[2]), flags, least) * times
    if operation in _NOTHING:
        return ""
    match operation:
        case "BRANCH":
            return _text(nodes_of(argument[1][0]), flags, least)
        case "SUBPATTERN":
            return _text(nodes_of(argument[3]), flags, least)
        case "ATOMIC_GROUP":
            return _text(nodes_of(argument), flags, least)
        case _:
            raise NotUnderstood(operation)


def _one(wanted: Characters) -> str:
    if len(wanted.ascii) > _MANY and ord(" ") in wanted.ascii:
        return " "  # so that a word ends here
    for code in (*_PLEASANT, *sorted(wanted.ascii)):
        if code in wanted.ascii:
            return chr(code)
    return chr(min(wanted.some)) if wanted.some else "\u00e9"
