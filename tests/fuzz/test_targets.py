"""A short slice of every fuzz target in every run: its seeds, what was ever found, and a few hundred inputs by seed."""

import random
import re
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.targets import MOST_BYTES, TARGETS, alter, seeds

HERE = Path(__file__).parent
EACH = pytest.mark.parametrize("name", TARGETS)
ROUNDS = {"link": 40, "envelope": 100, "sealed": 100, "handshake": 100}


def kept(name: str) -> list[bytes]:
    """What was ever found with a target."""
    return [path.read_bytes() for path in sorted((HERE / "finds" / name).glob("*"))]


def test_every_target_states_its_sentence():
    listed = re.findall(r"^\| (\w+) \| .{20,} \|$", targets.__doc__, re.MULTILINE)
    assert listed == list(TARGETS)


@EACH
def test_seeds_and_finds(name):
    for data in [*seeds(name), *kept(name)]:
        TARGETS[name](data)


@EACH
def test_a_few_hundred_inputs(name):
    """Mutations of the seeds, and plain noise; the same in every run."""
    draw = random.Random(f"fuzz {name}")
    start = seeds(name)
    for _ in range(ROUNDS.get(name, 300)):
        data = draw.choice([*start, b""])
        match draw.randrange(4):
            case 0:
                data = draw.randbytes(draw.randrange(80))
            case 1:
                data = alter(data, bytes((draw.randrange(1, 8),)) + draw.randbytes(21))
            case 2:
                data = bytes((1,)) + draw.randbytes(2) + bytes((1 << draw.randrange(8),))
            case _:
                cut = draw.randrange(len(data) + 1)
                data = data[:cut] + draw.randbytes(draw.randrange(4)) + data[cut:]
        TARGETS[name](data)


@pytest.mark.parametrize("name", ["messages", "maps", "json", "frames", "texts"])
@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * MOST_BYTES, b"\x81\xa1a" * (MOST_BYTES // 3), b"[" * MOST_BYTES, b'{"a":' * (MOST_BYTES // 5),
        b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"9" * MOST_BYTES, bytes(MOST_BYTES), b"\xff" * MOST_BYTES,
    ],
    ids=range(9),
)  # fmt: skip
def test_bounds(name, data):
    """An input that wants time or memory gets neither: a second and 64 MiB."""
    tracemalloc.start()
    try:
        began = time.process_time()
        TARGETS[name](b"\x12" + data if name == "messages" else data)
        spent = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20
    assert spent < (3.0 if name == "frames" else 1.0)  # byte by byte, under tracemalloc


def test_alter():
    assert alter(b"abc", b"") == b"abc"
    assert alter(b"abc", b"\x01\x00\x01\x03") == b"aac"
    assert alter(b"abc", b"\x00tail") == b"abctail"
    assert alter(b"", b"\x01\x00\x01\x03") == b""
