"""Cursors: where a read goes on, sealed for one principal, target and statement."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policies.errors import Denied, Refusal
from policies.model import Parameter, Principal

LIFETIME: Final = 900  # seconds
_HEAD: Final = struct.Struct(">QQ")  # rows to skip, expiry in seconds since the epoch
_SEAL: Final = 16  # bytes of HMAC-SHA256


@dataclass(frozen=True, slots=True)
class Scope:
    """What a cursor is good for."""

    principal: Principal
    target: str
    sql: str
    parameters: tuple[Parameter, ...]

    def digest(self) -> bytes:
        """Each part with its length, so that no two scopes have the same bytes."""
        parts = [self.principal.id, self.principal.agent, self.target, self.sql]
        fields: list[bytes | None] = [part.encode() for part in parts]
        fields += [parameter.value for parameter in self.parameters]
        digest = hashlib.sha256()
        for part in fields:
            digest.update(struct.pack(">q", -1 if part is None else len(part)) + (part or b""))
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Cursors:
    """Seals with the first key, opens with any: the key ring's keys for request state."""

    keys: Sequence[bytes]

    def seal(self, scope: Scope, *, skip: int, now: float) -> str:
        """An opaque token that goes on after `skip` rows, good for `LIFETIME` seconds."""
        head = _HEAD.pack(skip, int(now) + LIFETIME)
        sealed = head + _mac(self.keys[0], head, scope)
        return _encoded(sealed)

    def open(self, token: str, scope: Scope, *, now: float) -> int:
        """The rows to skip. Raises `Denied` (CURSOR_INVALID) for any token not sealed for this."""
        raw = _decoded(token)
        head, seal = raw[: _HEAD.size], raw[_HEAD.size :]
        if len(raw) != _HEAD.size + _SEAL or not self._sealed(head, seal, scope):
            raise Denied(_INVALID)
        skip, expiry = _HEAD.unpack(head)
        if now >= expiry:
            raise Denied(_INVALID)
        return int(skip)

    def _sealed(self, head: bytes, seal: bytes, scope: Scope) -> bool:
        return any(hmac.compare_digest(_mac(key, head, scope), seal) for key in self.keys)


def _mac(key: bytes, head: bytes, scope: Scope) -> bytes:
    message = b"ostiary cursor 1\0" + head + scope.digest()
    return hmac.digest(key, message, "sha256")[:_SEAL]


def _encoded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _decoded(token: str) -> bytes:
    """The bytes of a token that is spelled as `_encoded` spells it, else none."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    return raw if _encoded(raw) == token else b""


_INVALID: Final = Refusal(
    code="CURSOR_INVALID",
    reason="The cursor was not made for this statement, target and caller, or is too old.",
    next_step="Repeat the statement without a cursor.",
)
