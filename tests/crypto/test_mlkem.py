"""ML-KEM-768: published answers, both providers, the plain reference that makes fixed ciphertexts."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from norc_actors.crypto import kem, kem_providers
from norc_actors.crypto.errors import BadKeyError
from norc_actors.crypto.kem_providers import CryptographyKem, LiboqsKem, check_coefficients, find_liboqs
from tests.support.people import seeded
from tools import mlkem_reference as reference

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "mlkem768.json").read_text())
CASES = VECTORS["cases"]
h = bytes.fromhex


class FakeKeyEncapsulation:
    """liboqs's Python interface over the plain reference."""

    def __init__(self, name):
        assert name == "ML-KEM-768"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def generate_keypair_seed(self, seed):
        public_key, self.secret_key = reference.keygen(seed[:32], seed[32:])
        return public_key

    def encap_secret(self, public_key):
        return reference.encapsulate(public_key, b"m" * 32)

    def decap_secret(self, ciphertext):
        return reference.decapsulate(self.secret_key, ciphertext)


PROVIDERS = [CryptographyKem(), LiboqsKem(FakeKeyEncapsulation)]
if (real := find_liboqs()) is not None:
    PROVIDERS.append(real)
EACH = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)


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
def test_encapsulations_open_elsewhere(provider):
    """What a provider encapsulates, the reference opens; and the other way round."""
    seed = seeded("mlkem")(64)
    public_key, private_key = reference.keygen(seed[:32], seed[32:])
    ciphertext, secret = kem.encapsulate(public_key, provider)
    assert reference.decapsulate(private_key, ciphertext) == secret
    ciphertext, secret = reference.encapsulate(public_key, b"r" * 32)
    assert kem.decapsulate(seed, ciphertext, provider) == secret
    for bit in range(0, len(ciphertext) * 8, 1237):
        changed = bytearray(ciphertext)
        changed[bit // 8] ^= 1 << bit % 8
        rejected = kem.decapsulate(seed, bytes(changed), provider)
        assert rejected == hashlib.shake_256(seed[32:] + changed).digest(32)


@EACH
def test_keys_out_of_range(provider):
    public_key = kem.mlkem_public(bytes(64))
    for changed in (b"\xff\xff" + public_key[2:], b"\x01\x0d" + public_key[2:], public_key[:1150] + b"\x10\xd0"):
        broken = changed + public_key[len(changed) :]
        with pytest.raises(BadKeyError):
            kem.encapsulate(broken, provider)
    with pytest.raises(BadKeyError):
        kem.encapsulate(public_key[:-1], provider)
    with pytest.raises(BadKeyError):
        kem.decapsulate(bytes(63), bytes(1088), provider)
    with pytest.raises(BadKeyError):
        kem.decapsulate(bytes(64), bytes(1087), provider)
    check_coefficients(public_key)
    check_coefficients(b"\x00\x0d" + bytes(1182))  # 3328, the last that is in range


def test_the_package_is_imported_only_with_its_library(monkeypatch):
    """Without the C library the package would go and build one."""
    asked = []
    monkeypatch.setattr(kem_providers.importlib, "import_module", lambda name: asked.append(name))
    monkeypatch.setattr(kem_providers.ctypes.util, "find_library", lambda name: None)
    assert find_liboqs() is None
    assert asked == []


def test_the_library_without_its_package(monkeypatch):
    monkeypatch.setattr(kem_providers.ctypes.util, "find_library", lambda name: "liboqs.so.9")
    monkeypatch.setitem(sys.modules, "oqs", None)
    assert find_liboqs() is None
    monkeypatch.setitem(sys.modules, "oqs", SimpleNamespace(KeyEncapsulation=FakeKeyEncapsulation))
    found = find_liboqs()
    assert found is not None
    assert found.name == "liboqs"
    assert found.public_key(bytes(64)) == kem.mlkem_public(bytes(64))
