"""The certificate that a peer showed in TLS, as far as others need it."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from norc_actors.crypto.certificates import load_certificate
from norc_actors.net.errors import CertificateCause, CertificateError


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A leaf whose chain TLS has checked."""

    der: bytes
    fingerprint: bytes
    """SHA-256 of `der`, which the link's hello must repeat (section 8)."""
    names: frozenset[str]
    """DNS names of its subjectAltName, in lower case."""
    not_after: int
    """Seconds since the epoch."""

    def require_name(self, name: str) -> None:
        """Raises `CertificateError` (`WRONG_NAME`) unless `name` is one of the names, letter for letter: a wildcard
        is no server's identity."""
        if name not in self.names:
            known = ", ".join(sorted(self.names)) or "no name"
            raise CertificateError(name, CertificateCause.WRONG_NAME, f"it is for {known}")


def read_certificate(der: bytes, peer: str) -> PeerCertificate:
    """Raises `CertificateError` if `der`, which `peer` showed, cannot be read."""
    try:
        certificate = load_certificate(der)
        names = _dns_names(certificate)
        not_after = int(certificate.not_valid_after_utc.timestamp())
        fingerprint = certificate.fingerprint(SHA256())
    except ValueError as error:
        raise CertificateError(peer, CertificateCause.OTHER, f"it cannot be read: {error}") from error
    return PeerCertificate(der=der, fingerprint=fingerprint, names=names, not_after=not_after)


def _dns_names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))
