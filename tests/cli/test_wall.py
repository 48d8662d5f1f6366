"""Whatever goes wrong, a person gets a sentence and the next step, a script a code, nobody a stack trace."""

import errno
import json
from pathlib import Path

import pytest

from norc_actors.cli import main as cli
from norc_actors.cli.errors import EXIT_OF_CODE, CliError, UsageError, explain
from norc_actors.cli.exits import Exit
from norc_actors.client import errors as client_errors
from norc_actors.ids import InvalidIdError

Patch = pytest.MonkeyPatch
Captured = pytest.CaptureFixture[str]


def test_the_exit_codes_are_the_documented_ones() -> None:
    documented = (Path(cli.__file__).parents[2] / "docs/operations.md").read_text("utf-8")
    for code in Exit:
        assert f"| {code.value} |" in documented, code


def test_every_error_of_the_client_library_can_be_told() -> None:
    for name in client_errors.__all__:
        kind = getattr(client_errors, name)
        error = kind.__new__(kind)
        error.what, error.advice = "What happened.", "What to do."
        failure = explain(error)
        assert failure is not None, name
        assert failure.code == kind.code
        assert failure.exit is not Exit.OK
    codes = {getattr(client_errors, name).code for name in client_errors.__all__}
    assert set(EXIT_OF_CODE) <= codes | {"config"}, "a code that no error has"


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (UsageError("Wrong.", "Right it."), Exit.USAGE),
        (InvalidIdError("'x' is no user"), Exit.USAGE),
        (OSError(errno.ENOSPC, "full"), Exit.FAILED),
        (PermissionError(errno.EACCES, "no", "file"), Exit.FAILED),
        (client_errors.PassphraseError("No."), Exit.WRONG_PASSPHRASE),
        (client_errors.ProfileMissingError("No."), Exit.NO_PROFILE),
        (client_errors.OfflineError("No."), Exit.OFFLINE),
        (client_errors.ServerKeyChangedError("No."), Exit.SECURITY),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [client_errors.OfflineError("No.")])]), Exit.OFFLINE),
    ],
)
def test_each_kind_has_its_exit_code(error: Exception, exit_code: Exit) -> None:
    failure = explain(error)
    assert failure is not None
    assert failure.exit is exit_code
    assert failure.what.endswith(".")
    assert failure.next


def test_what_nobody_foresaw_cannot_be_explained() -> None:
    assert explain(ZeroDivisionError()) is None
    assert explain(ExceptionGroup("x", [ValueError()])) is None


def fail_with(monkeypatch: Patch, error: BaseException) -> None:
    """Make `norc node status` fail in this way."""

    def ask(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("norc_actors.cli.node.ask", ask)


def test_a_failure_is_two_lines_on_stderr(monkeypatch: Patch, capsys: Captured) -> None:
    fail_with(monkeypatch, CliError("It broke.", "Mend it."))
    assert cli.run(["node", "status"]) == Exit.FAILED
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "norc: It broke.\n  -> Mend it.\n")


def test_a_failure_is_one_object_with_json(monkeypatch: Patch, capsys: Captured) -> None:
    fail_with(monkeypatch, CliError("It broke.", "Mend it.", code="broken"))
    assert cli.run(["node", "status", "--json"]) == Exit.FAILED
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"ok": False, "error": "broken", "what": "It broke.", "next": "Mend it.", "exit": 1}
    assert shown.err == ""


def test_a_fault_of_ours_goes_to_a_log_file(monkeypatch: Patch, capsys: Captured) -> None:
    fail_with(monkeypatch, ZeroDivisionError("secret detail"))
    assert cli.run(["node", "status"]) == Exit.INTERNAL
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "secret detail" not in shown
    log = Path(next(word for word in shown.split() if "norc-fault-" in word).rstrip(";"))
    assert "ZeroDivisionError" in log.read_text("utf-8")
    log.unlink()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("tasks", [KeyboardInterrupt()])])
def test_ctrl_c_is_no_fault(monkeypatch: Patch, capsys: Captured, error: BaseException) -> None:
    fail_with(monkeypatch, error)
    assert cli.run(["node", "status"]) == Exit.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err
