"""What the vectors of all topics share: fixed randomness, hex, maps in both forms.

A topic is a list of cases, a case a plain dict that JSON takes:

| member | meaning |
|---|---|
| name | what the case shows |
| suite | the suite that it runs under, where it has one |
| accept | whether an implementation has to accept it |
| error | for `accept: false`: the error class of this implementation, and its code or cause where it has one |
| … | inputs, intermediates, outputs: bytes in hex, maps as `msgpack` (hex) and `canonical` (text) |
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES, Algorithm
from norc_actors.ids import new_uuid
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import encode_map
from tools import mlkem_reference

NOW = 1_790_000_000
Case = dict[str, Any]


class Stream:
    """Bytes that a name fixes: SHAKE256 of the name and a counter."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def __call__(self, length: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"norc vectors/{self._name}/{self._count}".encode()).digest(length)


def fixed(name: str, length: int = 32) -> bytes:
    """The bytes of a name."""
    return Stream(name)(length)


def uuid(name: str) -> str:
    """The UUID of a name."""
    return new_uuid(Stream(name))


def key(algorithm: Algorithm, name: str) -> SigningKey:
    """The signing key of a name."""
    return SigningKey.generate(algorithm, Stream(f"key {name} {algorithm}"))


def x(data: bytes) -> str:
    """Hex."""
    return data.hex()


def m(plain: Mapping[str, Any]) -> dict[str, str]:
    """A map in both forms."""
    return {"msgpack": encode_map(plain).hex(), "canonical": canonical(plain).decode()}


def fixed_encapsulate(name: str) -> Any:
    """An `encapsulate` whose randomness is that of a name."""
    return lambda public_key: mlkem_reference.encapsulate(public_key, fixed(f"{name} m"))


@contextmanager
def fixed_kem(module: str, name: str) -> Iterator[None]:
    """Where the core draws the randomness of an encapsulation itself, the fixed one stands in its place."""
    with mock.patch(f"norc_actors.{module}.encapsulate", fixed_encapsulate(name)):
        yield


def each_suite() -> Iterator[tuple[str, Any]]:
    """(name, suite), highest first."""
    yield from SUITES.items()


def identity(suite_name: str) -> Algorithm:
    """The identity algorithm of a suite."""
    return SUITES[suite_name].identity


def flipped(data: bytes, bit: int = 0) -> bytes:
    """The data with one bit changed."""
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def refused(case: Case, error: str, **changes: Any) -> Case:
    """A case that must not be accepted, made from one that must."""
    return {**case, "accept": False, "error": error, **changes}
