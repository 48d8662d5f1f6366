"""NORC-T signatures: bound to their exchange, their place in it, their pair of servers and their type."""

import pytest

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol import trust_transcript as trust
from norc_actors.protocol.errors import Code, ProtocolError
from tests.support.people import NOW, seeded
from tests.vectors.files import holds, recorded


@recorded("trust", "refused_trust")
def test_recorded(entry):
    assert holds(entry)


ALL = pytest.mark.parametrize("key", [SigningKey.generate(a, seeded(a)) for a in ("ed25519", "p256")], ids=str)


def message(kind, **members):
    return {"type": kind, "request_id": "r", "timestamp": NOW, **members}


@ALL
def test_a_message_holds_at_its_place_alone(key):
    start = trust.Transcript(requesting="a.example", other="b.example")
    first = trust.sign_message(key, message("trust_request"), start)
    then = start.then(first)
    second = trust.sign_message(key, message("trust_challenge"), then)
    trust.verify_message(second, key.public_key, then)
    others = (
        start,
        then.then(second),
        None,
        trust.Transcript(requesting="b.example", other="a.example").then(first),
        start.then({**first, "request_id": "s"}),
        start.then({**first, "signature": bytes(64)}),
    )
    for transcript in others:
        with pytest.raises(BadSignatureError):
            trust.verify_message(second, key.public_key, transcript)
    for changed in ({**second, "type": "trust_response"}, {**second, "x": 1}, {**second, "signature": "text"}):
        with pytest.raises(BadSignatureError):
            trust.verify_message(changed, key.public_key, then)


@ALL
def test_outside_an_exchange(key):
    sent = trust.sign_message(key, message("trust_capabilities"), None)
    trust.verify_message(sent, key.public_key, None)
    body = trust.signed_body(sent, trust.OUTSIDE)
    assert body.startswith(bytes(32))


@ALL
def test_a_crl_signs_itself_alone(key):
    crl = trust.sign_message(key, message("trust_crl", number=3), None)
    trust.verify_message(crl, key.public_key, None)
    assert trust.signed_body(crl, b"anything") == trust.signed_body(crl, trust.OUTSIDE)
    trust.check_crl_number(3, None)
    trust.check_crl_number(3, 3)
    with pytest.raises(ProtocolError) as refused:
        trust.check_crl_number(2, 3)
    assert refused.value.code is Code.BAD_SEQUENCE


@ALL
def test_a_proof_belongs_to_its_exchange(key):
    start = trust.Transcript(requesting="a.example", other="b.example")
    proof = trust.make_proof(key, start, b"c" * 64)
    trust.verify_proof(key.public_key, start, b"c" * 64, proof)
    for transcript, challenge in ((start.then(message("x")), b"c" * 64), (start, b"d" * 64)):
        with pytest.raises(BadSignatureError):
            trust.verify_proof(key.public_key, transcript, challenge, proof)


@ALL
def test_certificates(key):
    unsigned = {"issuer_server": "b.example", "subject_server": "a.example", "not_before": NOW, "not_after": NOW + 9}
    certificate = trust.sign_certificate(key, unsigned)

    def check(certificate=certificate, issuer="b.example", now=NOW):
        trust.verify_certificate(certificate, key.public_key, issuer=issuer, now=now)

    check()
    for changes in (
        {"certificate": {**certificate, "trust_level": "nato"}},
        {"issuer": "c.example"},
        {"certificate": {name: value for name, value in certificate.items() if name != "signature"}},
    ):
        with pytest.raises(BadSignatureError):
            check(**changes)
    for now in (NOW - 1, NOW + 9):
        with pytest.raises(ProtocolError) as refused:
            check(now=now)
        assert refused.value.code is Code.TRUST_EXPIRED
    with pytest.raises(ProtocolError):
        check(trust.sign_certificate(key, {**unsigned, "not_after": "never"}))


@ALL
def test_revocations_follow_one_another(key):
    first = trust.sign_message(key, message("trust_revoke"), None)
    trust.check_revocation_chain(first, None, key.public_key)
    named = trust.revocation_hash(key.public_key, first)
    second = trust.sign_message(key, message("trust_revoke", prev_revocation_hash=named), None)
    trust.check_revocation_chain(second, first, key.public_key)
    for revocation, previous in (
        (first, second), (second, None), (second, second), (message("trust_revoke", prev_revocation_hash="x"), first),
    ):  # fmt: skip
        with pytest.raises(ProtocolError) as refused:
            trust.check_revocation_chain(revocation, previous, key.public_key)
        assert refused.value.code is Code.BAD_SEQUENCE


def test_labels():
    assert trust.label_of("trust_revoke") == "trust-revoke:v1"
    assert trust.label_of("gov_pki_trust_request") == "trust-gov-pki-trust-request:v1"
    assert trust.label_of("crl_request") == "trust-crl-request:v1"
