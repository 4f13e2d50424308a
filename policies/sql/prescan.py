"""A linear look at a statement's text before any parser sees it: what could hurt one is refused."""

from __future__ import annotations

import re
from typing import Final

from policies.sql.not_understood import NotUnderstood

# 64 KiB keeps the parser's C recursion (it dies at some 100,000 levels) out of reach.
MAXIMUM_BYTES: Final = 64 * 1024
MAXIMUM_DEPTH: Final = 80
# Nested comments are quadratic in the parser; nobody needs fifty.
MAXIMUM_COMMENTS: Final = 50
MAXIMUM_OPERATORS: Final = 2000

_PLAIN_STRING = re.compile(r"'[^'\\]*'")
_OPERATOR = re.compile(
    r"[-+*/|=<>~!@#%^&?]+|::|\[|\b(?:and|or|not|is|in|like|union|join|case|select|collate|at)\b",
    re.IGNORECASE,
)


def encode(text: str) -> bytes:
    """The statement in UTF-8; raises NotUnderstood when it must not reach a parser."""
    encoded = _utf8(text)
    if "\x00" in text:
        raise NotUnderstood("SQL_NUL", "the statement holds a NUL character")
    if not text.strip():
        raise NotUnderstood("SQL_EMPTY", "the statement is empty")
    if len(encoded) > MAXIMUM_BYTES:
        raise NotUnderstood("SQL_TOO_LONG", f"the statement is over {MAXIMUM_BYTES} bytes")
    _refuse_depth(text)
    _refuse_size(text)
    return encoded


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NotUnderstood(
            "SQL_SYNTAX", "the statement holds an unpaired surrogate, which is no character"
        ) from None


def _refuse_depth(text: str) -> None:
    # Brackets in strings count too: to know what is a string one would have to parse already.
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    if deepest > MAXIMUM_DEPTH:
        raise NotUnderstood("SQL_TOO_DEEP", f"brackets are nested over {MAXIMUM_DEPTH} levels")


def _refuse_size(text: str) -> None:
    if text.count("/*") > MAXIMUM_COMMENTS:
        raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_COMMENTS} comments")
    # Dates and the like in plain strings are not operators. A string mistaken here costs time only.
    if len(_OPERATOR.findall(_PLAIN_STRING.sub("", text))) > MAXIMUM_OPERATORS:
        raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_OPERATORS} operators and keywords")
