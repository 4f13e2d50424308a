"""The gate before any parser: what of a statement's text is refused at sight, in linear time.

sqlglot takes 2^n on nested type-like calls and on joins without ON, and its recursion ends the
process or the patience of others on deep ones. plain.py leaves it no types; the rest is
counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from policies.sql.mysql.lexer import Comments, Kind, Token, tokens
from policies.sql.not_understood import NotUnderstood, SeveralStatements
from policies.sql.prescan import MAXIMUM_BYTES, MAXIMUM_OPERATORS

# sqlglot gives up with a RecursionError at 30 to 80 levels, depending on what is nested.
MAXIMUM_DEPTH: Final = 40
# Some 10,000 values in lists: half a second of work; more belongs into several statements.
MAXIMUM_TOKENS: Final = 20_000
# Prefix operators in a row: NOT NOT …, - - …
MAXIMUM_PREFIXES: Final = 20
# Joins that wait for their ON, those around them too: sqlglot tries two ways for each.
MAXIMUM_PENDING_JOINS: Final = 6

_OPERATOR_WORDS: Final = frozenset(
    {
        *("AND", "OR", "XOR", "NOT", "IS", "IN", "LIKE", "RLIKE", "REGEXP", "DIV", "MOD"),
        *("BETWEEN", "UNION", "EXCEPT", "INTERSECT", "JOIN", "STRAIGHT_JOIN", "CASE", "SELECT"),
        *("COLLATE", "BINARY", "INTERVAL"),
    }
)
_NO_OPERATORS: Final = frozenset({"(", ")", ",", ".", "?", ";"})
_SIGNS: Final = Kind.SIGN
_PREFIXES: Final = frozenset({"-", "+", "~", "!"})
_JOINS: Final = frozenset({"JOIN", "STRAIGHT_JOIN"})
_CONDITIONS: Final = frozenset({"ON", "USING"})
_CLAUSES: Final = frozenset({"FROM", "WHERE", "SELECT", "SET", "GROUP", "ORDER", "LIMIT", "UPDATE"})


@dataclass(frozen=True, slots=True)
class Text:
    """A statement that passed the gate: its tokens, and for each bracket its counterpart's index.

    `length` is in bytes of UTF-8.
    """

    text: str
    tokens: tuple[Token, ...]
    counterpart: dict[int, int] = field(repr=False)

    def place(self, character: int) -> int:
        """The byte offset of a character offset."""
        return character if self.text.isascii() else len(self.text[:character].encode())


def read(text: str, comments: Comments | None = None) -> Text:
    """The one statement in a text, without its trailing semicolon. Raises NotUnderstood."""
    _check_characters(text)
    found = _without_semicolon(tokens(text, comments))
    _refuse_size(found)
    counterpart = _brackets(found)
    if any(token.word in _JOINS for token in found):
        _refuse_pending_joins(found)
    return Text(text, found, counterpart)


def _check_characters(text: str) -> None:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise NotUnderstood(
            "SQL_CHARACTER", "the statement holds an unpaired surrogate, which is no character"
        ) from None
    if len(encoded) > MAXIMUM_BYTES:
        raise NotUnderstood("SQL_TOO_LONG", f"the statement is over {MAXIMUM_BYTES} bytes")
    if "\0" in text:
        raise NotUnderstood("SQL_NUL", "the statement holds a NUL character", text.index("\0"))


def _without_semicolon(found: tuple[Token, ...]) -> tuple[Token, ...]:
    ends = (i for i, t in enumerate(found) if t.kind is Kind.SIGN and t.value == ";")
    end = next(ends, len(found))
    if end + 1 < len(found):
        raise SeveralStatements(_statements(found), found[end + 1].start)
    return found[:end]


def _statements(found: Sequence[Token]) -> int:
    """How many statements there are; to the server one that holds nothing is one too."""
    ends = [t.kind is _SIGNS and t.value == ";" for t in found]
    return sum(ends) + (not ends[-1])


def _refuse_size(found: Sequence[Token]) -> None:
    """Refuses too many tokens, too many operators, and too many prefix operators in a row."""
    if len(found) > MAXIMUM_TOKENS:
        raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_TOKENS} words and signs")
    operators = row = 0
    for kind, start, _, value, word in found:
        if kind is _SIGNS:
            operators += value not in _NO_OPERATORS
            row = row + 1 if value in _PREFIXES else 0
        else:
            operators += word in _OPERATOR_WORDS
            row = row + 1 if word == "NOT" else 0
        if row > MAXIMUM_PREFIXES:
            raise NotUnderstood("SQL_TOO_DEEP", f"over {MAXIMUM_PREFIXES} signs in a row", start)
    if operators > MAXIMUM_OPERATORS:
        raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_OPERATORS} operators and keywords")


def _brackets(found: Sequence[Token]) -> dict[int, int]:
    """For each bracket the index of its counterpart; CASE … END nest as brackets do."""
    counterpart: dict[int, int] = {}
    opened: list[int] = []
    cases = 0
    for index, (kind, start, _, value, word) in enumerate(found):
        if kind is not _SIGNS:
            cases += (word == "CASE") - (word == "END" and cases > 0)
        elif value == "(":
            opened.append(index)
        elif value == ")":
            if not opened:
                raise NotUnderstood("SQL_SYNTAX", "a bracket was not opened", start)
            counterpart[index] = opened.pop()
            counterpart[counterpart[index]] = index
        if len(opened) + cases > MAXIMUM_DEPTH:
            raise NotUnderstood(
                "SQL_TOO_DEEP", f"brackets are nested over {MAXIMUM_DEPTH} levels", start
            )
    if opened:
        raise NotUnderstood("SQL_SYNTAX", "a bracket does not close", found[opened[-1]].start)
    return counterpart


def _refuse_pending_joins(found: Sequence[Token]) -> None:
    """Counts joins without an ON of their own, with those of the levels around."""
    pending = [0]
    for kind, start, _, value, word in found:
        if kind is _SIGNS:
            if value == "(":
                pending.append(0)
            elif value == ")":
                pending.pop()
        elif word in _JOINS:
            pending[-1] += 1
            if sum(pending) > MAXIMUM_PENDING_JOINS:
                raise NotUnderstood("SQL_TOO_COMPLEX", "many joins without ON", start)
        elif word in _CONDITIONS:
            pending[-1] = max(pending[-1] - 1, 0)
        elif word in _CLAUSES:
            pending[-1] = 0
