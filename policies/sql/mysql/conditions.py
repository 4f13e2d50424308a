"""The WHERE of a SHOW: taken where it compares columns with constants, and does nothing else."""

from __future__ import annotations

from typing import Final

from policies.sql.mysql.cursor import Cursor
from policies.sql.mysql.lexer import Kind
from policies.sql.mysql.words import RESERVED

_SIGNS: Final = frozenset({"=", "<>", "!=", "(", ")", ",", "<=>", "<", ">", "<=", ">="})
_WORDS: Final = frozenset({"AND", "OR", "NOT", "LIKE", "IN", "IS", "NULL"})


def plain_condition(cursor: Cursor) -> None:
    """Passes a condition that compares columns with constants: it calls and asks nothing."""
    named = False
    while (token := cursor.token) is not None:
        if token.kind is Kind.SIGN:
            # A bracket behind a name is a call.
            if token.value not in _SIGNS or (named and token.value == "("):
                raise cursor.surprise()
            named = False
        elif token.word in RESERVED:
            if token.word not in _WORDS:
                raise cursor.surprise()
            named = False
        elif token.kind is Kind.VARIABLE:
            raise cursor.surprise()
        else:
            named = token.kind in (Kind.WORD, Kind.NAME)
        cursor.index += 1
