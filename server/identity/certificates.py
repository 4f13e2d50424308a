"""Client certificates that a TLS handshake has verified -> Principal.

Their authority vouches for both: the name is the certificate's subject alternative name (a URI,
or else an e-mail address, or else a host: the only one of its kind), the groups are the subject's
organisations, as Kubernetes reads them. Its lists of what it has revoked are read again when they
change.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from policies.errors import ConfigError, Denied, Refusal
from policies.model import Principal
from server.files import stamp

_log = logging.getLogger(__name__)

_MAX_TEXT: Final = 255
_KINDS: Final = (x509.UniformResourceIdentifier, x509.RFC822Name, x509.DNSName)
_LIST: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)

_Issuer = tuple[bytes, bytes]
"""A name, and which of its keys: an authority may change those."""
_Lists = Mapping[_Issuer, x509.CertificateRevocationList]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Who holds it, and until when, in seconds since 1970; `fingerprint` is SHA-256 in hex."""

    principal: Principal
    not_after: float
    issuer: _Issuer
    serial: int
    fingerprint: str


@dataclass(slots=True)
class ClientCertificates:
    """One a process: whose certificates count, and which of them no more.

    `name` begins the ids of their principals. `authority`: certificates in PEM, each trusted by
    itself. `revoked`: lists in PEM, one of each authority that issues to clients. Raises
    `ConfigError`.
    """

    name: str
    authority: Path
    revoked: Path | None = None
    clock: Callable[[], float] = time.time
    _lists: _Lists = field(default_factory=dict)
    _read: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.revoked is not None:
            self._read, self._lists = stamp(self.revoked), _lists(self.revoked, self.authority)

    def ask_for(self, context: ssl.SSLContext) -> None:
        """Have a server take such certificates of clients that show one. Raises `ConfigError`."""
        try:
            context.load_verify_locations(self.authority)
        except (OSError, ValueError) as error:
            raise _unreadable(self.authority, error) from None
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        # A handshake that resumes another one would not look at the certificate again.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET

    def identify(self, content: bytes) -> ClientCertificate:
        """Whose it is, of a certificate in DER that a handshake verified. Raises `Denied`."""
        known = _read_certificate(x509.load_der_x509_certificate(content), self.name)
        refusal = self.refusal(known)
        if refusal is not None:
            raise Denied(refusal)
        return known

    def refusal(self, known: ClientCertificate) -> Refusal | None:
        """Why one is not taken, or no more. Without a list that still counts, none is."""
        if self.clock() >= known.not_after:
            return CERTIFICATE_EXPIRED
        if self.revoked is None:
            return None
        self._look(self.revoked)
        said = self._lists.get(known.issuer)
        until = said.next_update_utc if said is not None else None
        if said is None or until is None or self.clock() >= until.timestamp():
            return REVOCATION_UNKNOWN
        listed = said.get_revoked_certificate_by_serial_number(known.serial)
        return None if listed is None else CERTIFICATE_REVOKED

    def _look(self, path: Path) -> None:
        """Lists that can't be read leave the old ones, for as long as those count."""
        now = stamp(path)
        if now == self._read:
            return
        self._read = now
        try:
            self._lists = _lists(path, self.authority)
        except ConfigError as error:
            _log.error("the old lists of revoked certificates are kept: %s", error)


def _read_certificate(certificate: x509.Certificate, authority: str) -> ClientCertificate:
    name, email = _names(certificate)
    organisations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    groups = frozenset(_clean(str(each.value)) for each in organisations)
    return ClientCertificate(
        Principal(f"{authority}:{name}", name, authority, groups, email),
        certificate.not_valid_after_utc.timestamp(),
        _issuer(certificate),
        certificate.serial_number,
        certificate.fingerprint(SHA256()).hex(),
    )


def _names(certificate: x509.Certificate) -> tuple[str, str | None]:
    """Who it is for: of the first kind that there is any of, the only one; and its e-mail address.

    The authority has vouched for that too: by it, approvals tell people apart.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise Denied(NO_NAME) from None
    found = [[str(each) for each in names.get_values_for_type(kind)] for kind in _KINDS]
    named = next(filter(None, found), [])
    if len(named) != 1:
        raise Denied(NO_NAME)
    emails = names.get_values_for_type(x509.RFC822Name)
    return _clean(named[0]), emails[0] if len(emails) == 1 else None


def _clean(text: str) -> str:
    if not 0 < len(text) <= _MAX_TEXT or not text.isprintable():
        raise Denied(NO_NAME)
    return text


def _issuer(signed: x509.Certificate | x509.CertificateRevocationList) -> _Issuer:
    try:
        key = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return signed.issuer.public_bytes(), b""
    return signed.issuer.public_bytes(), key.key_identifier or b""


def _lists(path: Path, authority: Path) -> _Lists:
    """Those in a file, each signed by one of the authorities. Raises `ConfigError`."""
    try:
        authorities = x509.load_pem_x509_certificates(authority.read_bytes())
        found = [x509.load_pem_x509_crl(each) for each in _LIST.findall(path.read_bytes())]
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    for each in found:
        if not any(_signed(each, one) for one in authorities):
            raise ConfigError(f"{path}: a list of revoked certificates is of no authority's")
        if any(extension.critical for extension in each.extensions):
            raise ConfigError(f"{path}: a list of revoked certificates is not a whole one")
    if not found:
        raise ConfigError(f"{path}: no list of revoked certificates in PEM (X509 CRL)")
    return {_issuer(each): each for each in found}


def _signed(said: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if said.issuer != authority.subject:
        return False
    try:
        return said.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _unreadable(path: Path, error: Exception) -> ConfigError:
    what = getattr(error, "strerror", None) or type(error).__name__
    return ConfigError(f"the file {path} for client certificates: {what}")


_RENEW: Final = "Get a new certificate, or connect without one and with a token."
CERTIFICATE_EXPIRED: Final = Refusal(
    code="CERTIFICATE_EXPIRED",
    reason="The client's certificate has expired.",
    next_step=_RENEW,
)
CERTIFICATE_REVOKED: Final = Refusal(
    code="CERTIFICATE_REVOKED",
    reason="The client's certificate was revoked.",
    next_step=_RENEW,
)
REVOCATION_UNKNOWN: Final = Refusal(
    code="REVOCATION_UNKNOWN",
    reason="The gateway has no current list of what the certificate's authority has revoked.",
    next_step="Tell its administrator, or connect without the certificate and with a token.",
)
NO_NAME: Final = Refusal(
    code="CERTIFICATE_NAMES_NOBODY",
    reason="The client's certificate does not say plainly who it is for.",
    next_step="Get one with a single URI, e-mail address or host as its subject alternative name.",
)
