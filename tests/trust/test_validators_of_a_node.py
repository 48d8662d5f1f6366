"""What a node's configuration makes of `[federation.trust]`: which roots its validators know (rows B136, B152)."""

import secrets
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from norc_actors.config import load
from norc_actors.devpki import make_dev
from norc_actors.ids import ServerId
from norc_actors.trust.validators import Evidence
from norc_actors.trust_parts import trust_parts
from tests.support import pki

KEY = bytes(32)


def validators(folder: Path, extra: str):
    text = f'[federation]\nlisten = "127.0.0.1:1"\nca = "ca.pem"\n[federation.trust]\n{extra}\n'
    files = make_dev(
        folder,
        ServerId("a.example"),
        random=secrets.token_bytes,
        clock=lambda: pki.now().timestamp(),
        listen="127.0.0.1:0",
        extra=text,
    )
    parts = trust_parts(load(files.config, {}), KEY, clock=lambda: pki.now().timestamp(), random=secrets.token_bytes)
    return files, {one.name: one for one in parts.validators}


def test_without_roots_it_is_the_direct_exchange_alone(tmp_path):
    _, found = validators(tmp_path, "")
    assert list(found) == ["direct exchange"]


def test_a_chain_is_judged_by_the_roots_that_the_operator_names(tmp_path):
    _, found = validators(tmp_path, 'roots = "ca.pem"\nnato_roots = "ca.pem"\npolicy_oids = ["1.2.3"]')
    assert len(found) == 3
    leaf = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes()).public_bytes(Encoding.DER)
    evidence = Evidence(
        server=ServerId("a.example"), requested="verified", method="ca_validation", server_key=KEY, chain=(leaf,)
    )
    verdict = found["X.509 chain"].judge(evidence, pki.now().timestamp())
    assert (verdict.level, verdict.proofs) == ("verified", {"x509_chain"}), verdict.why
    verdict = found["government PKI"].judge(evidence, pki.now().timestamp())
    assert (verdict.level, verdict.proofs) == ("untrusted", frozenset()), "it is under no policy of the list"


def test_a_file_without_lists_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no X509 CRL"):
        validators(tmp_path, 'crls = "ca.pem"')
