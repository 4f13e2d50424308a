"""HTTP fields under masks, by their names first: header and trailer sections (RFC 9110, 6.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from masking.scanning import ScanText
from masking.spans import Span, placeholder, substitute
from masking.streams.names import is_hollow, says_secret
from masking.streams.searching import Searches
from masking.streams.walking import BY_NAME

CREDENTIALS: Final = "AUTH_HEADER"

Field = tuple[str, str]

_WITH_SCHEME: Final = frozenset({"authorization", "proxy-authorization"})
_LINKS: Final = frozenset(
    {"location", "content-location", "referer", "refresh", "link", "origin", "uri", ":path"}
)
_SECRET: Final = frozenset(
    {
        "authentication-info", "proxy-authentication-info", "x-api-key", "x-auth-token",
        "x-amz-security-token", "x-csrf-token", "x-xsrf-token", "x-goog-iam-authorization-token",
        "x-vault-token", "private-token", "job-token", "x-github-token", "x-gitlab-token",
        "x-registry-auth", "x-registry-config", "x-forwarded-access-token", "x-access-token",
        "x-forwarded-client-cert", "dpop", "sec-websocket-key", "apikey", "api-key",
    }
)  # fmt: skip
"""Fields whose values are credentials whatever they look like. To these come all names that say
secret (`masking.streams.names`), such as `X-Acme-Token`."""

_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]{0,30})\s+\S")
_COOKIE: Final = re.compile(r"(\s*[^=;]*=)([^;]*)")
_PARAMETER: Final = re.compile(r"([?&#;]|%3F|%26)([^=&#;?/]{1,128})(=|%3D)([^&#;\s\"'>]*)", re.I)
_USER: Final = re.compile(r"(?<=://)[^/@\s]*@")


async def masked_fields(
    fields: Sequence[Field], searches: Searches
) -> tuple[list[Field], list[Span]]:
    """The fields without what may not go out, as many and in the same order; and what went.

    Names stay. A value that a mask would break over lines can't be one, so none is.
    """
    named = [_by_name(name, value, searches) for name, value in fields]
    texts = [value for value, _ in named]
    names = [name for name, _ in fields]
    found = await searches.spans(
        [ScanText(text, name) for text, name in zip(texts, names, strict=True)]
    )
    masked = [
        (name, substitute(text, spans))
        for name, text, spans in zip(names, texts, found, strict=True)
    ]
    return masked, [span for _, spans in named for span in spans] + [s for f in found for s in f]


def _by_name(name: str, value: str, searches: Searches) -> tuple[str, Sequence[Span]]:
    lower = name.strip().lower()
    if not searches.wants(CREDENTIALS) or is_hollow(value):
        return value, ()
    if lower in _WITH_SCHEME:
        scheme = _SCHEME.match(value)
        return _replaced(value, scheme.end(1) + 1 if scheme else 0)
    if lower == "cookie":
        return _cookies(value)
    if lower in ("set-cookie", "set-cookie2"):
        return _set_cookie(value)
    if lower in _LINKS:
        return _link(value)
    return _replaced(value, 0) if lower in _SECRET or says_secret(lower) else (value, ())


def _gone(start: int, end: int) -> Span:
    return Span(start, end, CREDENTIALS, recognizer=BY_NAME)


def _replaced(value: str, start: int) -> tuple[str, Sequence[Span]]:
    return value[:start] + placeholder(CREDENTIALS), (_gone(start, len(value)),)


def _cookies(value: str) -> tuple[str, Sequence[Span]]:
    """Names stay: they say which cookie it was (RFC 6265, 4.2)."""
    if "=" not in value:
        return _replaced(value, 0)
    found = [_gone(m.start(2), m.end(2)) for m in _COOKIE.finditer(value) if m[2].strip()]
    return substitute(value, found), found


def _set_cookie(value: str) -> tuple[str, Sequence[Span]]:
    """The name and the attributes stay (RFC 6265, 4.1)."""
    match = _COOKIE.match(value)
    if match is None:
        return _replaced(value, 0)
    found = [_gone(*match.span(2))] if match[2].strip() else []
    return substitute(value, found), found


def _link(value: str) -> tuple[str, Sequence[Span]]:
    """Its credentials, and parameters whose names say secret; the rest is searched as text."""
    found = sorted(_in_link(value), key=lambda span: span.start)
    return substitute(value, found), found


_LINK_SECRETS: Final = frozenset({"code", "sig", "signature", "state", "assertion", "samlresponse"})
"""Parameters of links that stand for a sign-in or a signed link (RFC 6749, 4.1.2; SigV4)."""


def _in_link(value: str) -> Iterator[Span]:
    for match in _PARAMETER.finditer(value):
        name = match[2].lower().removeprefix("x-amz-").removeprefix("x-goog-")
        if match[4] and (name in _LINK_SECRETS or says_secret(name)):
            yield _gone(*match.span(4))
    for match in _USER.finditer(value):
        yield _gone(match.start(), match.end() - 1)
