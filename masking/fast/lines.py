"""Whether a pattern reads a text line by line: whether texts may be joined by line breaks.

`reads_by_line` walks the parse tree and says yes only where

- no position of the pattern, look-arounds included, may match a line break, so that no match
  spans one and every look-around compares the same characters with the text or finds none; and
- no condition tells a line break from an end of the text: `^` and `$` only in MULTILINE mode,
  neither `\\A` nor `\\Z`; `\\b` and `\\B` take a line break for what they take an end for, no word.

Matches are found from left to right, each after the one before; none reaches over a line break,
so those of the joined text are those of its lines, moved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from masking.fast.trees import (
    Node,
    NotUnderstood,
    characters,
    inner_flags,
    nodes_of,
    parsed,
)

_LINE_BREAK: Final = 10
_CHARACTERS: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})


def reads_by_line(pattern: str, flags: int) -> bool:
    """Whether matches in texts joined by line breaks are those in the texts."""
    try:
        tree = parsed(pattern, flags)
        return _all_by_line(tree.nodes, tree.flags)
    except NotUnderstood:
        return False


def _all_by_line(nodes: Sequence[Node], flags: int) -> bool:
    return all(_by_line(operation, argument, flags) for operation, argument in nodes)


def _by_line(operation: str, argument: Any, flags: int) -> bool:
    if operation in _CHARACTERS:
        return _LINE_BREAK not in characters(operation, argument, flags).ascii
    if operation in _REPEATS:
        return _all_by_line(nodes_of(argument[2]), flags)
    match operation:
        case "AT":
            return _same_at_lines(str(argument), flags)
        case "BRANCH":
            return all(_all_by_line(nodes_of(branch), flags) for branch in argument[1])
        case "SUBPATTERN":
            _, added, removed, inside = argument
            return _all_by_line(nodes_of(inside), inner_flags(flags, added, removed))
        case "ASSERT" | "ASSERT_NOT":
            return _all_by_line(nodes_of(argument[1]), flags)
        case "ATOMIC_GROUP":
            return _all_by_line(nodes_of(argument), flags)
        case "GROUPREF":  # what a group matched holds no line break either
            return True
        case _:
            raise NotUnderstood(operation)


def _same_at_lines(where: str, flags: int) -> bool:
    if where in ("AT_BEGINNING", "AT_END"):
        return bool(flags & re.MULTILINE)
    return where in ("AT_BOUNDARY", "AT_NON_BOUNDARY")
