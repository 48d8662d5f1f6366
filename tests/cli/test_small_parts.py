"""Output, options, QR, tree: the parts that need no server."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.cli.errors import UsageError
from norc_actors.cli.opening import client_options, secret_for
from norc_actors.cli.options import profile_path, split_address
from norc_actors.cli.output import JsonValue, Output, printable, table
from norc_actors.cli.qr import qr_text
from norc_actors.cli.tree import draw
from norc_actors.cli.user import seconds

CODES = [*range(32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
DANGEROUS = {chr(code) for code in CODES}


@given(st.text())
def test_nothing_that_moves_the_cursor_reaches_the_terminal(text: str) -> None:
    shown = printable(text)
    assert not (DANGEROUS - {"\n", "\t"}) & set(shown)
    assert len(shown) == len(text)


@given(st.text(alphabet=st.characters(exclude_categories=["C"], exclude_characters=sorted(DANGEROUS))))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_an_escape_sequence_is_defused() -> None:
    assert "\x1b" not in printable("\x1b[2Jgone")
    assert "\n" not in printable("a\nb", keep="")


def test_output_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.emit({"text": "a\nb ü"}, "line")
    out.note("not shown")
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.count("\n") == 1
    assert json.loads(shown.out) == {"text": "a\nb ü"}


def test_output_for_people_is_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=False)
    out.emit({"text": "x"}, "line")
    out.emit({"text": "x"})
    out.note("note")
    assert capsys.readouterr() == ("line\n", "note\n")


def test_tables_are_aligned() -> None:
    assert table([["a", "bb"], ["cccc", "d"]], ["x", "y"]) == "x     y\na     bb\ncccc  d"
    assert table([], ["x"]) == "(none)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("localhost:8443", ("localhost", 8443)), ("[::1]:1", ("::1", 1)), ("127.0.0.1:65535", ("127.0.0.1", 65535))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["localhost", ":1", "a:0", "a:65536", "a:x", "a:-1", "a:", "a:١"])
def test_wrong_addresses_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        split_address(text)


@pytest.mark.parametrize(("text", "expected"), [("30m", 1800), ("12h", 43200), ("7d", 604800)])
def test_durations(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "d", "0h", "-1h", "1.5h", "10", "366d", "9999999h", "1 h"])
def test_wrong_durations_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)


def test_the_profile_is_in_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert profile_path(None) == tmp_path / "norc" / "device.norc"
    assert profile_path(Path("x")) == Path("x")


class TestSecret:
    def test_a_key_file_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NORC_PASSPHRASE", "words")
        assert secret_for(Path("k")) == {"key_file": Path("k")}

    def test_then_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NORC_PASSPHRASE", "words")
        assert secret_for(None) == {"passphrase": "words"}

    def test_an_empty_passphrase_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NORC_PASSPHRASE", "")
        with pytest.raises(UsageError, match="empty"):
            secret_for(None)

    def test_without_a_terminal_there_is_nobody_to_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NORC_PASSPHRASE", raising=False)
        monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
        with pytest.raises(UsageError, match="no terminal"):
            secret_for(None)

    def test_the_terminal_is_asked_twice_for_a_new_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter(["words", "other words", "same", "same"])
        monkeypatch.delenv("NORC_PASSPHRASE", raising=False)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
        with pytest.raises(UsageError, match="differ"):
            secret_for(None, new=True)
        assert secret_for(None, new=True) == {"passphrase": "same"}


def test_a_missing_ca_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        client_options(None, tmp_path / "ca.pem")
    assert client_options("localhost:1", None).address is not None


def test_a_qr_code_is_a_square_of_half_blocks() -> None:
    lines = qr_text("norc://localhost/enroll?v=1&t=" + "a" * 43 + "&k=" + "b" * 43).splitlines()
    widths = {len(line.removeprefix("\x1b[30;107m").removesuffix("\x1b[0m")) for line in lines}
    assert len(widths) == 1
    assert abs(widths.pop() - 2 * len(lines)) <= 1


def test_the_tree_is_drawn() -> None:
    store: JsonValue = {"spec": "message_store", "children": []}
    storage: JsonValue = {"spec": "storage", "status": "running", "restarts": 1, "children": [store]}
    router: JsonValue = {"spec": "router", "status": "restarting", "restarts": 2, "mailbox": {"depth": 3}, "omitted": 4}
    tree = draw({"spec": "node", "strategy": "rest_for_one", "status": "running", "children": [storage, router]})
    assert tree.splitlines() == [
        "node  (rest_for_one)",
        "├── storage  (1 restart)",
        "│   └── message_store",
        "└── router  (restarting, 2 restarts, 3 waiting, 4 more not shown)",
    ]
