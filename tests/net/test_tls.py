"""Contexts and reloading."""

import os
import shutil
import ssl
import time
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from norc_actors.devpki import DevFiles, make_dev
from norc_actors.ids import ServerId
from norc_actors.net.errors import ClosedError, ConnectError, TLSConfigurationError
from norc_actors.net.tls import CertificateReloader, client_context, server_context
from norc_actors.net.websocket import WebSocket
from tests.support.loopback import SERVER, serving


async def wait_for_end(websocket: WebSocket) -> None:
    with pytest.raises(ClosedError):
        await websocket.receive()


async def test_only_tls_1_3_is_spoken(pki: DevFiles) -> None:
    old = client_context(pki.ca)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    async with serving(pki, wait_for_end) as loopback:
        with pytest.raises(ConnectError):
            async with loopback.connect(ssl_context=old):
                pass
        async with loopback.tls() as stream:
            await stream.do_handshake()
            assert stream.version() == "TLSv1.3"
            assert stream.session_reused is False


def test_no_tickets(pki: DevFiles) -> None:
    assert server_context(pki.certificate, pki.key).num_tickets == 0


def encrypted(folder: Path) -> Path:
    path = folder / "encrypted.key"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    return path


def test_what_is_wrong_with_the_files_is_named(pki: DevFiles, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(TLSConfigurationError, match=r"missing\.pem.*No such file"):
        server_context(missing, pki.key)
    with pytest.raises(TLSConfigurationError, match=r"missing\.pem"):
        server_context(pki.certificate, missing)
    with pytest.raises(TLSConfigurationError, match="not a PEM certificate chain"):
        server_context(pki.key, pki.key)
    with pytest.raises(TLSConfigurationError, match="MISMATCH"):
        server_context(pki.certificate, pki.ca_key)
    with pytest.raises(TLSConfigurationError, match="encrypted"):
        server_context(pki.certificate, encrypted(tmp_path))
    with pytest.raises(TLSConfigurationError, match="no CA certificates"):
        client_context(missing)


async def test_a_new_certificate_is_used_by_new_connections(pki: DevFiles, tmp_path: Path) -> None:
    files = make_dev(tmp_path, SERVER, random=os.urandom, clock=time.time)
    other = make_dev(tmp_path / "other", ServerId("new.example.org"), random=os.urandom, clock=time.time)
    reloader = CertificateReloader(files.certificate, files.key)
    assert not reloader.refresh()
    async with serving(files, wait_for_end, reloader.context) as loopback, loopback.connect():
        shutil.copy(other.certificate, files.certificate)
        with pytest.raises(TLSConfigurationError):  # half of the pair: the old one stays
            reloader.refresh()
        async with loopback.connect():
            pass
        shutil.copy(other.key, files.key)
        assert reloader.refresh()
        assert not reloader.refresh()
        with trio.fail_after(5):
            async with loopback.connect(server_name="new.example.org", ssl_context=client_context(other.ca)):
                pass
    files.key.unlink()
    with pytest.raises(TLSConfigurationError, match="cannot be read"):
        reloader.refresh()
