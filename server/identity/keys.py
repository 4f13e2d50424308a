"""A provider's JSON Web Key Set (RFC 7517) -> the public keys that may verify its tokens."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from server.identity.strict import Json, read_base64url

_log = logging.getLogger(__name__)

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS: Final = RSA_ALGORITHMS | {"ES256", "ES384", "ES512", "EdDSA"}
"""Asymmetric only: with a shared secret, whoever can verify a token can also make one."""

MAX_KEYS: Final = 100
RSA_BITS: Final = range(2048, 8192 + 1)
"""Below, a modulus can be factored; above, verifying one token costs too much."""

_CURVES: Final[Mapping[str, tuple[type[EllipticCurve], int, str]]] = {
    "P-256": (SECP256R1, 32, "ES256"),
    "P-384": (SECP384R1, 48, "ES384"),
    "P-521": (SECP521R1, 66, "ES512"),
}

_ED25519_FIELD: Final = 2**255 - 19
_ED25519_SMALL_ORDER: Final = frozenset(
    int.from_bytes(bytes.fromhex(point), "little")
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
    )
)
"""The y of each point whose order divides 8: such a key accepts a signature of anybody's."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key, and the algorithms that it may be used with."""

    key_id: str | None
    algorithms: frozenset[str]
    public: PublicKey


def read_key_set(document: Mapping[str, Json]) -> tuple[VerificationKey, ...]:
    """The usable keys of a JWKS; an unusable one is logged and left out. Raises `ValueError`."""
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"keys is not a list of at most {MAX_KEYS}")
    return tuple(_usable(entries))


def _usable(entries: list[Json]) -> Iterator[VerificationKey]:
    for entry in entries:
        try:
            yield _read_key(entry)
        except ValueError as error:
            _log.warning("a key of the provider's key set is not used: %s", error)


def _read_key(entry: Json) -> VerificationKey:
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    if entry.get("use", "sig") != "sig" or "verify" not in _operations(entry):
        raise ValueError("not meant for signatures")
    if "d" in entry or "k" in entry:
        raise ValueError("a private or shared key was published")
    public, fitting = _read_public(entry)
    algorithms = fitting & {_text(entry, "alg")} if "alg" in entry else fitting
    if not algorithms:
        raise ValueError("its alg does not fit its type")
    return VerificationKey(_text(entry, "kid") if "kid" in entry else None, algorithms, public)


def _operations(entry: Mapping[str, Json]) -> list[Json]:
    operations = entry.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _read_public(entry: Mapping[str, Json]) -> tuple[PublicKey, frozenset[str]]:
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            return _read_rsa(entry), RSA_ALGORITHMS
        case "EC", str(curve) if curve in _CURVES:
            return _read_curve(entry, curve), frozenset({_CURVES[curve][2]})
        case "OKP", "Ed25519":
            return _read_ed25519(entry), frozenset({"EdDSA"})
        case _:
            raise ValueError("unknown type or curve")


def _read_rsa(entry: Mapping[str, Json]) -> RSAPublicKey:
    modulus, exponent = (int.from_bytes(_octets(entry, name), "big") for name in "ne")
    if modulus.bit_length() not in RSA_BITS or exponent.bit_length() > 32:
        raise ValueError(f"RSA modulus of {modulus.bit_length()} bits, or a huge exponent")
    return RSAPublicNumbers(e=exponent, n=modulus).public_key()


def _read_curve(entry: Mapping[str, Json], name: str) -> EllipticCurvePublicKey:
    curve, size, _ = _CURVES[name]
    x, y = _octets(entry, "x"), _octets(entry, "y")
    if len(x) != size or len(y) != size:
        raise ValueError("coordinates of the wrong size")
    numbers = EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve()
    )
    return numbers.public_key()


def _read_ed25519(entry: Mapping[str, Json]) -> Ed25519PublicKey:
    point = _octets(entry, "x")
    y = int.from_bytes(point, "little") & (2**255 - 1)
    if len(point) != 32 or y >= _ED25519_FIELD or y in _ED25519_SMALL_ORDER:
        raise ValueError("Ed25519 point of small order or wrong form")
    return Ed25519PublicKey.from_public_bytes(point)


def _octets(entry: Mapping[str, Json], name: str) -> bytes:
    return read_base64url(_text(entry, name))


def _text(entry: Mapping[str, Json], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is not a string")
    return value
