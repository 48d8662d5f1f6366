"""`norc init` and the folder that it makes."""

import json
from pathlib import Path

import pytest

from norc_actors import config
from norc_actors.cli import main as cli
from norc_actors.cli.exits import Exit
from norc_actors.cli.init import GENEROUS, make_server

Captured = pytest.CaptureFixture[str]


def test_the_folder_holds_a_configuration_that_loads(tmp_path: Path, capsys: Captured) -> None:
    assert cli.run(["init", "--dir", str(tmp_path), "--server-id", "example.org", "--json"]) == Exit.OK
    made = json.loads(capsys.readouterr().out)
    loaded = config.load(Path(made["config"]), {})
    assert (loaded.server_id, loaded.listen) == ("example.org", "127.0.0.1:8443")
    assert Path(made["ca"]).read_text("ascii").startswith("-----BEGIN CERTIFICATE-----")
    assert len(Path(made["config"]).read_text("utf-8").splitlines()) <= 15


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    assert cli.run(["init", "--dir", str(tmp_path)]) == Exit.OK
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert cli.run(["init", "--dir", str(tmp_path)]) == Exit.OK
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_the_generous_limits_are_for_the_demo_alone(tmp_path: Path) -> None:
    modest = make_server(tmp_path / "a", server_id="localhost", listen="localhost:1")
    generous = make_server(tmp_path / "b", server_id="localhost", listen="localhost:1", extra=GENEROUS)
    assert config.load(modest.config, {}).limits == config.Rates()
    assert config.load(generous.config, {}).limits.messages_per_minute > 10_000


def test_the_defaults_are_printed(capsys: Captured) -> None:
    assert cli.run(["init", "--print-defaults"]) == Exit.OK
    assert "messages_per_minute = 60" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--server-id", "Example.org"], "server name"),
        (["--listen", "8443"], "no address"),
    ],
)
def test_mistakes_make_nothing(tmp_path: Path, arguments: list[str], word: str, capsys: Captured) -> None:
    assert cli.run(["init", "--dir", str(tmp_path / "new"), *arguments]) == Exit.USAGE
    assert word in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").touch()
    assert cli.run(["init", "--dir", str(tmp_path / "file")]) == Exit.USAGE
    assert "no folder" in capsys.readouterr().err


def test_a_wrong_key_in_the_configuration_is_named_with_the_nearest(tmp_path: Path, capsys: Captured) -> None:
    made = make_server(tmp_path, server_id="localhost", listen="localhost:1")
    made.config.write_text(made.config.read_text("utf-8").replace("listen", "lisen"), "utf-8")
    assert cli.run(["node", "status", "--dir", str(tmp_path)]) == Exit.USAGE
    shown = capsys.readouterr().err
    assert "lisen" in shown
    assert "listen" in shown.replace("lisen", "")
