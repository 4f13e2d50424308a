"""A certificate authority of a test's own, and one server's certificate for 127.0.0.1."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SIGNS: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: who is trusted, and what the server shows."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Self:
        authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        made = cls(*(directory / f"{name}.pem" for name in ("authority", "certificate", "key")))
        root = (
            _draft("test authority", key=authority, authority=authority)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(SIGNS, critical=True)
        )
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        leaf = _draft("test server", key=server, authority=authority).add_extension(
            x509.SubjectAlternativeName([loopback]), critical=False
        )
        _write(made.authority, root.sign(authority, SHA256()))
        _write(made.certificate, leaf.sign(authority, SHA256()))
        made.key.write_bytes(
            server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return made

    @property
    def document(self) -> dict[str, str]:
        """The `tls` of a configuration."""
        return {"certificate": f"file:{self.certificate}", "key": f"file:{self.key}"}

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)


def _draft(
    subject: str, *, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """With what strict verification wants to see (OpenSSL's X509_V_FLAG_X509_STRICT)."""
    now = datetime.now(UTC)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    return (
        x509.CertificateBuilder(_name("test authority"), _name(subject), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(own, critical=False)
        .add_extension(issuer, critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
