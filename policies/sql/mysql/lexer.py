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
from typing import Final

from policies.sql.not_understood import NotUnderstood

_WORD: Final = r"[A-Za-z_][A-Za-z0-9_$]*"
_END: Final = r"(?![A-Za-z0-9_$.@])"

_TOKEN: Final = re.compile(
    rf"""
      (?P<blank>[ \t\n\r\v\f]+)
    | (?P<line>(?:\#|--(?=[ \t\n\r\v\f]|\Z))[^\n]*)
    | (?P<comment>/\*)
    | (?P<string>[nN]?'(?>[^'\\]+|\\.|'')*+'|"(?>[^"\\]+|\\.|"")*+")
    | (?P<bits>[xX]'(?:[0-9A-Fa-f]{{2}})*+'|[bB]'[01]*+'|0x[0-9A-Fa-f]++{_END}|0b[01]++{_END})
    | (?P<quoted>`(?>[^`]+|``)*+`)
    | (?P<variable>@@(?:(?:global|session|local)\.)?(?P<setting>{_WORD}){_END})
    | (?P<real>[0-9]++\.[0-9]*+(?:[eE][+-]?[0-9]++)?{_END}|[0-9]++[eE][+-]?[0-9]++{_END}
        |\.[0-9]++(?:[eE][+-]?[0-9]++)?{_END})
    | (?P<integer>[0-9]++{_END})
    | (?P<digits>(?!0[xb]|[0-9]+[eE][+-]?[0-9])[0-9]++[A-Za-z_$][A-Za-z0-9_$]*+)
    | (?P<null>\\N(?![A-Za-z0-9_$]))
    | (?P<word>{_WORD})
    | (?P<sign><=>|->>|->|<=|>=|<>|!=|<<|>>|\|\||&&|[-+*/%=<>!&|^~(),.;?])
    """,
    re.VERBOSE | re.DOTALL,
)
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


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `value` is a name, a string's content, or a sign.

    `word` is a WORD in capitals, or "" where it can only be a name, as next to a dot.
    """

    kind: Kind
    start: int
    end: int
    value: str
    word: str = ""


_KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "string": Kind.STRING,
        "bits": Kind.NUMBER,
        "real": Kind.NUMBER,
        "integer": Kind.NUMBER,
        "quoted": Kind.NAME,
        "variable": Kind.VARIABLE,
        "digits": Kind.NAME,
        "null": Kind.WORD,
        "word": Kind.WORD,
        "sign": Kind.SIGN,
    }
)


def tokens(text: str) -> tuple[Token, ...]:
    """All tokens of a statement, without blanks and comments. Raises NotUnderstood."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _stray(text, position)
        position = match.end()
        group = match.lastgroup if match.lastgroup != "setting" else "variable"
        match group:
            case "blank":
                continue
            case "line":
                _refuse_lone_return(match[0], match.start())
            case "comment":
                position = _comment_end(text, match.start())
            case _:
                found.append(_token(text, match, _KINDS[str(group)], found))
    return tuple(found)


def _token(text: str, match: re.Match[str], kind: Kind, before: list[Token]) -> Token:
    start, end = match.span()
    found = match[0]
    match kind:
        case Kind.STRING:
            return Token(kind, start, end, _content(found[found[0] in "nN" :]))
        case Kind.NAME:
            return Token(kind, start, end, _name(found, start))
        case Kind.VARIABLE:
            return Token(kind, start, end, match["setting"].lower())
        case Kind.NUMBER if found[0] == "." and before and _is_operand(before[-1]):
            raise NotUnderstood("SQL_SYNTAX", "a number follows a name", start)
        case Kind.WORD if found in "xXbB" and text[end : end + 1] == "'":
            raise NotUnderstood("SQL_SYNTAX", "a hex or bit literal is wrong", start)
        case Kind.WORD:
            return Token(kind, start, end, found, _keyword(text, found, start, end))
        case _:
            return Token(kind, start, end, found)


def _is_operand(token: Token) -> bool:
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


def _comment_end(text: str, start: int) -> int:
    if re.compile(r"/\*(?:[mM]?!|\+)").match(text, start):
        raise NotUnderstood("SQL_COMMENT", "the server runs what this comment holds", start)
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
