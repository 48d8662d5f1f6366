"""The configuration: whatever is wrong with it is said in words, with the place."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from norc_actors import limits
from norc_actors.config import Config, ConfigError, Logging, Rates, load, parse_address, print_defaults

NEEDED = """\
server_id = "chat.example.org"
data = "data"
identity_key = "identity.pem"
audit_key = "/keys/audit.key"
"""
TLS = """\
[tls]
certificate = "server.pem"
key = "server.key"
"""


def write(folder: Path, top: str = "", tables: str = "", needed: str = NEEDED, tls: str = TLS) -> Path:
    path = folder / "norc.toml"
    path.write_text(needed + top + tls + tables)
    return path


def error_of(path: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environment or {})
    return str(caught.value)


def test_what_is_needed_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert len(path.read_text().splitlines()) <= 15
    config = load(path, {})
    assert config.server_id == "chat.example.org"
    assert config.listen == "127.0.0.1:8443"
    assert config.data == tmp_path / "data"
    assert config.audit_key == Path("/keys/audit.key")
    assert config.tls.certificate == tmp_path / "server.pem"
    assert config.database == tmp_path / "data" / "norc.db"
    assert config.control_socket == tmp_path / "data" / "control.sock"
    assert config.limits.messages_per_minute == limits.MESSAGES_PER_MINUTE


def test_paths_are_relative_to_the_file_not_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc")
    monkeypatch.chdir(tmp_path)
    config = load(Path("etc/norc.toml"), {})
    assert config.data == tmp_path / "etc" / "data"


def test_limits_and_log_can_be_set(tmp_path: Path) -> None:
    tables = '[limits]\nmessages_burst = 9\n[log]\nlevel = "debug"\nformat = "console"\n'
    config = load(write(tmp_path, 'control = "c.sock"\nnode_id = "node-7"\n', tables), {})
    assert (config.limits.messages_burst, config.log.level, config.log.format) == (9, "debug", "console")
    assert (config.control_socket, config.node_id) == (tmp_path / "c.sock", "node-7")


@pytest.mark.parametrize(
    ("top", "tables", "expected"),
    [
        ('listne = ":1"\n', "", "line 5: listne: unknown key; did you mean listen?"),
        ("colour = 1\n", "", "line 5: colour: unknown key"),
        (
            "",
            "[limits]\nmessage_burst = 1\n",
            "line 9: limits.message_burst: unknown key; did you mean messages_burst?",
        ),
        ("", "[limit]\nmessages_burst = 1\n", "line 8: limit: unknown key; did you mean limits?"),
        ("", "certificat = 1\n", "line 8: tls.certificat: unknown key; did you mean certificate?"),
        ("listen = 8443\n", "", "line 5: listen: expected str, not 8443"),
        ('listen = "localhost"\n', "", "line 5: listen: 'localhost' is no address: write HOST:PORT"),
        ("control = true\n", "", "line 5: control: expected"),
        ('node_id = "Node 1"\n', "", "line 5: node_id: expected str matching regex"),
        ("", "[limits]\nmessages_burst = 0\n", "line 9: limits.messages_burst: expected int >= 1, not 0"),
        ("", "[limits]\nmessages_burst = 1.5\n", "line 9: limits.messages_burst: expected int, not 1.5"),
        ("", "[limits]\nmax_frame = 1000\n", "line 9: limits.max_frame: expected int >= 65536, not 1000"),
        ("", '[log]\nlevel = "loud"\n', "line 9: log.level: expected one of debug, info, warning, error, not 'loud'"),
        ("limits = 3\n", "", "line 5: limits: expected object, not 3"),
        ("limits.messages_burst = 0\n", "", "line 5: limits.messages_burst: expected int >= 1, not 0"),
        ("limits = {messages_burst = 0}\n", "", "norc.toml: limits.messages_burst: expected int >= 1, not 0"),
        ("x = = 1\n", "", "this is not TOML: Invalid value (at line 5"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, top: str, tables: str, expected: str) -> None:
    assert expected in error_of(write(tmp_path, top, tables))


@pytest.mark.parametrize("key", ["server_id", "data", "identity_key", "audit_key"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    needed = "".join(line + "\n" for line in NEEDED.splitlines() if not line.startswith(key))
    assert f"{key}: needed, but not there" in error_of(write(tmp_path, needed=needed))


def test_missing_tables_are_named(tmp_path: Path) -> None:
    assert "tls: needed" in error_of(write(tmp_path, tls=""))
    assert "tls.key: needed" in error_of(write(tmp_path, tls='[tls]\ncertificate = "x"\n'))


def test_a_bad_server_name_is_refused(tmp_path: Path) -> None:
    text = error_of(write(tmp_path, needed=NEEDED.replace("chat.example.org", "Chat:8443")))
    assert "line 1: server_id: 'Chat:8443' is no server name" in text


def test_a_socket_path_that_is_too_long(tmp_path: Path) -> None:
    assert "set `control` to a shorter path" in error_of(write(tmp_path, f'control = "{"x" * 120}"\n'))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file: `norc init`" in error_of(tmp_path / "norc.toml")
    assert "cannot be read" in error_of(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'server_id = "\xe9"')
    assert "cannot be read" in error_of(tmp_path / "latin.toml")


def test_the_environment_wins(tmp_path: Path) -> None:
    environment = {"NORC_IDENTITY_KEY_FILE": "/run/secrets/id", "NORC_TLS_KEY_FILE": "k.pem", "NORC_DATA": "/var/x"}
    config = load(write(tmp_path, tls='[tls]\ncertificate = "c"\n'), environment)
    assert config.identity_key == Path("/run/secrets/id")
    assert config.tls.key == tmp_path / "k.pem"
    assert config.data == Path("/var/x")


def test_defaults_are_printed_whole(tmp_path: Path) -> None:
    text = print_defaults()
    for kind in (Config, Rates, Logging):
        assert all(field.name in text for field in msgspec.structs.fields(kind))
    uncommented = text.split("# Defaults:\n")[1]
    assert tomllib.loads(uncommented)["limits"] == msgspec.structs.asdict(Rates())
    path = tmp_path / "norc.toml"
    needed = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ") and " = " in line][:4]
    path.write_text("\n".join(needed) + "\n" + uncommented + TLS)
    assert load(path, {}).limits == Rates()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:8443", ("::1", 8443)),
        (":0", (None, 0)),
        ("host.example:65535", ("host.example", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str | None, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:65536", "::1:8443", "host:http", "[::1]"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)
