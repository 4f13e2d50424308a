"""A linear look at a statement's text before any parser sees it: what could hurt one is refused.

It runs in the gateway itself, so every step is one call over the whole text, none a character.
"""

from __future__ import annotations

import re
from typing import Final

from policies.sql.not_understood import NotUnderstood

# 64 KiB keeps the parser's C recursion (it dies at some 100,000 levels) out of reach.
MAXIMUM_BYTES: Final = 64 * 1024
# What the gateway itself may parse, once a worker process has understood it: some 10 ms.
QUICK_BYTES: Final = 8 * 1024
MAXIMUM_DEPTH: Final = 80
# Nested comments are quadratic in the parser; nobody needs fifty.
MAXIMUM_COMMENTS: Final = 50
MAXIMUM_OPERATORS: Final = 2000

_PLAIN_STRING = re.compile(rb"'[^'\\]*'")
_KEYWORDS: Final = frozenset(
    b"and or not is in like union join case select collate at".split(),
)
_WORD: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_") | frozenset(range(128, 256))
_LOWERED: Final = bytes(b if b in _WORD else 32 for b in bytes(range(256)).lower())
_SIGNS: Final = bytes(b if b in b"-+*/|=<>~!@#%^&?" else 32 for b in range(256))
_NO_BRACKETS: Final = bytes(b for b in range(256) if b not in b"()[]{}")
_ROUND: Final = bytes.maketrans(b"[]{}", b"()()")
_RUN = re.compile(rb"\(+|\)+")
_FLAT: Final = 2  # levels of lists in lists, of which there may be thousands


def encode(text: str) -> bytes:
    """The statement in UTF-8; raises NotUnderstood when it must not reach a parser."""
    # A character has a byte at least: what is far too long is not even encoded.
    check_size(text)
    encoded = _utf8(text)
    if b"\x00" in encoded:
        raise NotUnderstood("SQL_NUL", "the statement holds a NUL character")
    if len(encoded) > MAXIMUM_BYTES:
        raise _too_long()
    _refuse_depth(encoded)
    _refuse_size(encoded)
    return encoded


def check_size(text: str) -> None:
    """Raises NotUnderstood for a text that is too long in any encoding."""
    if len(text) > MAXIMUM_BYTES:
        raise _too_long()


def _too_long() -> NotUnderstood:
    return NotUnderstood("SQL_TOO_LONG", f"the statement is over {MAXIMUM_BYTES} bytes")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NotUnderstood(
            "SQL_SYNTAX", "the statement holds an unpaired surrogate, which is no character"
        ) from None


def _refuse_depth(encoded: bytes) -> None:
    # Brackets in strings count too: to know what is a string one would have to parse already.
    # For the same reason the kinds count alike, and those that close none do not count.
    left = encoded.translate(_ROUND, _NO_BRACKETS)
    if left.count(b"(") <= MAXIMUM_DEPTH:
        return
    for _ in range(_FLAT):
        left = left.replace(b"()", b"")
    level = _FLAT
    for run in _RUN.findall(left):
        level = level + len(run) if run.startswith(b"(") else max(level - len(run), _FLAT)
        if level > MAXIMUM_DEPTH:
            reason = f"brackets are nested over {MAXIMUM_DEPTH} levels"
            raise NotUnderstood("SQL_TOO_DEEP", reason)


def _refuse_size(encoded: bytes) -> None:
    if encoded.count(b"/*") > MAXIMUM_COMMENTS:
        raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_COMMENTS} comments")
    if _operators(encoded) <= MAXIMUM_OPERATORS:
        return
    # Dates and the like in plain strings are not operators. A string mistaken here costs time only.
    if _operators(_PLAIN_STRING.sub(b" ", encoded)) > MAXIMUM_OPERATORS:
        raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_OPERATORS} operators and keywords")


def _operators(encoded: bytes) -> int:
    words = sum(map(_KEYWORDS.__contains__, encoded.translate(_LOWERED).split()))
    signs = len(encoded.translate(_SIGNS).split())
    return words + signs + encoded.count(b"::") + encoded.count(b"[")
