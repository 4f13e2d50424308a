"""What the demo provider remembers between two requests: one-time codes, few and short-lived."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from server.identity.strict import write_base64url

CODE_SECONDS: Final = 60.0
DEVICE_SECONDS: Final = 600.0
POLL_SECONDS: Final = 2
_MOST: Final = 1000
_USER_CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels and no digits: no words by chance, nothing to confuse (RFC 8628 section 6.1)."""


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """An account signed in for exactly this redirect and this proof key."""

    account: str
    redirect_uri: str
    challenge: str
    nonce: str | None
    client: str


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """A device waits; `account` is filled in by whoever signs in for it."""

    user_code: str
    account: str | None = None


Kept = TypeVar("Kept", CodeGrant, DeviceGrant)


@dataclass(slots=True)
class Shelf(Generic[Kept]):
    """Grants by secret code, each for `seconds`; a full shelf drops its oldest."""

    seconds: float
    now: Callable[[], float]
    _kept: dict[str, tuple[float, Kept]] = field(default_factory=dict)

    def keep(self, grant: Kept) -> str:
        """Remember the grant under a new unguessable code."""
        code = secrets.token_urlsafe(32)
        self._kept[code] = (self.now() + self.seconds, grant)
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return code

    def look(self, code: str) -> Kept | None:
        """The grant under a code, unless it is over."""
        until, grant = self._kept.get(code, (0.0, None))
        return grant if until > self.now() else None

    def take(self, code: str) -> Kept | None:
        """The grant under a code, which is used up with it."""
        grant = self.look(code)
        self._kept.pop(code, None)
        return grant

    def change(self, old: Kept, new: Kept) -> bool:
        """Put `new` in the place of `old`; false if that is not there any more."""
        for code, (until, grant) in self._kept.items():
            if grant == old and until > self.now():
                self._kept[code] = (until, new)
                return True
        return False


def new_user_code() -> str:
    """Eight letters that a person types, such as `BCDF-GHJK`."""
    letters = [secrets.choice(_USER_CODE_LETTERS) for _ in range(8)]
    return "".join(letters[:4]) + "-" + "".join(letters[4:])


def sign_in_device(shelf: Shelf[DeviceGrant], user_code: str, account: str) -> bool:
    """Let the device with this code act for the account; false if none waits under it."""
    waiting = DeviceGrant(user_code)
    return shelf.change(waiting, replace(waiting, account=account))


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a proof key (RFC 7636 section 4.2)."""
    return write_base64url(hashlib.sha256(verifier.encode()).digest())


@dataclass(frozen=True, slots=True)
class FormSeal:
    """Ties a form to the browser it was shown in, so that no other site can submit it."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def token(self, browser: str) -> str:
        """The token for the form, from the browser's random cookie."""
        return hmac.digest(self.secret, browser.encode(), "sha256").hex()

    def fits(self, *, browser: str, token: str) -> bool:
        """Whether this browser was shown the form."""
        return bool(browser) and hmac.compare_digest(self.token(browser).encode(), token.encode())
