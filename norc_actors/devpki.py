"""Keys and certificates for `--dev` and for tests: a private CA, a server certificate, the server's keys, a
configuration.

Rules
- Everything lies in one folder. A second call makes only what is missing, or what does not fit any more: a server
  certificate that ends within 30 days or lacks the name or a use, and what hangs on it. Identity and audit key are
  never replaced.
- Secret files are made with mode 0600 and are refused when others may read them.
- Not for production certificates: the CA's key lies beside the server's. The two loaders are for every node.
"""

import datetime
import ipaddress
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from norc_actors.ids import Clock, Random, ServerId

CONFIG_NAME = "norc.toml"

_USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # towards other servers it is both
_DAY = datetime.timedelta(days=1)
_RENEW = 30 * _DAY
_SECRET = 0o600

Now = datetime.datetime


class KeyFileError(Exception):
    """A key file cannot be made or used; the text says which and what to do."""


class DevFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything lies. `ca` is what a client trusts."""

    config: Path
    ca: Path
    ca_key: Path
    certificate: Path
    key: Path
    identity_key: Path
    audit_key: Path
    data: Path


def make_dev(
    folder: Path, server_id: ServerId, *, random: Random, clock: Clock, listen: str = "127.0.0.1:8443", extra: str = ""
) -> DevFiles:
    """Make in `folder` whatever is missing and return where it lies.

    `extra` (TOML) is appended to a newly written configuration; one that is there is left as it is. Raises
    `KeyFileError`.
    """
    files = _files(folder)
    now = datetime.datetime.fromtimestamp(clock(), datetime.UTC)
    try:
        files.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(files.identity_key, lambda: _private_pem(ed25519.Ed25519PrivateKey.from_private_bytes(random(32))))
        _make(files.audit_key, lambda: random(32).hex().encode() + b"\n")
        if not (files.ca.exists() and files.ca_key.exists()):
            _make_ca(files, server_id, now)
        if not _certificate_fits(files, server_id, now):
            _make_certificate(files, server_id, now)
        _make(files.config, lambda: _config_text(files, folder, server_id, listen, extra).encode())
    except OSError as error:
        raise KeyFileError(f"{error.filename or folder}: cannot be written: {error.strerror}") from error
    return files


def load_identity_key(path: Path) -> bytes:
    """The 32-byte Ed25519 seed of the server's identity key (PKCS #8 PEM). Raises `KeyFileError`."""
    try:
        key = load_pem_private_key(_read_secret(path), None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: no unencrypted PEM key: restore it from a backup") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeyFileError(f"{path}: holds no Ed25519 key")
    return key.private_bytes_raw()


def load_audit_key(path: Path) -> bytes:
    """The 32 bytes of k_year (section 10), kept as hex. Raises `KeyFileError`."""
    text = _read_secret(path).strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise KeyFileError(f"{path}: not a key in hex: restore it from a backup") from error
    if len(key) != 32:
        raise KeyFileError(f"{path}: a key has 32 bytes, not {len(key)}: restore it from a backup")
    return key


def _files(folder: Path) -> DevFiles:
    return DevFiles(
        config=folder / CONFIG_NAME,
        ca=folder / "ca.pem",
        ca_key=folder / "ca.key",
        certificate=folder / "server.pem",
        key=folder / "server.key",
        identity_key=folder / "identity.pem",
        audit_key=folder / "audit.key",
        data=folder / "data",
    )


def _config_text(files: DevFiles, folder: Path, server_id: ServerId, listen: str, extra: str) -> str:
    lines = [
        f'server_id = "{server_id}"',
        f'listen = "{listen}"',
        f'data = "{files.data.relative_to(folder)}"',
        'control = "control.sock"',
        f'identity_key = "{files.identity_key.name}"',
        f'audit_key = "{files.audit_key.name}"',
        "",
        "[tls]",
        f'certificate = "{files.certificate.name}"',
        f'key = "{files.key.name}"',
    ]
    return "\n".join([*lines, *(["", extra.strip()] if extra else []), ""])


def _make(path: Path, content: Callable[[], bytes]) -> None:
    if not path.exists():
        _write_secret(path, content())


def _write_secret(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others in between."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _SECRET)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read_secret(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(f"{path}: no such key file: `norc init` makes one") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise KeyFileError(f"{path}: others may read this key: chmod 600 {path}")
    return content


def _private_pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_ca(files: DevFiles, server_id: ServerId, now: Now) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Development CA of {server_id}")  # another organisation's has another name
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 3650 * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.certificate.unlink(missing_ok=True)
    _write_secret(files.ca_key, _private_pem(key))
    files.ca.write_bytes(certificate.public_bytes(Encoding.PEM))


def _make_certificate(files: DevFiles, server_id: ServerId, now: Now) -> None:
    try:
        ca_key = load_pem_private_key(files.ca_key.read_bytes(), None)
        ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    except ValueError as error:
        raise KeyFileError(f"{files.ca}: damaged: remove ca.pem and ca.key, and new ones are made") from error
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in dict.fromkeys((server_id, "localhost"))]
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(server_id))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 397 * _DAY)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USES), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_secret(files.key, _private_pem(key))
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM))


def _certificate_fits(files: DevFiles, server_id: ServerId, now: Now) -> bool:
    if not (files.certificate.exists() and files.key.exists()):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    fits = server_id in names.get_values_for_type(x509.DNSName) and set(_USES) <= set(uses)
    return fits and certificate.not_valid_after_utc - now > _RENEW
