"""The sealed session of a connection: frames sealed, opened, chained and re-keyed (section 4; §6.6–6.8; D-12, D-29,
D-30).

```
nonce = 0⁴ ‖ sequence:u64        aad = AAD_v1{2, 0, type, sequence, message_id, length, prev_message_hash, th}
update:  k'  = HKDF(k, "", "norc:tk:update:v1", 32)
dh:      th' = H("norc-c-rekey-v1" ‖ th ‖ len‖canonical(request) ‖ len‖canonical(answer))
         ms' = HKDF(ikm', rs, "norc:ms:rekey:v1" ‖ th', 32), then the traffic keys as from a master secret
```
Rules
- Two directions that share nothing but `th`. Each: a sequence from a random 24-bit start, rising by 1; the hash of the
  ciphertext before; a count of frames under the key.
- A frame with the expected sequence moves sequence and hash on, opened or not; any other frame changes nothing. What
  fails (not opened, other sequence, broken chain) is `Discarded` without answer, and the third in a row raises: close.
- The 1000th frame under a key at the latest renews it. `seal` sees to that by itself, so it may give two frames. A
  received 1001st frame without renewal raises: close.
- Frames leave in the order in which they were sealed, the `frames` of a `Rekeyed` too, and all of them do: a frame that
  was sealed and not sent breaks the chain, and the connection has to close.
- `session_rekey` is made and consumed here; the application never sees it. Only the client asks for a dh re-key, once
  at a time; the server's answer is its last frame under the old key, the client's `dh_done` its last.
- Replaced keys are wiped (best effort). After an exception or `close` the session seals and opens nothing.

The dh re-key as a table (`REKEY`): what may come and what follows, by role and state. All else is `WRONG_STATE`.
"""

import struct
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from norc_actors.crypto.errors import CryptoError, DecryptionFailedError
from norc_actors.crypto.kem import (
    decapsulate,
    encapsulate,
    mlkem_public,
    mlkem_seed,
    x25519,
    x25519_private,
    x25519_public,
)
from norc_actors.crypto.layout import ZERO_HASH, lv
from norc_actors.crypto.secret import Secret
from norc_actors.crypto.suites import Cipher, Suite
from norc_actors.ids import Random
from norc_actors.limits import DH_REKEY_SECONDS, FIRST_SEQUENCE_LIMIT, FRAMES_PER_KEY, SEALED_FAILURES

from .canonical import Value, canonical
from .codec import Received, decode_as, encode, to_map
from .errors import Code, ProtocolError
from .frames import V2_HEADER, V2_VERSION, decode_v2
from .messages import SessionRekey
from .registry import code_of

Role = Literal["client", "server"]
RekeyState = Literal["steady", "asked", "answered"]

REKEY_CODE = code_of(SessionRekey)

REKEY: dict[tuple[Role, RekeyState, str], RekeyState] = {
    ("client", "steady", "send dh"): "asked",
    ("client", "asked", "receive dh"): "steady",
    ("server", "steady", "receive dh"): "answered",
    ("server", "answered", "receive dh_done"): "steady",
}
"""(role, state, event) → next state; `update` is legal everywhere and changes no state."""

_AAD = struct.Struct(">BBBQ16sI32s32s")
_NONCE = struct.Struct(">IQ")


class Opened(msgspec.Struct, frozen=True):
    """A frame for the application: its type code and plaintext."""

    code: int
    plaintext: bytes


class Rekeyed(msgspec.Struct, frozen=True):
    """The peer renewed keys; `frames` (maybe none) are sent before anything else is sealed."""

    frames: tuple[bytes, ...] = ()


class Discarded(msgspec.Struct, frozen=True):
    """A frame that gets no answer; counted."""

    why: Literal["sequence", "chain", "not opened"]


Event = Opened | Rekeyed | Discarded

_SEQUENCE, _CHAIN, _NOT_OPENED = Discarded("sequence"), Discarded("chain"), Discarded("not opened")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Keys:
    """The three keys of one generation (section 4)."""

    c2s: bytes
    s2c: bytes
    rs: bytes


def traffic_keys(suite: Suite, master_secret: bytes) -> Keys:
    """k_c2s, k_s2c, rs of a master secret."""
    return Keys(
        c2s=suite.hkdf(master_secret, b"", b"norc:tk:c2s:v1"),
        s2c=suite.hkdf(master_secret, b"", b"norc:tk:s2c:v1"),
        rs=suite.hkdf(master_secret, b"", b"norc:tk:rekey:v1"),
    )


class _Direction:
    """One key and what is counted under it."""

    __slots__ = ("_cipher", "count", "key", "prev", "suite")

    def __init__(self, suite: Suite, key: bytes) -> None:
        self.suite = suite
        self.prev = ZERO_HASH
        self.key = Secret(key)
        self._cipher: Cipher | None = None
        self.count = 0

    def cipher(self) -> Cipher:
        """The key set up for use."""
        cipher = self._cipher
        if cipher is None:
            cipher = self._cipher = self.suite.cipher(self.key.reveal())
        return cipher

    def rest(self) -> None:
        """Forget the set-up (2.4 KB in libcrypto); the next frame makes it again."""
        self._cipher = None

    def replace(self, key: bytes) -> None:
        """Go on under `key`: sequence and chain stay, the count starts again, the old key is wiped."""
        self.key.wipe()
        self.key = Secret(key)
        self._cipher = None
        self.count = 0

    def update(self) -> None:
        """k' of `session_rekey{update}`."""
        self.replace(self.suite.hkdf(self.key.reveal(), b"", b"norc:tk:update:v1"))


class _Asked(msgspec.Struct):
    """What a client keeps between its dh request and the answer."""

    request: dict[str, Value]
    ephemeral: Secret
    kem: Secret | None


class SealedSession:
    """Both directions of one connection, for one of its two ends; see the module's rules.

    `send_limit` is the peer's max_frame, `receive_limit` our own; `now` (s) starts the 24 hours of the first keys.
    """

    __slots__ = (
        "_asked", "_failures", "_next", "_next_keys", "_random", "_receive", "_receive_limit", "_rekeyed_at", "_role",
        "_rs", "_send", "_send_limit", "_sequence", "_state", "_suite", "_th", "closed",
    )  # fmt: skip

    def __init__(
        self,
        *,
        role: Role,
        suite: Suite,
        th: bytes,
        keys: Keys,
        random: Random,
        now: float,
        send_limit: int,
        receive_limit: int,
    ) -> None:
        self._role: Role = role
        self._suite = suite
        self._th = th
        self._random = random
        self._send_limit = send_limit
        self._receive_limit = receive_limit
        self._rekeyed_at = now
        client = role == "client"
        self._send = _Direction(suite, keys.c2s if client else keys.s2c)
        self._receive = _Direction(suite, keys.s2c if client else keys.c2s)
        self._rs = Secret(keys.rs)
        self._sequence = int.from_bytes(random(3), "big")
        self._next: int | None = None
        self._failures = 0
        self._state: RekeyState = "steady"
        self._asked: _Asked | None = None
        self._next_keys: Keys | None = None
        self.closed = False

    # --- Sending ---

    def seal(self, code: int, plaintext: bytes) -> list[bytes]:
        """The frame (two when the key is renewed first), each one WebSocket message; `TOO_LARGE` beyond their max."""
        self._check_open()
        if not self.fits(len(plaintext)):
            raise ProtocolError(Code.TOO_LARGE, f"{len(plaintext)} bytes, the peer takes {self._send_limit}")
        if self._send.count < FRAMES_PER_KEY - 1:
            return [self._seal(code, plaintext)]
        return [*self.update(), self._seal(code, plaintext)]

    def fits(self, length: int) -> bool:
        """Whether a plaintext of `length` bytes goes into one frame that the peer takes."""
        return length + 16 <= self._send_limit

    def _seal(self, code: int, plaintext: bytes) -> bytes:
        direction = self._send
        sequence, prev = self._sequence, direction.prev
        raw = bytearray(self._random(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        message_id = bytes(raw)
        length = len(plaintext) + 16
        aad = _AAD.pack(2, 0, code, sequence, message_id, length, prev, self._th)
        ciphertext = direction.cipher().seal(_NONCE.pack(0, sequence), aad, plaintext)
        direction.prev = self._suite.hash(ciphertext)
        direction.count += 1
        self._sequence = sequence + 1
        return V2_HEADER.pack(V2_VERSION, code, length, message_id, sequence, prev) + ciphertext

    def update(self) -> list[bytes]:
        """Renew the sending key now: the frame that says so."""
        self._check_open()
        frame = self._seal(REKEY_CODE, self._encode(SessionRekey(mode="update")))
        self._send.update()
        return [frame]

    def dh_due(self, now: float) -> bool:
        """Whether this end (only a client) should ask for a dh re-key: 24 h since the last."""
        return self._role == "client" and self._state == "steady" and now - self._rekeyed_at >= DH_REKEY_SECONDS

    def ask_dh(self, now: float) -> list[bytes]:
        """The client's dh request; the answer comes through `receive`. `WRONG_STATE` while one is pending."""
        self._check_open()
        self._move("send dh")
        ephemeral = x25519_private(self._random)
        kem = mlkem_seed(self._random) if self._suite.hybrid else None
        request = SessionRekey(
            mode="dh",
            ephemeral_public_key=x25519_public(ephemeral),
            pq_public_key=None if kem is None else mlkem_public(kem),
        )
        self._asked = _Asked(to_map(request), Secret(ephemeral), None if kem is None else Secret(kem))
        self._rekeyed_at = now
        return self.seal(REKEY_CODE, self._encode(request))

    # --- Receiving ---

    def receive(self, data: bytes) -> Event:
        """What one received frame is. Raises `ProtocolError` where the connection has to close: a header that breaks a
        rule, the third failure in a row, a 1001st frame under one key, a re-key that was not due."""
        self._check_open()
        try:
            return self._open(data)
        except CryptoError as error:
            self.close()
            raise ProtocolError(Code.CRYPTO, "the peer's key material is unusable") from error
        except ProtocolError:
            self.close()
            raise

    def _open(self, data: bytes) -> Event:
        frame = decode_v2(data, self._receive_limit)
        direction, sequence = self._receive, frame.sequence
        if sequence != self._next and (self._next is not None or sequence >= FIRST_SEQUENCE_LIMIT):
            return self._fail(_SEQUENCE)
        if direction.count >= FRAMES_PER_KEY:
            raise ProtocolError(Code.PROTOCOL, "a 1001st frame under one key")
        self._next = sequence + 1
        direction.count += 1
        prev, direction.prev = direction.prev, self._suite.hash(frame.ciphertext)
        if frame.prev_message_hash != prev:
            return self._fail(_CHAIN)
        aad = _AAD.pack(2, 0, frame.type, sequence, frame.message_id, len(frame.ciphertext), prev, self._th)
        try:
            plaintext = direction.cipher().open(_NONCE.pack(0, sequence), aad, frame.ciphertext)
        except DecryptionFailedError:
            return self._fail(_NOT_OPENED)
        self._failures = 0
        return self._rekey(plaintext) if frame.type == REKEY_CODE else Opened(frame.type, plaintext)

    def _fail(self, why: Discarded) -> Discarded:
        self._failures += 1
        if self._failures >= SEALED_FAILURES:
            raise ProtocolError(Code.CRYPTO, f"{SEALED_FAILURES} frames in a row failed, the last: {why.why}")
        return why

    # --- Re-key ---

    def _encode(self, rekey: SessionRekey) -> bytes:
        return encode(rekey)

    def _decode(self, data: bytes) -> Received[SessionRekey]:
        return decode_as(SessionRekey, data)

    def _rekey(self, plaintext: bytes) -> Rekeyed:
        received = self._decode(plaintext)
        message = received.message
        if message.mode == "update":
            self._receive.update()
            return Rekeyed()
        self._move(f"receive {message.mode}")
        if message.mode == "dh_done":
            return self._finish_dh()
        if self._role == "server":
            return self._answer_dh(message, received.map)
        return self._complete_dh(message, received.map)

    def _answer_dh(self, request: SessionRekey, request_map: dict[str, Value]) -> Rekeyed:
        """The server's side: answer under the old key, send under the new, receive under the old until dh_done."""
        if request.ephemeral_public_key is None or (request.pq_public_key is not None) != self._suite.hybrid:
            raise ProtocolError(Code.MALFORMED, "a dh request with other key material than the suite wants")
        ephemeral = x25519_private(self._random)
        ikm = x25519(ephemeral, request.ephemeral_public_key)
        pq_ciphertext = None
        if request.pq_public_key is not None:
            pq_ciphertext, secret = encapsulate(request.pq_public_key)
            ikm += secret
        answer = SessionRekey(mode="dh", ephemeral_public_key=x25519_public(ephemeral), pq_ciphertext=pq_ciphertext)
        keys = self._derive_dh(ikm, request_map, to_map(answer))
        frame = self._seal(REKEY_CODE, self._encode(answer))
        self._send.replace(keys.s2c)
        self._next_keys = keys
        return Rekeyed((frame,))

    def _complete_dh(self, answer: SessionRekey, answer_map: dict[str, Value]) -> Rekeyed:
        """The client's side: receive under the new key, say `dh_done` under the old, send under the new."""
        asked, self._asked = self._asked, None
        if (
            asked is None
            or answer.ephemeral_public_key is None
            or (answer.pq_ciphertext is not None) != self._suite.hybrid
        ):
            raise ProtocolError(Code.MALFORMED, "a dh answer with other key material than the suite wants")
        with asked.ephemeral as ephemeral:
            ikm = x25519(ephemeral.reveal(), answer.ephemeral_public_key)
        if asked.kem is not None and answer.pq_ciphertext is not None:
            with asked.kem as kem:
                ikm += decapsulate(kem.reveal(), answer.pq_ciphertext)
        keys = self._derive_dh(ikm, asked.request, answer_map)
        self._receive.replace(keys.s2c)
        frame = self._seal(REKEY_CODE, self._encode(SessionRekey(mode="dh_done")))
        self._send.replace(keys.c2s)
        self._replace_rs(keys)
        return Rekeyed((frame,))

    def _finish_dh(self) -> Rekeyed:
        keys, self._next_keys = cast("Keys", self._next_keys), None  # the state `answered` has them
        self._receive.replace(keys.c2s)
        self._replace_rs(keys)
        return Rekeyed()

    def _derive_dh(self, ikm: bytes, request: dict[str, Value], answer: dict[str, Value]) -> Keys:
        return rekey_keys(self._suite, self._th, self._rs.reveal(), ikm, request, answer)

    def _replace_rs(self, keys: Keys) -> None:
        self._rs.wipe()
        self._rs = Secret(keys.rs)

    def _move(self, event: str) -> None:
        following = REKEY.get((self._role, self._state, event))
        if following is None:
            raise ProtocolError(Code.WRONG_STATE, f"{event} as {self._role} when {self._state}")
        self._state = following

    # --- End ---

    def close(self) -> None:
        """Wipe the keys; idempotent."""
        if self.closed:
            return
        self.closed = True
        self.rest()
        for secret in (self._send.key, self._receive.key, self._rs):
            secret.wipe()
        if self._asked is not None:
            self._asked.ephemeral.wipe()
            if self._asked.kem is not None:
                self._asked.kem.wipe()
        self._asked = self._next_keys = None

    def rest(self) -> None:
        """Give back what can be made again: 5 KB of 6 for an idle connection; a frame after it costs 1 µs more."""
        self._send.rest()
        self._receive.rest()

    def _check_open(self) -> None:
        if self.closed:
            raise ProtocolError(Code.WRONG_STATE, "the session is closed")

    def statistics(self) -> dict[str, int]:
        """Frames under the present keys and failures in a row, for the observer."""
        return {"sent": self._send.count, "received": self._receive.count, "failures": self._failures}


def rekey_keys(
    suite: Suite, th: bytes, rs: bytes, ikm: bytes, request: dict[str, Value], answer: dict[str, Value]
) -> Keys:
    """The keys of a dh re-key: `th` is always the handshake's, the maps are the two messages as received."""
    transcript = suite.hash(b"norc-c-rekey-v1" + th + lv(canonical(request)) + lv(canonical(answer)))
    return traffic_keys(suite, suite.hkdf(ikm, rs, b"norc:ms:rekey:v1" + transcript))
