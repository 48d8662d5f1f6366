"""Section 6: sessions, messages, conversations, receipts, files, calls."""

import struct
from typing import Any

from tests.vectors import independent as one

from .base import ALICE, BOB, CAROL, NOW, SUITES, Entry, Kem, Key, algorithm, code, drawn, flip, hexed, m, pack, uuid

SENDER = uuid("alice device")
DEVICES = {BOB: uuid("bob device"), CAROL: uuid("carol device")}
CHUNK = 65536


class Talk:
    """What a suite's cases share: Alice's device key, and a session towards each of two devices."""

    def __init__(self, suite: str, kem: Kem) -> None:
        self.suite, self.kem, self.hash = suite, kem, one.hash_of(suite)
        self.kind = algorithm(suite)
        self.device, self.other, self.owner = (Key(self.kind, name) for name in ("device", "mallory", "owner"))
        self.sessions = {user: Session(self, user) for user in DEVICES}


class Session:
    """A session of a suite towards a user's device: Bob's with a one-time key, Carol's without."""

    def __init__(self, talk: Talk, user: str) -> None:
        self.talk, self.user, self.device = talk, user, DEVICES[user]
        self.name = f"{user} {talk.suite}"
        self.hybrid = talk.suite in one.HYBRID
        self.key, self.id = drawn(f"session key {self.name}"), uuid(f"session {self.name}")
        self.e, self.prekey = drawn(f"e {self.name}"), drawn(f"prekey {user}")
        self.one_time = drawn(f"one-time {user}") if user == BOB else None
        self.kem_name = f"open-{user.split('@')[0]}-{talk.suite}"
        self.pq_ciphertext, self.pq_secret = talk.kem.encapsulate(self.kem_name) if self.hybrid else (None, b"")

    def make(self, **made: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        """(open less its signature, intermediates); what `made` names is put in place before the formulas run."""
        suite, hashed = self.talk.suite, self.talk.hash
        e_pub = made.get("ephemeral_public_key", one.x_public(self.e))
        ss, bind = self._agree(e_pub)
        if e_pub == bytes(32):
            ss = bytes(32)
        bind = hashed(bind)
        commitment = hashed(b"norc:commit:v1" + made.get("committed", self.key))
        target, session = one.raw(self.device), one.raw(self.id)
        info = b"norc:session:v1" + one.lv(b"2.0") + code(suite) + target + one.lv(self.user.encode()) + bind
        wrap_key = one.hkdf(suite, ss, commitment, info)
        nonce = hashed(target + session)[:12]
        aad = one.lv(ALICE.encode()) + one.raw(SENDER) + session + one.u32(5)
        opened: dict[str, Any] = {
            "type": "session_key_exchange", "session_id": self.id, "sender_user": ALICE, "sender_device": SENDER,
            "target_user": self.user, "target_device": self.device, "suite": suite, "prekey_id": 5,
            "ephemeral_public_key": e_pub, "key_commitment": commitment, "expires_at": NOW + 86400, "zzz": 1,
            "wrapped": one.seal(suite, wrap_key, nonce, aad, made.get("wraps", self.key)),
        }  # fmt: skip
        if self.one_time is not None:
            opened["one_time_id"] = 9
        if self.pq_ciphertext is not None:
            opened["pq_ciphertext"] = self.pq_ciphertext
        return opened, {"ss": ss, "bind": bind, "wrap_key": wrap_key, "nonce": nonce, "aad": aad}

    def _agree(self, e_pub: bytes) -> tuple[bytes, bytes]:
        """ss and what `bind` hashes."""
        prekey = one.x_public(self.prekey)
        ss, bind = one.dh(self.e, prekey), one.lv(e_pub) + one.lv(prekey)
        if self.one_time is not None:
            one_time = one.x_public(self.one_time)
            ss, bind = ss + one.dh(self.e, one_time), bind + one.lv(one_time)
        if self.pq_ciphertext is not None:
            bind += one.lv(self.talk.kem.public(self.kem_name)) + one.lv(self.pq_ciphertext)
        return ss + self.pq_secret, bind

    def signed(self, opened: dict[str, Any], label: str = "session:v1", key: Key | None = None) -> dict[str, Any]:
        """The opening as it stands, signed."""
        return (key or self.talk.device).signed(label, opened)

    def keys(self) -> Entry:
        """The private halves, as every entry of a session has them."""
        return {
            "suite": self.talk.suite, "sender_key": self.talk.device.public, "prekey_priv": self.prekey,
            "one_time_priv": self.one_time, "kem_seed": self.talk.kem.seed(self.kem_name) if self.hybrid else None,
        }  # fmt: skip

    def entry(self) -> Entry:
        opened, found = self.make()
        return hexed({
            **self.keys(), "sender_seed": self.talk.device.seed, "e_priv": self.e, "session_key": self.key, **found,
            "open": m(self.signed(opened)),
        })  # fmt: skip

    def refused(self) -> list[Entry]:
        opened, _ = self.make()
        wrong = {SUITES[(SUITES.index(self.talk.suite) + 1) % 4]}

        def changed(**changes: Any) -> dict[str, Any]:
            return self.signed({name: value for name, value in (opened | changes).items() if value is not None})

        found = [
            ("all-zero X25519", self.signed(self.make(ephemeral_public_key=bytes(32))[0])),
            ("another ephemeral key", changed(ephemeral_public_key=one.x_public(drawn("other e")))),
            ("commitment to another key", self.signed(self.make(committed=drawn("another"))[0])),
            ("a session key of 31 bytes is missing one", self.signed(self.make(wraps=self.key[:31])[0])),
            ("wrapped altered", changed(wrapped=flip(opened["wrapped"]))),
            ("wrapped of malformed length: 47 bytes", changed(wrapped=opened["wrapped"][:47])),
            ("another session_id", changed(session_id=uuid("another session"))),
            ("prekey_id differs", changed(prekey_id=6)),
            ("target_user differs", changed(target_user="dave@b.example")),
            ("target_device differs", changed(target_device=uuid("another device"))),
            ("signed under message:v1", self.signed(opened, "message:v1")),
            ("signed by another key", self.signed(opened, key=self.talk.other)),
            ("signature of another open: a member differs, sign", {**self.signed(opened), "expires_at": NOW + 86401}),
            ("pq_ciphertext missing or superfluous", changed(pq_ciphertext=None if self.hybrid else bytes(1088))),
            ("null instead of bytes, malformed", changed(wrapped="")),
            *((f"other suite {other}", changed(suite=other)) for other in wrong),
        ]
        if self.hybrid:
            found.append(("another pq ciphertext bit", changed(pq_ciphertext=flip(self.pq_ciphertext or b""))))
        if self.one_time is not None:
            found.append(("one_time_id dropped", changed(one_time_id=None)))
        return [hexed({**self.keys(), "why": why, "open": m(plain)}) for why, plain in found]

    def message_key(self, index: int) -> bytes:
        """mk_index."""
        ck = self.key
        for _ in range(index):
            ck = one.hkdf(self.talk.suite, ck, b"", b"norc:session:chain:v1")
        return one.hkdf(self.talk.suite, ck, b"", b"norc:session:msg:v1")

    def chain(self) -> Entry:
        """Some of the 1000 keys."""
        suite, ck, steps = self.talk.suite, self.key, []
        for index in range(1000):
            mk = one.hkdf(suite, ck, b"", b"norc:session:msg:v1")
            if index in (0, 1, 2, 500, 999):
                steps.append(hexed({"i": index, "ck": ck, "mk": mk}))
            ck = one.hkdf(suite, ck, b"", b"norc:session:chain:v1")
        return hexed({"suite": suite, "session_key": self.key, "steps": steps, "mk_999": mk})


# --- Conversations and receipts ---


def states(talk: Talk) -> tuple[dict[str, Any], dict[str, Any]]:
    """A first state and the one after it."""
    users = {name: Key(kind, f"user {name}") for name, kind in ((ALICE, "ed25519"), (BOB, "p256"), (CAROL, talk.kind))}
    members = [
        {"user_id": name, "role": "owner" if name == ALICE else "member", "user_key_hash": key.hash(key.public)}
        for name, key in users.items()
    ]
    first: dict[str, Any] = {
        "conversation_id": uuid("conversation"), "type": "group", "epoch": 1, "members": members[:2], "zzz": "kept",
        "settings": {"is_public": False, "history_visible": False, "max_members": 100},
    }  # fmt: skip
    prev = talk.owner.hash(one.canonical(first))
    return first, {**first, "epoch": 2, "prev_state_hash": prev, "members": members}


def state_entry(talk: Talk, state: dict[str, Any], **more: Any) -> Entry:
    """A state signed as it stands."""
    label, key = more.pop("label", "conversation:v1"), more.pop("key", talk.owner)
    first = more.pop("first", states(talk)[0])
    signature = more.pop("signature", None) or key.sign(label, one.canonical(state))
    before = {} if first is None else {"state_first": m(first)}
    return hexed({"state": m(state), "state_signature": signature, "state_signer_key": talk.owner.public, **before,
                  **more})  # fmt: skip


def refused_states(talk: Talk) -> list[Entry]:
    first, second = states(talk)
    members, sign = second["members"], talk.owner.sign
    ghost = [*members, {**members[0], "user_id": f"mallory@{CAROL.split('@')[1]}"}]
    other_hash = one.s2 if talk.kind == "ed25519" else one.b3
    return [
        state_entry(talk, {**second, "prev_state_hash": drawn("fork")}, why="previous state exchanged"),
        state_entry(talk, {**second, "prev_state_hash": other_hash(one.canonical(first))},
                    why="prev_state_hash under another algorithm than the signing key's"),
        state_entry(talk, {**second, "epoch": 3}, why="epoch skipped"),
        state_entry(talk, {**second, "members": members[::-1]}, why="members are not sorted"),
        state_entry(talk, {**second, "members": [members[0], members[0]]}, why="a member twice"),
        state_entry(talk, {**second, "conversation_id": uuid("other")}, why="previous state of another conversation"),
        state_entry(talk, first, first=None, state_signer=BOB, why="first state: the signer's role is member"),
        state_entry(talk, second, state_signer=BOB, why="the signer's role in the previous state is member"),
        state_entry(talk, second, state_signer=CAROL, why="the signer was no member of the previous state"),
        state_entry(talk, {**second, "members": ghost}, signature=sign("conversation:v1", one.canonical(second)),
                    why="signature is of another list"),
        state_entry(talk, second, key=talk.other, why="signed by another key"),
        state_entry(talk, second, label="message:v1", why="signed under another label"),
    ]  # fmt: skip


def receipt(talk: Talk, **changes: Any) -> Entry:
    """receipt:v1 over canonical{message_id, …}; `ciphertext_hash` besides is that of the message it is held against."""
    key = Key(talk.kind, "receipt")
    signer, label = changes.pop("signer", key), changes.pop("label", "receipt:v1")
    why = changes.pop("why", None)
    body = {
        "message_id": uuid("message"), "conversation_id": uuid("conversation"), "status": "read", "user_id": BOB,
        "ciphertext_hash": talk.hash(drawn("ciphertext")), "device_id": DEVICES[BOB], "timestamp": NOW * 10**6 + 5,
    }  # fmt: skip
    signature = signer.sign(label, one.canonical(body))
    found = {"receipt_body": one.canonical(body | changes), "receipt_seed": key.seed, "receipt_key": key.public,
             "receipt_signature": signature, "ciphertext_hash": body["ciphertext_hash"]}  # fmt: skip
    return hexed(found | ({"why": why} if why else {}))


def refused_receipts(talk: Talk) -> list[Entry]:
    return [
        receipt(talk, why="for another ciphertext", ciphertext_hash=drawn("other")),
        receipt(talk, why="delivered made read: status changed", status="delivered"),
        receipt(talk, why="another user", user_id=CAROL),
        receipt(talk, why="another device", device_id=DEVICES[CAROL]),
        receipt(talk, why="another timestamp", timestamp=NOW * 10**6),
        receipt(talk, why="signed by another key", signer=talk.other),
        receipt(talk, why="signed under another label", label="message:v1"),
    ]


# --- Messages ---


class Message:
    """One message of Alice's device, with any step of its making replaced by keyword."""

    def __init__(self, talk: Talk, number: int, prev: bytes, plain: dict[str, Any], **made: Any) -> None:
        suite, hashed = talk.suite, talk.hash
        self.talk, self.index = talk, made.get("index", number)
        self.inner = made.get("inner", pack(plain))
        self.content_key = drawn(f"content key {suite} {number}")
        state = states(talk)[1]
        self.audience = hashed(one.canonical(state))
        hybrid = suite in one.HYBRID
        self.clear: dict[str, Any] = {
            "message_id": uuid(f"message {suite} {number}"), "conversation_id": uuid("conversation"), "epoch": 2,
            "suite": suite, "chain_id": uuid(f"chain {suite}"), "sequence_number": 0xABCDEF + number,
            "prev_message_hash": prev, "key_commitment": hashed(b"norc:commit:v1" + self.content_key),
        }  # fmt: skip
        if "committed" in made:
            self.clear["key_commitment"] = hashed(b"norc:commit:v1" + made["committed"])
        self.metadata: dict[str, Any] = {"timestamp": NOW * 10**6 + number,
                                         "classification": "secret" if hybrid else "official_use_only"}  # fmt: skip
        if number == 1:
            self.metadata["expires_at"] = NOW + 600
        body = self.clear | self.metadata | {
            "audience": made.get("audience", self.audience), "sender_user": ALICE, "sender_device": SENDER,
            "inner_hash": hashed(made.get("hashed", self.inner)),
        }  # fmt: skip
        self.body = one.canonical(body | made.get("signed", {}))
        self.signature = made.get("key", talk.device).sign(made.get("label", "message:v1"), self.body)
        self.plaintext = made.get("pad", _pad)(self.inner, self.signature)
        message_id = one.raw(self.clear["message_id"])
        self.nonce = hashed(b"norc:nonce:v1" + self.content_key + message_id)[:12]
        where = hashed(one.raw(self.clear["chain_id"]) + one.raw(self.clear["conversation_id"]))
        self.aad = one.aad_v1(
            2, 0, 0x10, self.clear["sequence_number"], message_id, len(self.plaintext) + 16, prev, where
        )  # fmt: skip
        self.ciphertext = one.seal(suite, self.content_key, self.nonce, self.aad, self.plaintext)
        self.hash = hashed(self.ciphertext)

    def wrap(self, user: str) -> dict[str, Any]:
        """For a device: mk, wk, nonce, aad, wrapped."""
        talk, session = self.talk, self.talk.sessions[user]
        device, message_id = one.raw(session.device), one.raw(self.clear["message_id"])
        mk = session.message_key(self.index)
        info = b"norc:wrap:v1" + one.lv(b"2.0") + code(talk.suite) + device + one.lv(user.encode())
        wk = one.hkdf(talk.suite, mk, self.clear["key_commitment"], info)
        nonce = talk.hash(device + message_id)[:12]
        aad = one.lv(ALICE.encode()) + one.raw(SENDER) + device + message_id + one.raw(session.id)
        aad += one.u32(self.index)
        wrapped = one.seal(talk.suite, wk, nonce, aad, self.content_key)
        return {"mk": mk, "wk": wk, "nonce": nonce, "aad": aad, "wrapped": wrapped}

    def entry_of(self, user: str, *, first: bool) -> dict[str, Any]:
        """The device's entry of `encrypted_keys`, with the opening in a session's first message."""
        session = self.talk.sessions[user]
        found = {"session_id": session.id, "index": self.index, "wrapped": self.wrap(user)["wrapped"]}
        return found | ({"open": session.signed(session.make()[0])} if first else {})

    def received(self, user: str, *, first: bool = False, **told: Any) -> dict[str, Any]:
        """message_received for one device."""
        return {
            "type": "message_received", **self.clear, "ciphertext": self.ciphertext, "sender_user": ALICE,
            "sender_device": SENDER, "accepted_at": NOW, "metadata": self.metadata,
            "encrypted_keys": {DEVICES[user]: self.entry_of(user, first=first)},
        } | told  # fmt: skip

    def entry(self, *, first: bool) -> Entry:
        send = {
            "type": "message_send", **self.clear, "recipients": [BOB, CAROL], "ciphertext": self.ciphertext,
            "encrypted_keys": {DEVICES[user]: self.entry_of(user, first=first) for user in DEVICES},
            "metadata": self.metadata,
        }  # fmt: skip
        devices = [
            hexed({"user": user, "device": DEVICES[user], "session_id": self.talk.sessions[user].id,
                   "index": self.index, **{n: v for n, v in self.wrap(user).items() if n != "wrapped"},
                   "message_received": m(self.received(user, first=first))})
            for user in DEVICES
        ]  # fmt: skip
        return hexed({
            "inner": self.inner, "content_key": self.content_key, "body": self.body, "signature": self.signature,
            "plaintext": self.plaintext, "nonce": self.nonce, "aad": self.aad, "ciphertext_hash": self.hash,
            "message_send": m(send), "devices": devices,
        })  # fmt: skip


def _pad(inner: bytes, signature: bytes) -> bytes:
    plain = one.lv(inner) + b"\0\x40" + signature
    return plain.ljust(one.bucket(len(plain)), b"\0")


TEXT = {"message_type": "text", "body": "Grüße 👋", "zzz": [1]}


def messages(talk: Talk) -> Entry:
    first, state = states(talk)
    prev, listed = bytes(32), []
    for number, plain in enumerate((TEXT, {"message_type": "text", "body": "x" * 300}, {
        "message_type": "system", "body": {"name": "Talk"}, "reply_to": uuid("before"),
    })):  # fmt: skip
        message = Message(talk, number, prev, plain)
        listed.append(message.entry(first=number == 0))
        prev = message.hash
    return hexed({
        "suite": talk.suite, "sender_seed": talk.device.seed, "sender_key": talk.device.public, "state_first": m(first),
        "state": m(state), "state_signer_seed": talk.owner.seed, "state_signer_key": talk.owner.public,
        "state_signature": talk.owner.sign("conversation:v1", one.canonical(state)), "state_signer": ALICE,
        "audience": message.audience, "messages": listed,
    })  # fmt: skip


def refused_messages(talk: Talk) -> list[Entry]:
    """Each is made whole around what is wrong with it; the last ones are told otherwise than they were made."""

    def end(data: bytes, byte: int) -> bytes:
        return data[:-1] + bytes((byte,))

    def made(**how: Any) -> Message:
        return Message(talk, 20, bytes(32), TEXT, **how)

    def packed(*pairs: bytes) -> bytes:
        return bytes((0x80 | len(pairs) // 2,)) + b"".join(pairs)

    kind, text, body = b"\xacmessage_type", b"\xa4text", b"\xa4body"
    honest = made()
    session = talk.sessions[BOB]
    clear, metadata = honest.clear, honest.metadata
    wrong_s2 = one.s2 if talk.hash is one.b3 else one.b3
    listed: list[tuple[str, Message, dict[str, Any]]] = [
        ("honest", honest, {}),
        ("last padding byte not zero", made(pad=lambda i, s: end(_pad(i, s), 1)), {}),
        ("not padded", made(pad=lambda i, s: one.lv(i) + b"\0\x40" + s), {}),
        ("padded to twice the least size", made(pad=lambda i, s: _pad(i, s) + bytes(256)), {}),
        ("padded a byte too far", made(pad=lambda i, s: _pad(i, s) + b"\0"), {}),
        ("inner length beyond the plaintext", made(pad=lambda i, s: one.u32(2**31) + _pad(i, s)[4:]), {}),
        ("inner length a byte long: padding", made(pad=lambda i, s: one.u32(len(i) + 1) + _pad(i, s)[4:]), {}),
        ("signature cut to 63 bytes", made(
            pad=lambda i, s: (one.lv(i) + b"\0\x3f" + s[:63]).ljust(256, b"\0")), {}),
        ("commitment to another key", made(committed=drawn("other")), {}),
        ("signed for another audience", made(audience=drawn("audience")), {}),
        ("audience under another hash than the suite's", made(
            audience=wrong_s2(one.canonical(states(talk)[1]))), {}),
        ("signed under another label", made(label="receipt:v1"), {}),
        ("signed by another key", made(key=talk.other), {}),
        ("signature of another inner", made(hashed=b"\x80"), {}),
        ("signed epoch differs", made(signed={"epoch": 3}), {}),
        ("signed sender_device differs", made(signed={"sender_device": uuid("twin")}), {}),
        ("signed sender_user differs", made(signed={"sender_user": CAROL}), {}),
        ("signed classification differs", made(signed={"classification": "unclassified"}), {}),
        ("signed suite differs", made(signed={"suite": "9999"}), {}),
        ("inner has a null", made(inner=packed(kind, text, body, b"\xc0")), {}),
        ("inner has a float", made(inner=packed(kind, text, body, b"\xcb" + bytes(8))), {}),
        ("inner has a duplicate key", made(inner=packed(kind, text, body, b"\xa1x", body, b"\xa1y")), {}),
        ("inner is no map", made(inner=b"\xa4text"), {}),
        ("inner has bytes after it", made(inner=packed(kind, text, body, b"\xa1x") + b"\0"), {}),
        ("inner has no body", made(inner=packed(kind, text)), {}),
        ("inner has a body of another type", made(inner=packed(kind, text, body, b"\x80")), {}),
        ("timestamp differs from the signed one", honest, {"metadata": metadata | {"timestamp": NOW * 10**6}}),
        ("classification differs", honest, {"metadata": metadata | {"classification": "unclassified"}}),
        ("expires_at added", honest, {"metadata": metadata | {"expires_at": NOW + 9}}),
        ("epoch differs", honest, {"epoch": 3}),
        ("ciphertext altered", honest, {"ciphertext": flip(honest.ciphertext)}),
        ("ciphertext cut to the length before", honest, {"ciphertext": honest.ciphertext[:-1]}),
        ("sequence_number told otherwise: aad, wrap", honest, {"sequence_number": clear["sequence_number"] + 1}),
        ("prev_message_hash told otherwise: ciphertext altered", honest, {"prev_message_hash": drawn("prev")}),
        ("chain_id told otherwise: ciphertext altered", honest, {"chain_id": uuid("other chain")}),
        ("message_id told otherwise: wrap", honest, {"message_id": uuid("other message")}),
        ("wrap altered", honest, {"encrypted_keys": {session.device: honest.entry_of(BOB, first=False) | {
            "wrapped": flip(honest.wrap(BOB)["wrapped"])}}}),
        ("wrap of another device", honest, {"encrypted_keys": {session.device: honest.entry_of(BOB, first=False) | {
            "wrapped": honest.wrap(CAROL)["wrapped"]}}}),
    ]  # fmt: skip
    return [
        hexed({"suite": talk.suite, "why": why, "session_key": session.key, "index": 20, "user": BOB,
               "device": session.device, "sender_key": talk.device.public, "audience": honest.audience,
               "accept": why == "honest", "message_received": m(message.received(BOB, **told))})
        for why, message, told in listed
    ]  # fmt: skip


# --- Files and calls ---


def files(talk: Talk) -> tuple[list[Entry], list[Entry]]:
    """chunk_data_i = AEAD(HKDF(file_key, "", "norc:file:v1" ‖ file_id, 32), 0⁴ ‖ i:u64, file_id ‖ i:u32 ‖ …)."""
    suite, file_key, file_id = talk.suite, drawn(f"file key {talk.suite}"), one.raw(uuid("file"))
    key = one.hkdf(suite, file_key, b"", b"norc:file:v1" + file_id)
    good, refused = [], []
    for index, total, chunk in ((0, 1, b""), (2, 3, drawn("chunk", 500)), (0, 2, drawn("whole", CHUNK))):
        if len(chunk) == CHUNK and suite != "0102":
            continue  # one whole chunk is enough
        aad = file_id + one.u32(index) + one.u32(total) + bytes((index == total - 1,))
        sealed = one.seal(suite, key, one.count_nonce(index), aad, chunk.ljust(CHUNK, b"\0"))
        good.append({"suite": suite, "file_key": file_key, "file_id": uuid("file"), "index": index, "total": total,
                     "chunk_size": CHUNK, "chunk": chunk, "sealed_hash": talk.hash(sealed),
                     "tag": sealed[-16:]})  # fmt: skip
    base = {name: good[1][name] for name in ("suite", "file_key", "file_id", "index", "total", "chunk_size", "chunk")}
    dirty = one.seal(suite, key, one.count_nonce(2), aad_of(file_id, 2, 3), (b"\0" * 500 + b"\1").ljust(CHUNK, b"\0"))
    for why, sealed in (
        ("bytes behind the end of the file", dirty),
        ("another place", one.seal(suite, key, one.count_nonce(1), aad_of(file_id, 1, 3), bytes(CHUNK))),
        ("not marked as the last", one.seal(suite, key, one.count_nonce(2), aad_of(file_id, 2, 4), bytes(CHUNK))),
        ("another length", bytes(100)),
    ):
        refused.append(hexed({**base, "why": why, "sealed": sealed}))
    return [hexed(entry) for entry in good], refused


def aad_of(file_id: bytes, index: int, total: int) -> bytes:
    """file_id ‖ i:u32 ‖ total:u32 ‖ last:u8."""
    return file_id + one.u32(index) + one.u32(total) + bytes((index == total - 1,))


def calls(talk: Talk) -> tuple[Entry, list[Entry]]:
    """m_0, m_1, m_2 and packets under them."""
    suite, secret, call = talk.suite, drawn("call secret"), one.raw(uuid("call"))
    keys = [one.hkdf(suite, secret, b"", b"norc:call:v1" + call + one.raw(SENDER))]
    for _ in range(2):
        keys.append(one.hkdf(suite, keys[-1], b"", b"norc:call:next:v1"))

    def packet(t: int, counter: int, payload: bytes, key: bytes | None = None) -> bytes:
        header = call + one.raw(SENDER) + struct.pack(">IQ", t, counter)
        return header + one.seal(suite, key or keys[t], one.count_nonce(counter), header, payload)

    base = {"suite": suite, "call_secret": secret, "call_id": uuid("call"), "sender_device": SENDER}
    sent = [(0, 0, b"a"), (0, 1, b""), (1, 0, b"b" * 100), (0, 2, b"late"), (2, 7, b"c")]
    good = {**base, **{f"m{t}": key for t, key in enumerate(keys)}, "packets": [
        hexed({"packet": packet(*one), "payload": one[2]}) for one in sent]}  # fmt: skip
    honest = packet(0, 0, b"a")
    refused = [
        hexed({**base, "why": why, "packets": [{"packet": data.hex()} for data in packets]})
        for why, packets in (
            ("altered", [flip(honest, 44 * 8)]), ("counter altered", [flip(honest, 40 * 8)]), ("again", [honest,
            honest]),
            ("of another call", [flip(honest)]), ("of another device", [flip(honest, 16 * 8)]),
            ("epoch of another key", [packet(1, 0, b"x", keys[0])]), ("too far ahead", [packet(1001, 0, b"x",
            keys[0])]),
            ("of an epoch that is gone", [packet(2, 0, b"x"), packet(0, 0, b"x")]), ("too short", [honest[:59]]),
        )
    ]  # fmt: skip
    return hexed(good), refused


def padding() -> list[Entry]:
    lengths = [*range(0, 600, 37), 2**15, 2**15 + 1, 2**16 - 1, 2**16, 2**16 + 1, 3 * 2**16, 3 * 2**16 + 1, 2**24]
    return [{"length": length, "padded": one.bucket(length)} for length in lengths]


def sections(kem: Kem) -> dict[str, Any]:
    """Section 6."""
    talks = [Talk(suite, kem) for suite in SUITES]
    sealed, spoken = [files(talk) for talk in talks], [calls(talk) for talk in talks]
    sessions = [session for talk in talks for session in talk.sessions.values()]
    return {
        "sessions": [session.entry() for session in sessions],
        "refused_sessions": [one for session in sessions for one in session.refused()],
        "chain_keys": [talk.sessions[BOB].chain() for talk in talks],
        "messages": [messages(talk) for talk in talks],
        "refused_messages": [one for talk in talks for one in refused_messages(talk)],
        "states": [state_entry(talk, states(talk)[0], first=None) for talk in talks],
        "refused_states": [one for talk in talks for one in refused_states(talk)],
        "receipts": [receipt(talk) for talk in talks],
        "refused_receipts": [one for talk in talks for one in refused_receipts(talk)],
        "padding": padding(),
        "files": [one for good, _ in sealed for one in good],
        "refused_files": [one for _, refused in sealed for one in refused],
        "calls": [good for good, _ in spoken],
        "refused_calls": [one for _, refused in spoken for one in refused],
    }
