"""Secrets inside plain text that says what they are: URLs, connection strings, HTTP headers.

Finds places only. Over-long matches are meant: what stands in such a text is a value, never code.
Sources: libpq's connection strings (PostgreSQL manual 34.1), RFC 3986 section 3.2.1, RFC 9110
section 11.6, RFC 6265, RFC 6750.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final
from urllib.parse import unquote

Range = tuple[int, int]

_MAY_HOLD: Final = re.compile(
    r"pass|pwd|secret|token|credential|key|crypt|hmac|sig|://|authorization|cookie|bearer"
    r"|identified|alter|create|\\"
)
"""In lower case, some of this is in every text that holds a secret position."""

_NAME: Final = re.compile(
    r"pass(?:w(?:or)?d|wort|phrase|code)|pwd|secret(?![a-z])|credentials?(?![a-z])"
    r"|token(?![a-z_])|(?<![a-z])(?:pass|cookies?)(?![a-z])"
    r"|(?:api|access|private|account|shared|encryption)[_-]?key(?![a-z])"
    r"|(?<![a-z])(?:sig|signature)(?![a-z])",
    re.IGNORECASE,
)
_HEADER_NAME: Final = (
    r"(?:proxy-)?authorization|(?:set-)?cookie2?|(?:private|job|deploy)-token"
    r"|x-[a-z0-9-]{0,40}(?:token|key|secret|auth|password)"
)
_HEADER: Final = re.compile(
    rf"(?<![\w-])(?:{_HEADER_NAME})(?P<after>[\"']?)[ \t]{{0,8}}[:=][ \t]{{0,8}}", re.IGNORECASE
)
_HEADER_ALONE: Final = re.compile(rf"\s*(?:{_HEADER_NAME})\s*:?\s*\Z", re.IGNORECASE)
_QUOTES: Final = ("'", '"')
_LINE_END: Final = re.compile(r"[\r\n]")
_BEARER: Final = re.compile(
    r"(?<![\w-])(?:bearer|basic)\s{1,8}"
    r"(?P<value>(?=[A-Za-z0-9._~+/=-]*[0-9._=])[A-Za-z0-9._~+/=-]{8,})",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"://(?P<authority>[^\s/?#]*)(?P<rest>\S*)")
_QUERY: Final = re.compile(r"(?:[?&;#]|\A)(?P<name>[^=&;?#]{1,64})=(?P<value>[^&#'\"]*)")
_WEB: Final = ("http", "https", "ftp", "ftps")
_PAIR: Final = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]{1,64})\s{0,8}=\s{0,8}"
    r"(?P<value>'(?:[^'\\]|\\.)*(?:'|\Z)|\"[^\"]*(?:\"|\Z)"
    r"|(?:(?![;,&]\s?[\w. -]{1,30}=)(?:\\.|\S))+)",
    re.DOTALL,
)


def may_hold_secrets(text: str) -> bool:
    """False for nearly every statement, and fast: it is asked about each one that runs."""
    return _MAY_HOLD.search(text.lower()) is not None


def names_a_secret(name: str) -> bool:
    """Whether an option, setting or key of this name holds a secret."""
    return _NAME.search(name) is not None


def names_a_header(text: str) -> bool:
    """Whether this is the name of an HTTP header whose value is a secret, and nothing else."""
    return _HEADER_ALONE.match(text) is not None


def secret_ranges(text: str) -> Iterator[Range]:
    """Where a text that is no code holds secrets; may overlap."""
    yield from url_ranges(text)
    yield from _headers(text)
    for match in _BEARER.finditer(text):
        yield match.span("value")
    position = 0
    for url in chain(_URL.finditer(text), (None,)):
        for match in _PAIR.finditer(text, position, url.start() if url else len(text)):
            if names_a_secret(match["name"]):
                yield match.span("value")
        position = url.end() if url else len(text)


def url_ranges(text: str) -> Iterator[Range]:
    """Passwords in the user part, and in the query, of URLs."""
    for match in _URL.finditer(text):
        yield from _user_part(text, match)
        start = match.start("rest")
        for pair in _QUERY.finditer(match["rest"]):
            if names_a_secret(unquote(pair["name"])):
                yield start + pair.start("value"), start + pair.end("value")


def _user_part(text: str, url: re.Match[str]) -> Iterator[Range]:
    """The password; on the web, where tokens stand in the name's place, all before the `@`."""
    start, authority = url.start("authority"), url["authority"]
    at = authority.rfind("@")
    colon = authority.find(":", 0, max(at, 0))
    scheme = re.search(r"[A-Za-z0-9+.-]{1,16}\Z", text[max(url.start() - 16, 0) : url.start()])
    if at > 0 and scheme is not None and scheme[0].lower() in _WEB:
        yield start, start + at
    elif colon >= 0:
        yield start + colon + 1, start + at


def _headers(text: str) -> Iterator[Range]:
    """To the end of the line, or of the string that the header, or its value, stands in."""
    position, stop = 0, -1
    while match := _HEADER.search(text, position):
        start = match.end()
        quote = text[start : start + 1]
        if quote in _QUOTES:
            start += 1
        else:
            quote = text[match.start() - 1] if match.start() else ""
        if stop < start:
            line = _LINE_END.search(text, start)
            stop = line.start() if line else len(text)
        end = text.find(quote, start, stop) if quote in _QUOTES else -1
        position = stop if end < 0 else end
        yield start, position
