"""Certificates are read strictly."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from norc_actors.crypto.certificates import load_certificate
from tests.support.pki import Authority


def test_a_certificate() -> None:
    issued = Authority().issue("bob.example.org")
    assert load_certificate(issued.der) == issued.certificate


@pytest.mark.parametrize("data", [b"", b"none", b"\x30\x00", Authority().der[:-1], Authority().der + b"x"])
def test_no_certificate(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_certificate(data)


def test_what_the_library_warns_about_is_an_error() -> None:
    """A country of ten letters, and a serial number below 1."""
    der = Authority("Z" * 10).der
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, "Z" * 10)
    assert load_certificate(der).subject == x509.Name([attribute])
    common, country = b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x04\x06"
    with pytest.raises(ValueError, match="length must be"):
        load_certificate(der.replace(common, country))
    serial = der.index(b"\x02\x14") + 2
    with pytest.raises(ValueError, match=r"(?i)serial"):
        load_certificate(der[:serial] + b"\xff" + der[serial + 1 :])


def test_one_certificate_has_one_fingerprint() -> None:
    """A signature whose last bits are 0 could be written as one bit shorter, which nobody would notice."""
    issued = next(one for one in iter(Authority().issue, None) if not one.certificate.signature[-1] & 1)
    at = len(issued.der) - len(issued.certificate.signature) - 1
    altered = issued.der[:at] + b"\x01" + issued.der[at + 1 :]
    assert x509.load_der_x509_certificate(altered).signature == issued.certificate.signature
    with pytest.raises(ValueError, match="whole bytes"):
        load_certificate(altered)
