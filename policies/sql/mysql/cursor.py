"""A cursor over a statement's tokens, for the forms whose grammar is small enough to write down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from policies.sql.mysql.gate import Text
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.words import RESERVED

# Digits that fit into a Cedar Long, in which policy sees the number.
_LONGEST_COUNT: Final = 18
_SIGNS: Final = Kind.SIGN
_AFTER_LIMIT: Final = frozenset({"FOR", "LOCK", "RETURNING"})


@dataclass(frozen=True, slots=True)
class Named:
    """A name with the database before it, and where it begins."""

    database: str | None
    name: str
    location: int


@dataclass(slots=True)
class Cursor:
    """Reads `text.tokens` from `index` up to `stop`. What was expected and isn't there raises."""

    text: Text
    index: int
    stop: int

    @property
    def at_end(self) -> bool:
        return self.index >= self.stop

    @property
    def token(self) -> Token | None:
        return None if self.at_end else self.text.tokens[self.index]

    @property
    def location(self) -> int | None:
        token = self.token
        return None if token is None else token.start

    def word(self, offset: int = 0) -> str:
        """The keyword `offset` tokens ahead, or ""."""
        index = self.index + offset
        return self.text.tokens[index].word if index < self.stop else ""

    def sign(self, offset: int = 0) -> str:
        index = self.index + offset
        if index >= self.stop or self.text.tokens[index].kind is not Kind.SIGN:
            return ""
        return self.text.tokens[index].value

    def skip(self, *words: str) -> bool:
        """Passes these keywords if they all stand here."""
        if any(self.word(offset) != word for offset, word in enumerate(words)):
            return False
        self.index += len(words)
        return True

    def skip_any(self, words: frozenset[str]) -> None:
        """Passes every word of these that stands here."""
        while self.word() in words and not self.at_end:
            self.index += 1

    def skip_sign(self, sign: str) -> bool:
        found = self.sign() == sign
        self.index += found
        return found

    def expect(self, *words: str) -> None:
        if not self.skip(*words):
            raise self.surprise()

    def expect_sign(self, sign: str) -> None:
        if not self.skip_sign(sign):
            raise self.surprise()

    def expect_end(self) -> None:
        if not self.at_end:
            raise self.surprise()

    def take(self, kind: Kind) -> Token:
        token = self.token
        if token is None or token.kind is not kind:
            raise self.surprise()
        self.index += 1
        return token

    def name(self) -> Token:
        """A name: in backticks, or a word that is not reserved."""
        token = self.token
        if token is None or token.kind not in (Kind.NAME, Kind.WORD) or token.word in RESERVED:
            raise self.surprise()
        self.index += 1
        return token

    def relation(self) -> Named:
        """`name` or `database.name`."""
        first = self.name()
        if not self.skip_sign("."):
            return Named(None, first.value, first.start)
        return Named(first.value, self.name().value, first.start)

    def relations(self) -> Iterator[Named]:
        yield self.relation()
        while self.skip_sign(","):
            yield self.relation()

    def bracketed(self) -> tuple[int, int]:
        """Passes a bracket; the range of the tokens inside."""
        start = self.index
        self.expect_sign("(")
        self.index = self.text.counterpart[start] + 1
        return start + 1, self.index - 1

    def surprise(self) -> Exception:
        token = self.token
        return unclear("this form" if token is None else described(token), self.location)


def described(token: Token) -> str:
    """A token in a reason: never what a literal holds."""
    match token.kind:
        case Kind.STRING | Kind.NUMBER:
            return "a literal"
        case Kind.WORD if token.word:
            return token.word
        case _:
            return token.value


def split(text: Text, start: int, stop: int, sign: str = ",") -> Iterator[tuple[int, int]]:
    """The ranges between the signs on this level of brackets."""
    begin = index = start
    while index < stop:
        token = text.tokens[index]
        if token.kind is Kind.SIGN and token.value == "(":
            index = text.counterpart[index]
        elif token.kind is Kind.SIGN and token.value == sign:
            yield begin, index
            begin = index + 1
        index += 1
    yield begin, stop


def find(text: Text, start: int, stop: int, *words: str) -> int | None:
    """Where these keywords stand in a row, on this level of brackets."""
    first, tokens, index = words[0], text.tokens, start
    while index < stop:
        kind, _, _, value, word = tokens[index]
        if word == first and _follow(tokens, index, stop, words):
            return index
        if kind is _SIGNS and value == "(":
            index = text.counterpart[index]
        index += 1
    return None


def _follow(tokens: Sequence[Token], start: int, stop: int, words: Sequence[str]) -> bool:
    found = tokens[start : min(start + len(words), stop)]
    return len(found) == len(words) and all(t.word == w for t, w in zip(found, words, strict=True))


def constant_limit(text: Text, start: int) -> int | None:
    """What the LIMIT of the outermost query or change says, if it is a constant."""
    index = find(text, start, len(text.tokens), "LIMIT")
    if index is None:
        return None
    cursor = Cursor(text, index + 1, len(text.tokens))
    counts = [_count(cursor)]
    if cursor.skip_sign(","):
        # `LIMIT offset, count`.
        counts = [_count(cursor)]
    elif cursor.skip("OFFSET"):
        _count(cursor)
    return counts[0] if cursor.at_end or cursor.word() in _AFTER_LIMIT else None


def _count(cursor: Cursor) -> int | None:
    token = cursor.token
    cursor.index += 1
    digits = "" if token is None or token.kind is not Kind.NUMBER else token.value
    # The server's largest number of rows has 20 digits.
    return int(digits) if digits.isdecimal() and len(digits) <= _LONGEST_COUNT else None
