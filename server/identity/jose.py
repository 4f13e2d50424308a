"""A compact JWS taken apart (RFC 7515). Nothing in here is verified yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.identity.strict import Json, read_base64url, read_object

MAX_TOKEN = 16 * 1024
"""Characters; a bearer token travels in one HTTP header, and those are cut far below this."""

_FOREIGN_HEADERS = frozenset({"crit", "b64", "zip", "enc", "cty", "p2c"})
"""Extensions, detached, compressed, encrypted and nested tokens: none of them is read here.

`jku`, `x5u`, `jwk` and `x5c` are not in the list: a key that a token brings along is ignored.
"""

_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class Malformed(ValueError):
    """Not a token that can be read in one way only; the text is for the log, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """Header and claims as somebody sent them."""

    token: str
    header: Mapping[str, Json]
    claims: Mapping[str, Json]

    @property
    def algorithm(self) -> str:
        return _text(self.header, "alg")

    @property
    def issuer(self) -> str:
        return _text(self.claims, "iss")

    @property
    def key_id(self) -> str | None:
        """The `kid`, or `None` where the token names none."""
        return _text(self.header, "kid") if "kid" in self.header else None


def take_apart(token: str) -> Unverified:
    """Split and decode a compact JWS; raises `Malformed`."""
    if len(token) > MAX_TOKEN:
        raise Malformed(f"longer than {MAX_TOKEN} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise Malformed(f"{len(parts)} parts instead of 3")
    header, claims = (_segment(part) for part in parts[:2])
    try:
        read_base64url(parts[2])
    except ValueError as error:
        raise Malformed(f"signature: {error}") from error
    _check_header(header)
    return Unverified(token, header, claims)


def _segment(part: str) -> dict[str, Json]:
    try:
        return read_object(read_base64url(part))
    except ValueError as error:
        raise Malformed(f"unreadable segment: {type(error).__name__}") from error


def _check_header(header: Mapping[str, Json]) -> None:
    foreign = sorted(_FOREIGN_HEADERS & header.keys())
    if foreign:
        raise Malformed(f"header parameter {foreign[0]} is not supported")
    if "typ" in header and _text(header, "typ").lower() not in _TYPES:
        raise Malformed("typ is neither JWT nor at+jwt")


def _text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} is missing or not a string")
    return value
