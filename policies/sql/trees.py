"""Syntax trees compared: whether two texts say the same, wherever in them they say it."""

from __future__ import annotations

from typing import Any, Final

_PLACES: Final = frozenset(
    {
        "location",
        "stmt_location",
        "stmt_len",
        "list_start",
        "list_end",
        "rexpr_list_start",
        "rexpr_list_end",
    }
)


def without_places(node: Any) -> Any:
    """The tree without the offsets of its parts in the text."""
    match node:
        case dict():
            return {k: without_places(v) for k, v in node.items() if k not in _PLACES}
        case list():
            return [without_places(each) for each in node]
        case _:
            return node


def same(one: Any, other: Any) -> bool:
    """Whether two trees differ in nothing but places."""
    return bool(without_places(one) == without_places(other))
