"""The exact bytes of one fixed message of every struct (row B19): a member that moves or changes its form is noticed.

After a change that is meant, write the file again: `python tests/protocol/test_golden.py`.
"""

import json
from pathlib import Path

import msgpack
import pytest

from norc_actors.protocol import codec
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.schema import Map
from tests.support.messages import MAPS, MESSAGES
from tests.support.samples import sample

FILE = Path(__file__).resolve().parents[1] / "vectors" / "messages.json"
KINDS: list[type[Map]] = [*MESSAGES, *MAPS]


def _forms(kind: type[Map]) -> dict[str, str]:
    forms = {}
    for name, full in (("all members", True), ("required members", False)):
        data = codec.encode(sample(kind, full=full))
        forms[name] = data.hex()
        forms[f"{name}, canonical"] = canonical(codec.decode_map(data)).decode()
    return forms


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


def test_the_file_has_nothing_else() -> None:
    assert set(json.loads(FILE.read_text("utf-8"))) == {kind.__name__ for kind in KINDS}


if __name__ == "__main__":
    recorded = {kind.__name__: _forms(kind) for kind in KINDS}
    FILE.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", "utf-8")
