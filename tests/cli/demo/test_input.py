"""Files that people give the demo."""

from pathlib import Path

import pytest

from norc_actors.cli.demo.__main__ import lines_of
from norc_actors.cli.errors import UsageError
from norc_actors.limits import MAX_TEXT_BYTES


def test_each_line_with_something_on_it_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffone\r\n\n  two ü\x0c\u2028🌊\n\t\nthree".encode())
    assert lines_of(path) == ["one", "  two ü\x0c\u2028🌊", "three"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00", b"x" * (MAX_TEXT_BYTES + 1)])
def test_a_file_that_will_not_do_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="text"):
        lines_of(path)
