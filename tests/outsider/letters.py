"""End-to-end formulas: sessions, messages, receipts, states (messages.md), without a connection."""

import os
import time
from dataclasses import dataclass, field

from .device import Device
from .forms import (
    ZERO_HASH,
    Map,
    RefusedError,
    Value,
    aad_v1,
    canonical,
    data,
    inner,
    items,
    lv,
    new_id,
    number,
    pack,
    raw,
    text,
    u16,
    u32,
    unpack,
)
from .papers import DAY, Peer, now, signed, user_key_hash
from .primitives import SUITES, Agreement, SigningKey, Suite, best, encapsulate, hash_of_key, random32, verify

BUCKETS = [256 << step for step in range(9)]
"""256 B … 64 KiB."""
CLASSICAL = ("unclassified", "official_use_only")
SIGNED_CLEAR = (
    "message_id", "conversation_id", "epoch", "chain_id", "sequence_number", "prev_message_hash", "suite",
    "key_commitment",
)  # fmt: skip
SIGNED_RECEIPT = (
    "message_id", "conversation_id", "ciphertext_hash", "status", "user_id", "device_id", "timestamp",
)  # fmt: skip


def now_us() -> int:
    return time.time_ns() // 1000


def commitment(suite: Suite, key: bytes) -> bytes:
    return suite.hash(b"norc:commit:v1" + key)


# --- Sessions ---


class Ratchet:
    """The chain of a session: message keys, each once."""

    def __init__(self, suite: Suite, session_key: bytes) -> None:
        self.suite = suite
        self._chain_key = session_key
        self.next = 0
        self._skipped: dict[int, bytes] = {}

    def step(self) -> tuple[int, bytes]:
        """(index, mk) of the next message."""
        index, key = self.next, self.suite.hkdf(self._chain_key, b"", b"norc:session:msg:v1")
        self._chain_key = self.suite.hkdf(self._chain_key, b"", b"norc:session:chain:v1")
        self.next += 1
        return index, key

    def take(self, index: int) -> bytes:
        """The mk of an index that was not used yet."""
        while self.next <= index < 1000:
            at, key = self.step()
            self._skipped[at] = key
        if index not in self._skipped:
            raise RefusedError("a message key that is used")
        return self._skipped.pop(index)


@dataclass
class OutSession:
    """Towards another device; `open` until its first receipt."""

    session_id: str
    ratchet: Ratchet
    open: Map | None
    expires_at: int

    @property
    def usable(self) -> bool:
        return self.ratchet.next < 1000 and now() < self.expires_at


def _bind(suite: Suite, e_public: bytes, x25519: bytes, one_time: bytes, mlkem: bytes, pq_ciphertext: bytes) -> bytes:
    parts = lv(e_public) + lv(x25519)
    if one_time:
        parts += lv(one_time)
    if pq_ciphertext:
        parts += lv(mlkem) + lv(pq_ciphertext)
    return suite.hash(parts)


def _session_wrap(suite: Suite, ss: bytes, bind: bytes, opened: Map) -> tuple[bytes, bytes, bytes]:
    """(wrap_key, nonce, aad) of an `open`."""
    target, session = raw(opened["target_device"]), raw(opened["session_id"])
    info = b"norc:session:v1" + lv("2.0") + u16(suite.code) + target + lv(text(opened, "target_user")) + bind
    aad = lv(text(opened, "sender_user")) + raw(opened["sender_device"]) + session + u32(number(opened, "prekey_id"))
    return suite.hkdf(ss, data(opened, "key_commitment"), info), suite.hash(target + session)[:12], aad


def open_session(own: Device, peer: Peer) -> OutSession:
    """A session towards a device whose entry came just now."""
    suite = best(own.suites, peer.suites)
    if peer.bundle is None:
        raise RefusedError("no bundle: nobody can write to this device yet")
    ephemeral, x25519 = Agreement(hybrid=False), data(peer.bundle, "x25519", 32)
    ss = ephemeral.shared(x25519)
    one_time = data(peer.one_time, "x25519", 32) if peer.one_time is not None else b""
    if one_time:
        ss += ephemeral.shared(one_time)
    mlkem = pq_ciphertext = b""
    if suite.hybrid:
        mlkem = data(peer.bundle, "mlkem768", 1184)
        pq_ciphertext, secret = encapsulate(mlkem)
        ss += secret
    session_key = random32()
    opened: Map = {
        "type": "session_key_exchange",
        "session_id": new_id(),
        "sender_user": own.user_id,
        "sender_device": own.device_id,
        "target_user": peer.user_id,
        "target_device": peer.device_id,
        "suite": suite.name,
        "prekey_id": peer.bundle["prekey_id"],
        "ephemeral_public_key": ephemeral.public,
        "key_commitment": commitment(suite, session_key),
        "expires_at": now() + DAY,
    }
    if one_time and peer.one_time is not None:
        opened["one_time_id"] = peer.one_time["one_time_id"]
    if pq_ciphertext:
        opened["pq_ciphertext"] = pq_ciphertext
    bind = _bind(suite, ephemeral.public, x25519, one_time, mlkem, pq_ciphertext)
    key, nonce, aad = _session_wrap(suite, ss, bind, opened)
    opened["wrapped"] = suite.seal(key, nonce, aad, session_key)
    return OutSession(
        session_id=text(opened, "session_id"),
        ratchet=Ratchet(suite, session_key),
        open=signed(opened, own.key, "session:v1"),
        expires_at=number(opened, "expires_at"),
    )


def accept_open(own: Device, sender: Peer, opened: Map) -> Ratchet:
    """The receiving end of an `open` for an id that is not known."""
    verify(sender.public_key, "session:v1", canonical(opened, "signature"), data(opened, "signature"))
    names = (opened["sender_user"], opened["sender_device"], opened["target_user"], opened["target_device"])
    if names != (sender.user_id, sender.device_id, own.user_id, own.device_id):
        raise RefusedError("an open between others")
    suite = SUITES[text(opened, "suite")]
    if suite.name not in own.suites or ("pq_ciphertext" in opened) != suite.hybrid:
        raise RefusedError("a suite that this device does not run, or one without its hybrid part")
    bundle = own.prekeys.bundles[number(opened, "prekey_id")]
    e_public = data(opened, "ephemeral_public_key", 32)
    ss, one_time, pq_ciphertext = bundle.shared(e_public), b"", b""
    if "one_time_id" in opened:
        agreement = own.prekeys.one_time[number(opened, "one_time_id")]
        ss, one_time = ss + agreement.shared(e_public), agreement.public
    if suite.hybrid:
        pq_ciphertext = data(opened, "pq_ciphertext", 1088)
        ss += bundle.decapsulated(pq_ciphertext)
    bind = _bind(suite, e_public, bundle.public, one_time, bundle.mlkem_public or b"", pq_ciphertext)
    key, nonce, aad = _session_wrap(suite, ss, bind, opened)
    session_key = suite.open(key, nonce, aad, data(opened, "wrapped", 48))
    if commitment(suite, session_key) != opened["key_commitment"]:
        raise RefusedError("a session key that does not fit its commitment")
    return Ratchet(suite, session_key)


# --- Messages ---


@dataclass
class Chain:
    """This device's messages in one conversation."""

    chain_id: str = field(default_factory=new_id)
    number: int = field(default_factory=lambda: int.from_bytes(os.urandom(3), "big"))
    last: bytes = ZERO_HASH


def _signed_body(clear: Map, sender_user: str, sender_device: str, state: Map, inner_hash: bytes) -> bytes:
    suite = SUITES[text(clear, "suite")]
    members: Map = {name: clear[name] for name in SIGNED_CLEAR} | inner(clear, "metadata")
    members |= {"sender_user": sender_user, "sender_device": sender_device, "inner_hash": inner_hash}
    return canonical({**members, "audience": suite.hash(canonical(state))})


def _content(clear: Map, content_key: bytes, length: int) -> tuple[bytes, bytes]:
    """(nonce, aad) of a ciphertext."""
    suite, message_id = SUITES[text(clear, "suite")], raw(clear["message_id"])
    place = suite.hash(raw(clear["chain_id"]) + raw(clear["conversation_id"]))
    previous = data(clear, "prev_message_hash", 32)
    aad = aad_v1(0x10, number(clear, "sequence_number"), message_id, length, previous, place)
    return suite.hash(b"norc:nonce:v1" + content_key + message_id)[:12], aad


def padded(inside: bytes, signature: bytes) -> bytes:
    """The plaintext."""
    content = lv(inside) + u16(64) + signature
    length = next((size for size in BUCKETS if size >= len(content)), -(-len(content) // 65536) * 65536)
    return content.ljust(length, b"\0")


def unpadded(plaintext: bytes) -> tuple[bytes, bytes]:
    """(inner, signature) of a plaintext."""
    end = 4 + int.from_bytes(plaintext[:4], "big")
    inside, signature = plaintext[4:end], plaintext[end + 2 : end + 66]
    if len(signature) != 64 or padded(inside, signature) != plaintext:
        raise RefusedError("a plaintext that is not padded as it must be")
    return inside, signature


@dataclass(frozen=True)
class Sealed:
    """A finished message, and what more wraps of it need."""

    message: Map
    content_key: bytes


def seal(own: Device, state: Map, chain: Chain, said: Map, suites: list[list[str]], classification: str) -> Sealed:
    """A message without wraps; `suites` are the lists of all devices that it is for."""
    suite, content_key = best(own.suites, *suites), random32()
    if classification not in CLASSICAL and not suite.hybrid:
        raise RefusedError("this classification wants a hybrid suite")
    clear: Map = {
        "type": "message_send",
        "message_id": new_id(),
        "conversation_id": state["conversation_id"],
        "epoch": state["epoch"],
        "recipients": [user for user in users_of(state) if user != own.user_id],
        "suite": suite.name,
        "chain_id": chain.chain_id,
        "sequence_number": chain.number,
        "prev_message_hash": chain.last,
        "key_commitment": commitment(suite, content_key),
        "metadata": {"timestamp": now_us(), "classification": classification},
        "encrypted_keys": {},
    }
    inside = pack(said)
    body = _signed_body(clear, own.user_id, own.device_id, state, suite.hash(inside))
    plaintext = padded(inside, own.key.sign("message:v1", body))
    nonce, aad = _content(clear, content_key, len(plaintext) + 16)
    ciphertext = suite.seal(content_key, nonce, aad, plaintext)
    chain.number, chain.last = chain.number + 1, suite.hash(ciphertext)
    return Sealed({**clear, "ciphertext": ciphertext}, content_key)


def _wrap_layout(clear: Map, names: tuple[str, str, str, str], wrap: Map, mk: bytes) -> tuple[bytes, bytes, bytes]:
    """(wk, nonce, aad); `names`: sender's user and device, the receiver's user and device."""
    suite, (sender_user, sender_device, user, device) = SUITES[text(clear, "suite")], names
    message_id = raw(clear["message_id"])
    info = b"norc:wrap:v1" + lv("2.0") + u16(suite.code) + raw(device) + lv(user)
    aad = lv(sender_user) + raw(sender_device) + raw(device) + message_id + raw(wrap["session_id"])
    key = suite.hkdf(mk, data(clear, "key_commitment", 32), info)
    return key, suite.hash(raw(device) + message_id)[:12], aad + u32(number(wrap, "index"))


def wrap(own: Device, sealed: Sealed, peer: Peer, session: OutSession) -> Map:
    """The content key for one device."""
    index, mk = session.ratchet.step()
    made: Map = {"session_id": session.session_id, "index": index}
    names = own.user_id, own.device_id, peer.user_id, peer.device_id
    key, nonce, aad = _wrap_layout(sealed.message, names, made, mk)
    made["wrapped"] = SUITES[text(sealed.message, "suite")].seal(key, nonce, aad, sealed.content_key)
    return made if session.open is None else {**made, "open": session.open}


def unseal(own: Device, received: Map, sender: Peer, ratchet: Ratchet, wrapped: Map, state: Map) -> Map:
    """The inner map of a message, all checked but chain and time."""
    suite = SUITES[text(received, "suite")]
    if suite.name not in own.suites:
        raise RefusedError("a suite that this device does not run")
    mk = ratchet.take(number(wrapped, "index"))
    names = sender.user_id, sender.device_id, own.user_id, own.device_id
    key, nonce, aad = _wrap_layout(received, names, wrapped, mk)
    content_key = suite.open(key, nonce, aad, data(wrapped, "wrapped", 48))
    if commitment(suite, content_key) != received["key_commitment"]:
        raise RefusedError("a content key that does not fit its commitment")
    ciphertext = data(received, "ciphertext")
    nonce, aad = _content(received, content_key, len(ciphertext))
    inside, signature = unpadded(suite.open(content_key, nonce, aad, ciphertext))
    body = _signed_body(received, sender.user_id, sender.device_id, state, suite.hash(inside))
    verify(sender.public_key, "message:v1", body, signature)
    if {own.user_id, sender.user_id} - set(users_of(state)):
        raise RefusedError("a message between others")
    return unpack(inside)


# --- Receipts, states ---


def ciphertext_hash(message: Map) -> bytes:
    return SUITES[text(message, "suite")].hash(data(message, "ciphertext"))


def make_receipt(own: Device, received: Map, status: str) -> Map:
    """This device's word that it has, or its user read, this ciphertext."""
    receipt: Map = {
        "type": "read_receipt",
        "message_id": received["message_id"],
        "conversation_id": received["conversation_id"],
        "ciphertext_hash": ciphertext_hash(received),
        "status": status,
        "user_id": own.user_id,
        "device_id": own.device_id,
        "timestamp": now_us(),
    }
    return {**receipt, "signature": own.key.sign("receipt:v1", canonical({n: receipt[n] for n in SIGNED_RECEIPT}))}


def check_receipt(receipt: Map, sent: Map, by: Peer) -> str:
    """The status that a device signed for this very message, or `RefusedError`."""
    if (receipt["user_id"], receipt["device_id"]) != (by.user_id, by.device_id):
        raise RefusedError("a receipt of another device")
    named = receipt["message_id"], receipt["conversation_id"], receipt["ciphertext_hash"]
    if named != (sent["message_id"], sent["conversation_id"], ciphertext_hash(sent)):
        raise RefusedError("a receipt for another message")
    verify(by.public_key, "receipt:v1", canonical({n: receipt[n] for n in SIGNED_RECEIPT}), data(receipt, "signature"))
    return text(receipt, "status")


People = dict[str, tuple[str, bytes]]
"""user_id → (role, user key)."""


def make_state(kind: str, people: People, previous: Map | None = None, key: SigningKey | None = None) -> Map:
    """A state of `people`: the first, or the one after `previous` that `key` will sign."""
    members: list[Value] = [
        {"user_id": user, "role": role, "user_key_hash": user_key_hash(user_key)}
        for user, (role, user_key) in sorted(people.items())
    ]
    state: Map = {
        "conversation_id": new_id() if previous is None else previous["conversation_id"],
        "type": kind,
        "epoch": 1 if previous is None else number(previous, "epoch") + 1,
        "members": members,
        "settings": {"is_public": False, "history_visible": False, "max_members": 100},
    }
    if previous is not None and key is not None:
        state["prev_state_hash"] = hash_of_key(key.public)(canonical(previous))
    return state


def members_of(state: Map) -> list[Map]:
    """The members in a state."""
    return [member for member in items(state, "members") if isinstance(member, dict)]


def users_of(state: Map) -> list[str]:
    """Their user_ids."""
    return [text(member, "user_id") for member in members_of(state)]


def check_state(carrier: Map, signer: Peer, previous: Map | None, pins: dict[str, bytes]) -> Map:
    """The state in a `conversation_*`, if its signer may sign what follows `previous` (None: the first)."""
    state = inner(carrier, "state")
    verify(signer.public_key, "conversation:v1", canonical(state), data(carrier, "signature"))
    judged = state if previous is None else previous
    roles = {text(member, "user_id"): member["role"] for member in members_of(judged)}
    if roles.get(signer.user_id) not in (("owner",) if previous is None else ("owner", "admin")):
        raise RefusedError("a state signed by somebody who may not")
    expected = None if previous is None else hash_of_key(signer.public_key)(canonical(previous))
    if number(state, "epoch") != (1 if previous is None else number(previous, "epoch") + 1):
        raise RefusedError("a state of another epoch")
    if state.get("prev_state_hash") != expected:
        raise RefusedError("a state that does not follow the one before")
    for member in members_of(state):
        pinned = pins.get(text(member, "user_id"))
        if pinned is not None and member["user_key_hash"] != user_key_hash(pinned):
            raise RefusedError("a member under another user key than the pinned one")
    return state
