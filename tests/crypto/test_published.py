"""The primitives against published cases: RFC 4231, 5869, 6979, 7748, 8032, 8439, the GCM specification, BLAKE3.

Each says that the library behind a name here is the algorithm that the name promises.
"""

import nacl.bindings
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from norc_actors.crypto import hkdf, kem
from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES

h = bytes.fromhex

RFC5869 = [
    (
        "0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42,
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(), 82,
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22, "", "", 42,
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("ikm", "salt", "info", "length", "prk", "okm"), RFC5869)
def test_rfc_5869(ikm, salt, info, length, prk, okm):
    extracted = hkdf.extract(hkdf.hmac_sha256, h(salt), h(ikm))
    assert extracted == h(prk)
    assert hkdf.expand(hkdf.hmac_sha256, extracted, h(info), length) == h(okm)


def test_rfc_4231():
    tag = hkdf.hmac_sha256(b"\x0b" * 20, b"Hi There")
    assert tag == h("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
    tag = hkdf.hmac_sha256(b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First")
    assert tag == h("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")


def test_rfc_7748():
    u = h("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    scalar = h("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    assert kem.x25519(scalar, u) == h("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    k = u = b"\x09" + bytes(31)
    for turn in range(1000):
        k, u = kem.x25519(k, u), k
        if turn == 0:
            assert k == h("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
    assert k == h("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_rfc_8032(seed, public, message, signature):
    assert SigningKey("ed25519", h(seed)).public_key == h(public)
    _, expanded = nacl.bindings.crypto_sign_seed_keypair(h(seed))
    assert nacl.bindings.crypto_sign(h(message), expanded)[:64] == h(signature)


def test_rfc_8439():
    suite = SUITES["0001"]
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = suite.seal(
        bytes(range(0x80, 0xA0)), h("070000004041424344454647"), h("50515253c0c1c2c3c4c5c6c7"), plaintext
    )
    assert sealed == h(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
        "1ae10b594f09e26a7e902ecbd0600691"
    )


def test_aes_256_gcm_case_16():
    sealed = SUITES["0002"].seal(
        h("feffe9928665731c6d6a8f9467308308" * 2),
        h("cafebabefacedbaddecaf888"),
        h("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        h(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
            "b16aedf5aa0de657ba637b39"
        ),
    )
    assert sealed == h(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
        "c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )


def test_blake3():
    assert hkdf.blake3(b"") == h("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")


def test_rfc_6979():
    scalar = h("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
    key = SigningKey("p256", scalar)
    assert key.public_key == h("0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6")
    library = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    r, s = decode_dss_signature(library.sign(b"sample", ec.ECDSA(SHA256(), deterministic_signing=True)))
    assert r == 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    assert s == 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_open_refuses_every_change(suite):
    key, nonce = bytes(32), bytes(12)
    sealed = suite.seal(key, nonce, b"aad", b"plaintext")
    assert suite.open(key, nonce, b"aad", sealed) == b"plaintext"
    flipped = bytes([sealed[0] ^ 1]) + sealed[1:]
    for arguments in (
        (b"\1" + bytes(31), nonce, b"aad", sealed),
        (key, b"\1" + bytes(11), b"aad", sealed),
        (key, nonce, b"aae", sealed),
        (key, nonce, b"aad", flipped),
        (key, nonce, b"aad", sealed[:-1]),
        (key, nonce, b"aad", sealed + b"\0"),
        (key, nonce, b"aad", b""),
    ):
        with pytest.raises(DecryptionFailedError):
            suite.open(*arguments)
