"""A lexer for SQL that never gives up: words, literals and signs with their places in the text.

It follows PostgreSQL's flat lexer (src/backend/parser/scan.l) with standard_conforming_strings on,
and goes on where that one would stop: what is left open ends with the text. It judges nothing; what
a statement does is the grammar's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_LETTER: Final = r"A-Za-z_\x80-\U0010ffff"
_SPACE: Final = r"[ \t\n\r\f\v]"
"""Other blanks are letters to PostgreSQL: after one, `$$` goes on with a name and opens nothing."""

_NEW_LINE: Final = rf"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:{_SPACE}|--[^\n\r]*(?:[\n\r]|\Z))*"
_ESCAPED: Final = r"[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?:'|\\?\Z)"
_DOUBLING: Final = r"[^']*(?:''[^']*)*(?:'|\Z)"

_TOKEN: Final = re.compile(
    rf"(?P<blank>{_SPACE}+|--[^\n\r]*)"
    rf"|(?P<escaped>[eE]'{_ESCAPED}(?:{_NEW_LINE}'{_ESCAPED})*)"
    rf"|(?P<unicode>[uU]&'{_DOUBLING}(?:{_NEW_LINE}'{_DOUBLING})*)"
    rf"|(?P<bits>[bBxX]'[^']*(?:'|\Z)(?:{_NEW_LINE}'[^']*(?:'|\Z))*)"
    rf"|(?P<plain>[nN]?'{_DOUBLING}(?:{_NEW_LINE}'{_DOUBLING})*)"
    r'|(?P<quoted>(?:[uU]&)?"[^"]*(?:""[^"]*)*(?:"|\Z))'
    rf"|(?P<dollar>\$(?:[{_LETTER}][{_LETTER}0-9]*)?\$)"
    rf"|(?P<word>[{_LETTER}][{_LETTER}0-9$]*)"
    r"|(?P<parameter>\$[0-9]+)"
    r"|(?P<number>[0-9][A-Za-z0-9_.]*)"
    r"|(?P<comment>/\*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_JOINT: Final = rf"(?P<joint>'{_NEW_LINE}')"
_ESCAPES: Final = {
    "plain": re.compile(rf"{_JOINT}|''"),
    "bits": re.compile(_JOINT),
    "escaped": re.compile(
        rf"{_JOINT}|''|\\(?:u(?P<u>[0-9A-Fa-f]{{4}})|U(?P<U>[0-9A-Fa-f]{{8}})"
        r"|x(?P<x>[0-9A-Fa-f]{1,2})|(?P<o>[0-7]{1,3})|(?P<one>.))",
        re.DOTALL,
    ),
    "unicode": re.compile(
        rf"{_JOINT}|''|\"\"|\\(?:(?P<u>[0-9A-Fa-f]{{4}})|\+(?P<U>[0-9A-Fa-f]{{6}})|(?P<one>\\))"
    ),
}
"""What stands for another character, or, between the parts of one literal, for none."""

_CONTROLS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Kind(Enum):
    """WORD and QUOTED are names; a LITERAL is a string constant of any form."""

    WORD = auto()
    QUOTED = auto()
    LITERAL = auto()
    PARAMETER = auto()
    NUMBER = auto()
    SIGN = auto()
    COMMENT = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `value` is a folded name, or a literal's or comment's raw inside from `inside`."""

    kind: Kind
    start: int
    end: int
    value: str
    inside: int = 0
    form: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What a literal says, and where in the outer text each of its characters begins."""

    text: str
    places: tuple[int, ...] | None
    start: int
    end: int

    def place(self, index: int) -> int:
        """The outer offset of the character at `index`; its end, past the last."""
        if self.places is None:
            return self.start + index
        return self.places[index] if index < len(self.places) else self.end


def tokens(text: str) -> Iterator[Token]:
    """Every token of the text but blanks; comments too, because people put things there."""
    position = 0
    while match := _TOKEN.match(text, position):
        token = _token(text, match)
        position = match.end() if token is None else token.end
        if token is not None:
            yield token


def _token(text: str, match: re.Match[str]) -> Token | None:
    start, end = match.span()
    found = match[0]
    match match.lastgroup:
        case "blank":
            return _line_comment(found, start, end)
        case "comment":
            end, inner = _comment(text, start)
            return Token(Kind.COMMENT, start, end, text[start + 2 : inner], start + 2)
        case "dollar":
            inner = text.find(found, end)
            stop, last = (len(text),) * 2 if inner < 0 else (inner, inner + len(found))
            return Token(Kind.LITERAL, start, last, text[end:stop], end, "dollar")
        case "escaped" | "unicode" | "bits" | "plain" as form:
            inside = start + found.index("'") + 1
            stop = end - 1 if end > inside and found[-1] == "'" else end
            return Token(Kind.LITERAL, start, end, text[inside:stop], inside, form)
        case "word":
            return Token(Kind.WORD, start, end, found.lower())
        case "quoted":
            return Token(Kind.QUOTED, start, end, _name(found))
        case "parameter":
            return Token(Kind.PARAMETER, start, end, found[1:])
        case "number":
            return Token(Kind.NUMBER, start, end, found)
        case _:
            return Token(Kind.SIGN, start, end, found)


def _line_comment(found: str, start: int, end: int) -> Token | None:
    return Token(Kind.COMMENT, start, end, found[2:], start + 2) if found[:2] == "--" else None


def _comment(text: str, start: int) -> tuple[int, int]:
    """Where a comment, and where its inside, ends: comments nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end(), edge.start()
    return len(text), len(text)


def _name(quoted: str) -> str:
    """The name in quotation marks, in lower case: as an option's name it means the same."""
    if quoted[0] == '"':
        return quoted.strip('"').replace('""', '"').lower()
    return _ESCAPES["unicode"].sub(_character, quoted[3:].rstrip('"')).lower()


def content(token: Token) -> Content:
    """A literal's or comment's inside, with its escapes undone."""
    raw, inside = token.value, token.inside
    escapes = _ESCAPES.get(token.form)
    if escapes is None or not escapes.search(raw):
        return Content(raw, None, inside, inside + len(raw))
    parts: list[str] = []
    places: list[int] = []
    position = 0
    for escape in escapes.finditer(raw):
        parts.append(raw[position : escape.start()])
        places.extend(range(inside + position, inside + escape.start()))
        if escape["joint"] is None:
            parts.append(_character(escape))
            places.append(inside + escape.start())
        position = escape.end()
    parts.append(raw[position:])
    places.extend(range(inside + position, inside + len(raw)))
    return Content("".join(parts), tuple(places), inside, inside + len(raw))


def _character(escape: re.Match[str]) -> str:
    """The one character that an escape stands for; one that stands for none is itself."""
    groups = {name: value for name, value in escape.groupdict().items() if value is not None}
    if not groups:
        return escape[0][0]
    if "joint" in groups:
        return escape[0]  # in a name in quotation marks it joins nothing
    [(name, digits)] = groups.items()
    if name == "one":
        return _CONTROLS.get(digits, digits)
    number = int(digits, 8 if name == "o" else 16)
    return chr(number) if number <= 0x10FFFF else "\ufffd"
