"""A certificate authority of a test's own that issues to clients, and revokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.e2e.certificates import SIGNS

CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Shown:
    """A client's files in PEM."""

    certificate: Path
    key: Path

    @property
    def read(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


@dataclass(slots=True)
class Authority:
    """`file` has its certificate in PEM, `revoked` its list."""

    directory: Path
    name: str = "clients' authority"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    _count: int = 0

    @classmethod
    def make(cls, directory: Path) -> Self:
        made = cls(directory)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        drafted = made._draft(made.name, made.key, HOUR)
        signed = (
            drafted.add_extension(constraints, critical=True)
            .add_extension(SIGNS, critical=True)
            .sign(made.key, SHA256())
        )
        made.file.write_bytes(signed.public_bytes(Encoding.PEM))
        made.revoke()
        return made

    @property
    def file(self) -> Path:
        return self.directory / "clients.pem"

    @property
    def revoked(self) -> Path:
        return self.directory / "revoked.pem"

    def issue(
        self,
        *names: x509.GeneralName,
        organisations: Sequence[str] = (),
        usage: x509.ObjectIdentifier = CLIENT,
        lasts: timedelta = HOUR,
        after: timedelta = -HOUR,
    ) -> Shown:
        """A certificate for a client that is in these organisations."""
        self._count += 1
        files = (self.directory / f"client-{self._count}-{what}.pem" for what in ("public", "key"))
        made = Shown(*files)
        key = ec.generate_private_key(ec.SECP256R1())
        drafted = self._draft("a client", key, lasts, after, organisations)
        drafted = drafted.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            drafted = drafted.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = drafted.sign(self.key, SHA256())
        made.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        made.key.chmod(0o600)
        return made

    def revoke(
        self,
        *shown: Shown,
        lasts: timedelta = HOUR,
        key: ec.EllipticCurvePrivateKey | None = None,
        delta: bool = False,
    ) -> None:
        """Write the list anew, with these in it; `key` signs it in place of its own."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder(_name(self.name))
            .last_update(now - HOUR)
            .next_update(now + lasts)
            .add_extension(self._issued_by, critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        if delta:
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        for each in shown:
            entry = x509.RevokedCertificateBuilder(each.read.serial_number, now)
            builder = builder.add_revoked_certificate(entry.build())
        said = builder.sign(key or self.key, SHA256()).public_bytes(Encoding.PEM)
        written = self.revoked.with_suffix(".new")
        written.write_bytes(said)
        written.replace(self.revoked)

    @property
    def _issued_by(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())

    def _draft(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        lasts: timedelta,
        after: timedelta = -HOUR,
        organisations: Sequence[str] = (),
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return (
            x509.CertificateBuilder(_name(self.name), _name(subject, organisations))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + after)
            .not_valid_after(now + lasts)
            .add_extension(own, critical=False)
            .add_extension(self._issued_by, critical=False)
        )


def _name(common: str, organisations: Sequence[str] = ()) -> x509.Name:
    members = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organisations]
    return x509.Name([*members, x509.NameAttribute(NameOID.COMMON_NAME, common)])
