"""The handshake's keys and the sealed frames of a client (connection.md), without a socket."""

import os
import struct
import uuid
from dataclasses import dataclass

from .forms import ZERO_HASH, Map, RefusedError, aad_v1, canonical, data, lv, pack, text, u16, u64, unpack
from .primitives import SUITES, Agreement, Suite, best, verify

CODES = {
    "connection_request": 0x00, "connection_accepted": 0x01, "device_register": 0x02, "auth_request": 0x03,
    "auth_response": 0x04, "device_revoke": 0x05, "registration_challenge": 0x06, "registration_response": 0x07,
    "registration_success": 0x08, "ping": 0x09, "pong": 0x0A, "error": 0x0F, "message_send": 0x10, "message_ack": 0x11,
    "message_received": 0x12, "key_request": 0x30, "key_response": 0x31, "session_key_exchange": 0x32,
    "session_rekey": 0x34, "prekey_upload": 0x35, "prekey_status": 0x36, "conversation_create": 0x50,
    "conversation_state": 0x53, "conversation_update": 0x54,
}  # fmt: skip
REKEY = CODES["session_rekey"]
FRAMES_PER_KEY = 1000

_V1 = struct.Struct(">BI")
_V2 = struct.Struct(">BBI16sQ32s")


def v1_frame(message: Map, code: int | None = None) -> bytes:
    """A v1 frame of a message."""
    payload = pack(message)
    return _V1.pack(CODES[text(message, "type")] if code is None else code, len(payload)) + payload


def read_v1(frame: bytes) -> Map:
    """The message of a v1 frame."""
    code, length = _V1.unpack_from(frame)
    message = unpack(frame[_V1.size :])
    if len(frame) != _V1.size + length or CODES.get(text(message, "type")) != code:
        raise RefusedError("a v1 frame whose header is wrong")
    return message


@dataclass(frozen=True)
class Header:
    """Of a v2 frame."""

    type: int
    message_id: bytes
    sequence: int
    prev: bytes


class Direction:
    """One direction: key, what comes next, and how many frames were under the key."""

    def __init__(self, suite: Suite, key: bytes) -> None:
        self.suite = suite
        self.key = key
        self.sequence: int | None = None
        self.prev = ZERO_HASH
        self.count = 0

    def moved_on(self, ciphertext: bytes) -> None:
        """A frame with the expected sequence was sent, or came."""
        assert self.sequence is not None
        self.sequence += 1
        self.prev = self.suite.hash(ciphertext)
        self.count += 1

    def renew(self, key: bytes) -> None:
        self.key, self.count = key, 0

    def update(self) -> None:
        self.renew(self.suite.hkdf(self.key, b"", b"norc:tk:update:v1"))


class Sealed:
    """The sealed session of a client; `suite`, `th` and `keys` (c2s, s2c, rs) come from the handshake."""

    def __init__(self, suite: Suite, th: bytes, keys: tuple[bytes, bytes, bytes]) -> None:
        self.suite = suite
        self.th = th
        self.out, self.into = Direction(suite, keys[0]), Direction(suite, keys[1])
        self.rs = keys[2]
        self.out.sequence = int.from_bytes(os.urandom(3), "big")
        self._asked: tuple[Agreement, Map] | None = None
        self._failures = 0
        self.agreements = 0

    # --- sending ---

    def frame(self, code: int, plaintext: bytes, *, sequence: int | None = None, prev: bytes | None = None) -> bytes:
        """A sealed frame as the next one would be, or with another sequence or predecessor; nothing moves on."""
        out = self.out
        assert out.sequence is not None
        sequence = out.sequence if sequence is None else sequence
        prev = out.prev if prev is None else prev
        message_id, length = uuid.uuid4().bytes, len(plaintext) + 16
        aad = aad_v1(code, sequence, message_id, length, prev, self.th)
        ciphertext = self.suite.seal(out.key, bytes(4) + u64(sequence), aad, plaintext)
        return _V2.pack(2, code, length, message_id, sequence, prev) + ciphertext

    def seal(self, message: Map, code: int | None = None) -> list[bytes]:
        """The frames of a message: the key is renewed before it where this would be the 1000th under it."""
        frames = self.update() if self.out.count == FRAMES_PER_KEY - 1 else []
        return [*frames, self._seal(CODES[text(message, "type")] if code is None else code, pack(message))]

    def _seal(self, code: int, plaintext: bytes) -> bytes:
        frame = self.frame(code, plaintext)
        self.out.moved_on(frame[_V2.size :])
        return frame

    def update(self) -> list[bytes]:
        """Renew the sending key now."""
        frame = self._seal(REKEY, pack({"type": "session_rekey", "mode": "update"}))
        self.out.update()
        return [frame]

    def ask_dh(self) -> list[bytes]:
        """Ask for a new agreement."""
        agreement = Agreement(hybrid=self.suite.hybrid)
        request: Map = {"type": "session_rekey", "mode": "dh", "ephemeral_public_key": agreement.public}
        if agreement.mlkem_public is not None:
            request["pq_public_key"] = agreement.mlkem_public
        self._asked = agreement, request
        return self.seal(request)

    # --- receiving ---

    def open(self, frame: bytes) -> tuple[Map | None, list[bytes]]:
        """(the message, frames to send at once); the message is None for a re-key and for what is discarded."""
        header, ciphertext = self._header(frame)
        into = self.into
        if into.sequence is None and header.sequence < 2**24:
            into.sequence = header.sequence
        if header.sequence != into.sequence:
            return self._failed()
        if into.count >= FRAMES_PER_KEY:
            raise RefusedError("a 1001st frame under one key")
        expected = into.prev
        into.moved_on(ciphertext)
        if header.prev != expected:
            return self._failed()
        aad = aad_v1(header.type, header.sequence, header.message_id, len(ciphertext), header.prev, self.th)
        try:
            plaintext = self.suite.open(into.key, bytes(4) + u64(header.sequence), aad, ciphertext)
        except RefusedError:
            return self._failed()
        self._failures = 0
        message = unpack(plaintext)
        if CODES.get(text(message, "type")) != header.type:
            raise RefusedError("another type than the header's")
        return (None, self._rekeyed(message)) if header.type == REKEY else (message, [])

    def _header(self, frame: bytes) -> tuple[Header, bytes]:
        version, code, length, message_id, sequence, prev = _V2.unpack_from(frame)
        if version != 2 or len(frame) != _V2.size + length:
            raise RefusedError("no v2 frame")
        return Header(code, message_id, sequence, prev), frame[_V2.size :]

    def _failed(self) -> tuple[None, list[bytes]]:
        self._failures += 1
        if self._failures == 3:
            raise RefusedError("three frames in a row that fail")
        return None, []

    def _rekeyed(self, rekey: Map) -> list[bytes]:
        if rekey["mode"] == "update":
            self.into.update()
            return []
        if rekey["mode"] != "dh" or self._asked is None:
            raise RefusedError("a re-key that is not due")
        (agreement, request), self._asked = self._asked, None
        ikm = agreement.shared(data(rekey, "ephemeral_public_key", 32))
        if self.suite.hybrid:
            ikm += agreement.decapsulated(data(rekey, "pq_ciphertext", 1088))
        th = self.suite.hash(b"norc-c-rekey-v1" + self.th + lv(canonical(request)) + lv(canonical(rekey)))
        c2s, s2c, rs = traffic_keys(self.suite, self.suite.hkdf(ikm, self.rs, b"norc:ms:rekey:v1" + th))
        self.into.renew(s2c)
        done = self._seal(REKEY, pack({"type": "session_rekey", "mode": "dh_done"}))
        self.out.renew(c2s)
        self.rs = rs
        self.agreements += 1
        return [done]


def traffic_keys(suite: Suite, master_secret: bytes) -> tuple[bytes, bytes, bytes]:
    """k_c2s, k_s2c, rs."""
    c2s = suite.hkdf(master_secret, b"", b"norc:tk:c2s:v1")
    s2c = suite.hkdf(master_secret, b"", b"norc:tk:s2c:v1")
    return c2s, s2c, suite.hkdf(master_secret, b"", b"norc:tk:rekey:v1")


class Handshake:
    """The client's end: `request` is what it offers, `accept` judges the answer."""

    def __init__(self, server_name: str, subprotocol: str, suites: list[str]) -> None:
        self._agreement = Agreement(hybrid=any(SUITES[name].hybrid for name in suites))
        self._suites = suites
        self.request: Map = {
            "type": "connection_request",
            "client_versions": ["2.0"],
            "preferred_version": "2.0",
            "uri_version": "2.0",
            "subprotocol": subprotocol,
            "server_name": server_name,
            "capabilities": ["messaging"],
            "cipher_suites": [*suites],
            "client_nonce": os.urandom(12),
            "ephemeral_public_key": self._agreement.public,
            "max_frame": 1024 * 1024,
        }
        if self._agreement.mlkem_public is not None:
            self.request["pq_public_key"] = self._agreement.mlkem_public

    def accept(self, accepted: Map, known_key: bytes | None, key_hashes: list[bytes]) -> Sealed:
        """The sealed session, if the answer is the server's and takes nothing away."""
        if (accepted["negotiated_version"], accepted["compatibility_mode"]) != ("2.0", False):
            raise RefusedError("another version than both lists give")
        suite = best(self._suites, [name for name in accepted["server_cipher_suites"] if isinstance(name, str)])  # type: ignore[union-attr]
        if accepted["cipher_suite"] != suite.name or ("pq_ciphertext" in accepted) != suite.hybrid:
            raise RefusedError("another suite than both lists give")
        if accepted["server_id"] != self.request["server_name"]:
            raise RefusedError("not the server that was dialled")
        public = data(accepted, "server_public_key")
        if len(public) != (32 if suite.modern else 33):
            raise RefusedError("a key of another algorithm than the suite's")
        if key_hashes and suite.hash(public) not in key_hashes:
            raise RefusedError("not the key that the link names")
        if known_key is not None and public != known_key:
            raise RefusedError("not the key that is pinned")
        th = suite.hash(b"norc-c-handshake-v1" + lv(canonical(self.request)) + lv(canonical(accepted, "signature")))
        verify(public, "handshake:v1", th, data(accepted, "signature"))
        ikm = self._agreement.shared(data(accepted, "ephemeral_public_key", 32))
        if suite.hybrid:
            ikm += self._agreement.decapsulated(data(accepted, "pq_ciphertext", 1088))
        salt = data(self.request, "client_nonce") + data(accepted, "server_nonce", 12)
        master = suite.hkdf(ikm, salt, b"norc:ms:v1" + lv(text(accepted, "negotiated_version")) + u16(suite.code) + th)
        return Sealed(suite, th, traffic_keys(suite, master))
