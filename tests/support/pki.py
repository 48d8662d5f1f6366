"""Certificates of every kind: CAs, chains, leaves right and wrong in one point, and their lists of revoked ones."""

import datetime
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

DAY = datetime.timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def new_key(kind: str = "ec") -> Key:
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def _hash_for(key: Key) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def usage(**on: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


LEAF_USAGE = usage(digital_signature=True)
CA_USAGE = usage(digital_signature=True, key_cert_sign=True, crl_sign=True)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the CA certificates above it but the root."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """Leaf first, without the root."""
        return (self.der, *(one.public_bytes(Encoding.DER) for one in self.above))

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """(certificate chain, key) as PEM files."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.above)))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        return certificate, key


@dataclass
class Authority:
    """A CA; `parent` None is a root."""

    name: str = "Test Root"
    parent: "Authority | None" = None
    path_length: int | None = None
    ca_usage: x509.KeyUsage | None = CA_USAGE
    policies: Sequence[str] = ()
    key_kind: str = "ec"
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()
    since: datetime.datetime = field(default_factory=lambda: now() - DAY)
    until: datetime.datetime = field(default_factory=lambda: now() + 3650 * DAY)
    is_ca: bool = True

    @cached_property
    def key(self) -> Key:
        return new_key(self.key_kind)

    @cached_property
    def certificate(self) -> x509.Certificate:
        issuer = self.parent or self
        builder = (
            _builder(self.name, issuer.name, self.key, issuer.key, self.since, self.until)
            .add_extension(x509.BasicConstraints(self.is_ca, self.path_length if self.is_ca else None), critical=True)
        )  # fmt: skip
        if self.ca_usage is not None:
            builder = builder.add_extension(self.ca_usage, critical=True)
        return _sign(builder, self.policies, self.extensions, issuer.key)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def above(self) -> tuple[x509.Certificate, ...]:
        """This one's certificate and those above it, but the root."""
        return () if self.parent is None else (self.certificate, *self.parent.above)

    def under(self, name: str, **changed: object) -> "Authority":
        """An intermediate CA."""
        return Authority(name, self, **changed)  # type: ignore[arg-type]

    def issue(
        self,
        *names: str,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        key_usage: x509.KeyUsage | None = LEAF_USAGE,
        uses: Iterable[x509.ObjectIdentifier] = BOTH,
        policies: Sequence[str] = (),
        key_kind: str = "ec",
        key: Key | None = None,
        serial: int | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        addresses: Sequence[str] = (),
    ) -> Issued:
        """A leaf for `names`, for both ends of TLS; valid from yesterday for 60 days unless said otherwise."""
        key = key or new_key(key_kind)
        since, until = since or now() - DAY, until or now() + 60 * DAY
        builder = _builder(names[0] if names else "nobody", self.name, key, self.key, since, until, serial)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        if names or addresses:
            san = [
                *(x509.DNSName(name) for name in names),
                *(x509.IPAddress(ipaddress.ip_address(text)) for text in addresses),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
        if key_usage is not None:
            builder = builder.add_extension(key_usage, critical=True)
        if uses := list(uses):
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return Issued(_sign(builder, policies, extensions, self.key), key, self.above)

    def write(self, folder: Path, name: str = "ca") -> Path:
        """The certificate as a PEM file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.pem"
        path.write_text(self.pem)
        return path


def _builder(
    subject: str,
    issuer: str,
    key: Key,
    signer: Key,
    since: datetime.datetime,
    until: datetime.datetime,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _sign(
    builder: x509.CertificateBuilder,
    policies: Sequence[str],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    signer: Key,
) -> x509.Certificate:
    if policies:
        listed = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in policies]
        builder = builder.add_extension(x509.CertificatePolicies(listed), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, _hash_for(signer))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


# --- What is said of certificates afterwards ---


def revocations(
    authority: Authority,
    *revoked: Issued | Authority,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    signer: Key | None = None,
    reason: x509.ReasonFlags | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.CertificateRevocationList:
    """The authority's CRL, fresh for a day unless said otherwise."""
    since = since or now() - DAY / 2
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(since)
        .next_update(until or since + DAY)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(since)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    key = signer or authority.key
    return builder.sign(key, _hash_for(key))


def ocsp_response(
    issued: Issued | Authority,
    issuer: Authority,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    responder: Issued | None = None,
    signer: Key | None = None,
    by_key: bool = False,
) -> bytes:
    """What the issuer, or a responder, says of a certificate; fresh for a day unless said otherwise."""
    since = since or now() - DAY / 2
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    who = issuer.certificate if responder is None else responder.certificate
    key = signer or (issuer.key if responder is None else responder.key)
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=issued.certificate,
            issuer=issuer.certificate,
            algorithm=hashes.SHA1(),  # of names and keys; what every responder does
            cert_status=status,
            this_update=since,
            next_update=until or since + DAY,
            revocation_time=since if revoked else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH if by_key else ocsp.OCSPResponderEncoding.NAME, who)
    )
    if responder is not None:
        builder = builder.certificates([responder.certificate])
    return builder.sign(key, _hash_for(key)).public_bytes(Encoding.DER)


class Log:
    """A log of Certificate Transparency."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def id(self) -> bytes:
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(public).digest()

    def stamp(self, entry: bytes, when: datetime.datetime | None = None) -> bytes:
        """A SignedCertificateTimestamp over an entry with its type."""
        stamped = int((when or now() - DAY / 4).timestamp() * 1000).to_bytes(8, "big")
        signature = self.key.sign(b"\x00\x00" + stamped + entry + b"\x00\x00", ec.ECDSA(hashes.SHA256()))
        return b"\x00" + self.id + stamped + b"\x00\x00" + b"\x04\x03" + len(signature).to_bytes(2, "big") + signature

    def proof(self, certificate: x509.Certificate, when: datetime.datetime | None = None) -> bytes:
        """For a certificate as it is."""
        der = certificate.public_bytes(Encoding.DER)
        return self.stamp(b"\x00\x00" + len(der).to_bytes(3, "big") + der, when)

    def issue(self, authority: Authority, name: str) -> Issued:
        """A certificate with this log's timestamp in it: signed twice, without and with it."""
        fixed: dict = {"key": new_key(), "since": now() - DAY, "until": now() + 60 * DAY, "serial": 4711}
        without = authority.issue(name, **fixed)
        public = authority.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        tbs = without.certificate.tbs_certificate_bytes
        entry = b"\x00\x01" + hashlib.sha256(public).digest() + len(tbs).to_bytes(3, "big") + tbs
        stamp = self.stamp(entry)
        listed = (len(stamp) + 2).to_bytes(2, "big") + len(stamp).to_bytes(2, "big") + stamp
        value = b"\x04" + (b"\x81" if len(listed) > 127 else b"") + bytes([len(listed)]) + listed
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
        return authority.issue(name, **fixed, extensions=[(x509.UnrecognizedExtension(oid, value), False)])
