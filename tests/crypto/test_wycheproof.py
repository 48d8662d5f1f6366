"""The edge cases of Wycheproof, a few of each kind: what must be accepted is, what must be refused is.

Where our rules are narrower than theirs (low s, contributory X25519), that is said at the place.
"""

# ruff: noqa: SLF001 - their signatures are over bare messages, which nothing of ours signs

import hashlib
import json
from pathlib import Path

import nacl.bindings
import nacl.exceptions
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from norc_actors.crypto import hkdf, kem, signatures
from norc_actors.crypto.errors import BadKeyError, BadSignatureError, DecryptionFailedError
from norc_actors.crypto.suites import SUITES
from tools import mlkem_reference as reference

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "wycheproof.json").read_text())
N = signatures._N
h = bytes.fromhex


def each(topic):
    return pytest.mark.parametrize("case", CASES[topic], ids=lambda case: f"{case['tcId']}-{case['result']}")


@each("x25519")
def test_x25519(case):
    """Low-order points give all zeroes, which section 1 refuses; all else is computed, twists included."""
    if h(case["shared"]) == bytes(32):
        with pytest.raises(BadKeyError):
            kem.x25519(h(case["private"]), h(case["public"]))
    else:
        assert kem.x25519(h(case["private"]), h(case["public"])) == h(case["shared"])


@each("ed25519")
def test_ed25519(case):
    """Through the library call that `verify` makes."""
    signed = h(case["sig"]) + h(case["msg"])
    if case["result"] == "valid":
        assert nacl.bindings.crypto_sign_open(signed, h(case["pk"])) == h(case["msg"])
    elif len(h(case["sig"])) == signatures.SIGNATURE_BYTES:  # others `verify` refuses by their length
        with pytest.raises(nacl.exceptions.CryptoError):
            nacl.bindings.crypto_sign_open(signed, h(case["pk"]))


@each("ecdsa_p256")
def test_ecdsa_p256(case):
    """The high half of valid signatures is refused too: it is a second spelling."""
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), h(case["pk"]))
    key, signature = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint), h(case["sig"])
    low = int.from_bytes(signature[32:], "big") <= N // 2
    if case["result"] == "valid" and low:
        signatures._verify_p256(key, "wycheproof", h(case["msg"]), signature)
        return
    if len(signature) == signatures.SIGNATURE_BYTES:  # others `verify` refuses by their length
        with pytest.raises(BadSignatureError):
            signatures._verify_p256(key, "wycheproof", h(case["msg"]), signature)


@pytest.mark.parametrize(("topic", "suite"), [("aes_256_gcm", "0002"), ("chacha20_poly1305", "0001")])
def test_aead(topic, suite):
    for case in CASES[topic]:
        sealed, arguments = h(case["ct"]) + h(case["tag"]), (h(case["key"]), h(case["iv"]), h(case["aad"]))
        if case["result"] == "valid":
            assert SUITES[suite].seal(*arguments, h(case["msg"])) == sealed
            assert SUITES[suite].open(*arguments, sealed) == h(case["msg"])
        else:
            with pytest.raises(DecryptionFailedError):
                SUITES[suite].open(*arguments, sealed)


@each("hkdf_sha256")
def test_hkdf(case):
    prk = hkdf.extract(hkdf.hmac_sha256, h(case["salt"]), h(case["ikm"]))
    if case["result"] == "valid":
        assert hkdf.expand(hkdf.hmac_sha256, prk, h(case["info"]), case["size"]) == h(case["okm"])
    else:
        with pytest.raises(ValueError, match="8160"):
            hkdf.expand(hkdf.hmac_sha256, prk, h(case["info"]), case["size"])


@each("mlkem_768")
def test_mlkem_decapsulation(case):
    """Implicit rejections among the valid ones; wrong lengths are refused."""
    if case["result"] == "valid":
        assert kem.decapsulate(h(case["seed"]), h(case["c"])) == h(case["K"])
    else:
        with pytest.raises(BadKeyError):
            kem.decapsulate(h(case["seed"]), h(case["c"]))


@each("mlkem_768_encaps")
def test_mlkem_encapsulation(case):
    """The fixed randomness goes through the reference; keys out of range are refused by the provider."""
    if case["result"] == "valid":
        assert reference.encapsulate(h(case["ek"]), h(case["m"])) == (h(case["c"]), h(case["K"]))
        kem.encapsulate(h(case["ek"]))
    else:
        with pytest.raises(BadKeyError):
            kem.encapsulate(h(case["ek"]))


@each("mlkem_768_keygen")
def test_mlkem_keys(case):
    assert hashlib.sha256(kem.mlkem_public(h(case["seed"]))).hexdigest() == case["ek_sha256"]
