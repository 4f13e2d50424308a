"""Statements that differ in one number alone: what they do is found out once for all of them.

Only where that is plain to see: a SELECT that ends in a comparison of a name with a whole number,
and holds no other constant, no string, comment, quoted name or parameter. The number is then no
limit, no position, no argument and no setting, and there is nothing that it could be equal to.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 2000
"""Characters that are looked at: the gateway itself does it, for every statement."""

# 0 and 1 may stand for a truth value; ten digits may be another type; the length stays as it is.
_ENDS_IN_NUMBER: Final = re.compile(
    r"\s*SELECT\s[A-Za-z0-9_.,*=() \t\r\n]*[A-Za-z0-9_] ?= ?([2-9]|[1-9][0-9]{1,8})\s*(?:;\s*)?",
    re.IGNORECASE | re.ASCII,
)
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9_])[0-9]", re.ASCII)


def form(text: str) -> str:
    """The statement that stands for all that differ from this one in its number; or itself."""
    found = _ENDS_IN_NUMBER.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return text
    start, end = found.span(1)
    if _NUMBER.search(text, 0, start):
        return text
    return f"{text[:start]}{'9' * (end - start)}{text[end:]}"
