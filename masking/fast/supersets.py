"""A pattern for Hyperscan that matches wherever the original does, and perhaps elsewhere.

`superset(pattern)` is built from the parse tree, so that each step is seen to lose nothing:

- A set of characters becomes a set of bytes. A position that may match many characters beyond ASCII
  (Unicode words, negated sets) also takes any two to four bytes from 0x80 to 0xF4, which every such
  character is in UTF-8, surrogates too; one that may match some (digits) takes their first byte and
  any behind it; one that may match few takes their bytes. Both engines are asked for their digits.
  No other table of Unicode's is, so that none can disagree with Python's, but for the four letters
  that fold to ASCII ones, which a test compares with both engines.
- Look-arounds are left out, and `\\b` and `\\B`: a condition less matches more. A `\\b` at the
  beginning, before an ASCII letter or digit, becomes any other character, or a line's begin.
- `^`, `$`, `\\A` and `\\Z` become `^` and `$` at lines: each holds wherever the original does, also
  where many texts are joined by line breaks.
- A back-reference becomes what its group may match, or anything. Lazy, possessive and atomic
  repetition become repetition: a language without backtracking is a part of the one with it.
- Large bounds are opened: `{2,300}` becomes `{2,}`.
- Ends are cut: `[a-z]{20,}` at the end of a pattern becomes `[a-z]{20}`, whose match is a prefix of
  the original's; at the beginning likewise, a suffix. A match so cut lies inside the original's.

What can't be read so, or can match nothing at all, raises `NotUnderstood`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final, TypeAlias

from masking.fast.trees import (
    ASCII,
    WORD,
    Characters,
    Node,
    NotUnderstood,
    characters,
    inner_flags,
    nodes_of,
    parsed,
    runs,
)

_MOST_REPEATS: Final = 32
_MOST_EXACT: Final = 12
_LONGEST_CHARACTER: Final = 4  # bytes
_CHARACTERS: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_LOOSEST: Final = re.IGNORECASE | re.DOTALL
_CUT: Final = "CUT_REPEAT"
"""A repetition at an end of the pattern: so often, at least."""
_LOOKS: Final = frozenset({"ASSERT", "ASSERT_NOT"})
_LINE: Final = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": "^",
    "AT_END": "$",
    "AT_END_STRING": "$",
}


def superset(pattern: str, flags: int, behind: str = "") -> str:
    """Hyperscan's syntax, with flags DOTALL and MULTILINE; raises `NotUnderstood`.

    `behind` is another pattern, whose case is ignored, that must match before on the same line.
    """
    tree = parsed(pattern, flags)
    nodes = without_references(tree.nodes, {})
    written = _sequence(_cut_head(_cut_tail(nodes)), tree.flags)
    if not written.least:
        raise NotUnderstood(pattern)
    if not behind:
        return _word_begins(nodes, tree.flags) + written.text
    words = parsed(rf"(?:{behind})[^\n]*", re.IGNORECASE)
    # Hyperscan knows no `^` but at the beginning. Literals are written in hexadecimal, so that no
    # other one is lost: a condition less.
    return _sequence(words.nodes, words.flags).text + written.text.replace("^", "")


def _word_begins(nodes: Sequence[Node], flags: int) -> str:
    """What stands before a match of a pattern that begins with `\\b` and a word's character."""
    if len(nodes) < 2 or nodes[0][0] != "AT" or str(nodes[0][1]) != "AT_BOUNDARY":
        return ""
    first = _first(nodes[1], flags)
    if first is None or first.some or first.any_other or not first.ascii <= WORD:
        return ""
    return rf"(?:^|[{_ranges(ASCII - WORD)}\x80-\xf4])"


def _first(node: Node, flags: int) -> Characters | None:
    """What a match begins with, where that is seen at once."""
    operation, argument = node
    if operation in _CHARACTERS:
        return characters(operation, argument, flags)
    if operation in _REPEATS and int(argument[0]) > 0:
        return _first(nodes_of(argument[2])[0], flags)
    if operation == "SUBPATTERN":
        _, added, removed, inside = argument
        return _first(nodes_of(inside)[0], inner_flags(flags, added, removed)) if inside else None
    if operation == "BRANCH":
        each = [_first(nodes_of(b)[0], flags) if b else None for b in argument[1]]
        known = [one for one in each if one is not None]
        return reduce(or_, known) if len(known) == len(each) else None
    return None


@dataclass(frozen=True, slots=True)
class _Written:
    text: str
    least: int
    """Bytes of its shortest match."""


def _sequence(nodes: Sequence[Node], flags: int) -> _Written:
    parts = [_node(operation, argument, flags) for operation, argument in nodes]
    return _Written("".join(p.text for p in parts), sum(p.least for p in parts))


def _node(operation: str, argument: Any, flags: int) -> _Written:
    if operation in _CHARACTERS:
        return _Written(_character(characters(operation, argument, flags)), 1)
    if operation in _REPEATS:
        return _repeat(argument, flags)
    if operation == _CUT:
        return _cut_repeat(argument, flags)
    if operation in _LOOKS:
        return _Written("", 0)
    match operation:
        case "AT":
            return _Written(_position(str(argument)), 0)
        case "BRANCH":
            return _branches([_sequence(nodes_of(b), flags) for b in argument[1]])
        case "SUBPATTERN":
            _, added, removed, inside = argument
            inner = _sequence(nodes_of(inside), inner_flags(flags, added, removed))
            return _Written(f"(?:{inner.text})", inner.least)
        case "ATOMIC_GROUP":
            return _sequence(nodes_of(argument), flags)
        case "GROUPREF":
            return _Written(r"[\x00-\xf4]*", 0)
        case _:
            raise NotUnderstood(operation)


def _position(where: str) -> str:
    if where in ("AT_BOUNDARY", "AT_NON_BOUNDARY"):
        return ""
    if where not in _LINE:
        raise NotUnderstood(where)
    return _LINE[where]


def _branches(branches: Sequence[_Written]) -> _Written:
    text = "|".join(branch.text for branch in branches)
    return _Written(f"(?:{text})", min(branch.least for branch in branches))


def _character(wanted: Characters) -> str:
    choices = [f"[{_ranges(wanted.ascii)}]"] if wanted.ascii else []
    choices += _utf8(wanted.some)
    choices += [_BEYOND] if wanted.any_other else []
    match choices:
        case []:
            raise NotUnderstood("nothing")
        case [only]:
            return only
        case _:
            return f"(?:{'|'.join(choices)})"


def _repeat(argument: Any, flags: int) -> _Written:
    least, most, inside = int(argument[0]), int(argument[1]), nodes_of(argument[2])
    if len(inside) == 1 and inside[0][0] in _CHARACTERS:
        wanted = characters(*inside[0], flags)
        # So many characters are at least as many bytes, and at most four times.
        bounds = _bounds(least, most * _LONGEST_CHARACTER)
        if wanted.any_other:
            return _Written(rf"[{_ranges(wanted.ascii)}\x80-\xf4]{bounds}", least)
        if wanted.some:
            every = wanted.ascii | {byte for one in _encoded(wanted.some) for byte in one}
            return _Written(f"[{_ranges(every)}]{bounds}", least)
    inner = _sequence(inside, flags)
    return _Written(f"(?:{inner.text}){_bounds(least, most)}", least * inner.least)


def _cut_repeat(argument: Any, flags: int) -> _Written:
    """At an end of the pattern so many bytes do: characters are as many bytes, or more."""
    repeated = _repeat(argument, flags)
    open_ended = re.fullmatch(r"(\[[^\]]*\])\{(\d+),\d*\}", repeated.text)
    if open_ended is None:
        return repeated
    return _Written(f"{open_ended[1]}{{{open_ended[2]}}}", repeated.least)


_BEYOND: Final = r"[\x80-\xf4]{2,4}"

SEPARATOR: Final = b"\n\xff\n"
"""Joins texts: its middle byte is in no UTF-8 and matches nothing that is written here, so that
whatever matches does so in one text; `^` and `$` hold beside it as at the ends of a text."""


def _utf8(codes: frozenset[int]) -> list[str]:
    """The bytes of some characters; of more than a few, whatever begins as they do."""
    each = _encoded(codes)
    if len(each) <= _MOST_EXACT:
        return ["".join(rf"\x{byte:02x}" for byte in one) for one in each]
    first = "".join(rf"\x{byte:02x}" for byte in sorted({one[0] for one in each}))
    return [rf"[{first}][\x80-\xbf]{{1,3}}"]


def _encoded(codes: frozenset[int]) -> list[bytes]:
    return sorted(chr(code).encode("utf-8", "surrogatepass") for code in codes)


def _bounds(least: int, most: int) -> str:
    low = min(least, _MOST_REPEATS)
    return f"{{{low},}}" if most > _MOST_REPEATS else f"{{{low},{most}}}"


def _ranges(codes: frozenset[int]) -> str:
    return "".join(rf"\x{low:02x}-\x{high:02x}" for low, high in runs(codes))


_Cut: TypeAlias = Callable[[Sequence[Node]], list[Node]]


def _cut_tail(nodes: Sequence[Node]) -> list[Node]:
    kept = list(nodes)
    while kept:
        shorter = _shorter(kept[-1], _cut_tail)
        if shorter:
            return [*kept[:-1], *shorter]
        kept.pop()
    return kept


def _cut_head(nodes: Sequence[Node]) -> list[Node]:
    kept = list(nodes)
    while kept:
        shorter = _shorter(kept[0], _cut_head)
        if shorter:
            return [*shorter, *kept[1:]]
        kept.pop(0)
    return kept


def without_references(nodes: Sequence[Node], groups: dict[int, list[Node]]) -> list[Node]:
    """The nodes with what a group may match, whatever the flags, in place of references to it."""
    return [_without_reference(operation, argument, groups) for operation, argument in nodes]


def _without_reference(operation: str, argument: Any, groups: dict[int, list[Node]]) -> Node:
    if operation == "SUBPATTERN":
        number, added, removed, inside = argument
        inner = without_references(nodes_of(inside), groups)
        if number is not None:
            groups[number] = inner
        return operation, (number, added, removed, inner)
    if operation == "GROUPREF" and argument in groups:
        return "SUBPATTERN", (None, _LOOSEST, 0, groups[argument])
    if operation in _REPEATS:
        inner = without_references(nodes_of(argument[2]), groups)
        return operation, (argument[0], argument[1], inner)
    if operation == "BRANCH":
        return operation, (None, [without_references(nodes_of(b), groups) for b in argument[1]])
    return operation, argument


def _shorter(node: Node, cut: _Cut) -> list[Node]:
    """The node at an end of the pattern without what it need not match there; empty: all of it."""
    operation, argument = node
    if operation in _LOOKS:
        return []
    if operation in _REPEATS:
        least = min(int(argument[0]), _MOST_REPEATS)
        return [(_CUT, (least, least, argument[2]))] if least else []
    if operation == "BRANCH":
        branches = [cut(nodes_of(branch)) for branch in argument[1]]
        return [("BRANCH", (None, branches))] if all(branches) else []
    if operation == "SUBPATTERN":
        group, added, removed, inside = argument
        inner = cut(nodes_of(inside))
        return [("SUBPATTERN", (group, added, removed, inner))] if inner else []
    return [node]
