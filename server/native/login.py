"""Who a client of a native door is, by what it shows as its password, or by its certificate.

A password is a gateway token, or an access token of an issuer's where one fits. Each use and each
refusal is recorded, never what was shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Final, Protocol

from policies.errors import Denied, Refusal, Unauthenticated
from policies.model import Principal
from recordings.journal import Record
from server.admission import Admission
from server.identity.certificates import (
    CERTIFICATE_EXPIRED,
    ClientCertificate,
    ClientCertificates,
)
from server.identity.oidc import Identified
from server.native.attempts import Attempts
from server.native.tokens import PREFIX, GatewayToken, StoredTokens, id_of
from server.native.waiting_room import origin_of

NOT_ACCEPTED: Final = "the token was not accepted"


@dataclass(frozen=True, slots=True)
class Presented:
    """What a client shows: its secret, and what it wants by it, from where.

    `certificate`, in DER, counts in place of a secret: who showed one was not asked for another.
    """

    secret: str = field(repr=False)
    target: str
    protocol: str
    address: str
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class KnownClient:
    """Who it is, until when (seconds since 1970), and what is said then.

    `token` is a gateway token's id, or empty.
    """

    principal: Principal
    refused_from: float
    token: str = ""
    certificate: ClientCertificate | None = None

    @property
    def expired(self) -> Refusal:
        return TOKEN_EXPIRED if self.certificate is None else CERTIFICATE_EXPIRED


class Verifier(Protocol):
    async def identify(self, token: str) -> Identified:
        """Who presents this access token. Raises `Unauthenticated` and `Denied`."""
        ...


@dataclass(slots=True)
class NativeLogin:
    """One a process, over all native doors."""

    verifier: Verifier
    tokens: StoredTokens
    admission: Admission
    certificates: ClientCertificates | None = None
    attempts: Attempts = field(default_factory=Attempts)
    clock: Callable[[], float] = time.monotonic

    async def identify(self, presented: Presented) -> KnownClient:
        """Raises `Unauthenticated` for nobody's token, `Denied` for one that does not open this."""
        origin = origin_of(presented.address)
        wait = self.attempts.wait(origin, self.clock())
        if wait:
            self._note(presented, "too many failures")
            raise Denied(_too_often(wait))
        try:
            return await self._identified(presented)
        except Unauthenticated:
            self.attempts.failed(origin, self.clock())
            raise

    async def _identified(self, presented: Presented) -> KnownClient:
        if presented.certificate:
            return self._certified(presented)
        if not presented.secret.startswith(PREFIX):
            identified = await self.verifier.identify(presented.secret)
            return KnownClient(identified.principal, identified.refused_from)
        token = await self._opened(presented)
        refusal = _unusable(token, presented)
        if refusal is not None:
            self._note(presented, refusal.code, token.id)
            raise Denied(refusal)
        self.admission.request(token.principal)
        await self.tokens.used(token.id)
        return KnownClient(token.principal, token.refused_from, token.id)

    def _certified(self, presented: Presented) -> KnownClient:
        if self.certificates is None:
            raise Unauthenticated(NOT_ACCEPTED)
        try:
            known = self.certificates.identify(presented.certificate)
        except Denied as denied:
            self._note(presented, denied.refusal.code)
            raise
        self.admission.request(known.principal)
        return KnownClient(known.principal, known.not_after, certificate=known)

    async def _opened(self, presented: Presented) -> GatewayToken:
        """The token whose secret was shown: guesses at one are limited, wherever they come from."""
        name = id_of(presented.secret) or ""
        known = f"token {name}"
        limited = bool(self.attempts.wait(known, self.clock()))
        token = None if limited else await self.tokens.presented(presented.secret)
        if token is None:
            self.attempts.failed(known, self.clock())
            self._note(presented, "unknown", name)
            raise Unauthenticated(NOT_ACCEPTED)
        return token

    def _note(self, presented: Presented, reason: str, token: str = "") -> None:
        """For the recording, without waiting and without the secret."""
        document = {
            "reason": reason,
            "token": token,
            "target": presented.target[:64],
            "protocol": presented.protocol,
            "address": presented.address,
        }
        kind = ("sign_in_failed", reason, token, origin_of(presented.address))
        self.admission.repeats.note(kind, Record("", "sign_in_failed", {**document}))


def _unusable(token: GatewayToken, presented: Presented) -> Refusal | None:
    """Why a token does not open what it is shown for: for its holder, who knows its secret."""
    if token.revoked_at is not None:
        return TOKEN_REVOKED
    if token.expired:
        return TOKEN_EXPIRED
    if (token.target, token.protocol) != (presented.target, presented.protocol):
        return Refusal(
            code="TOKEN_FOR_ANOTHER_TARGET",
            reason=f"This token is for the target {token.target!r} over {token.protocol}.",
            next_step="Make one for this target: ostiary token --target NAME.",
        )
    return None


def _too_often(wait: float) -> Refusal:
    return Refusal(
        code="TOO_MANY_FAILURES",
        reason="Too many tokens from this address were not accepted.",
        next_step=f"Try again in {ceil(wait)} s.",
    )


TOKEN_EXPIRED: Final = Refusal(
    code="TOKEN_EXPIRED",
    reason="The token that this session began with has expired.",
    next_step="Make a new one with `ostiary token --target NAME`, and connect with it.",
)
TOKEN_REVOKED: Final = Refusal(
    code="TOKEN_REVOKED",
    reason="The token was revoked.",
    next_step="Make a new one with `ostiary token --target NAME`, and connect with it.",
)
