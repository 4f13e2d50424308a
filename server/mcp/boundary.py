"""What every HTTP request must satisfy before any route sees it: Host, Origin, one credential.

Against DNS rebinding (Host, Origin), against two readers who take different credentials from one
request, and for header values without the blanks round them that RFC 9110 5.5 takes away: the
parser keeps those at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from recordings.journal import Record

Note = Callable[[Hashable, Record], None]
"""Takes one more record of a kind: of a flood of them, few end in the store."""

Headers = Sequence[tuple[bytes, bytes]]

OPEN_PATHS: Final = frozenset({"/healthz"})
"""Probes of a platform name the host by its address, and are told nothing but "ok"."""

_BLANK: Final = b" \t"
_TOKEN_PARAMETER: Final = "access_token"  # noqa: S105 -- a name (RFC 6750 2.3)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts and origins in lower case, exact or with any port."""

    exact: frozenset[str]
    any_port: frozenset[str]

    @classmethod
    def of(cls, names: Collection[str]) -> Allowed:
        """From what is configured, where "name:*" is any port of the name."""
        lower = [name.lower() for name in names]
        any_port = (name.removesuffix(":*") for name in lower if name.endswith(":*"))
        return cls(frozenset(n for n in lower if not n.endswith(":*")), frozenset(any_port))

    def __contains__(self, name: str) -> bool:
        lower = name.lower()
        if lower in self.exact:
            return True
        host, _, port = lower.rpartition(":")
        return host in self.any_port and port.isdecimal()


@dataclass(frozen=True, slots=True)
class Refused:
    """`because` is the word in the recording."""

    because: str
    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Boundary:
    """ASGI middleware in front of all routes. What it refuses is recorded."""

    app: ASGIApp
    hosts: Allowed
    origins: Allowed
    note: Note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = _trimmed(scope["headers"])
        refused = self._refused(headers, scope)
        if refused is None:
            scope["headers"] = headers
            await self.app(scope, receive, send)
            return
        self.note(*turned_away(refused.because))
        await PlainTextResponse(refused.words, refused.status)(scope, receive, send)

    def _refused(self, headers: Headers, scope: Scope) -> Refused | None:
        if scope["path"] in OPEN_PATHS:
            return None
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1") not in self.hosts:
            return _HOST
        origins = [value for name, value in headers if name == b"origin"]
        if origins and (len(origins) > 1 or origins[0].decode("latin-1") not in self.origins):
            return _ORIGIN
        if sum(name == b"authorization" for name, _ in headers) > 1:
            return _CREDENTIALS
        return _TOKEN_IN_QUERY if _names_token(scope["query_string"]) else None


def turned_away(because: str) -> tuple[Hashable, Record]:
    """A request that was refused before anybody knew who asks, as its kind and record."""
    return ("turned_away", because), Record("", "turned_away", {"because": because})


def _trimmed(headers: Headers) -> Headers:
    """Each value without the blanks round it; the list itself where there are none."""
    if any(value[:1] in _BLANKS or value[-1:] in _BLANKS for _, value in headers):
        return [(name, value.strip(_BLANK)) for name, value in headers]
    return headers


def _names_token(query: bytes) -> bool:
    if not query:
        return False
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name.lower() == _TOKEN_PARAMETER for name, _ in pairs)


_BLANKS: Final = frozenset({b" ", b"\t"})
_HOST: Final = Refused("host", 421, "Invalid Host header")
_ORIGIN: Final = Refused("origin", 403, "Invalid Origin header")
_CREDENTIALS: Final = Refused(
    "two_credentials", 400, "There is more than one Authorization header; send one."
)
_TOKEN_IN_QUERY: Final = Refused(
    "token_in_query", 400, "A token in a URL ends in logs; send it in the Authorization header."
)
