"""Points by criterion, proofs by level, and what is missing, in words (rows B134, B139, B153)."""

import dataclasses
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.limits import RELIABLE_SECONDS
from norc_actors.protocol.messages.trust import ComplianceAttestation
from norc_actors.protocol.messages.trust_reports import NatoRecord
from norc_actors.protocol.trust_levels import LEVELS
from norc_actors.trust.scoring import NAMES, PROOFS, assess, general
from norc_actors.trust.validators import (
    DIRECT,
    GOVERNMENT,
    METHODS,
    WEB,
    WEIGHTS,
    X509,
    Criterion,
    Evidence,
    History,
    Proof,
    Verdict,
)
from tests.support.people import NOW
from tests.support.trust import capabilities, party

B = party("b.example")
CRITERIA = get_args(Criterion)
EVIDENCE = Evidence(server=B.name, requested="nato", method="government_pki", server_key=B.key.public_key)
NATO = NatoRecord(
    classification_level="nato_secret", security_agreement="MOU 7", facility_clearance="F", cryptographic_approval="C",
    tempest_certification="T", comsec_approval="S",
)  # fmt: skip
BEST = dataclasses.replace(
    EVIDENCE,
    organisation_checked=True,
    capabilities=capabilities(
        B, pq_fingerprint=bytes(32), build_attestation_hash=b"b" * 32, software_sbom_hash=bytes(32)
    ),
    known_builds=frozenset({b"b" * 32}),
    attestations=tuple(
        ComplianceAttestation(standard=name, certificate_id="1", issued_by="x", expires_at=NOW + 1) for name in "ab"
    ),
    history=History(since=NOW - RELIABLE_SECONDS),
    nato=NATO,
)


def direct(*proofs, **more):
    return Verdict(validator=DIRECT, level="basic", proofs=frozenset({"key_exchange", *proofs}), **more)


def government(level="nato", proofs=("x509_chain", "policy_root", "nato_root"), points=30):
    given = {"certificate_chain": points}
    return Verdict(validator=GOVERNMENT, level=level, proofs=frozenset(proofs), points=given)


ALL = (direct("domain", points={"domain": 15}), government())


def test_full_marks():
    best = assess(BEST, ALL, NOW)
    assert (best.level, best.score) == ("nato", 100)
    assert best.points == dict(WEIGHTS)
    assert best.remarks()[0].startswith("Score 100: certificate chain 30/30, domain 15/15")


def test_nothing_proven_is_untrusted_and_says_what_is_missing():
    nothing = assess(EVIDENCE, (), NOW)
    assert (nothing.level, nothing.score) == ("untrusted", 0)
    assert nothing.against["basic"] == ("basic needs a DNS proof or an exchange of keys.",)
    assert f"{GOVERNMENT} supports no more than untrusted." in nothing.against["verified"]
    text = " ".join(nothing.against["nato"])
    assert all(NAMES[proof] in text for proof in get_args(Proof))
    assert "verified needs 70 points, it has 0." in nothing.against["verified"]


LADDER = [
    ("ca_validation", X509, "verified", {"x509_chain"}, "verified"),
    ("ca_validation", X509, "verified", {"x509_chain", "policy_root", "nato_root"}, "verified"),
    ("government_pki", GOVERNMENT, "classified", {"x509_chain", "policy_root"}, "classified"),
    ("government_pki", GOVERNMENT, "nato", {"x509_chain", "policy_root", "nato_root"}, "nato"),
    ("government_pki", GOVERNMENT, "verified", {"x509_chain", "policy_root", "nato_root"}, "verified"),
    ("government_pki", GOVERNMENT, "nato", {"policy_root", "nato_root"}, "basic"),
    ("direct_exchange", X509, "verified", {"x509_chain", "policy_root"}, "basic"),
    ("web_of_trust", WEB, "verified", {"x509_chain", "policy_root"}, "verified"),
    ("web_of_trust", WEB, "basic", {"x509_chain", "policy_root"}, "basic"),
    ("manual_verification", X509, "untrusted", {"x509_chain", "policy_root"}, "verified"),
]


@pytest.mark.parametrize(("method", "validator", "level", "proofs", "reached"), LADDER)
def test_the_level_is_bound_by_proofs_method_and_its_validator(method, validator, level, proofs, reached):
    evidence = dataclasses.replace(BEST, method=method)
    chain = Verdict(validator=validator, level=level, proofs=frozenset(proofs), points={"certificate_chain": 30})
    judged = assess(evidence, (direct("domain", points={"domain": 15}), chain), NOW)
    assert judged.level == reached
    following = LEVELS[LEVELS.index(reached) + 1 :]
    assert all(judged.against[each] for each in following)
    assert not any(judged.against[each] for each in LEVELS[1 : LEVELS.index(reached) + 1])


@pytest.mark.parametrize("proof", sorted({proof for sets in PROOFS.values() for any_of in sets for proof in any_of}))
def test_each_proof_that_is_missing_is_named(proof):
    verdicts = [dataclasses.replace(one, proofs=one.proofs - {proof}) for one in ALL]
    evidence = {
        "organisation": dataclasses.replace(BEST, organisation_checked=False),
        "nato_agreement": dataclasses.replace(BEST, nato=None),
    }.get(proof, BEST)
    judged = assess(evidence, verdicts, NOW)
    if proof in ("key_exchange", "domain"):  # either will do
        assert judged.level == "nato"
        return
    level = next(name for name, sets in PROOFS.items() if any(proof in any_of for any_of in sets))
    assert judged.level == LEVELS[LEVELS.index(level) - 1]
    assert any(NAMES[proof] in reason for reason in judged.against[level])


@pytest.mark.parametrize("missing", [name for name in NATO.__struct_fields__ if name != "classification_level"])
def test_a_nato_record_with_a_hole_names_it(missing):
    holed = NatoRecord(**{name: "" if name == missing else getattr(NATO, name) for name in NATO.__struct_fields__})
    judged = assess(dataclasses.replace(BEST, nato=holed), ALL, NOW)
    assert judged.level == "classified"
    assert f"The NATO record lacks: {missing.replace('_', ' ')}." in judged.why


@pytest.mark.parametrize(("points", "level"), [(30, "nato"), (15, "nato"), (14, "verified"), (0, "verified")])
def test_points_replace_no_proof_and_proofs_no_points(points, level):
    assert assess(BEST, (direct("domain", points={"domain": 15}), government(points=points)), NOW).level == level
    bare = dataclasses.replace(BEST, organisation_checked=False)
    assert assess(bare, ALL, NOW).level == "basic"


def test_one_refusal_and_nothing_is_proven():
    forged = Verdict(validator=X509, why=("The chain is forged.",), refused=True)
    judged = assess(BEST, (*ALL, forged), NOW)
    assert (judged.level, judged.score, judged.proofs, judged.refused) == ("untrusted", 0, frozenset(), True)
    assert "The chain is forged." in judged.why
    assert all(judged.against[level] for level in LEVELS[1:])


# --- The criteria of the general verdict ---


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({}, 15),
        ({"capabilities": None}, 0),
        ({"known_builds": frozenset()}, 12),
        ({"known_builds": frozenset({b"c" * 32})}, 10),
        ({"capabilities": capabilities(B)}, 3),
        ({"capabilities": capabilities(B, auto_accept_basic=True)}, 0),
    ],
)
def test_posture(changes, points):
    assert general(dataclasses.replace(BEST, **changes), NOW).points["posture"] == points


def test_compliance_counts_standards_that_hold():
    def points(now, attestations=BEST.attestations):
        return general(dataclasses.replace(BEST, attestations=attestations), now).points["compliance"]

    assert (points(NOW), points(NOW + 1), points(NOW, BEST.attestations[:1])) == (10, 0, 5)
    assert points(NOW, BEST.attestations[:1] * 3) == 5
    assert "has ended" in " ".join(general(BEST, NOW + 1).why)


@pytest.mark.parametrize(
    ("history", "points"),
    [
        (History(), 0),
        (History(since=NOW), 0),
        (History(since=NOW + 99), 0),
        (History(since=NOW - RELIABLE_SECONDS // 2), 5),
        (History(since=NOW - RELIABLE_SECONDS * 9), 10),
        (History(since=NOW - RELIABLE_SECONDS, revoked=1), 5),
        (History(since=NOW - RELIABLE_SECONDS, revoked=3), 0),
    ],
)
def test_reliability(history, points):
    assert general(dataclasses.replace(BEST, history=history), NOW).points["reliability"] == points


# --- Properties ---

POINTS = st.fixed_dictionaries({}, optional={name: st.integers(0, WEIGHTS[name]) for name in CRITERIA})
VERDICTS = st.lists(
    st.builds(
        Verdict,
        validator=st.sampled_from([DIRECT, X509, WEB, GOVERNMENT]),
        level=st.sampled_from(LEVELS),
        proofs=st.frozensets(st.sampled_from(get_args(Proof))),
        points=POINTS,
    ),
    max_size=4,
    unique_by=lambda verdict: verdict.validator,
)
EVIDENCES = st.builds(
    lambda method, checked, told, nato: dataclasses.replace(
        EVIDENCE, method=method, organisation_checked=checked, capabilities=told, nato=nato
    ),
    st.sampled_from(sorted(METHODS)), st.booleans(), st.sampled_from([None, BEST.capabilities]),
    st.sampled_from([None, NATO]),
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(evidence=EVIDENCES, verdicts=VERDICTS, proof=st.sampled_from(get_args(Proof)), name=st.sampled_from(CRITERIA))
def test_more_evidence_never_hurts_and_everything_is_explained(evidence, verdicts, proof, name):
    judged = assess(evidence, verdicts, NOW)
    assert 0 <= judged.score == sum(judged.points.values()) <= 100
    assert LEVELS.index(judged.level) <= LEVELS.index(METHODS[evidence.method].highest)
    reached = LEVELS.index(judged.level)
    assert not any(judged.against[level] for level in LEVELS[1 : reached + 1])
    assert reached + 1 == len(LEVELS) or judged.against[LEVELS[reached + 1]]
    assert all(len(line) <= 1024 for line in judged.remarks())
    more = Verdict(validator="more", proofs=frozenset({proof}), points={name: WEIGHTS[name]})
    better = assess(evidence, (*verdicts, more), NOW)
    assert better.score >= judged.score
    assert LEVELS.index(better.level) >= LEVELS.index(judged.level)
