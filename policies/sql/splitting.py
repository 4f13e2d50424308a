"""A text of several PostgreSQL statements, cut where one ends; joined, the parts are the text.

Each part is judged by itself, so a wrong cut leaves parts that are not understood.
"""

from __future__ import annotations

from typing import Final

from policies.sql.prescan import QUICK_BYTES
from policies.sql.tokens import Kind, tokens

MOST_STATEMENTS: Final = 100
_BLANKS: Final = " \t\r\n"


def split(text: str) -> tuple[str, ...]:
    """The statements of a text, each with the semicolon behind it and what stands around.

    What holds no statement is with the one before it. A text of more than MOST_STATEMENTS is left
    whole, as is one without any, and one that would take the gateway long to cut.
    """
    first = text.find(";")
    if first in (-1, len(text.rstrip(_BLANKS)) - 1) or len(text) > QUICK_BYTES:
        return (text,)
    ends: list[int] = []
    depth, begun = 0, False
    for token in tokens(text):
        if token.kind is Kind.COMMENT:
            continue
        sign = text[token.start : token.end] if token.kind is Kind.SIGN else ""
        depth += (sign == "(") - (sign == ")")
        if sign == ";" and depth <= 0:
            ends = _ended(ends, token.end, begun=begun)
            begun = False
        else:
            begun = True
    starts = [0, *ends] if begun else [0, *ends[:-1]]
    if len(starts) > MOST_STATEMENTS:
        return (text,)
    return tuple(text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True))


def _ended(ends: list[int], end: int, *, begun: bool) -> list[int]:
    """A semicolon with nothing before it belongs to the statement before it, or to the first."""
    if begun:
        return [*ends, end]
    return [*ends[:-1], end] if ends else []
