"""The claims of a token whose signature holds -> Principal. Judges time, audience and identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.model import Principal
from server.identity.strict import Json

LEEWAY: Final = 60
"""Seconds that an issuer's clock may differ from ours."""

_LAST_SECOND: Final = 253402300799
"""9999-12-31T23:59:59Z: a date past this, infinite or not a number is no date."""

_FOREIGN_KINDS: Final = {
    "events": "a logout token, or another event about a session",
    "at_hash": "an ID token",
    "c_hash": "an ID token",
    "cnf": "bound to a key or certificate, and presented without proof of it",
}
"""Claims of what is no proof of who asks: OpenID Connect Back-Channel Logout 1.0 section 2.4,
Core section 3.3.2.11, RFC 7800."""

_MAX_TEXT: Final = 255
"""Characters, as OpenID Connect Core section 2 bounds `sub`."""


class ClaimRefused(Exception):
    """A claim is missing, malformed or not for us; the text is for the log, and names the claim."""


class GroupOverage(ClaimRefused):
    """The issuer left the groups out. Reading them as none would dodge a `forbid` on a group."""


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One issuer whose tokens count. `name` becomes the first part of its principals' ids."""

    name: str
    issuer: str
    audience: str
    groups_claim: str = "groups"
    agent_claim: str = "azp"
    name_claim: str = "preferred_username"
    algorithms: Sequence[str] = ("RS256", "ES256")
    client_id: str = ""


def principal_of(claims: Mapping[str, Json], settings: IssuerSettings, *, now: float) -> Principal:
    """The principal the claims describe; `now` in seconds since 1970. Raises `ClaimRefused`."""
    _check_times(claims, now)
    _check_audience(claims, settings.audience)
    _check_kind(claims)
    subject = _clean_text(claims, "sub")
    return Principal(
        id=f"{settings.name}:{subject}",
        name=_shown_text(claims, settings.name_claim) or subject,
        agent=_agent(claims, settings.agent_claim),
        groups=_groups(claims, settings.groups_claim),
        email=_verified_email(claims),
    )


def expiry_of(claims: Mapping[str, Json]) -> float:
    """When the token ends, in seconds since 1970, without the leeway for clocks."""
    return _seconds(claims, "exp")


def _check_times(claims: Mapping[str, Json], now: float) -> None:
    if _seconds(claims, "exp") <= now - LEEWAY:
        raise ClaimRefused("exp: expired")
    for name in ("iat", "nbf"):
        if name in claims and _seconds(claims, name) > now + LEEWAY:
            raise ClaimRefused(f"{name}: in the future")


def _seconds(claims: Mapping[str, Json], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimRefused(f"{name}: missing or not a number")
    if not 0 <= value <= _LAST_SECOND:
        raise ClaimRefused(f"{name}: not a date")
    return value


def _check_audience(claims: Mapping[str, Json], audience: str) -> None:
    match claims.get("aud"):
        case str(one):
            audiences: list[Json] = [one]
        case list(several) if all(isinstance(member, str) for member in several):
            audiences = several
        case _:
            raise ClaimRefused("aud: missing, or neither a string nor a list of strings")
    if audience not in audiences:
        raise ClaimRefused("aud: for somebody else")


def _check_kind(claims: Mapping[str, Json]) -> None:
    """An access token, by whatever its issuer says of it besides the header's `typ`."""
    for name, kind in _FOREIGN_KINDS.items():
        if name in claims:
            raise ClaimRefused(f"{name}: {kind}")
    # Keycloak ("Bearer", "ID", "Refresh", "Logout") and Cognito ("access", "id") say it in a claim.
    if claims.get("typ", "Bearer") != "Bearer" or claims.get("token_use", "access") != "access":
        raise ClaimRefused("typ or token_use: not an access token")


def _clean_text(claims: Mapping[str, Json], name: str) -> str:
    value = claims.get(name)
    # Not printable: controls, bidi overrides, zero-width characters and lone surrogates.
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise ClaimRefused(f"{name}: missing, empty, too long or not printable text")
    return value


def _shown_text(claims: Mapping[str, Json], claim: str) -> str | None:
    """A text that decides nothing: left out where it can't be shown as it is."""
    try:
        return _clean_text(claims, claim)
    except ClaimRefused:
        return None


def _agent(claims: Mapping[str, Json], claim: str) -> str:
    for name in (claim, "client_id"):
        if name in claims:
            return _clean_text(claims, name)
    return "unknown"


def _groups(claims: Mapping[str, Json], claim: str) -> frozenset[str]:
    if _left_out(claims, claim):
        raise GroupOverage(f"{claim}: left out of the token (group overage)")
    match claims.get(claim, []):
        case str(one):
            members: list[Json] = [one]
        case list(several):
            members = several
        case _:
            raise ClaimRefused(f"{claim}: neither a string nor a list")
    return frozenset(_clean_text({claim: member}, claim) for member in members)


def _left_out(claims: Mapping[str, Json], claim: str) -> bool:
    """Whether the issuer had too many groups for the token, and says where they are instead.

    OpenID Connect Core section 5.6.2 (`_claim_names`); Microsoft's identity platform besides:
    `hasgroups` in place of `groups`, and `groups:src1`.
    """
    elsewhere = claims.get("_claim_names", {})
    if not isinstance(elsewhere, dict) or claim in elsewhere:
        return True
    hinted = claim == "groups" and claims.get("hasgroups", False) is not False
    return hinted or any(name.startswith(f"{claim}:src") for name in claims)


def _verified_email(claims: Mapping[str, Json]) -> str | None:
    return _shown_text(claims, "email") if claims.get("email_verified") is True else None
