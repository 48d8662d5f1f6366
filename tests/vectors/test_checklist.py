"""The checklist of docs/protocol/vectors.md: every formula has vectors, and every one of its literals really runs."""

import re
from pathlib import Path
from unittest import mock

import pytest

from norc_actors.crypto.labels import KDF_LABELS, SIGN_LABELS
from tests.vectors import independent
from tests.vectors.files import files
from tests.vectors.test_generated import FILES, JUDGES
from tools.make_vectors import TOPICS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/protocol/vectors.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.split("| Formula | Literal |")[1].splitlines()[2:]
    if line.startswith("|")
]
TRUST = {label for label in SIGN_LABELS if re.fullmatch(r"trust-(?!cert|crl:|proof).*", label)}
PROFILE = b"norc:profile:v1"
"""Derives the keys of a client's own files: no other implementation computes it."""


def _listed() -> set[str]:
    return {literal for row in ROWS for literal in re.findall(r"`([^`]+)`", row[1])}


def test_every_topic_stands_in_the_checklist_and_has_both_checks():
    assert {row[2] for row in ROWS} == set(TOPICS)
    assert set(independent.CHECKS) == set(TOPICS)
    recomputed_alone = set(TOPICS) - set(JUDGES)  # without a refusal of its own, or judged where it is stored
    assert recomputed_alone == {
        "audit", "escrow", "fingerprint", "hkdf", "layouts", "padding", "pseudonym", "rekey",
    }  # fmt: skip


def test_every_section_stands_in_the_checklist():
    listed = {name for row in ROWS for name in row[3].split(", ") if name}
    assert listed == {entry.section for file in files().values() for entry in file.entries()}


def test_every_label_stands_in_the_checklist():
    derived = {label.decode() for label in KDF_LABELS - {PROFILE}}
    assert {"trust-TYPE:v1"} | (SIGN_LABELS - TRUST) | derived <= _listed()


def test_every_literal_of_the_sources_stands_in_the_checklist():
    found = set()
    for package in ("protocol", "crypto"):
        for path in (ROOT / "norc_actors" / package).rglob("*.py"):
            found |= set(re.findall(r'b"(norc[:-][a-z:-]*v1)"', path.read_text()))
    assert len(found) > 15
    found |= {label.decode() for label in KDF_LABELS - {PROFILE}}
    assert found <= _listed()


@pytest.fixture(scope="module")
def seen():
    """(labels verified, infos derived with, inputs hashed) by the independent reading over all accepted cases."""
    labels, infos, hashed = set(), set(), []
    verify, hkdf, b3 = independent.verify, independent.hkdf, independent.b3

    def verifying(public_key, label, body, signature):
        verify(public_key, label, body, signature)
        labels.add((label, len(public_key)))

    def deriving(suite, ikm, salt, info, length=32):
        infos.add((suite, bytes(info)))
        return hkdf(suite, ikm, salt, info, length)

    def hashing(data):
        hashed.append(bytes(data[:40]))
        return b3(data)

    changed = {"verify": verifying, "hkdf": deriving, "b3": hashing}
    with mock.patch.multiple(independent, **changed):
        for topic, file in FILES.items():
            for case in file["cases"]:
                if case["accept"] and topic != "escrow":
                    independent.run(topic, case)
    return labels, infos, hashed


def test_every_label_is_verified_under_both_algorithms(seen):
    labels, _, _ = seen
    assert {label for label, _ in labels} == SIGN_LABELS
    for length in (32, 33):
        assert {label for label, found in labels if found == length} == SIGN_LABELS


def test_every_derivation_runs_under_every_suite(seen):
    _, infos, _ = seen
    for suite in independent.ORDER:
        begun = {info[: info.find(b":v1") + 3] for found, info in infos if found == suite}
        assert KDF_LABELS - {PROFILE} <= begun, suite


def test_every_hashed_literal_is_hashed(seen):
    _, _, hashed = seen
    derived = {label.decode() for label in KDF_LABELS}
    plain = {literal for literal in _listed() if literal.startswith("norc") and literal not in derived}
    keyed = {"norc:audit:user:v1", "norc:escrow:v1"}  # in an HMAC, in associated data: their checks have them verbatim
    text = Path(independent.__file__).read_text()
    assert all(f'b"{literal}"' in text for literal in keyed)
    assert not [one for one in plain - keyed if not any(data.startswith(one.encode()) for data in hashed)]
