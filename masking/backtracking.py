"""Whether a regular expression takes too long on some text: tried, on texts made from itself.

For each repetition of the pattern a text is made that leads there, repeats what it repeats, and
then does not match. Exponential and cubic patterns don't come to an end on one of them. Presidio
gives up after a minute and the scan worker after seconds, which masks the whole text; a pattern
that does so in earnest would mask everything, and is better refused when it is loaded.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import regex

from masking.fast.trees import Node, NotUnderstood, nodes_of, parsed

FLAGS: Final = regex.IGNORECASE | regex.MULTILINE | regex.DOTALL
"""Presidio's, for patterns of a `PatternRecognizer`."""

_TIMES: Final = 1_000
_SECONDS: Final = 0.5
_MOST_TEXTS: Final = 64
_COMMON: Final = ("a", "0", " ", "-", ".", "a.", "a0", "0 ", "A-")


def slow_text(pattern: str) -> str | None:
    """A text on which a search takes longer than half a second; None where none was found.

    Raises `regex.error` where the pattern is none.
    """
    compiled = regex.compile(pattern, FLAGS)
    return next((text for text in _texts(pattern) if _is_slow(compiled, text)), None)


def _is_slow(compiled: regex.Pattern[str], text: str) -> bool:
    """The clock is looked at as well: `regex` asks for its own only now and then."""
    begin = time.thread_time()
    try:
        compiled.search(text, timeout=_SECONDS)
    except TimeoutError:
        return True
    return time.thread_time() - begin > _SECONDS


def _texts(pattern: str) -> Iterator[str]:
    seeds = [("", common) for common in _COMMON]
    whole = ""
    try:
        nodes = parsed(pattern, re.IGNORECASE).nodes
        seeds += list(_repeated(nodes, ""))[:_MOST_TEXTS]
        whole = _sample(nodes)  # what must be there is there: else nothing is tried at all
    except NotUnderstood:  # what only the `regex` module knows: the common texts must do
        pass
    for before, again in dict.fromkeys(seeds):
        yield f"{before}{again * _TIMES}\x00"
        yield f"{before}{again * _TIMES}\x00{whole}"


def _repeated(nodes: Sequence[Node], before: str) -> Iterator[tuple[str, str]]:
    """What leads to each repetition, and what it repeats."""
    for operation, argument in nodes:
        if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield before, _sample(nodes_of(argument[2]))
        for inside in _inside(operation, argument):
            yield from _repeated(inside, before)
        before += _sample([(operation, argument)])


def _inside(operation: str, argument: Any) -> list[list[Node]]:
    match operation:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [nodes_of(argument[2])]
        case "SUBPATTERN":
            return [nodes_of(argument[3])]
        case "BRANCH":
            return [nodes_of(branch) for branch in argument[1]]
        case "ASSERT" | "ASSERT_NOT":
            return [nodes_of(argument[1])]
        case "ATOMIC_GROUP":
            return [nodes_of(argument)]
        case _:
            return []


def _sample(nodes: Sequence[Node]) -> str:
    """A short text that these nodes match, as far as this needs to know."""
    return "".join(_piece(operation, argument) for operation, argument in nodes)


def _piece(operation: str, argument: Any) -> str:
    match operation:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL" | "ANY":
            return "a"
        case "IN":
            return _member(argument)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _sample(nodes_of(argument[2])) * min(max(int(argument[0]), 1), 100)
        case "SUBPATTERN":
            return _sample(nodes_of(argument[3]))
        case "BRANCH":
            return _sample(nodes_of(argument[1][0]))
        case "ATOMIC_GROUP":
            return _sample(nodes_of(argument))
        case _:
            return ""


def _member(members: Sequence[tuple[object, Any]]) -> str:
    names = [(str(operation), argument) for operation, argument in members]
    for operation, argument in names:
        if operation == "LITERAL":
            return chr(argument)
        if operation == "RANGE":
            return chr(argument[0])
        if operation == "CATEGORY":
            return {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " "}.get(str(argument), "a")
    return "a"
