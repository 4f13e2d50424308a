"""Parse trees of the recognizers' patterns, and what single characters they may match.

The tree is that of Python's own parser. Patterns of the `regex` module are read by it too: what
means something else there (named lists, fuzzy matching, POSIX classes, set operations, new
escapes) is refused, and `NotUnderstood` means that nothing may be concluded from the pattern.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from importlib import import_module
from operator import or_
from typing import Any, Final

import regex

_parser: Final[Any] = import_module("re._parser")  # no stubs: private, but stable since 2.0

Node = tuple[str, Any]
"""The name of an operation (as in `re._constants`) and its argument."""

_FLAGS: Final = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII

_ONLY_IN_REGEX: Final = re.compile(
    r"\{[^{}]*[eids<][^{}\\]*\}"  # fuzzy matching
    r"|\[:\^?\w+:\]"  # POSIX classes
)

# Flags of the `regex` module that mean what those of `re` do; 0x2000 is its default version.
_FLAGS_OF_REGEX: Final = {
    0x2: re.IGNORECASE,
    0x8: re.MULTILINE,
    0x10: re.DOTALL,
    0x40: re.VERBOSE,
    0x80: re.ASCII,
    0x20: re.UNICODE,
    0x2000: re.NOFLAG,
}

ASCII: Final = frozenset(range(128))
_DIGITS: Final = frozenset(b"0123456789")
WORD: Final = frozenset(b"0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_SPACE: Final = frozenset(b" \t\n\r\f\v")
_SPACE_OF_RE: Final = _SPACE | frozenset(range(0x1C, 0x20))
"""`re` counts four separators as space in texts that `regex`, and ASCII mode, do not."""

FOLDED_TO_ASCII: Final = {"k": "\u212a", "s": "\u017f", "i": "\u0130\u0131"}
"""The ASCII letters that match other characters where case is ignored, by `re` or by `regex`."""


_SOME: Final = 32
"""A range of so many characters beyond ASCII is kept as it is; a longer one is any of them."""


class NotUnderstood(Exception):
    """Nothing may be concluded from this pattern."""


@dataclass(frozen=True, slots=True)
class Tree:
    nodes: Sequence[Node]
    flags: int


@dataclass(frozen=True, slots=True)
class Characters:
    """At least all characters that may match: ASCII ones, some others, or any others at all."""

    ascii: frozenset[int]
    some: frozenset[int] = frozenset()
    any_other: bool = False

    def __or__(self, more: Characters) -> Characters:
        return Characters(
            self.ascii | more.ascii, self.some | more.some, self.any_other or more.any_other
        )


def parsed(pattern: str, flags: int) -> Tree:
    """The pattern's tree. Raises `NotUnderstood`."""
    if _ONLY_IN_REGEX.search(pattern):
        raise NotUnderstood(pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            tree = _parser.parse(pattern, int(flags) & int(_FLAGS))
        except (re.error, FutureWarning, DeprecationWarning, RecursionError, OverflowError) as e:
            raise NotUnderstood(pattern) from e
    return Tree(nodes_of(tree), tree.state.flags | flags)


def flags_of_regex(flags: int) -> int:
    """Flags of the `regex` module as those of `re`. Raises `NotUnderstood`."""
    if flags & ~sum(_FLAGS_OF_REGEX):
        raise NotUnderstood(f"flags {flags:#x}")
    return sum(int(of_re) for of_regex, of_re in _FLAGS_OF_REGEX.items() if flags & of_regex)


def nodes_of(tree: Iterable[tuple[object, object]]) -> list[Node]:
    return [(str(operation), argument) for operation, argument in tree]


def inner_flags(flags: int, added: int, removed: int) -> int:
    """The flags in a group such as `(?i-s:...)`."""
    return (flags | added) & ~removed


def characters(operation: str, argument: Any, flags: int) -> Characters:
    """What one position of the pattern may match: at least that. Raises `NotUnderstood`."""
    match operation:
        case "LITERAL":
            return _literals([argument], flags)
        case "NOT_LITERAL":
            return Characters(ASCII - {argument}, any_other=True)
        case "ANY":
            return Characters(ASCII if flags & re.DOTALL else ASCII - {10}, any_other=True)
        case "IN":
            return _set(nodes_of(argument), flags)
        case _:
            raise NotUnderstood(operation)


def _set(items: Sequence[Node], flags: int) -> Characters:
    if items[0][0] == "NEGATE":
        refused = frozenset[int]().union(*(_at_least(item, flags) for item in items[1:]))
        return Characters(ASCII - refused, any_other=True)
    return reduce(or_, (_at_most(item, flags) for item in items))


def _at_most(item: Node, flags: int) -> Characters:
    match item:
        case ("LITERAL", int(code)):
            return _literals([code], flags)
        case ("RANGE", (int(low), int(high))):
            within = _literals(range(low, min(high, max(low, 127) + _SOME) + 1), flags)
            return within | Characters(frozenset(), any_other=high - max(low, 127) > _SOME)
        case ("CATEGORY", category):
            return _category(str(category), flags)
        case _:
            raise NotUnderstood(item[0])


def _at_least(item: Node, flags: int) -> frozenset[int]:
    """ASCII characters that match for certain: without those that only folding adds."""
    match item:
        case ("LITERAL", int(code)):
            return frozenset({code}) & ASCII
        case ("RANGE", (int(low), int(high))):
            return frozenset(range(low, min(high, 127) + 1))
        case ("CATEGORY", category):
            known = {
                "CATEGORY_DIGIT": _DIGITS,
                "CATEGORY_NOT_DIGIT": ASCII - _DIGITS,
                "CATEGORY_SPACE": _SPACE,
                "CATEGORY_NOT_SPACE": ASCII - _SPACE_OF_RE,
                "CATEGORY_WORD": WORD,
                "CATEGORY_NOT_WORD": ASCII - WORD,
            }
            return known.get(str(category), frozenset())
        case _:
            raise NotUnderstood(item[0])


def _category(category: str, flags: int) -> Characters:
    beyond = not flags & re.ASCII
    match category:
        case "CATEGORY_DIGIT":
            return Characters(_DIGITS, _digits_beyond_ascii() if beyond else frozenset())
        case "CATEGORY_SPACE":
            return Characters(_SPACE_OF_RE, any_other=beyond)
        case "CATEGORY_WORD":
            return Characters(WORD, any_other=beyond)
        case "CATEGORY_NOT_DIGIT":
            return Characters(ASCII - _DIGITS, any_other=True)
        case "CATEGORY_NOT_SPACE":
            return Characters(ASCII - _SPACE, any_other=True)
        case "CATEGORY_NOT_WORD":
            return Characters(ASCII - WORD, any_other=True)
        case _:
            raise NotUnderstood(category)


@cache
def _digits_beyond_ascii() -> frozenset[int]:
    """As both engines see them, whose tables are of different ages."""
    every = "".join(map(chr, range(128, sys.maxunicode + 1)))
    digits = set(re.findall(r"\d", every)) | set(regex.findall(r"\d", every))
    return frozenset(map(ord, digits))


def _literals(codes: Iterable[int], flags: int) -> Characters:
    kept = frozenset(codes)
    exact = Characters(kept & ASCII, kept - ASCII)
    return exact | _folded(kept) if flags & re.IGNORECASE else exact


def _folded(codes: frozenset[int]) -> Characters:
    """The other case of each letter; of a letter beyond ASCII it may be any letter beyond ASCII.

    What ASCII mode says about folding differs between `re` and `regex`; the wider one holds here.
    """
    letters = {chr(code).lower() for code in codes & ASCII}
    letters |= {a for a, others in FOLDED_TO_ASCII.items() if any(ord(o) in codes for o in others)}
    both = frozenset(ord(c) for letter in letters for c in (letter, letter.upper()))
    folded = frozenset(ord(o) for letter in letters for o in FOLDED_TO_ASCII.get(letter, ""))
    return Characters(both, folded, any_other=bool(codes - ASCII))


def runs(codes: frozenset[int]) -> Iterator[tuple[int, int]]:
    """The codes as ranges from low to high, both inclusive."""
    ordered = sorted(codes)
    start = 0
    for index, code in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != code + 1:
            yield ordered[start], code
            start = index + 1
