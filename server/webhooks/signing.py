"""Signatures of the Standard Webhooks specification: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from policies.errors import ConfigError

_PREFIX: Final = "whsec_"
_FEWEST, _MOST = 24, 64
"""Bytes of a symmetric secret, by the specification's section "Symmetric signatures"."""


def signing_keys(secret: str) -> tuple[bytes, ...]:
    """The keys in a secret: `whsec_…`, or two with a space between them while one replaces another.

    Raises `ConfigError`, which never repeats the secret.
    """
    keys = tuple(_key(written) for written in secret.split())
    if not keys:
        raise ConfigError("a webhook's secret is empty")
    return keys


def _key(written: str) -> bytes:
    try:
        key = base64.b64decode(written.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not written.startswith(_PREFIX) or not _FEWEST <= len(key) <= _MOST:
        raise ConfigError(
            "a webhook's secret is whsec_ and 24 to 64 random bytes in base64; make one with: "
            "echo whsec_$(openssl rand -base64 32)"
        )
    return key


def signed_headers(
    keys: Sequence[bytes], *, identifier: str, seconds: int, body: bytes
) -> dict[str, str]:
    """The three headers; one signature for each key. `seconds` since 1970, when it is sent."""
    signed = b".".join((identifier.encode(), str(seconds).encode(), body))
    signatures = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }
