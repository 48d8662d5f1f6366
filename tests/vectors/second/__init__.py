"""A second implementation that makes: a file in the format of `norc.json`, for all four suites, with nothing of this
project but the plain ML-KEM of `tools/mlkem_reference.py`.

    python -m tests.vectors.second [FILE]

It was written from the protocol's pages beside `independent.py`, whose primitives it shares; where a formula stands in
one line there, it stands in one line here. Every section of `norc.json` is made for suites 0101, 0102, 0001 and 0002
(devices, users and servers of 0102 and 0002 have P-256 keys), and of every kind many that must be refused, each made
anew from the inside (signed as it stands where that is not what is wrong with it). The same bytes in every run.
"""

from functools import cache
from typing import Any

from . import people, servers, talk, wire
from .base import Kem


@cache
def make() -> dict[str, Any]:
    """All sections."""
    kem = Kem()
    found: dict[str, Any] = {}
    for topic in (wire, people, talk, servers):
        found |= topic.sections(kem)
    return {"kem": kem.section, **found}
