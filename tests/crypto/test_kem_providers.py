"""ML-KEM-768: published answers, both providers, the plain reference that makes fixed ciphertexts."""

import ctypes
import ctypes.util
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from norc_actors.crypto import kem
from norc_actors.crypto.errors import BadKeyError
from norc_actors.crypto.kem_providers import CryptographyKem, check_coefficients, find_liboqs
from tests.support.people import seeded
from tools import mlkem_reference as reference

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "mlkem768.json").read_text())
CASES = VECTORS["cases"]
h = bytes.fromhex


LIBOQS = find_liboqs()
OTHERS = pytest.mark.skipif(LIBOQS is None, reason="liboqs is not installed on this machine")
EACH = pytest.mark.parametrize(
    "provider", [CryptographyKem(), pytest.param(LIBOQS, marks=OTHERS)], ids=["cryptography", "liboqs"]
)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_reference_gives_the_published_answers(case):
    public_key, private_key = reference.keygen(h(case["d"]), h(case["z"]))
    assert hashlib.sha256(public_key).hexdigest() == case["pk_sha256"]
    assert hashlib.sha256(private_key).hexdigest() == case["sk_sha256"]
    assert reference.encapsulate(public_key, h(case["m"])) == (h(case["ct"]), h(case["ss"]))
    assert reference.decapsulate(private_key, h(case["ct"])) == h(case["ss"])
    assert reference.decapsulate(private_key, h(case["ct_n"])) == h(case["ss_n"])


@EACH
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_provider_gives_the_published_answers(provider, case):
    seed = h(case["d"]) + h(case["z"])
    assert hashlib.sha256(kem.mlkem_public(seed, provider)).hexdigest() == case["pk_sha256"]
    assert kem.decapsulate(seed, h(case["ct"]), provider) == h(case["ss"])
    assert kem.decapsulate(seed, h(case["ct_n"]), provider) == h(case["ss_n"])  # implicit rejection


@EACH
@pytest.mark.parametrize("case", CASES[:4], ids=range(4))
def test_the_provider_encapsulates_as_published(provider, case):
    """The libraries draw `m` themselves. The reference, which gives the published ciphertexts for theirs, finds it and
    encapsulates with it again: unless that is the same ciphertext to the last bit, its secret is the rejection's."""
    public_key, private_key = reference.keygen(h(case["d"]), h(case["z"]))
    ciphertext, secret = kem.encapsulate(public_key, provider)
    assert reference.decapsulate(private_key, ciphertext) == secret
    assert kem.decapsulate(h(case["d"]) + h(case["z"]), ciphertext, provider) == secret


@OTHERS
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_liboqs_gives_the_published_ciphertexts(case):
    """It has a function that is given `m`, which the product does not use."""
    library = ctypes.CDLL(ctypes.util.find_library("oqs"))
    public_key = kem.mlkem_public(h(case["d"]) + h(case["z"]), LIBOQS)
    ciphertext, secret = ctypes.create_string_buffer(1088), ctypes.create_string_buffer(32)
    assert library.OQS_KEM_ml_kem_768_encaps_derand(ciphertext, secret, public_key, h(case["m"])) == 0
    assert (ciphertext.raw, secret.raw) == (h(case["ct"]), h(case["ss"]))


@OTHERS
def test_the_providers_open_what_the_other_encapsulates():
    ours = CryptographyKem()
    for number in range(20):
        seed = seeded(("both", number))(64)
        public_key = kem.mlkem_public(seed, ours)
        assert kem.mlkem_public(seed, LIBOQS) == public_key
        for one, other in ((ours, LIBOQS), (LIBOQS, ours)):
            ciphertext, secret = kem.encapsulate(public_key, one)
            assert kem.decapsulate(seed, ciphertext, other) == secret


@EACH
def test_foreign_ciphertexts(provider):
    """Whatever bit is another: the secret of the implicit rejection, as FIPS 203 has it."""
    seed = seeded("mlkem")(64)
    ciphertext, _ = reference.encapsulate(kem.mlkem_public(seed, provider), b"r" * 32)
    for bit in range(0, len(ciphertext) * 8, 1237):
        changed = bytearray(ciphertext)
        changed[bit // 8] ^= 1 << bit % 8
        rejected = kem.decapsulate(seed, bytes(changed), provider)
        assert rejected == hashlib.shake_256(seed[32:] + changed).digest(32)


@EACH
def test_keys_out_of_range(provider):
    """Every coefficient is looked at: 3329 and 4095 at each place, even and odd."""
    public_key = kem.mlkem_public(bytes(64), provider)
    for place in range(0, 768, 7):
        for value in (3329, 4095):
            coefficients = int.from_bytes(public_key[:1152], "little")
            coefficients ^= ((coefficients >> 12 * place & 0xFFF) ^ value) << 12 * place
            with pytest.raises(BadKeyError):
                kem.encapsulate(coefficients.to_bytes(1152, "little") + public_key[1152:], provider)


@EACH
def test_wrong_lengths(provider):
    public_key = kem.mlkem_public(bytes(64), provider)
    for bad in (b"", public_key[:-1], public_key + b"\0"):
        with pytest.raises(BadKeyError):
            kem.encapsulate(bad, provider)
    for seed, ciphertext in ((63, 1088), (65, 1088), (0, 1088), (64, 1087), (64, 1089), (64, 0), (2400, 1088)):
        with pytest.raises(BadKeyError):
            kem.decapsulate(bytes(seed), bytes(ciphertext), provider)
    for seed in (0, 32, 63, 65):
        with pytest.raises(BadKeyError):
            kem.mlkem_public(bytes(seed), provider)


def test_the_coefficients_of_a_key():
    public_key = kem.mlkem_public(bytes(64))
    check_coefficients(public_key)
    check_coefficients(b"\x00\x0d" + bytes(1182))  # 3328, the last that is in range
    for bad in (b"\xff\xff" + public_key[2:], b"\x01\x0d" + public_key[2:], public_key[:1150] + b"\x10\xd0"):
        with pytest.raises(ValueError, match="out of range"):
            check_coefficients(bad)


@pytest.mark.parametrize("found", [None, "no-such-library.so", ctypes.util.find_library("c")])
def test_no_liboqs(monkeypatch, found):
    """None; one that cannot be loaded; one that has no such functions."""
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: found)
    assert find_liboqs() is None


def test_the_python_package_of_liboqs_is_never_imported():
    """Without the library it would fetch and build one."""
    code = (
        "import sys; from norc_actors.crypto.kem_providers import find_liboqs; find_liboqs(); "
        "assert 'oqs' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class OfAnotherSeed(CryptographyKem):
    """Its own keys are right; what it opens, it opens with those of another seed."""

    def decapsulate(self, seed, ciphertext):
        return super().decapsulate(seed[::-1], ciphertext)


class WithAnotherKey(CryptographyKem):
    def public_key(self, seed):
        return super().public_key(seed[::-1])


class WithoutRejection(CryptographyKem):
    """A foreign ciphertext gives it something else than FIPS 203 says."""

    def decapsulate(self, seed, ciphertext):
        return super().decapsulate(seed[:32] + b"z" * 32, ciphertext)


@EACH
def test_providers_agree_or_not(provider):
    seed = seeded("agree")(64)
    assert kem.agree(provider, CryptographyKem(), seed)
    for wrong in (OfAnotherSeed(), WithAnotherKey(), WithoutRejection()):
        assert not kem.agree(provider, wrong, seed)
        assert not kem.agree(wrong, provider, seed)
