"""What a validator may say, and the direct exchange (rows B134, B136, B137)."""

import dataclasses

import pytest

from norc_actors.ids import ServerId
from norc_actors.limits import DOMAIN_PROOF_SECONDS
from norc_actors.trust.validators import (
    DIRECT,
    METHODS,
    WEIGHTS,
    DirectExchange,
    DomainAnswer,
    Evidence,
    Validator,
    Verdict,
)
from tests.support.people import NOW

KEY, OTHER = b"k" * 32, b"p" * 33
EVIDENCE = Evidence(
    server=ServerId("b.example"), requested="basic", method="direct_exchange", server_key=KEY,
    proven_keys=frozenset({KEY}),
)  # fmt: skip


def answer(**changes):
    return dataclasses.replace(DomainAnswer(expected="x", found=("x",), looked_up_at=NOW), **changes)


def test_weights_make_a_hundred():
    assert sum(WEIGHTS.values()) == 100


@pytest.mark.parametrize("points", [-1, 31])
def test_a_verdict_gives_no_more_than_the_weight(points):
    with pytest.raises(ValueError, match="certificate_chain"):
        Verdict(validator="x", points={"certificate_chain": points})


def test_who_holds_its_keys_is_basic():
    validator: Validator = DirectExchange()
    verdict = validator.judge(EVIDENCE, NOW)
    assert (verdict.level, verdict.proofs, verdict.points) == ("basic", {"key_exchange"}, {})
    assert validator.highest == METHODS["direct_exchange"].highest == "basic"
    assert validator.name == verdict.validator == METHODS["direct_exchange"].validator == DIRECT


@pytest.mark.parametrize(
    "changes", [{"proven_keys": frozenset()}, {"keys": (OTHER,)}, {"proven_keys": frozenset({OTHER})}]
)
def test_a_key_that_did_not_sign_ends_it(changes):
    verdict = DirectExchange().judge(dataclasses.replace(EVIDENCE, **changes), NOW)
    assert verdict.refused
    assert (verdict.level, verdict.proofs) == ("untrusted", frozenset())


@pytest.mark.parametrize(
    ("domain", "holds", "words"),
    [
        (answer(), True, "into the DNS"),
        (answer(found=("y", "x")), True, "into the DNS"),
        (answer(looked_up_at=NOW - DOMAIN_PROOF_SECONDS), True, "into the DNS"),
        (answer(looked_up_at=NOW - DOMAIN_PROOF_SECONDS - 1), False, "older than a day"),
        (answer(found=()), False, "does not have"),
        (answer(found=("y",)), False, "does not have"),
        (answer(found=(), trouble="no answer within 5 s"), False, "no answer within 5 s"),
        (None, False, "was asked for"),
    ],
)
def test_a_domain_is_proven_by_its_dns(domain, holds, words):
    verdict = DirectExchange().judge(dataclasses.replace(EVIDENCE, domain=domain), NOW)
    assert ("domain" in verdict.proofs) is holds
    assert verdict.points.get("domain", 0) == (15 if holds else 0)
    assert words in verdict.why[-1]
