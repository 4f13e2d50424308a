"""ID tokens -> Principal: proof that somebody signed in for this page, and of nothing else.

Signatures, times, groups and names are read as those of access tokens are (`server.identity`);
what tells the two apart stands here. No ID token is taken as a bearer token anywhere.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from jwt import PyJWS, PyJWTError

from policies.errors import Denied, Refusal, Unauthenticated
from policies.model import Principal
from server.identity.claims import ClaimRefused, GroupOverage, IssuerSettings, principal_of
from server.identity.jose import Malformed, Unverified, take_apart
from server.identity.jwks import KeyCache, KeyUnavailable
from server.identity.keys import ALGORITHMS
from server.identity.oidc import OVERAGE
from server.identity.strict import Json

_OF_ID_TOKENS: Final = frozenset({"at_hash", "c_hash", "typ", "token_use"})
"""Claims by which an ID token is known, and for which an access token would be refused."""


@dataclass(frozen=True, slots=True)
class IdTokens:
    """Verifies the ID tokens of one issuer's client; `settings.audience` is the client's id."""

    settings: IssuerSettings
    keys: KeyCache
    now: Callable[[], float] = time.time
    _jws: PyJWS = field(default_factory=lambda: PyJWS(algorithms=sorted(ALGORITHMS)))

    async def principal(self, token: str, *, nonce: str) -> Principal:
        """Who signed in, acting through the page's own client.

        Raises `Unauthenticated`, whose text is for the log, and `Denied` where the issuer left
        the groups out.
        """
        try:
            unverified = take_apart(token)
            await self._check_signature(unverified)
            self._check_kind(unverified)
            self._check_sign_in(unverified.claims, nonce)
            found = principal_of(_stripped(unverified.claims), self.settings, now=self.now())
        except GroupOverage as error:
            raise Denied(_groups_left_out()) from error
        except (Malformed, KeyUnavailable, PyJWTError, ClaimRefused) as error:
            # Our own words and the library's; neither quotes the token.
            raise Unauthenticated(f"ID token: {type(error).__name__}: {error}") from error
        return replace(found, agent=self.settings.audience)

    async def _check_signature(self, unverified: Unverified) -> None:
        algorithm = unverified.algorithm
        if unverified.issuer != self.settings.issuer:
            raise Malformed("iss is another issuer than was asked")
        if algorithm not in ALGORITHMS.intersection(self.settings.algorithms):
            raise Malformed("alg is not allowed for this issuer")
        key = await self.keys.key(algorithm=algorithm, key_id=unverified.key_id)
        self._jws.decode_complete(unverified.token, key.public, algorithms=[algorithm])

    def _check_kind(self, unverified: Unverified) -> None:
        """An access token is no proof of a sign-in here, whatever its audience (RFC 9068)."""
        claims = unverified.claims
        if str(unverified.header.get("typ", "JWT")).lower() != "jwt":
            raise ClaimRefused("typ in the header: not an ID token")
        # Keycloak and Cognito say it in a claim.
        if claims.get("typ", "ID") != "ID" or claims.get("token_use", "id") != "id":
            raise ClaimRefused("typ or token_use: not an ID token")

    def _check_sign_in(self, claims: Mapping[str, Json], nonce: str) -> None:
        """OpenID Connect Core section 3.1.3.7, besides what `principal_of` judges."""
        client = self.settings.audience
        alone = claims.get("aud") in (client, [client])
        if not alone and claims.get("azp") != client:
            raise ClaimRefused("aud: several, and azp is not this client")
        if claims.get("azp", client) != client:
            raise ClaimRefused("azp: another client")
        if "iat" not in claims:
            raise ClaimRefused("iat: missing")
        given = str(claims.get("nonce")).encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, nonce.encode()):
            raise ClaimRefused("nonce: of another sign-in")


def _stripped(claims: Mapping[str, Json]) -> Mapping[str, Json]:
    return {name: value for name, value in claims.items() if name not in _OF_ID_TOKENS}


def _groups_left_out() -> Refusal:
    return Refusal(
        code="GROUPS_LEFT_OUT",
        reason=OVERAGE[0].upper() + OVERAGE[1:] + ".",
        next_step="Tell whoever runs your identity provider.",
    )
