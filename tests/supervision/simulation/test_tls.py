"""TLS over a simulated stream: real cryptography, and one seed is one run all the same."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from supervision.testing.simulation import Host, Simulation, simulate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of the host `server`, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("server")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_works_and_is_repeatable(certificate: Path) -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate)
    client_side = ssl.create_default_context(cafile=str(certificate))

    async def echo(stream: trio.abc.Stream) -> None:
        tls = trio.SSLStream(stream, server_side, server_side=True)
        async for part in tls:
            await tls.send_all(part)
        await tls.aclose()

    async def serve(host: Host) -> None:
        await trio.serve_listeners(echo, [host.listen(443)])

    async def scenario(simulation: Simulation) -> None:
        simulation.host("server").boot(serve)
        await trio.sleep(1)
        stream = await simulation.network.connect("client", "server", 443)
        tls = trio.SSLStream(stream, client_side, server_hostname="server")
        for number in range(5):
            await tls.send_all(bytes([number]) * 1000)
            got = b""
            while len(got) < 1000:
                got += await tls.receive_some()
            assert got == bytes([number]) * 1000
        await tls.aclose()

    runs = [simulate(scenario, range(10)) for _ in range(3)]
    assert runs[0].hashes == runs[1].hashes == runs[2].hashes
