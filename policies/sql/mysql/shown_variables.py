"""SHOW VARIABLES: whether the settings that it shows are harmless, by their names in the statement.

Any other may hold a password of replication or of a plug-in, so that values are masked then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policies.sql.mysql.cursor import Cursor
from policies.sql.mysql.lexer import Kind
from policies.sql.mysql.variables import HARMLESS_FAMILIES, READABLE

_WILD: Final = re.compile(r"(?<!\\)%")


def are_harmless(cursor: Cursor) -> bool:
    """Passes what follows SHOW VARIABLES; whether every setting that it can show is harmless.

    A WHERE may name settings and nothing else: on their values it would tell what they are.
    """
    if cursor.at_end:
        return False
    if cursor.skip("LIKE"):
        return _is_harmless(cursor.take(Kind.STRING).value)
    cursor.expect("WHERE")
    patterns = list(_named(cursor))
    return all(map(_is_harmless, patterns))


def _named(cursor: Cursor) -> Iterator[str]:
    """The names and patterns in `Variable_name = 'a' OR … LIKE 'b' OR … IN ('c', 'd')`."""
    yield from _compared(cursor)
    while cursor.skip("OR"):
        yield from _compared(cursor)


def _compared(cursor: Cursor) -> Iterator[str]:
    if cursor.name().value.lower() != "variable_name":
        raise cursor.surprise()
    if cursor.skip("IN"):
        cursor.expect_sign("(")
        yield cursor.take(Kind.STRING).value
        while cursor.skip_sign(","):
            yield cursor.take(Kind.STRING).value
        cursor.expect_sign(")")
        return
    if not cursor.skip_sign("="):
        cursor.expect("LIKE")
    yield cursor.take(Kind.STRING).value


def _is_harmless(pattern: str) -> bool:
    """Taken as a pattern, which a plain name is too; `_` stands for itself or for one character."""
    begin, *rest = _WILD.split(pattern.lower(), maxsplit=1)
    name = begin.replace("\\_", "_")
    return name.startswith(HARMLESS_FAMILIES) if rest else name in READABLE
