"""How a client proves to a MySQL or MariaDB server that it knows a password. No input or output.

Source: MySQL's documentation, "Authentication Methods"; MariaDB's, "Authentication Plugin -
ed25519".
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from policies.errors import ProtocolError

_ED25519_SALT: Final = 32
_SALT: Final = 20


def native_password(password: bytes, salt: bytes) -> bytes:
    """mysql_native_password: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))."""
    if not password:
        return b""
    first = hashlib.sha1(password, usedforsecurity=False).digest()
    second = hashlib.sha1(first, usedforsecurity=False).digest()
    mask = hashlib.sha1(_salt(salt) + second, usedforsecurity=False).digest()
    return _xor(first, mask)


def caching_sha2(password: bytes, salt: bytes) -> bytes:
    """caching_sha2_password: SHA256(password) XOR SHA256(SHA256(SHA256(password)) + salt)."""
    if not password:
        return b""
    first = hashlib.sha256(password).digest()
    second = hashlib.sha256(hashlib.sha256(first).digest() + _salt(salt)).digest()
    return _xor(first, second)


def ed25519(password: bytes, salt: bytes) -> bytes:
    """MariaDB's client_ed25519: a signature of the salt, by a key that the password is."""
    if len(salt) != _ED25519_SALT:
        raise ProtocolError("a salt of an odd length")
    digest = hashlib.sha512(password).digest()
    scalar = bytes([digest[0] & 248, *digest[1:31], digest[31] & 63 | 64])
    nonce = crypto_core_ed25519_scalar_reduce(hashlib.sha512(digest[32:] + salt).digest())
    point = crypto_scalarmult_ed25519_base_noclamp(nonce)
    public = crypto_scalarmult_ed25519_base_noclamp(scalar)
    asked = hashlib.sha512(point + public + salt).digest()
    # The scalar is clamped, not reduced: it has to be for arithmetic modulo the group's order.
    reduced = crypto_core_ed25519_scalar_reduce(scalar + bytes(32))
    product = crypto_core_ed25519_scalar_mul(crypto_core_ed25519_scalar_reduce(asked), reduced)
    return point + crypto_core_ed25519_scalar_add(product, nonce)


def encrypted_password(password: bytes, salt: bytes, server_key: bytes) -> bytes:
    """caching_sha2_password in full without TLS, for a server's RSA key that was configured (PEM).

    Raises `ProtocolError` for what is no such key, or too short a one.
    """
    try:
        key = load_pem_public_key(server_key)
    except (ValueError, UnsupportedAlgorithm):
        raise ProtocolError("the server's key can't be read") from None
    if not isinstance(key, RSAPublicKey):
        raise ProtocolError("the server's key is not an RSA key")
    plain = password + b"\0"
    mask = (_salt(salt) * (len(plain) // _SALT + 1))[: len(plain)]
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    try:
        return key.encrypt(_xor(plain, mask), oaep)
    except ValueError:
        raise ProtocolError("the password is longer than the server's key takes") from None


def _salt(salt: bytes) -> bytes:
    """20 bytes, behind which a switch of methods has a NUL."""
    if len(salt) not in (_SALT, _SALT + 1):
        raise ProtocolError("a salt of an odd length")
    return salt[:_SALT]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes([a ^ b for a, b in zip(one, other, strict=True)])
