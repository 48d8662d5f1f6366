"""Recorded test vectors of the protocol (`tests/vectors/norc.json`): fixed inputs, intermediates and outputs.

Bytes stand in hex; a map stands as `msgpack`, and as `json` and `canonical` where these matter.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

_FILE = Path(__file__).parent.parent / "vectors" / "norc.json"


@cache
def _all() -> dict[str, Any]:
    return json.loads(_FILE.read_text())


def section(name: str) -> Any:
    """One section of the file, as parsed JSON."""
    return _all()[name]


def cases(name: str, *, label: str = "why") -> list[Any]:
    """A section as pytest parameters, named by `label` where an entry has it."""
    import pytest

    entries = section(name)
    return [
        pytest.param(entry, id=f"{position}-{entry.get('suite', '')}-{entry.get(label, '')}".replace(" ", "_"))
        for position, entry in enumerate(entries)
    ]


def map_of(entry: dict[str, str]) -> dict[str, Any]:
    """The map of an entry, read by the independent MessagePack reader."""
    value = msgpack.unpackb(bytes.fromhex(entry["msgpack"]), strict_map_key=False)
    assert isinstance(value, dict)
    return value


def b(entry: dict[str, Any], name: str) -> bytes:
    """The bytes of a hex member."""
    return bytes.fromhex(entry[name])
