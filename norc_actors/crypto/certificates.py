"""Reading X.509 certificates strictly: what the library only warns about is an error here."""

import warnings

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

_UNREADABLE = (
    TypeError,
    UnsupportedAlgorithm,
    Warning,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate with all of its parts readable. Raises `ValueError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a serial number below 1, a country of ten letters, and the like
            read = x509.load_der_x509_certificate(der)
            _ = (read.extensions, read.issuer, read.subject, read.not_valid_before_utc, read.not_valid_after_utc)
            _ = (read.signature_hash_algorithm, read.serial_number, read.public_key())
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error
    if not der.endswith(b"\x00" + read.signature):
        raise ValueError("its signature is not one of whole bytes")  # the same certificate under another fingerprint
    return read
