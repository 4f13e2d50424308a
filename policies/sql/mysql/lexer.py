"""A strict lexer for MySQL and MariaDB in their default mode: what the two, or a reader, could read
differently is refused.

It follows sql/sql_lex.cc with sql_mode's ANSI_QUOTES and NO_BACKSLASH_ESCAPES off and the character
set utf8mb4. Of a statement that it takes, every token is what the server sees; it judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

from policies.sql.mysql.words import RESERVED
from policies.sql.not_understood import NotUnderstood

_BLANKS: Final = " \t\n\r\v\f"
_WORD: Final = r"[A-Za-z_][A-Za-z0-9_$]*"
_END: Final = r"(?![A-Za-z0-9_$.@])"

# What is frequent stands first: a word that begins no literal, and signs that begin nothing longer.
_TOKEN: Final = re.compile(
    rf"""
    [ \t\n\r\v\f]*+
    (?:
      (?P<word>(?![nNxXbB]'){_WORD})
    | (?P<single>[,()=;*?])
    | (?P<string>[nN]?'(?>[^'\\]+|\\.|'')*+'|"(?>[^"\\]+|\\.|"")*+")
    | (?P<integer>[0-9]++{_END})
    | (?P<quoted>`(?>[^`]+|``)*+`)
    | (?P<line>(?:\#|--(?=[\x01-\x20\x7f]|\Z))[^\n]*)
    | (?P<comment>/\*)
    | (?P<bits>[xX]'(?:[0-9A-Fa-f]{{2}})*+'|[bB]'[01]*+'|0x[0-9A-Fa-f]++{_END}|0b[01]++{_END})
    | (?P<variable>@@(?:(?i:global|session|local)\.)?(?P<setting>{_WORD}){_END})
    | (?P<real>[0-9]++\.[0-9]*+(?:[eE][+-]?[0-9]++)?{_END}|[0-9]++[eE][+-]?[0-9]++{_END}
        |\.[0-9]++(?:[eE][+-]?[0-9]++)?{_END})
    | (?P<digits>(?!0[xb]|[0-9]+[eE][+-]?[0-9])[0-9]++[A-Za-z_$][A-Za-z0-9_$]*+)
    | (?P<null>\\N(?![A-Za-z0-9_$]))
    | (?P<letter>[nNxXbB])
    | (?P<sign><=>|->>|->|<=|>=|<>|!=|<<|>>|\|\||&&|[-+/%<>!&|^~.])
    | (?P<end>\Z)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_EXECUTABLE: Final = re.compile(r"/\*(?:[mM]?!|\+)")
# A version has five or six digits; what else follows the sign is part of what is run.
_VERSIONED: Final = re.compile(r"/\*M?!(?:[0-9]{5,6})?(?=[ \t\n\r\v\f]|\*/)")
_COMMENTS: Final = re.compile(r"/\*|--|\#")
_ESCAPES: Final[Mapping[str, str]] = MappingProxyType(
    {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": r"\%", "_": r"\_"}
)
_ESCAPED: Final = re.compile(r"\\(.)|(['\"])\2", re.DOTALL)
_NAME_CHARACTERS: Final = re.compile(r"[\x20-\x5b\x5d-\x7e\xa0-\ud7ff\ue000-\ufffd]+")


class Kind(Enum):
    """WORD may be a keyword or a name; NAME is one in backticks; VARIABLE a system variable."""

    WORD = auto()
    NAME = auto()
    STRING = auto()
    NUMBER = auto()
    VARIABLE = auto()
    SIGN = auto()


class Token(NamedTuple):
    """One token; a tuple, because most of a statement's time would go into making anything else.

    `value` is a name, a string's content, or a sign. `word` is a WORD in capitals, or "" where it
    can only be a name, as next to a dot.
    """

    kind: Kind
    start: int
    end: int
    value: str
    word: str = ""


@dataclass(frozen=True, slots=True)
class Comments:
    """Which comments that the server may run are read as run; `seen` gains the places of all.

    `/*!50000 … */` and `/*M! … */`: whether it is run hangs on the server's version.
    """

    run: frozenset[int]
    seen: list[int]


_VALUES: Final = frozenset({"NULL", "TRUE", "FALSE", "DEFAULT"})
_WORDS: Final = Kind.WORD
_SIGNS: Final = Kind.SIGN
_KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "string": Kind.STRING,
        "bits": Kind.NUMBER,
        "real": Kind.NUMBER,
        "integer": Kind.NUMBER,
        "quoted": Kind.NAME,
        "setting": Kind.VARIABLE,
        "variable": Kind.VARIABLE,
        "digits": Kind.NAME,
        "null": Kind.WORD,
        "letter": Kind.WORD,
        "sign": Kind.SIGN,
    }
)


def tokens(text: str, comments: Comments | None = None) -> tuple[Token, ...]:
    """All tokens of a statement, without blanks and comments. Raises NotUnderstood.

    Without `comments` one that the server may run is refused at sight.
    """
    found: list[Token] = []
    _read(text, 0, len(text), found, comments)
    return tuple(found)


def _read(
    text: str, position: int, stop: int, found: list[Token], comments: Comments | None
) -> None:
    match_at, add = _TOKEN.match, found.append
    while (match := match_at(text, position, stop)) is not None:
        group = str(match.lastgroup)
        start, position = match.span(group)
        if group == "word":
            add(_word(text, start, position))
        elif group == "single":
            add(Token(_SIGNS, start, position, match[group]))
        elif group == "end":
            return
        elif group == "comment":
            position = _comment(text, start, found, comments)
        elif group == "line":
            _refuse_lone_return(match[group], start)
        else:
            position = match.end()
            add(_token(text, match, group, found))
    raise _stray(text, len(text) - len(text[position:].lstrip(_BLANKS)))


def _word(text: str, start: int, end: int) -> Token:
    value = text[start:end]
    beside = text[start - 1 : start] == "." or text[end : end + 1] == "."
    word = _keyword(text, value, start, end) if beside else value.upper()
    return Token(_WORDS, start, end, value, word)


def _token(text: str, match: re.Match[str], group: str, before: list[Token]) -> Token:
    kind = _KINDS[group]
    start, end = match.span("variable" if group == "setting" else group)
    found = text[start:end]
    match kind:
        case Kind.STRING:
            return Token(kind, start, end, _content(found[found[0] in "nN" :]))
        case Kind.NAME:
            return Token(kind, start, end, _name(found, start))
        case Kind.VARIABLE:
            return Token(kind, start, end, match["setting"].lower())
        case Kind.NUMBER if found[0] == "." and before and _is_operand(before[-1], start):
            raise NotUnderstood("SQL_SYNTAX", "a number follows a name", start)
        case Kind.WORD if group == "letter" and found in "xXbB":
            raise NotUnderstood("SQL_SYNTAX", "a hex or bit literal is wrong", start)
        case Kind.WORD:
            return Token(kind, start, end, found, _keyword(text, found, start, end))
        case _:
            return Token(kind, start, end, found)


def _is_operand(token: Token, after: int) -> bool:
    """Whether a value or a name ends here; what touches a dot is a name, whatever it is."""
    if token.word in RESERVED and token.end < after:
        return token.word in _VALUES
    return token.kind is not Kind.SIGN or token.value in (")", "?")


def _keyword(text: str, found: str, start: int, end: int) -> str:
    """The word as a keyword; directly at a dot the server takes every word for a name."""
    if found == r"\N":
        return "NULL"
    after = text[end : end + 2]
    before_dot = after[:1] == "." and (after[1:].isalnum() or after[1:] in ("_", "$"))
    return "" if text[start - 1 : start] == "." or before_dot else found.upper()


def _content(quoted: str) -> str:
    return _ESCAPED.sub(lambda m: m[2] or _ESCAPES.get(m[1], m[1]), quoted[1:-1])


def _name(found: str, start: int) -> str:
    name = found[1:-1].replace("``", "`") if found[0] == "`" else found
    if not _NAME_CHARACTERS.fullmatch(name) or name != name.strip():
        raise NotUnderstood("SQL_CHARACTER", "a name holds characters that are not taken", start)
    return name


def _refuse_lone_return(comment: str, start: int) -> None:
    """A carriage return ends no comment on the server, but does for whoever reads it."""
    if "\r" in comment.rstrip("\r"):
        raise NotUnderstood("SQL_COMMENT", "a comment holds a carriage return", start)


def _comment(text: str, start: int, found: list[Token], comments: Comments | None) -> int:
    if not _EXECUTABLE.match(text, start):
        return _comment_end(text, start)
    opening = _VERSIONED.match(text, start)
    end = text.find("*/", start + 2)
    # With `*/` in a string inside, or a comment, it would depend on the version where it ends.
    plain = opening and end > 0 and not _COMMENTS.search(text, opening.end(), end)
    if comments is None or not opening or not plain:
        raise NotUnderstood("SQL_COMMENT", "the server runs what this comment holds", start)
    comments.seen.append(start)
    if start in comments.run:
        _read(text, opening.end(), end, found, None)
    return end + 2


def _comment_end(text: str, start: int) -> int:
    end = text.find("*/", start + 2)
    if end < 0:
        raise NotUnderstood("SQL_SYNTAX", "a comment does not end", start)
    if "/*" in text[start + 2 : end + 1]:
        raise NotUnderstood("SQL_COMMENT", "a comment stands inside a comment", start)
    return end + 2


def _stray(text: str, position: int) -> NotUnderstood:
    character = text[position]
    match character:
        case "'" | '"' | "`":
            return NotUnderstood("SQL_SYNTAX", "a quotation does not end", position)
        case "@":
            return NotUnderstood("SQL_VARIABLE", "user variables are not taken", position)
        case _ if character.isdigit() and character.isascii():
            return NotUnderstood("SQL_SYNTAX", "a number runs into a name", position)
        case _ if character.isprintable() and character.isascii():
            return NotUnderstood("SQL_SYNTAX", f"a stray {character}", position)
        case _:
            place = f"the character U+{ord(character):04X} stands outside of quotes"
            return NotUnderstood("SQL_CHARACTER", place, position)
