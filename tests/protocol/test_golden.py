"""The exact bytes of one fixed message of every struct (row B19): a member that moves or changes its form is noticed.

After a change that is meant, write the file again: `python tests/protocol/test_golden.py`.
"""

import hashlib
import json
from pathlib import Path

import msgpack
import pytest

from norc_actors.protocol import codec
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.json_form import read_json, with_bytes, write_json
from norc_actors.protocol.schema import Map
from tests.support.messages import LEGACY, MAPS, MESSAGES
from tests.support.samples import sample

FILE = Path(__file__).resolve().parents[1] / "vectors" / "messages.json"
LONG = 50_000
KINDS: list[type[Map]] = [*MESSAGES, *LEGACY, *MAPS]


def _forms(kind: type[Map]) -> dict[str, str]:
    forms = {}
    for name, full in (("all members", True), ("required members", False)):
        data = codec.encode(sample(kind, full=full))
        forms[name] = _short(data.hex())
        forms[f"{name}, canonical"] = _short(canonical(codec.decode_map(data)).decode())
    return forms


def _short(form: str) -> str:
    """The form, or its length and SHA-256 where it is a whole chunk of a file."""
    if len(form) < LONG:
        return form
    return f"{len(form)} characters, SHA-256 {hashlib.sha256(form.encode()).hexdigest()}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_exact_bytes(kind: type[Map]) -> None:
    assert json.loads(FILE.read_text("utf-8"))[kind.__name__] == _forms(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_independent_reader_agrees(kind: type[Map]) -> None:
    for full in (True, False):
        message = sample(kind, full=full)
        data = codec.encode(message)
        assert msgpack.unpackb(data) == codec.to_map(message)
        assert codec.decode_as(kind, data).message == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_its_json_is_the_same_message(kind: type[Map]) -> None:
    """Binary → map → JSON → map → binary: the same map, message and canonical form on every way (row B20)."""
    for full in (True, False):
        data = codec.encode(sample(kind, full=full))
        text = write_json(codec.decode_map(data))
        plain = with_bytes(read_json(text), kind)
        assert plain == codec.decode_map(data)
        assert codec.convert(plain, kind) == codec.decode_as(kind, data).message
        assert canonical(plain) == text


def test_the_file_has_nothing_else() -> None:
    assert set(json.loads(FILE.read_text("utf-8"))) == {kind.__name__ for kind in KINDS}


if __name__ == "__main__":
    recorded = {kind.__name__: _forms(kind) for kind in KINDS}
    FILE.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", "utf-8")
