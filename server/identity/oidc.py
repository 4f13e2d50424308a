"""Bearer JWTs of OpenID Connect issuers -> Principal. Follow `Verifier.verify`.

Keys are in `jwks`, claims in `claims`; what a token may do is not decided here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2
from jwt import PyJWS, PyJWTError

from policies.errors import ConfigError, Unauthenticated
from policies.model import Principal
from server.identity.claims import (
    LEEWAY,
    ClaimRefused,
    GroupOverage,
    IssuerSettings,
    expiry_of,
    principal_of,
)
from server.identity.fetch import FetchFailed, check_url
from server.identity.jose import Malformed, Unverified, take_apart
from server.identity.jwks import KeyCache, KeyUnavailable
from server.identity.keys import ALGORITHMS

__all__ = ["Identified", "IssuerSettings", "Verifier"]

_log = logging.getLogger(__name__)

REMEMBER = 60.0
"""Seconds that a verified token is believed without looking at it again."""

REMEMBERED = 4096
"""Tokens, kept as digests."""

REFUSAL = "the token is not valid here: sign in again"

OVERAGE = (
    "your identity provider left your groups out of the token, because there are too many:"
    " have it send only the groups that are assigned to this application"
    " (Entra ID: `groupMembershipClaims: ApplicationGroup`), or app roles with"
    " `groups_claim: roles` at the gateway; then sign in again"
)
"""Said of tokens whose signature holds only: it is no help to anybody else."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Identified:
    """Who presented a token, and the moment from which it is refused, in seconds since 1970."""

    principal: Principal
    refused_from: float


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was verified: believed until a moment of the clock, and until it expires.

    Not beyond the keys that it was verified with: other keys, and it is looked at again.
    """

    identified: Identified
    until: float
    expiry: float
    keys: KeyCache
    generation: int

    def holds(self, clock: float, now: float) -> bool:
        current = self.generation == self.keys.generation
        return current and clock < self.until and now < self.expiry


class Verifier:
    """Verifies tokens of the configured issuers, and of no others."""

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        *,
        http: httpx2.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`http` comes from `fetch.open_http` and is closed by the caller. Raises `ConfigError`."""
        _check_settings(issuers)
        self._now = now
        self._jws = PyJWS(algorithms=sorted(ALGORITHMS))
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._clock = clock
        self._issuers = {settings.issuer: settings for settings in issuers}
        self._keys = {
            settings.issuer: KeyCache(settings.issuer, http=http, clock=clock)
            for settings in issuers
        }

    async def verify(self, token: str) -> Principal:
        """Who presents this token; raises `Unauthenticated`, which says nothing of the cause."""
        return (await self.identify(token)).principal

    async def identify(self, token: str) -> Identified:
        """Who presents this token, and until when. Raises `Unauthenticated`.

        A token that was verified is believed for `REMEMBER` seconds, never past its expiry, and
        only while its issuer's keys are those that it was verified with.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and known.holds(self._clock(), self._now()):
            return known.identified
        try:
            found = await self._verified(token)
        except GroupOverage as error:
            _log.warning("token refused: %s; see groups_claim", error)
            raise Unauthenticated(OVERAGE) from None
        except (Malformed, KeyUnavailable, PyJWTError, ClaimRefused) as error:
            # Our own words and the library's; neither quotes the token.
            _log.info("token refused: %s: %s", type(error).__name__, error)
            self._known.pop(digest, None)
            raise Unauthenticated(REFUSAL) from None
        self._remember(digest, found)
        return found.identified

    async def _verified(self, token: str) -> _Known:
        unverified = take_apart(token)
        settings = self._settings(unverified)
        keys = self._keys[settings.issuer]
        await self._check_signature(unverified, keys)
        principal = principal_of(unverified.claims, settings, now=self._now())
        expiry = expiry_of(unverified.claims)
        identified = Identified(principal, expiry + LEEWAY)
        return _Known(identified, self._clock() + REMEMBER, expiry, keys, keys.generation)

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    @property
    def remembered(self) -> int:
        """How many tokens are believed without looking at them; at most `REMEMBERED`."""
        return len(self._known)

    async def aclose(self) -> None:
        """Stop what is under way in the background."""
        for keys in self._keys.values():
            await keys.aclose()

    def _settings(self, unverified: Unverified) -> IssuerSettings:
        settings = self._issuers.get(unverified.issuer)
        if settings is None:
            raise Malformed("iss is no configured issuer")
        if unverified.algorithm not in ALGORITHMS.intersection(settings.algorithms):
            raise Malformed("alg is not allowed for this issuer")
        return settings

    async def _check_signature(self, unverified: Unverified, keys: KeyCache) -> None:
        algorithm = unverified.algorithm
        key = await keys.key(algorithm=algorithm, key_id=unverified.key_id)
        self._jws.decode_complete(unverified.token, key.public, algorithms=[algorithm])


def _check_settings(issuers: Sequence[IssuerSettings]) -> None:
    for field in ("name", "issuer"):
        values = [getattr(settings, field) for settings in issuers]
        if len(set(values)) != len(values):
            raise ConfigError(f"identity.issuers: two of them have the same {field}")
    for settings in issuers:
        _check_issuer(settings)


def _check_issuer(settings: IssuerSettings) -> None:
    where = f"identity.issuers: {settings.name!r}"
    if not _NAME.fullmatch(settings.name):
        raise ConfigError(f"{where}: name may hold letters, digits, '_', '.' and '-'")
    foreign = sorted(set(settings.algorithms) - ALGORITHMS)
    if foreign or not settings.algorithms:
        raise ConfigError(
            f"{where}: algorithms {foreign} are not allowed; use some of {sorted(ALGORITHMS)}"
        )
    if settings.audience == settings.client_id:
        raise ConfigError(
            f"{where}: audience is the client's own id, and so is that of every ID token; "
            "write the gateway's public URL and /mcp"
        )
    if not settings.audience:
        raise ConfigError(f"{where}: audience is empty; write the gateway's public URL and /mcp")
    try:
        check_url(settings.issuer)
    except FetchFailed as error:
        raise ConfigError(f"{where}: issuer is {error}; write its https:// URL") from error
