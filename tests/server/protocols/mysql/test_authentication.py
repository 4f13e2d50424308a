"""Proofs of passwords, checked as a server checks them: with what it has stored."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.errors import ProtocolError
from server.protocols.mysql import authentication as methods

SALT: Final = bytes(range(1, 21))


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(one, other, strict=True))


def test_a_native_password_opens_what_the_server_has_stored() -> None:
    # Source: MySQL's documentation, PASSWORD('mypass').
    stored = bytes.fromhex("6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4")
    answer = methods.native_password(b"mypass", SALT + b"\0")
    assert hashlib.sha1(xor(answer, hashlib.sha1(SALT + stored).digest())).digest() == stored
    assert methods.native_password(b"", SALT) == b""


def test_a_caching_sha2_password_opens_what_the_server_has_stored() -> None:
    stored = hashlib.sha256(hashlib.sha256(b"mypass").digest()).digest()
    answer = methods.caching_sha2(b"mypass", SALT)
    assert hashlib.sha256(xor(answer, hashlib.sha256(stored + SALT).digest())).digest() == stored
    assert methods.caching_sha2(b"", SALT) == b""


def test_an_ed25519_signature_is_one_by_the_key_that_the_password_is() -> None:
    # Source: MariaDB's documentation, ED25519_PASSWORD('secret').
    stored = base64.b64decode("ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY=")
    for number in range(20):
        salt = hashlib.sha256(bytes([number])).digest()
        signature = methods.ed25519(b"secret", salt)
        Ed25519PublicKey.from_public_bytes(stored).verify(signature, salt)


def test_a_password_is_encrypted_for_the_servers_key_alone() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    for password in (b"", b"x", b"correct horse battery staple"):
        sent = key.decrypt(methods.encrypted_password(password, SALT + b"\0", pem), oaep)
        assert xor(sent, (SALT * 3)[: len(sent)]) == password + b"\0"
    with pytest.raises(ProtocolError):
        methods.encrypted_password(b"x" * 300, SALT, pem)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"])
def test_what_is_no_key_is_a_protocol_error(pem: bytes) -> None:
    with pytest.raises(ProtocolError):
        methods.encrypted_password(b"x", SALT, pem)


@pytest.mark.parametrize("size", [0, 8, 19, 22, 32])
def test_a_salt_of_an_odd_length_is_a_protocol_error(size: int) -> None:
    with pytest.raises(ProtocolError):
        methods.native_password(b"x", bytes(size))
    with pytest.raises(ProtocolError):
        methods.caching_sha2(b"x", bytes(size))
    with pytest.raises(ProtocolError):
        methods.ed25519(b"x", bytes(size) if size != 32 else bytes(33))
