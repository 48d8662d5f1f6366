"""What the tools of others make of the wire: curl completes a request and gets an answer; tshark decodes a capture as
HTTP/2 over TLS 1.3. Where a tool is not installed its test is skipped, and `.ci/run` installs both.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from norc_actors.net.errors import NoProtocolError
from norc_actors.net.http2 import open_http2
from tests.support.capture import recording
from tests.support.http2 import ALPN, BOB, Listening, Organisations, listening
from tests.support.loopback import until
from tests.support.pki import Authority


def need(tool: str, feature: str = "") -> str:
    """The tool's path, or the test is skipped."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    if feature:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        if feature not in said:
            pytest.skip(f"this {tool} has no {feature}")
    return path


@pytest.fixture
def organisations(tmp_path: Path) -> Organisations:
    return Organisations(tmp_path / "organisations")


async def curl(organisations: Organisations, bob: Listening, *more: str, path: str = "/norc-f") -> tuple[int, str]:
    """(exit code, output with the answer's head) of curl with Alice's certificate."""
    certificate, key = organisations.alice.write(organisations.folder, "alice")
    ca = organisations.folder / "trusted.pem"
    ca.write_text(organisations.trusted)
    command = [need("curl", "HTTP2"), "--silent", "--show-error", "--include", "--max-time", "20"]
    command += ["--cacert", str(ca), "--cert", str(certificate), "--key", str(key)]
    command += ["--connect-to", f"{BOB}:8843:127.0.0.1:{bob.port}", f"https://{BOB}:8843{path}", *more]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_curl_gets_an_answer(organisations: Organisations, method: str) -> None:
    async with listening(organisations) as bob:
        more = ["--http2", *(["--data", "x" * 1000] if method == "POST" else [])]
        code, output = await curl(organisations, bob, *more)
    assert code == 0, output
    head, _, body = output.partition("\n\n")
    assert head.splitlines()[0].split() == ["HTTP/2", "421"]
    assert "content-type: text/plain" in head
    assert body == "This is a NORC-F server: ALPN norc-f/2.0 is needed.\n"
    assert not bob.refused


async def test_curl_sees_the_alert(organisations: Organisations) -> None:
    """Without a common protocol TLS itself ends it, in the words of OpenSSL."""
    async with listening(organisations) as bob:
        code, output = await curl(organisations, bob, "--http1.1")
        await until(lambda: bob.refused)
    assert code == 35
    assert "no application protocol" in output
    assert isinstance(bob.refused[0], NoProtocolError)


async def test_curl_with_a_certificate_of_nobody(organisations: Organisations) -> None:
    async with listening(organisations) as bob:
        organisations.alice = Authority("Nobody's CA").issue("alice.example.org")
        code, output = await curl(organisations, bob, "--http2")
        await until(lambda: bob.refused)
    assert code != 0
    assert "alert" not in output.lower()


async def test_tshark_reads_http2_over_tls_1_3(organisations: Organisations, tmp_path: Path) -> None:
    tshark = need("tshark")
    keys, capture = tmp_path / "keys", tmp_path / "link.pcap"
    async with listening(organisations) as bob, recording(bob.port) as recorded:
        context = organisations.client
        context.keylog_filename = str(keys)
        opened = open_http2("127.0.0.1", recorded.port, context=context, server_name=BOB, alpn=ALPN, max_body=2**20)
        async with opened as client:
            for _ in range(3):
                assert await client.post(b"norc" * 5000) == b"norc" * 5000
        recorded.write(capture)

    names = {
        "shakes": "tls.handshake.type",
        "alpn": "tls.handshake.extensions_alpn_str",
        "version": "tls.handshake.extensions.supported_version",
        "types": "http2.type",
        "method": "http2.headers.method",
        "path": "http2.headers.path",
        "content": "http2.headers.content_type",
        "status": "http2.headers.status",
        "data": "http2.data.data",
        "goaway": "http2.goaway.error",
        "malformed": "_ws.malformed",
    }
    wanted = [word for name in names.values() for word in ("-e", name)]
    command = [tshark, "-n", "-r", str(capture), "-o", f"tls.keylog_file:{keys}", "-T", "fields", *wanted]
    with trio.fail_after(60):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    packets = [dict(zip(names, line.split("\t"), strict=True)) for line in done.stdout.decode().splitlines()]

    def seen(name: str) -> list[str]:
        return [packet[name] for packet in packets if packet[name]]

    [hello] = [packet for packet in packets if packet["shakes"].startswith("1") and packet["alpn"].count(",")]
    assert hello["alpn"].split(",") == list(ALPN)
    [chosen] = [packet for packet in packets if packet["shakes"].startswith("2,")]
    assert (chosen["version"], chosen["alpn"]) == ("0x0304", "norc-f/2.0")  # TLS 1.3
    assert (seen("method"), seen("path")) == (["POST"] * 3, ["/norc-f"] * 3)
    assert seen("content") == ["application/norc-f"] * 6
    assert seen("status") == ["200"] * 3
    pieces = [bytes.fromhex(part) for part in ",".join(seen("data")).split(",")]  # frames, and what they make together
    assert not b"".join(pieces).replace(b"norc", b"")
    assert sum(map(len, pieces)) >= 6 * 20_000
    assert seen("goaway") == ["0"]
    assert not seen("malformed")
