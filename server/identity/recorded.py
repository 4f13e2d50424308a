"""Verification as the doors use it: each refusal is recorded, without the token."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from policies.errors import Unauthenticated
from policies.model import Principal
from recordings.journal import Journal, Json, Record
from server.admission import Admission
from server.admission.accounts import Bucket
from server.identity.oidc import Identified, Verifier

ONE_BY_ONE: Final = 500
PER_MINUTE: Final = 60
"""So many refused tokens are recorded one by one, and then so many a minute; the rest is counted:
bad tokens are free to make, and must not fill the store."""


@dataclass(slots=True)
class RecordedVerifier:
    """The verifier of tokens, and the journal of those that it refused."""

    verifier: Verifier
    journal: Journal
    admission: Admission
    _single: Bucket = field(
        default_factory=lambda: Bucket(PER_MINUTE, ONE_BY_ONE, time.monotonic(), ONE_BY_ONE)
    )

    async def verify(self, token: str) -> Principal:
        """Who presents this token. Raises `Unauthenticated`."""
        return (await self.identify(token)).principal

    async def identify(self, token: str) -> Identified:
        """Who presents this token, and until when. Raises `Unauthenticated`."""
        try:
            return await self.verifier.identify(token)
        except Unauthenticated as refused:
            await self._record(token, refused)
            raise

    async def _record(self, token: str, refused: Unauthenticated) -> None:
        document: dict[str, Json] = {"characters": len(token), "reason": str(refused)}
        record = Record("", "sign_in_failed", document)
        if self._single.wait(time.monotonic()):
            self.admission.repeats.note("sign_in_failed", record)
        else:
            self._single.take()
            await self.journal.accept(record)


@dataclass(frozen=True, slots=True)
class AdmittedVerifier:
    """The same for doors that have words for a refusal: who is blocked has no valid token."""

    recorded: RecordedVerifier

    async def verify(self, token: str) -> Principal:
        """Who presents this token. Raises `Unauthenticated` and `Denied`."""
        return (await self.identify(token)).principal

    async def identify(self, token: str) -> Identified:
        """Who presents this token, and until when. Raises `Unauthenticated` and `Denied`."""
        identified = await self.recorded.identify(token)
        self.recorded.admission.request(identified.principal)
        return identified


def admitted(
    caller: Callable[[], Awaitable[Principal]], admission: Admission
) -> Callable[[], Awaitable[Principal]]:
    """Who makes the current call, unless they are blocked or too fast. Raises `Denied`."""

    async def admitted_caller() -> Principal:
        principal = await caller()
        admission.request(principal)
        return principal

    return admitted_caller
