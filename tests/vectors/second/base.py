"""What all sections share: fixed randomness, signing keys, maps in their forms."""

import hashlib
import json
import struct
from typing import Any

import msgpack
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vectors import independent as one
from tools import mlkem_reference

SUITES = ("0101", "0102", "0001", "0002")
FIPS = ("0102", "0002")
NOW = 1_790_000_000
A, B, T = "a.example", "b.example", "t.example"
ALICE, BOB, CAROL = f"alice@{A}", f"bob@{B}", f"carol@{B}"
Entry = dict[str, Any]


def drawn(name: str, length: int = 32) -> bytes:
    """The bytes of a name."""
    return hashlib.shake_256(b"second/" + name.encode()).digest(length)


def uuid(name: str) -> str:
    """The version 4 UUID of a name."""
    raw = bytearray(drawn(f"uuid {name}", 16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def algorithm(suite: str) -> str:
    """The identity algorithm of a suite."""
    return "p256" if suite in FIPS else "ed25519"


class Key:
    """A signing key of a name: `Sign(sk, label, body)`, Ed25519 or ECDSA with RFC 6979 and the lower s."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.seed = drawn(f"key {kind} {name}")
        if kind == "ed25519":
            self._key: Any = Ed25519PrivateKey.from_private_bytes(self.seed)
            self.public = self._key.public_key().public_bytes_raw()
        else:
            self._key = ec.derive_private_key(int.from_bytes(self.seed, "big"), ec.SECP256R1())
            self.public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, label: str, body: bytes) -> bytes:
        """64 bytes."""
        data = b"norc:" + label.encode() + b"\0" + body
        if self.kind == "ed25519":
            return self._key.sign(data)
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + min(s, one.N - s).to_bytes(32, "big")

    def signed(self, label: str, plain: dict[str, Any]) -> dict[str, Any]:
        """A map with its signature over canonical(map less signature)."""
        return {**plain, "signature": self.sign(label, one.canonical(plain, ("signature",)))}

    @property
    def hash(self) -> Any:
        """The hash that runs under this key."""
        return one.key_hash(self.public)


def pack(plain: dict[str, Any]) -> bytes:
    """MessagePack bytes of a map."""
    return msgpack.packb(plain, use_bin_type=True)


def m(plain: dict[str, Any]) -> dict[str, str]:
    """A map in its forms."""
    form = one.canonical(plain)
    return {"msgpack": pack(plain).hex(), "canonical": form.decode(), "json": form.decode()}


def without(plain: dict[str, Any], *names: str) -> dict[str, Any]:
    """The map less these members."""
    return {name: value for name, value in plain.items() if name not in names}


def hexed(entry: Entry) -> Entry:
    """Bytes as hex, maps as they are."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in entry.items()}


def flip(data: bytes, bit: int = 0) -> bytes:
    """One bit changed."""
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def uv(number: int, width: int) -> bytes:
    """A big-endian integer."""
    return number.to_bytes(width, "big")


class Kem:
    """ML-KEM-768 with its randomness fixed; what was drawn stands in the section `kem`."""

    def __init__(self) -> None:
        self.section: dict[str, Entry] = {}

    def seed(self, name: str) -> bytes:
        """A private key."""
        return drawn(f"kem seed {name}", 64)

    def public(self, name: str) -> bytes:
        """Its public key."""
        seed = self.seed(name)
        return mlkem_reference.keygen(seed[:32], seed[32:])[0]

    def encapsulate(self, name: str, public_key: bytes | None = None) -> tuple[bytes, bytes]:
        """(ciphertext, secret), recorded under the name."""
        ciphertext, secret = mlkem_reference.encapsulate(public_key or self.public(name), drawn(f"kem m {name}"))
        self.section[name] = hexed({"seed": self.seed(name), "ciphertext": ciphertext, "secret": secret})
        return ciphertext, secret


def traffic(suite: str, ms: bytes) -> dict[str, bytes]:
    """k_c2s, k_s2c, rs of a master secret."""
    labels = {"k_c2s": b"c2s", "k_s2c": b"s2c", "rs": b"rekey"}
    return {name: one.hkdf(suite, ms, b"", b"norc:tk:" + label + b":v1") for name, label in labels.items()}


def code(suite: str) -> bytes:
    """`suite:u16`."""
    return struct.pack(">H", int(suite, 16))


def dumps(sections: dict[str, Any]) -> str:
    """The file."""
    return json.dumps(sections, indent=1) + "\n"
