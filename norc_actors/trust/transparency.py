"""Whether a certificate stands in a log of Certificate Transparency: its timestamps, signed by logs that are known here
(RFC 6962; `require_ct_logs` of section 9).

Timestamps stand in the certificate itself, over the certificate before they were put in, or are shown beside it
(`ct_proofs`, each one `SignedCertificateTimestamp` in TLS's encoding), over the certificate as it is. Which logs are
known is configuration; a log's id is SHA-256 of its key. What cannot be read or verified is no proof.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.certificate_transparency import LogEntryType, SignedCertificateTimestamp

from norc_actors.limits import MAX_CT_PROOFS

LogKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Logs = Mapping[bytes, LogKey]
"""By log id; `known_logs` makes one."""

_BROKEN = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, IndexError)
_X509_ENTRY, _PRECERT_ENTRY = b"\x00\x00", b"\x00\x01"


def known_logs(keys: Iterable[LogKey]) -> dict[bytes, LogKey]:
    """The logs with these keys, by id."""
    return {
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest(): key for key in keys
    }


def is_logged(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    *,
    proofs: Iterable[bytes],
    logs: Logs,
    moment: datetime.datetime,
) -> bool:
    """Whether a known log has signed, before `moment`, that it has the certificate."""
    embedded = any(_embedded_holds(one, certificate, issuer, logs, moment) for one in _embedded(certificate))
    return embedded or any(_shown_holds(one, certificate, logs, moment) for one in list(proofs)[:MAX_CT_PROOFS])


def _embedded(certificate: x509.Certificate) -> list[SignedCertificateTimestamp]:
    kind = x509.PrecertificateSignedCertificateTimestamps
    try:
        return list(certificate.extensions.get_extension_for_class(kind).value)[:MAX_CT_PROOFS]
    except (*_BROKEN, x509.ExtensionNotFound):
        return []


def _embedded_holds(
    stamp: SignedCertificateTimestamp,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    logs: Logs,
    moment: datetime.datetime,
) -> bool:
    try:
        if stamp.entry_type is not LogEntryType.PRE_CERTIFICATE:
            return False
        issuer_key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        tbs = certificate.tbs_precertificate_bytes
        entry = _PRECERT_ENTRY + hashlib.sha256(issuer_key).digest() + _sized(tbs, 3)
        stamped = round(stamp.timestamp.replace(tzinfo=datetime.UTC).timestamp() * 1000)
        return _holds(logs.get(stamp.log_id), stamped, entry, stamp.extension_bytes, stamp.signature, moment)
    except _BROKEN:
        return False


def _shown_holds(proof: bytes, certificate: x509.Certificate, logs: Logs, moment: datetime.datetime) -> bool:
    """version 0, log id, milliseconds, extensions, then hash (SHA-256) and signature algorithm, signature."""
    extensions_end = 43 + int.from_bytes(proof[41:43], "big")
    if len(proof) < 43 or proof[0] != 0 or proof[extensions_end : extensions_end + 1] != b"\x04":
        return False
    signature = proof[extensions_end + 4 :]
    if len(signature) != int.from_bytes(proof[extensions_end + 2 : extensions_end + 4], "big"):
        return False
    entry = _X509_ENTRY + _sized(certificate.public_bytes(Encoding.DER), 3)
    stamped = int.from_bytes(proof[33:41], "big")
    try:
        return _holds(logs.get(proof[1:33]), stamped, entry, proof[43:extensions_end], signature, moment)
    except _BROKEN:
        return False


def _holds(
    key: LogKey | None, stamped: int, entry: bytes, extensions: bytes, signature: bytes, moment: datetime.datetime
) -> bool:
    if key is None or stamped > moment.timestamp() * 1000:
        return False
    signed = b"\x00\x00" + stamped.to_bytes(8, "big") + entry + _sized(extensions, 2)
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(SHA256()))
    else:
        key.verify(signature, signed, padding.PKCS1v15(), SHA256())
    return True


def _sized(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data
