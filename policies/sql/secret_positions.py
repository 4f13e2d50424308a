"""A statement without the secrets that stand in it at known positions, for what is kept of it.

Works on tokens, so that what no parser understands is searched as well. In a statement that the
grammar takes, only the insides of literals and comments are removed, and what SET assigns: nothing
that runs can hide behind a mark. Not in here: values of columns, which are evidence; what marks a
column as secret is its label.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from policies.sql.prescan import MAXIMUM_BYTES
from policies.sql.secret_rules import (
    MOST_STEPS,
    REMOVED,
    Found,
    Span,
    argument,
    arguments,
    is_unfinished,
    search_line,
    word,
)
from policies.sql.secret_texts import Range, may_hold_secrets, secret_ranges, url_ranges
from policies.sql.tokens import Content, Kind, Token, content, tokens

__all__ = [
    "MAXIMUM_VALUE",
    "REMOVED",
    "Cleaned",
    "Span",
    "cleaned",
    "cleaned_value",
    "quoting",
    "secret_spans",
    "without_secrets",
]

MAXIMUM_NESTING: Final = 4
"""Statements in literals of statements: a DO body, its EXECUTE, and what that holds."""

MAXIMUM_VALUE: Final = 1 << 20
"""Characters: a second's work at worst, which holds up everybody else."""

_TELLING: Final = 4  # characters: fewer stand in any sentence, and are looked for in quotes only
_QUOTED: Final = re.compile('"(.*)"', re.DOTALL)
_QUOTING: Final = frozenset({Kind.LITERAL, Kind.QUOTED, Kind.COMMENT})
_COMPOSING: Final = frozenset({"concat", "concat_ws", "format"})
_STATEMENTS: Final = frozenset(
    """abort alter analyse analyze begin call checkpoint close cluster comment commit copy create
    deallocate declare delete discard do drop end execute explain fetch grant import insert listen
    load lock merge move notify prepare reassign refresh reindex release repack reset revoke
    rollback savepoint security select set show start table truncate unlisten update vacuum values
    wait with change (""".split()  # noqa: SIM905 -- a list of words to read
)
"""How every statement begins that PostgreSQL's grammar takes; other texts are no code."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A statement for the recording.

    `places` are where in `text` a mark stands that is ours; `parameters` are the numbers, from 1,
    of bind parameters in secret positions.
    """

    text: str
    places: tuple[int, ...] = ()
    parameters: frozenset[int] = frozenset()


def cleaned(text: str) -> Cleaned:
    """The statement without what stands in its known secret positions. Takes any text.

    What may hold secrets and is longer than any statement that runs is cut off at that length.
    """
    if not may_hold_secrets(text):
        return Cleaned(text)
    text = _bounded(text)
    return _marked(text, _search(text, depth=0))


def cleaned_value(text: str, *, most: int = MAXIMUM_VALUE) -> Cleaned:
    """The same for text that is no statement itself: a bind parameter, a reason, a comment.

    In one that is longer than a statement no statements are looked for. At most so many characters
    are searched, and kept, of one that may hold secrets.
    """
    if not may_hold_secrets(text):
        return Cleaned(text)
    text, found = _bounded(text, most), Found()
    if len(text) > MAXIMUM_BYTES:
        found.spans = [Span(start, end) for start, end in secret_ranges(text)]
    else:
        _inside(Token(Kind.COMMENT, 0, len(text), text), found, 0)
    return _marked(text, found)


def without_secrets(text: str) -> str:
    """The statement with a mark in place of each secret."""
    return cleaned(text).text


def secret_spans(text: str) -> tuple[Span, ...]:
    """Where the secrets are, in order and apart."""
    return _merged(_search(_bounded(text), depth=0).spans) if may_hold_secrets(text) else ()


def quoting(message: str, text: str) -> str:
    """What a parser or a target says about a statement, without the secrets that it quotes."""
    spans = secret_spans(text)
    if not spans:
        return message
    for span in spans:
        secret = text[span.start : span.end].strip("'\"")
        message = message.replace(secret, REMOVED) if len(secret) >= _TELLING else message
    kept = without_secrets(text)
    return _QUOTED.sub(lambda quote: quote[0] if quote[1] in kept else f'"{REMOVED}"', message)


def _bounded(text: str, most: int = MAXIMUM_BYTES) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]} [{len(text) - most} characters left out]"


def _marked(text: str, found: Found) -> Cleaned:
    parts: list[str] = []
    places: list[int] = []
    size = position = 0
    for span in _merged(found.spans):
        parts += [text[position : span.start], span.mark]
        places.append(size + span.start - position)
        size = places[-1] + len(span.mark)
        position = span.end
    parts.append(text[position:])
    return Cleaned("".join(parts), tuple(places), frozenset(found.parameters))


def _merged(spans: list[Span]) -> tuple[Span, ...]:
    """Overlapping spans as one: the outer one's mark stands."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.end, span.end), last.mark)
        elif span.start < span.end:
            merged.append(span)
    return tuple(merged)


def _search(text: str, *, depth: int) -> Found:
    """The whole text; at depth 0 what is no statement at all is read like a literal's inside."""
    found = Found()
    listed = list(tokens(text))
    if depth == 0:
        first = next((t.value for t in listed if t.kind is not Kind.COMMENT and t.value != ";"), "")
        if first in _STATEMENTS:
            found.spans += _within(listed, text, url_ranges(text))
        else:
            found.spans += [Span(start, end) for start, end in secret_ranges(text)]
    for token in listed:
        if token.kind is Kind.COMMENT:
            _inside(token, found, depth)
    line: list[Token] = []
    for line in _lines(listed):
        search_line(line, found)
        _literals(line, found, depth)
    found.unfinished = is_unfinished(line, len(text))
    return found


def _within(listed: Sequence[Token], text: str, ranges: Iterable[Range]) -> Iterator[Span]:
    """Of a URL in a literal, what is in the same or in another literal: what is between runs.

    A URL that stands bare makes the statement one that no grammar takes: its range stays whole.
    """
    starts = [token.start for token in listed]
    for start, end in ranges:
        begun, token = (
            listed[bisect_right(starts, place) - 1]
            for place in (text.rfind("://", 0, start), start)
        )
        if begun.kind not in _QUOTING:
            yield Span(start, end)
        elif token.kind in _QUOTING:
            inside = token.inside + len(token.value) if token.inside else token.end - 1
            yield Span(start, min(end, inside))


def _lines(listed: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each statement, without comments."""
    line: list[Token] = []
    for token in listed:
        if token.kind is Kind.SIGN and token.value == ";":
            yield line
            line = []
        elif token.kind is not Kind.COMMENT:
            line.append(token)
    yield line


def _literals(line: list[Token], found: Found, depth: int) -> None:
    for position, token in enumerate(line):
        if token.kind is Kind.LITERAL and _inside(token, found, depth):
            found.take_values(_completion(line, position, found))
    if found.steps > MOST_STEPS:
        found.take_values(line)


def _inside(token: Token, found: Found, depth: int) -> bool:
    """Search what a literal or comment holds; true if its secret is still to come after it."""
    inner = content(token)
    if depth >= MAXIMUM_NESTING or not may_hold_secrets(inner.text):
        return False
    for start, end in secret_ranges(inner.text):
        found.spans.append(Span(inner.place(start), inner.place(end)))
    nested = _search(inner.text, depth=depth + 1)
    found.spans += [_placed(span, inner, token) for span in nested.spans]
    found.parameters |= nested.parameters
    return nested.unfinished


def _placed(span: Span, inner: Content, token: Token) -> Span:
    mark = span.mark if token.form in ("", "dollar") else span.mark.replace("'", "''")
    return Span(inner.place(span.start), inner.place(span.end), mark)


def _completion(line: list[Token], position: int, found: Found) -> list[Token]:
    """What is put after, or into, the text of a literal: by `||`, or by a function such as format.

    Nothing else of the statement: an approver must see it.
    """
    sign = word(line, position + 1)
    if sign == "|":
        return argument(line, position + 1, 0, found)
    called = position > 1 and line[position - 1].value == "(" and line[position - 2].value
    if sign == "," and called in _COMPOSING:
        return [token for _, token in arguments(line, position + 2, found)]
    return []
