"""Development keys: made once, private, and such that TLS accepts them."""

import os
import random
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509

from norc_actors.config import load
from norc_actors.devpki import DevFiles, KeyFileError, load_audit_key, load_identity_key, make_dev
from norc_actors.ids import ServerId

NAME = ServerId("chat.example.org")
DAY = 86400


def make(folder: Path, *, now: float | None = None, name: ServerId = NAME, **more: str) -> DevFiles:
    return make_dev(folder, name, random=os.urandom, clock=lambda: now or time.time(), **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_everything_is_there_and_loads(tmp_path: Path) -> None:
    files = make(tmp_path / "node", listen="127.0.0.1:9000", extra="[limits]\nmessages_burst = 7\n")
    config = load(files.config, {})
    assert (config.server_id, config.listen, config.limits.messages_burst) == (NAME, "127.0.0.1:9000", 7)
    assert (config.identity_key, config.audit_key, config.data) == (files.identity_key, files.audit_key, files.data)
    assert config.tls.key == files.key
    assert len(load_identity_key(files.identity_key)) == len(load_audit_key(files.audit_key)) == 32
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files.certificate, files.key)


def test_the_identity_key_comes_from_the_given_randomness(tmp_path: Path) -> None:
    files = make_dev(tmp_path, NAME, random=random.Random(1).randbytes, clock=time.time)
    assert load_identity_key(files.identity_key) == random.Random(1).randbytes(32)


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path)
    before = contents(tmp_path)
    make(tmp_path, listen="127.0.0.1:1")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["identity.pem", "audit.key", "ca.key", "server.key", "data", "ca.pem", "server.pem"])
def test_secrets_are_private(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    mode = (tmp_path / name).stat().st_mode & 0o777
    assert mode == {"data": 0o700, "ca.pem": 0o644, "server.pem": 0o644}.get(name, 0o600)


def test_the_certificate_names_the_server_and_this_machine(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(make(tmp_path).certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME, "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_it_stands_the_strict_check(tmp_path: Path) -> None:
    files = make(tmp_path)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(files.ca))
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    server.load_cert_chain(files.certificate, files.key)
    one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(one, two, server_hostname=NAME), server.wrap_bio(two, one, server_side=True)]
    for _ in range(3):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert sides[0].version() == "TLSv1.3"


@pytest.mark.parametrize("change", ["time", "name", "damage", "missing"])
def test_a_certificate_that_does_not_fit_is_made_anew(tmp_path: Path, change: str) -> None:
    now = time.time()
    files = make(tmp_path)
    before = contents(tmp_path)
    if change == "damage":
        files.certificate.write_text("damaged")
    if change == "missing":
        files.key.unlink()
    later = now + 370 * DAY if change == "time" else now
    make(tmp_path, now=later, name=ServerId("other.example.org") if change == "name" else NAME)
    after = contents(tmp_path)
    assert after["server.pem"] != before["server.pem"]
    assert {n: after[n] for n in ("ca.pem", "identity.pem", "audit.key", "norc.toml")} == {
        n: before[n] for n in ("ca.pem", "identity.pem", "audit.key", "norc.toml")
    }


def test_without_the_ca_both_are_made_anew(tmp_path: Path) -> None:
    files = make(tmp_path)
    before = contents(tmp_path)
    files.ca_key.unlink()
    make(tmp_path)
    after = contents(tmp_path)
    assert after["ca.pem"] != before["ca.pem"]
    assert after["server.pem"] != before["server.pem"]


def test_a_damaged_ca_is_said(tmp_path: Path) -> None:
    files = make(tmp_path)
    files.ca.write_text("damaged")
    files.certificate.unlink()
    with pytest.raises(KeyFileError, match=r"remove ca\.pem"):
        make(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="cannot be written"):
        make(tmp_path / "file" / "node")


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (None, 0o600, "no such key file"),
        (b"garbage", 0o600, "backup"),
        (b"", 0o600, "backup"),
        ("good", 0o640, "chmod 600"),
        ("good", 0o604, "chmod 600"),
        ("other", 0o600, None),
    ],
)
def test_key_files_that_cannot_be_used(
    tmp_path: Path, content: bytes | str | None, mode: int, expected: str | None
) -> None:
    files = make(tmp_path)
    for path, load_key, other in (
        (files.identity_key, load_identity_key, files.ca_key.read_bytes()),
        (files.audit_key, load_audit_key, b"00" * 31),
    ):
        if content is None:
            path.unlink()
        elif content != "good":
            path.write_bytes(other if content == "other" else content)
        if content is not None:
            path.chmod(mode)
        with pytest.raises(KeyFileError, match=expected or ("no Ed25519 key|32 bytes")):
            load_key(path)


def test_a_folder_in_place_of_a_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_audit_key(tmp_path)
