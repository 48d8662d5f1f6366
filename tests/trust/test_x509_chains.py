"""Chains of X.509: one of every kind that holds, and every step failing alone, by name."""

import random
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.ids import ServerId
from norc_actors.protocol.messages.trust import ValidationRequirements
from norc_actors.protocol.messages.trust_reports import GovPkiTrustRequest, NatoRecord
from norc_actors.trust.scoring import assess
from norc_actors.trust.transparency import known_logs
from norc_actors.trust.validators import GOVERNMENT, METHODS, X509, Evidence, Validator, Verdict
from norc_actors.trust.x509_chains import GovernmentPki, Known, PolicyRoot, X509Chains
from norc_actors.trust.x509_path import ChainError, find_path, read_chain, valid_policies
from norc_actors.trust.x509_status import Status, read_crl, status_of
from tests.support.pki import (
    DAY,
    Authority,
    Issued,
    Key,
    Log,
    now,
    ocsp_response,
    revocations,
    usage,
)

BOB = ServerId("bob.example.org")
OID, OTHER_OID = "2.16.840.1.101.3.2.1.3.13", "1.2.3.4"
ANY = "2.5.29.32.0"
ROOT = Authority("Root")
MIDDLE = ROOT.under("Middle")
LEAF = MIDDLE.issue(BOB)
ALL_GOOD = (revocations(ROOT), revocations(MIDDLE))


def evidence(issued: Issued | tuple[bytes, ...], **changes: object) -> Evidence:
    values: dict = {"server": BOB, "requested": "verified", "method": "ca_validation", "server_key": b"k" * 32}
    chain = issued if isinstance(issued, tuple) else issued.chain
    return Evidence(**(values | {"chain": chain} | changes))


def asking(*, revocation: bool = False, logs: bool = False, days: int = 90) -> ValidationRequirements:
    return ValidationRequirements(check_revocation=revocation, require_ct_logs=logs, max_age_days=days)


def judge(
    issued: Issued | tuple[bytes, ...], *, root: Authority = ROOT, known: Known | None = None, **changes
) -> Verdict:
    return X509Chains([root.certificate], known or Known()).judge(evidence(issued, **changes), time.time())


def failed(verdict: Verdict, step: str, *, forged: bool, words: str = "") -> None:
    """Nothing is proven, one step says why, and forgery alone ends the exchange."""
    assert (verdict.level, verdict.proofs, verdict.points) == ("untrusted", frozenset(), {})
    assert len(verdict.why) == 1
    assert verdict.why[0].startswith(f"X.509 ({step}): ")
    assert words in verdict.why[0]
    assert verdict.refused is forged


# --- Chains that hold ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: ROOT.issue(BOB),
        lambda: LEAF,
        lambda: MIDDLE.under("Lower").issue(BOB),
        lambda: MIDDLE.issue("other.example.org", BOB),
        lambda: MIDDLE.issue(BOB, key_kind="ed25519"),
        lambda: MIDDLE.issue(BOB, key_usage=None),
        lambda: MIDDLE.issue(BOB, uses=[]),
        lambda: MIDDLE.issue(BOB, policies=[OID]),
        lambda: ROOT.under("Constrained", extensions=[
            (x509.NameConstraints([x509.DNSName("example.org")], None), True)]).issue(BOB),
    ],
)  # fmt: skip
def test_a_chain_that_verifies_proves_it(make: Callable[[], Issued]) -> None:
    verdict = judge(make())
    assert (verdict.level, verdict.proofs) == ("verified", {"x509_chain"})
    assert verdict.points == {"certificate_chain": 20}
    assert "ends at CN=Root" in verdict.why[0]


def test_a_chain_in_any_order_with_the_root_and_strangers_in_it() -> None:
    lower = MIDDLE.under("Lower")
    leaf, *rest = lower.issue(BOB).chain
    assert judge((leaf, *reversed(rest), ROOT.der, Authority("Stranger").der)).proofs


def test_unrevoked_chains_have_all_points() -> None:
    verdict = judge(LEAF, known=Known(crls=ALL_GOOD))
    assert verdict.points == {"certificate_chain": 30}
    assert "None of it has been revoked." in verdict.why


def test_no_chain_is_no_evidence() -> None:
    for validator in (X509Chains([ROOT.certificate], Known()), GovernmentPki([], Known())):
        verdict = validator.judge(evidence(()), time.time())
        assert (verdict.level, verdict.refused, verdict.proofs) == ("untrusted", False, frozenset())
        assert verdict.why == ("It showed no X.509 chain.",)


def test_the_validators_are_those_of_the_methods() -> None:
    for validator, name in ((X509Chains([], Known()), X509), (GovernmentPki([], Known()), GOVERNMENT)):
        held: Validator = validator
        assert held.name == name
        [method] = [one for one in METHODS.values() if one.validator == name]
        assert held.highest == method.highest


# --- Every step, failing alone ---


@pytest.mark.parametrize(
    ("make", "step", "forged", "words"),
    [
        (lambda: (b"no certificate",), "reading", True, "cannot be read"),
        (lambda: (*LEAF.chain, b""), "reading", True, "cannot be read"),
        (lambda: LEAF.chain * 9, "reading", True, "too long"),
        (lambda: MIDDLE.issue("other.example.org"), "name", True, f"not for {BOB}"),
        (lambda: MIDDLE.issue("*.example.org"), "name", True, "not for"),
        (lambda: MIDDLE.issue(), "name", True, "not for"),
        (lambda: MIDDLE.issue(BOB, since=now() - 9 * DAY, until=now() - DAY), "validity", False, "expired"),
        (lambda: MIDDLE.issue(BOB, since=now() + DAY), "validity", False, "not valid before"),
        (lambda: ROOT.under("Old", since=now() - 9 * DAY, until=now() - DAY).issue(BOB), "validity", False, "CN=Old"),
        (lambda: MIDDLE.issue(BOB, key_usage=usage(key_encipherment=True)), "usage", False, "to sign"),
        (lambda: MIDDLE.issue(BOB, uses=[ExtendedKeyUsageOID.CLIENT_AUTH]), "usage", False, "serverAuth"),
        (lambda: Authority("Nobody").issue(BOB), "path", False, "no root known here"),
        (lambda: LEAF.chain[:1], "path", False, "no root known here"),
        (lambda: Authority("Root").issue(BOB), "path", True, "not its issuer's"),
        (lambda: Authority("Root").under("Middle").issue(BOB), "path", True, "not its issuer's"),
        (lambda: ROOT.under("No CA", is_ca=False).issue(BOB), "path", True, "does not verify"),
        (lambda: ROOT.under("No signer", ca_usage=usage(digital_signature=True)).issue(BOB), "path", True, "verify"),
        (lambda: ROOT.under("Short", path_length=0).under("Lower").issue(BOB), "path", True, "does not verify"),
        (lambda: ROOT.under("Elsewhere", extensions=[
            (x509.NameConstraints([x509.DNSName("example.net")], None), True)]).issue(BOB), "path", True, "verify"),
        (lambda: MIDDLE.issue(BOB, extensions=[
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)]), "path", True, "verify"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_named(make: Callable, step: str, forged: bool, words: str) -> None:
    failed(judge(make()), step, forged=forged, words=words)


def test_a_root_that_has_expired() -> None:
    old = Authority("Old root", since=now() - 9 * DAY, until=now() - DAY)
    failed(judge(old.issue(BOB), root=old), "validity", forged=False, words="CN=Old root")


def test_a_root_shown_as_a_leaf() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName(BOB)])
    root = Authority("Bare", extensions=[(names, False)], is_ca=False, ca_usage=usage(digital_signature=True))
    verdict = judge((root.der,), root=root)
    assert not verdict.proofs


def test_a_leaf_that_plays_ca() -> None:
    """Somebody with a good certificate signs one for another server."""
    mallory = MIDDLE.issue("mallory.example.org")
    fake = Authority("mallory.example.org", ROOT)
    fake.__dict__["key"], fake.__dict__["certificate"] = mallory.key, mallory.certificate
    made = fake.issue(BOB)
    failed(judge((made.der, mallory.der, *LEAF.chain[1:])), "path", forged=True)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(public_exponent=65537, key_size=1024), ec.generate_private_key(ec.SECP256K1())]
)
def test_a_weak_or_unknown_key(key: Key) -> None:
    failed(judge(MIDDLE.issue(BOB, key=key)), "key", forged=False)


@pytest.mark.parametrize(("days", "good"), [(90, True), (31, True), (30, False), (0, False)])
def test_age(days: int, good: bool) -> None:
    leaf = MIDDLE.issue(BOB, since=now() - 31 * DAY + DAY / 24)
    verdict = judge(leaf, requirements=asking(days=days))
    if good:
        assert verdict.proofs
    else:
        failed(verdict, "age", forged=False, words="30 days old")


# --- Revocation ---


def test_what_is_not_known_counts_if_it_was_asked_for() -> None:
    assert judge(LEAF, requirements=asking()).points == {"certificate_chain": 20}
    failed(judge(LEAF, requirements=asking(revocation=True)), "revocation", forged=False, words="not known")
    half = Known(crls=ALL_GOOD[1:])
    failed(judge(LEAF, known=half, requirements=asking(revocation=True)), "revocation", forged=False, words="CN=Middle")
    assert judge(LEAF, known=Known(crls=ALL_GOOD), requirements=asking(revocation=True)).proofs


@pytest.mark.parametrize("which", ["leaf", "middle"])
@pytest.mark.parametrize("asked", [None, asking(), asking(revocation=True)])
def test_revoked_is_the_end(which: str, asked: ValidationRequirements | None) -> None:
    crl = revocations(MIDDLE, LEAF) if which == "leaf" else revocations(ROOT, MIDDLE)
    verdict = judge(LEAF, known=Known(crls=(crl, *ALL_GOOD)), requirements=asked)
    failed(verdict, "revocation", forged=True, words="has been revoked")


def of_leaf(*crls: x509.CertificateRevocationList, ocsp_: tuple[bytes, ...] = (), issued: Issued = LEAF) -> Status:
    return status_of(issued.certificate, MIDDLE.certificate, crls=crls, ocsp_responses=ocsp_, moment=now())


def scope(**changes: object) -> list[tuple[x509.ExtensionType, bool]]:
    values: dict = dict.fromkeys(("full_name", "relative_name", "only_some_reasons")) | dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    return [(x509.IssuingDistributionPoint(**(values | changes)), True)]


PLACE = [x509.UniformResourceIdentifier("http://crl.example/1")]


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda *who: revocations(MIDDLE, *who), Status.REVOKED),
        (lambda *who: revocations(MIDDLE, *who, reason=x509.ReasonFlags.certificate_hold), Status.REVOKED),
        (lambda *who: revocations(MIDDLE, *who, reason=x509.ReasonFlags.remove_from_crl), Status.GOOD),
        (lambda *who: revocations(MIDDLE, *who, extensions=scope(only_contains_user_certs=True)), Status.REVOKED),
        # No evidence: from another, forged, not fresh, or of another scope
        (lambda *who: revocations(ROOT, *who), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, signer=ROOT.key), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, since=now() - 3 * DAY), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, since=now() + DAY), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, extensions=[(x509.DeltaCRLIndicator(1), True)]), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, extensions=scope(indirect_crl=True)), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, extensions=scope(only_contains_ca_certs=True)), Status.UNKNOWN),
        (lambda *who: revocations(MIDDLE, *who, extensions=scope(full_name=PLACE)), Status.UNKNOWN),
    ],
)  # fmt: skip
def test_what_a_crl_says(make: Callable, status: Status) -> None:
    assert of_leaf(make(LEAF)) is status
    clean = of_leaf(make())
    assert clean is (Status.UNKNOWN if status is Status.UNKNOWN else Status.GOOD)


def test_a_crl_for_some_reasons_can_only_say_revoked() -> None:
    some = scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))
    assert of_leaf(revocations(MIDDLE, LEAF, extensions=some)) is Status.REVOKED
    assert of_leaf(revocations(MIDDLE, extensions=some)) is Status.UNKNOWN


def test_a_crl_of_the_place_that_the_certificate_names() -> None:
    points = x509.CRLDistributionPoints([x509.DistributionPoint(PLACE, None, None, None)])
    leaf = MIDDLE.issue(BOB, extensions=[(points, False)])
    assert of_leaf(revocations(MIDDLE, leaf, extensions=scope(full_name=PLACE)), issued=leaf) is Status.REVOKED
    assert of_leaf(revocations(MIDDLE, extensions=scope(full_name=PLACE)), issued=leaf) is Status.GOOD


def test_a_ca_that_may_not_sign_crls() -> None:
    ca = ROOT.under("No lists", ca_usage=usage(digital_signature=True, key_cert_sign=True))
    leaf = ca.issue(BOB)
    found = status_of(leaf.certificate, ca.certificate, crls=[revocations(ca)], ocsp_responses=[], moment=now())
    assert found is Status.UNKNOWN


def test_crls_are_read_in_both_forms() -> None:
    crl = revocations(MIDDLE, LEAF)
    assert read_crl(crl.public_bytes(Encoding.DER)) == read_crl(crl.public_bytes(Encoding.PEM)) == crl
    with pytest.raises(ValueError, match=r"."):
        read_crl(b"none")


RESPONDER = MIDDLE.issue("ocsp", uses=[ExtendedKeyUsageOID.OCSP_SIGNING])
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: ocsp_response(LEAF, MIDDLE), Status.GOOD),
        (lambda: ocsp_response(LEAF, MIDDLE, by_key=True), Status.GOOD),
        (lambda: ocsp_response(LEAF, MIDDLE, responder=RESPONDER), Status.GOOD),
        (lambda: ocsp_response(LEAF, MIDDLE, responder=RESPONDER, by_key=True, status=REVOKED), Status.REVOKED),
        (lambda: ocsp_response(LEAF, MIDDLE, status=REVOKED), Status.REVOKED),
        (lambda: ocsp_response(LEAF, MIDDLE, status=ocsp.OCSPCertStatus.UNKNOWN), Status.UNKNOWN),
        # No evidence
        (lambda: ocsp_response(MIDDLE.issue(BOB), MIDDLE), Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, MIDDLE)[:-1] + b"x", Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, Authority("Middle", ROOT)), Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, MIDDLE, since=now() - 3 * DAY), Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, MIDDLE, since=now() + DAY), Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, MIDDLE, responder=MIDDLE.issue("no responder")), Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, MIDDLE, responder=ROOT.issue(
            "other's", uses=[ExtendedKeyUsageOID.OCSP_SIGNING])), Status.UNKNOWN),
        (lambda: ocsp_response(LEAF, MIDDLE, responder=MIDDLE.issue("old", uses=[ExtendedKeyUsageOID.OCSP_SIGNING],
            since=now() - 3 * DAY, until=now() - DAY)), Status.UNKNOWN),
        (lambda: ocsp.OCSPResponseBuilder.build_unsuccessful(
            ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER), Status.UNKNOWN),
        (lambda: b"none", Status.UNKNOWN),
        (lambda: b"", Status.UNKNOWN),
    ],
)  # fmt: skip
def test_what_ocsp_says(make: Callable[[], bytes], status: Status) -> None:
    assert of_leaf(ocsp_=(make(),)) is status


def test_revoked_wins_over_good() -> None:
    good, bad = ocsp_response(LEAF, MIDDLE), ocsp_response(LEAF, MIDDLE, status=REVOKED)
    assert of_leaf(ocsp_=(good, bad)) is Status.REVOKED
    assert of_leaf(revocations(MIDDLE, LEAF), ocsp_=(good,)) is Status.REVOKED
    assert of_leaf(revocations(MIDDLE), ocsp_=(bad,)) is Status.REVOKED


def test_responses_come_with_the_evidence() -> None:
    known = Known(crls=ALL_GOOD[:1])  # of the CA; the leaf's is shown
    shown = (ocsp_response(LEAF, MIDDLE),)
    assert judge(LEAF, known=known, ocsp_responses=shown, requirements=asking(revocation=True)).proofs


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=12), seed=st.integers(0, 2**16))
def test_an_altered_response_says_nothing_new(data: bytes, seed: int) -> None:
    """It never makes a revoked certificate good, nor a good one revoked."""
    random_ = random.Random(seed)
    for honest, wrong in ((REVOKED, Status.GOOD), (GOOD, Status.REVOKED)):
        response = bytearray(_RESPONSES[honest])
        for byte in data:
            response[random_.randrange(len(response))] ^= byte
        assert of_leaf(ocsp_=(bytes(response),)) is not wrong


_RESPONSES = {status: ocsp_response(LEAF, MIDDLE, status=status) for status in (GOOD, REVOKED)}


# --- Transparency ---

LOG = Log()
LOGS = Known(logs=known_logs([LOG.key.public_key()]))


def test_a_certificate_that_is_logged() -> None:
    wanted = asking(logs=True)
    logged = LOG.issue(MIDDLE, BOB)
    verdict = judge(logged, known=LOGS, requirements=wanted)
    assert verdict.proofs
    assert "It stands in a log of certificates that is known here." in verdict.why
    assert judge(LEAF, known=LOGS, requirements=wanted, ct_proofs=(b"", b"no", LOG.proof(LEAF.certificate))).proofs
    failed(judge(LEAF, known=LOGS, requirements=wanted), "transparency", forged=False)
    failed(judge(logged, requirements=wanted), "transparency", forged=False)  # by a log that is not known


@pytest.mark.parametrize(
    "proof",
    [
        lambda: Log().proof(LEAF.certificate),
        lambda: LOG.proof(MIDDLE.issue(BOB).certificate),
        lambda: LOG.proof(LEAF.certificate, now() + DAY),
        lambda: LOG.proof(LEAF.certificate)[:-1],
        lambda: LOG.proof(LEAF.certificate) + b"x",
        lambda: LOG.proof(LEAF.certificate)[:40],
        lambda: b"\x01" + LOG.proof(LEAF.certificate)[1:],
        lambda: LOG.proof(LEAF.certificate).replace(b"\x04\x03", b"\x05\x03"),
    ],
)
def test_a_proof_that_is_none(proof: Callable[[], bytes]) -> None:
    verdict = judge(LEAF, known=LOGS, requirements=asking(logs=True), ct_proofs=(proof(),))
    failed(verdict, "transparency", forged=False)


def test_another_certificates_timestamp_in_it() -> None:
    stolen = LOG.issue(MIDDLE, "other.example.org").certificate.extensions.get_extension_for_class(
        x509.PrecertificateSignedCertificateTimestamps
    )
    leaf = MIDDLE.issue(BOB, extensions=[(stolen.value, False)])
    failed(judge(leaf, known=LOGS, requirements=asking(logs=True)), "transparency", forged=False)


# --- Policies (RFC 5280 6.1) ---

Made = tuple[Authority, Issued]


def under(*levels: dict, leaf: dict | None = None) -> Issued:
    """A leaf below CAs with these settings."""
    ca = ROOT
    for number, changes in enumerate(levels):
        ca = ca.under(f"CA {number}", **changes)
    return ca.issue(BOB, **(leaf or {}))


def pol(*oids: str, explicit: int | None = None, inhibit: int | None = None) -> dict:
    """The settings of one certificate."""
    more: list = []
    if explicit is not None:
        more.append((x509.PolicyConstraints(explicit, None), True))
    if inhibit is not None:
        more.append((x509.InhibitAnyPolicy(inhibit), True))
    return {"policies": oids, "extensions": more}


NONE: frozenset[str] = frozenset()
MAPPINGS = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), b"0\x00")


@pytest.mark.parametrize(
    ("issued", "valid"),
    [
        (lambda: under(leaf=pol(OID)), {OID}),
        (lambda: under(leaf=pol(OID, OTHER_OID)), {OID, OTHER_OID}),
        (lambda: under(pol(OID), leaf=pol(OID)), {OID}),
        (lambda: under(pol(OID), leaf=pol(OTHER_OID)), NONE),
        (lambda: under(pol(OID), leaf=pol()), NONE),
        (lambda: under(pol(), leaf=pol(OID)), NONE),
        (lambda: under(pol(ANY), leaf=pol(OID)), {OID}),
        (lambda: under(pol(OID), pol(ANY), leaf=pol(OID)), {OID}),
        (lambda: under(pol(OID), pol(ANY), leaf=pol(OTHER_OID)), NONE),
        (lambda: under(pol(ANY), leaf=pol(ANY)), None),
        (lambda: under(pol(OID, ANY), leaf=pol(OTHER_OID)), {OTHER_OID}),
        (lambda: under(pol(OID, inhibit=0), leaf=pol(ANY)), NONE),
        (lambda: under(pol(OID, inhibit=0), leaf=pol(OID)), {OID}),
        (lambda: under(pol(ANY, inhibit=1), pol(ANY), leaf=pol(OID)), {OID}),
        (lambda: under(pol(ANY, inhibit=1), pol(OID), leaf=pol(ANY)), NONE),
        (lambda: under(pol(OID, explicit=0), leaf=pol(OID)), {OID}),
        (lambda: under(pol(explicit=3), leaf=pol()), NONE),
    ],
)
def test_policies_along_a_path(issued: Callable[[], Issued], valid: set[str] | None) -> None:
    made = issued()
    path = find_path(BOB, read_chain(made.chain), [ROOT.certificate], time.time())
    assert valid_policies(path) == valid


@pytest.mark.parametrize(
    "issued",
    [
        lambda: under(pol(explicit=0), leaf=pol()),
        lambda: under(pol(OID, explicit=0), leaf=pol()),
        lambda: under(pol(OID, explicit=1), pol(), leaf=pol(OID)),
        lambda: under(pol(explicit=1), leaf=pol()),
        lambda: under(pol(), leaf=pol(explicit=0)),
        lambda: under(pol(OID, inhibit=0, explicit=0), leaf=pol(ANY)),
        lambda: under({"extensions": [(MAPPINGS, False)]}),
    ],
)  # fmt: skip
def test_a_policy_that_is_asked_for_and_missing(issued: Callable[[], Issued]) -> None:
    failed(judge(issued()), "policies", forged=False)


# --- Government PKI and NATO ---

STATE, NATO = Authority("State Root"), Authority("NATO Root")
ROOTS = [
    PolicyRoot(certificate=STATE.certificate, policies=frozenset({OID})),
    PolicyRoot(certificate=NATO.certificate, policies=frozenset({OID}), nato=True, agreements=frozenset({"SA-2026-1"})),
]


def claim(oid: str = OID, server: str = BOB) -> GovPkiTrustRequest:
    return GovPkiTrustRequest(
        requesting_server=ServerId(server), target_server=ServerId("alice.example.org"), security_clearance="secret",
        pki_hierarchy="State", certificate_policy_oid=oid, sponsor_agency="MoD", facility_security_clearance="secret",
        cross_domain_requirements=(), timestamp=int(time.time()), signature=bytes(64),
    )  # fmt: skip


def record(agreement: str = "SA-2026-1") -> NatoRecord:
    return NatoRecord(
        classification_level="nato_secret", security_agreement=agreement, facility_clearance="x",
        cryptographic_approval="x", tempest_certification="x", comsec_approval="x",
    )  # fmt: skip


def official(root: Authority, *, policies: tuple[str, ...] = (OID,), of_ca: tuple[str, ...] = (OID,)) -> tuple:
    """(evidence's chain, CRLs that say all is well)."""
    ca = root.under("Department", policies=of_ca)
    return ca.issue(BOB, policies=policies), (revocations(root), revocations(ca))


def judge_official(made: tuple, **changes: object) -> Verdict:
    issued, crls = made
    asked = evidence(issued, method="government_pki", **changes)
    return GovernmentPki(ROOTS, Known(crls=crls)).judge(asked, time.time())


@pytest.mark.parametrize("government", [None, claim()])
def test_a_states_chain_is_classified(government: GovPkiTrustRequest | None) -> None:
    verdict = judge_official(official(STATE), government=government)
    assert (verdict.level, verdict.proofs) == ("classified", {"x509_chain", "policy_root"})
    assert verdict.points == {"certificate_chain": 30}
    assert f"Every certificate below the root is under the policy {OID}." in verdict.why


def test_natos_root_with_an_agreement_is_nato() -> None:
    verdict = judge_official(official(NATO), nato=record())
    assert (verdict.level, verdict.proofs) == ("nato", {"x509_chain", "policy_root", "nato_root"})
    for nato in (None, record("another")):
        verdict = judge_official(official(NATO), nato=nato)
        assert (verdict.level, "nato_root" in verdict.proofs) == ("classified", True)
    assert judge_official(official(STATE), nato=record()).level == "classified"


@pytest.mark.parametrize(
    ("made", "changes", "step"),
    [
        (lambda: official(STATE, policies=()), {}, "policies"),
        (lambda: official(STATE, policies=(OTHER_OID,)), {}, "policies"),
        (lambda: official(STATE, policies=(ANY,)), {}, "policies"),  # a leaf that claims all claims nothing
        (lambda: official(STATE, of_ca=()), {}, "policies"),
        (lambda: official(STATE, of_ca=(OTHER_OID,)), {}, "policies"),
        (lambda: official(STATE), {"government": claim(OTHER_OID)}, "policies"),
        (lambda: (official(STATE)[0], ()), {}, "revocation"),
        (lambda: (MIDDLE.issue(BOB, policies=[OID]), ALL_GOOD), {}, "path"),
        (lambda: official(STATE), {"requirements": asking(days=0)}, "age"),
    ],
)
def test_what_a_states_chain_lacks(made: Callable, changes: dict, step: str) -> None:
    failed(judge_official(made(), **changes), step, forged=False)


def test_any_policy_in_a_states_ca() -> None:
    assert judge_official(official(STATE, of_ca=(ANY,))).proofs


def test_a_request_in_anothers_name() -> None:
    verdict = judge_official(official(STATE), government=claim(server="mallory.example.org"))
    assert verdict.refused
    assert not verdict.proofs


def test_a_revoked_official_chain() -> None:
    ca = STATE.under("Department", policies=(OID,))
    leaf = ca.issue(BOB, policies=(OID,))
    verdict = judge_official((leaf, (revocations(STATE), revocations(ca, leaf))))
    failed(verdict, "revocation", forged=True)


def test_levels_of_the_table() -> None:
    """protocol.md, section 9: what each chain comes to, with everything else proven."""
    others = Verdict(validator="x", proofs=frozenset({"key_exchange"}), points={
        "domain": 15, "posture": 15, "compliance": 10, "reliability": 10})  # fmt: skip
    for issued, crls, method, level in (
        (LEAF, ALL_GOOD, "ca_validation", "verified"),
        (*official(STATE), "government_pki", "classified"),
        (*official(NATO), "government_pki", "nato"),
    ):
        asked = evidence(issued, method=method, organisation_checked=True, nato=record())
        known = Known(crls=crls)
        verdicts = [
            X509Chains([ROOT.certificate], known).judge(asked, time.time()),
            GovernmentPki(ROOTS, known).judge(asked, time.time()),
            others,
        ]
        assert assess(asked, verdicts, time.time()).level == level


# --- Mutations ---

_CHAINS = {"plain": LEAF.chain, "official": official(STATE)[0].chain}
_CRLS = ALL_GOOD


@settings(max_examples=150, deadline=None)
@given(
    which=st.sampled_from(["plain", "official"]),
    changes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_a_mutated_chain_never_passes(which: str, changes: list[tuple[int, int, int]]) -> None:
    """Bytes changed anywhere in leaf or CA: refused or nothing proven, and never an exception."""
    chain = [bytearray(one) for one in _CHAINS[which]]
    for place, at, by in changes:
        one = chain[place % len(chain)]
        one[at % len(one)] ^= by
    altered = tuple(bytes(one) for one in chain)
    if altered == _CHAINS[which]:
        return
    asked = evidence(altered)
    for validator in (X509Chains([ROOT.certificate, STATE.certificate], Known()), GovernmentPki(ROOTS, Known())):
        verdict = validator.judge(asked, time.time())
        assert verdict.proofs == frozenset()
        assert verdict.level == "untrusted"


def test_times_are_those_passed_in() -> None:
    verdict = X509Chains([ROOT.certificate], Known()).judge(evidence(LEAF), (now() + 61 * DAY).timestamp())
    failed(verdict, "validity", forged=False, words="expired")


def test_nothing_is_read_from_no_chain() -> None:
    with pytest.raises(ChainError):
        read_chain(())
