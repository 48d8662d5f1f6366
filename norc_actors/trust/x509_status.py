"""Whether a certificate has been revoked, by CRLs and OCSP responses gathered before (RFC 5280 6.3, RFC 6960).

Rules
- Both are evidence only if its issuer signed them (a responder may have been certified by the issuer for it), and if
  they are fresh: begun, and not past their `nextUpdate`; without one, no older than `STATUS_SECONDS`.
- One that says "revoked" and is evidence counts, whatever others say; a hold counts as revoked.
- "Good" is said by a CRL for all certificates of the issuer (no delta, not indirect, not for some reasons only, and for
  this kind of certificate), or by OCSP. No evidence is `UNKNOWN`, and the caller decides whether that will do.
- What cannot be read or verified is no evidence, never an exception.
"""

import datetime
from collections.abc import Iterable, Sequence
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from norc_actors.limits import MAX_CERTIFICATE_BYTES, STATUS_SECONDS, STATUS_SKEW_SECONDS

_BROKEN = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)
_SKEW = datetime.timedelta(seconds=STATUS_SKEW_SECONDS)
_AGE = datetime.timedelta(seconds=STATUS_SECONDS)


class Status(Enum):
    """What is known of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


def read_crl(data: bytes) -> x509.CertificateRevocationList:
    """A CRL in DER or PEM. Raises `ValueError`."""
    load = x509.load_pem_x509_crl if data.lstrip().startswith(b"-----") else x509.load_der_x509_crl
    return load(data)


def status_of(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    *,
    crls: Iterable[x509.CertificateRevocationList],
    ocsp_responses: Iterable[bytes],
    moment: datetime.datetime,
) -> Status:
    """What the evidence says of `certificate`, which `issuer` has issued; `moment` is now, with its time zone."""
    found = {_by_crl(certificate, issuer, crl, moment) for crl in crls}
    found |= {_by_ocsp(certificate, issuer, response, moment) for response in ocsp_responses}
    if Status.REVOKED in found:
        return Status.REVOKED
    return Status.GOOD if Status.GOOD in found else Status.UNKNOWN


def _fresh(begun: datetime.datetime, ends: datetime.datetime | None, moment: datetime.datetime) -> bool:
    return begun - _SKEW <= moment <= (begun + _AGE if ends is None else ends)


# --- CRLs ---


def _by_crl(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    crl: x509.CertificateRevocationList,
    moment: datetime.datetime,
) -> Status:
    try:
        if crl.issuer != certificate.issuer or not _may_sign_crls(issuer):
            return Status.UNKNOWN
        if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # raises for other kinds
            return Status.UNKNOWN
        whole = _covers(crl, certificate)
        if whole is None or not _fresh(crl.last_update_utc, crl.next_update_utc, moment):
            return Status.UNKNOWN
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None and not _is_removed(entry):
            return Status.REVOKED
    except _BROKEN:
        return Status.UNKNOWN
    return Status.GOOD if whole else Status.UNKNOWN


def _may_sign_crls(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _covers(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool | None:
    """Whether this CRL speaks for all reasons of such a certificate; `None`: it does not speak of it at all."""
    scope: x509.IssuingDistributionPoint | None = None
    for extension in crl.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            scope = extension.value
        elif extension.critical:
            return None  # a delta, or something unknown
    if scope is None:
        return True
    is_ca = _is_ca(certificate)
    if scope.indirect_crl or scope.only_contains_attribute_certs:
        return None
    if (scope.only_contains_user_certs and is_ca) or (scope.only_contains_ca_certs and not is_ca):
        return None
    if scope.full_name is not None and not _is_distributed_there(certificate, scope.full_name):
        return None
    return scope.only_some_reasons is None and scope.relative_name is None


def _is_distributed_there(certificate: x509.Certificate, names: Sequence[x509.GeneralName]) -> bool:
    """Whether the certificate says that it is looked for in the CRL at one of these places."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return False
    return any(name in names for point in points for name in point.full_name or ())


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_removed(entry: x509.RevokedCertificate) -> bool:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    return reason is x509.ReasonFlags.remove_from_crl


# --- OCSP ---


def _by_ocsp(certificate: x509.Certificate, issuer: x509.Certificate, data: bytes, moment: datetime.datetime) -> Status:
    if len(data) > MAX_CERTIFICATE_BYTES:
        return Status.UNKNOWN
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return Status.UNKNOWN
        if not _signed_for(response, issuer, moment):
            return Status.UNKNOWN
        found = {
            single.certificate_status
            for single in response.responses
            if _is_about(single, certificate, issuer) and _fresh(single.this_update_utc, single.next_update_utc, moment)
        }
    except _BROKEN:
        return Status.UNKNOWN
    if ocsp.OCSPCertStatus.REVOKED in found:
        return Status.REVOKED
    return Status.GOOD if found == {ocsp.OCSPCertStatus.GOOD} else Status.UNKNOWN


def _is_about(single: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, single.hash_algorithm).build()
    return (single.serial_number, single.issuer_name_hash, single.issuer_key_hash) == (
        asked.serial_number,
        asked.issuer_name_hash,
        asked.issuer_key_hash,
    )


def _signed_for(response: ocsp.OCSPResponse, issuer: x509.Certificate, moment: datetime.datetime) -> bool:
    """By the issuer itself, or by a responder that it has certified for this, and that is valid now."""
    responders = [issuer, *(one for one in response.certificates if _is_responder(one, issuer, moment))]
    return any(_is_named(response, one) and _verifies(response, one) for one in responders)


def _is_responder(certificate: x509.Certificate, issuer: x509.Certificate, moment: datetime.datetime) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (*_BROKEN, x509.ExtensionNotFound):
        return False
    valid = certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc
    return valid and ExtendedKeyUsageOID.OCSP_SIGNING in uses


def _is_named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


def _verifies(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    try:
        verify(certificate, response.signature, response.tbs_response_bytes, response.signature_hash_algorithm)
    except _BROKEN:
        return False
    return True


def verify(certificate: x509.Certificate, signature: bytes, data: bytes, algorithm: HashAlgorithm | None) -> None:
    """Raises `InvalidSignature`, or `TypeError` for a key of another kind than RSA, EC and Ed25519."""
    match certificate.public_key(), algorithm:
        case ed25519.Ed25519PublicKey() as key, _:
            key.verify(signature, data)
        case ec.EllipticCurvePublicKey() as key, HashAlgorithm() as known:
            key.verify(signature, data, ec.ECDSA(known))
        case rsa.RSAPublicKey() as key, HashAlgorithm() as known:
            key.verify(signature, data, padding.PKCS1v15(), known)
        case _:
            raise TypeError("no key that signs here")
