"""Topics of section 6: sessions, messages, states, receipts, files, calls."""

from typing import Any

from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.kem import mlkem_public, x25519_public
from norc_actors.crypto.padding import pad, padded_length
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import uuid_bytes
from norc_actors.protocol import calls, conversations, files, receipts
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import encode_map
from norc_actors.protocol.conversations import read_state

from . import NOW, Case, each_suite, fixed, fixed_kem, flipped, identity, key, m, refused, uuid, x
from .people import ALICE, BOB, signed, wrong

SENDER, TARGET = uuid("alice device"), uuid("bob device")


def _prekeys(hybrid: bool, one_time: bool) -> tuple[schedule.PrekeySecrets, schedule.Prekeys]:
    secrets = schedule.PrekeySecrets(
        x25519=fixed("prekey"), one_time=fixed("one-time") if one_time else None,
        mlkem_seed=fixed("mlkem", 64) if hybrid else None,
    )  # fmt: skip
    public = schedule.Prekeys(
        x25519=x25519_public(secrets.x25519),
        one_time=x25519_public(secrets.one_time) if secrets.one_time else None,
        mlkem768=mlkem_public(secrets.mlkem_seed) if secrets.mlkem_seed else None,
    )
    return secrets, public


def session_opens() -> list[Case]:
    """`open` maps with and without a one-time key, and ones that do not open."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        sender = key(identity(suite_name), "alice device")
        for one_time in (True, False):
            secrets, public = _prekeys(suite.hybrid, one_time)
            e_priv, session_key = fixed("ephemeral"), fixed("session key")
            with fixed_kem("crypto.sessions", f"open {suite_name}"):
                agreement = schedule.agree_sender(suite, e_priv, public)
            names = schedule.Names(
                sender_user=ALICE.encode(), sender_device=uuid_bytes(SENDER), target_user=BOB.encode(),
                target_device=uuid_bytes(TARGET), session_id=uuid_bytes(uuid("session")), prekey_id=5,
            )  # fmt: skip
            commitment, wrapped = schedule.wrap_session_key(suite, agreement, names, session_key)
            opened: dict[str, Any] = {
                "type": "session_key_exchange", "session_id": uuid("session"), "sender_user": ALICE,
                "sender_device": SENDER, "target_user": BOB, "target_device": TARGET, "suite": suite_name,
                "prekey_id": 5, "ephemeral_public_key": agreement.ephemeral_public_key, "key_commitment": commitment,
                "wrapped": wrapped, "expires_at": NOW + 86400, "zzz": "kept",
            }  # fmt: skip
            if one_time:
                opened["one_time_id"] = 7
            if agreement.pq_ciphertext is not None:
                opened["pq_ciphertext"] = agreement.pq_ciphertext
            case: Case = {
                "name": "with a one-time key" if one_time else "without a one-time key", "suite": suite_name,
                "accept": True, "sender_key": x(sender.public_key), "e_priv": x(e_priv),
                "session_key": x(session_key), "prekey_private": x(secrets.x25519),
                "open": m(_signed(sender, "session:v1", opened)), "ss": x(agreement.ss), "bind": x(agreement.bind),
                "wrap_key": x(schedule.wrap_key(suite, agreement, commitment, names)),
                "ck_1": x(schedule.next_chain_key(suite, session_key)),
                "mk_0": x(schedule.message_key(suite, session_key)),
                "mk_1": x(schedule.message_key(suite, schedule.next_chain_key(suite, session_key))),
            }  # fmt: skip
            if secrets.one_time is not None:
                case["one_time_private"] = x(secrets.one_time)
            if secrets.mlkem_seed is not None:
                case |= {"mlkem_seed": x(secrets.mlkem_seed), "mlkem_m": x(fixed(f"open {suite_name} m"))}
            cases.append(case)
            cases += _wrong_opens(case, sender, opened)
    return cases


def _signed(device: Any, label: str, plain: dict[str, Any]) -> dict[str, Any]:
    return plain | {"signature": device.sign(label, canonical(plain, ("signature",)))}


def _wrong_opens(case: Case, sender: Any, opened: dict[str, Any]) -> list[Case]:
    def resigned(**changes: Any) -> dict[str, str]:
        plain = {name: value for name, value in (opened | changes).items() if value is not None}
        return m(_signed(sender, "session:v1", plain))

    other = key(identity(case["suite"]), "mallory")
    hybrid = SUITES[case["suite"]].hybrid
    listed = [
        ("all-zero X25519", "not_opened", resigned(ephemeral_public_key=bytes(32))),
        ("another ephemeral key", "not_opened", resigned(ephemeral_public_key=x25519_public(fixed("other")))),
        ("commitment to another key", "not_opened", resigned(key_commitment=fixed("other commitment"))),
        ("wrapped altered", "not_opened", resigned(wrapped=flipped(opened["wrapped"]))),
        ("another session_id", "not_opened", resigned(session_id=uuid("other session"))),
        ("another prekey_id", "prekey_gone", resigned(prekey_id=6)),
        ("another target_user", "wrong_names", resigned(target_user="carol@b.example")),
        ("pq_ciphertext missing or superfluous", "malformed", resigned(pq_ciphertext=None if hybrid else bytes(1088))),
        ("signed under message:v1", "bad_signature", m(_signed(sender, "message:v1", opened))),
        ("signed by another key", "bad_signature", m(_signed(other, "session:v1", opened))),
    ]  # fmt: skip
    if hybrid:
        listed.append(("another pq_ciphertext", "not_opened", resigned(pq_ciphertext=flipped(opened["pq_ciphertext"]))))
    if "one_time_id" in opened:
        listed.append(("one_time_id dropped", "not_opened", resigned(one_time_id=None)))
    return [
        refused(case, f"OpenRefusedError {fault}", name=f"{case['name']}: {name}", open=plain)
        for name, fault, plain in listed
    ]


def conversation_states() -> list[Case]:
    """A first state, the one after it, and their signatures."""
    cases: list[Case] = []
    for algorithm in ("ed25519", "p256"):
        device, other = key(algorithm, "alice device"), key(algorithm, "mallory")  # type: ignore[arg-type]
        alice, bob, carol = (key(algorithm, f"{name} user").public_key for name in ("alice", "bob", "carol"))  # type: ignore[arg-type]
        first = conversations.first_state(
            uuid("conversation"), "group", {ALICE: ("owner", alice), BOB: ("member", bob)}
        )
        second = conversations.with_member(first, ALICE, "carol@b.example", carol, "observer", device.public_key)
        for name, state, previous in (("first state", first, None), ("next state", second, first)):
            case = signed(
                name, device.public_key, "conversation:v1", state.map, conversations.sign_state(device, state),
                signer_user=ALICE,
            )  # fmt: skip
            if previous is not None:
                case["previous"] = m(previous.map)
            cases += [case, *wrong(case, other, state.map | {"zzz": 1})]
        forked = second.map | {"prev_state_hash": fixed("other state")}
        signature = conversations.sign_state(device, read_state(forked))
        case = signed("another previous state", device.public_key, "conversation:v1", forked, signature)
        cases.append(refused(case, "StateRefusedError", previous=m(first.map), signer_user=ALICE))
        case = signed(
            "signed by a member", device.public_key, "conversation:v1", second.map,
            conversations.sign_state(device, second),
        )  # fmt: skip
        cases.append(refused(case, "StateRefusedError", previous=m(first.map), signer_user=BOB))
    return cases


def messages() -> list[Case]:
    """Whole messages: inner map to message_received, with everything between."""
    cases: list[Case] = []
    for suite_name in SUITES:
        for name, inner, expires in (
            ("text", {"message_type": "text", "body": "Grüße 👋"}, None),
            ("longer, expiring", {"message_type": "text", "body": "x" * 400, "reply_to": uuid("before")}, NOW),
            ("unknown members", {"message_type": "text", "body": "", "zzz": [1, {"a": b"b"}]}, None),
        ):
            cases.append(_message(suite_name, name, inner, expires))
            if name == "text":
                cases += _wrong_messages(cases[-1], inner, expires)
    return cases


def _clear(suite_name: str, name: str) -> dict[str, Any]:
    return {
        "message_id": uuid(f"message {name}"), "conversation_id": uuid("conversation"), "epoch": 1,
        "sender_user": ALICE, "sender_device": SENDER, "chain_id": uuid("chain"), "sequence_number": 0x123456,
        "prev_message_hash": bytes(32), "suite": suite_name, "classification": "official_use_only",
        "timestamp": NOW * 10**6 + 7,
    }  # fmt: skip


def _message(
    suite_name: str,
    name: str,
    inner: dict[str, Any],
    expires: int | None,
    *,
    label: str = "message:v1",
    inner_bytes: bytes | None = None,
    plaintext: Any = None,
    signer: str = "alice device",
    commit: bytes | None = None,
    told: dict[str, Any] | None = None,
) -> Case:
    """A message of Alice's device to Bob's; the keyword arguments break it."""
    suite = SUITES[suite_name]
    device = key(identity(suite_name), signer)
    state = conversations.direct_state(
        uuid("conversation"), ALICE, key("ed25519", "alice user").public_key, BOB, key("p256", "bob user").public_key
    )
    members = _clear(suite_name, name)
    content_key, session_key = fixed(f"content key {name}"), fixed("session key")
    encoded = encode_map(inner) if inner_bytes is None else inner_bytes
    members |= {
        "key_commitment": commit or schedule.commitment(suite, content_key), "audience": suite.hash(state.form),
        "inner_hash": suite.hash(encoded),
    }  # fmt: skip
    if expires is not None:
        members["expires_at"] = expires
    body = canonical(members)
    signature = device.sign(label, body)
    plain = pad(encoded, signature)
    if plaintext is not None:
        plain = plaintext(plain)
    names = schedule.ContentNames(
        message_id=uuid_bytes(members["message_id"]), chain_id=uuid_bytes(members["chain_id"]),
        conversation_id=uuid_bytes(members["conversation_id"]), sequence_number=members["sequence_number"],
        prev_message_hash=members["prev_message_hash"],
    )  # fmt: skip
    ciphertext = schedule.seal_content(suite, content_key, names, plain)
    index = 3
    chain_key = session_key
    for _ in range(index):
        chain_key = schedule.next_chain_key(suite, chain_key)
    mk = schedule.message_key(suite, chain_key)
    wrap = schedule.WrapNames(
        sender_user=ALICE.encode(), sender_device=uuid_bytes(SENDER), user=BOB.encode(), device=uuid_bytes(TARGET),
        message_id=names.message_id, session_id=uuid_bytes(uuid("session")), index=index,
    )  # fmt: skip
    wrapped = schedule.wrap_content_key(suite, mk, members["key_commitment"], wrap, content_key)
    metadata = {"timestamp": members["timestamp"], "classification": members["classification"]}
    if expires is not None:
        metadata["expires_at"] = expires
    received = {
        "type": "message_received",
        **{n: members[n] for n in (
            "message_id", "conversation_id", "epoch", "suite", "chain_id", "sequence_number", "prev_message_hash",
            "key_commitment", "sender_user", "sender_device",
        )},
        "ciphertext": ciphertext,
        "encrypted_keys": {TARGET: {"session_id": uuid("session"), "index": index, "wrapped": wrapped}},
        "metadata": metadata,
        "accepted_at": NOW,
    } | (told or {})  # fmt: skip
    return {
        "name": name, "suite": suite_name, "accept": True,
        "sender_key": x(key(identity(suite_name), "alice device").public_key),
        "target_user": BOB, "target_device": TARGET, "session_key": x(session_key), "index": index, "mk": x(mk),
        "state": m(state.map), "audience": x(members["audience"]), "content_key": x(content_key), "inner": x(encoded),
        "inner_hash": x(members["inner_hash"]), "body": body.decode(), "signature": x(signature),
        "plaintext": x(plain), "ciphertext_hash": x(suite.hash(ciphertext)), "message_received": m(received),
    }  # fmt: skip


def _wrong_messages(case: Case, inner: dict[str, Any], expires: int | None) -> list[Case]:
    suite_name, name = case["suite"], case["name"]

    def made(**changes: Any) -> Case:
        return _message(suite_name, name, inner, expires, **changes)

    def replaced(data: bytes, at: int, byte: int) -> bytes:
        return data[:at] + bytes((byte,)) + data[at + 1 :]

    listed = [
        ("signed under another label", "bad_signature", made(label="receipt:v1")),
        ("signed by another key", "bad_signature", made(signer="mallory")),
        ("another commitment", "not_opened", made(commit=fixed("other commitment"))),
        ("last padding byte not zero", "not_opened", made(plaintext=lambda p: replaced(p, len(p) - 1, 1))),
        ("padded to twice the size", "not_opened", made(plaintext=lambda p: p + bytes(len(p)))),
        ("not padded", "not_opened", made(plaintext=lambda p: p.rstrip(b"\0") or b"\0")),
        ("inner length beyond the plaintext", "not_opened", made(plaintext=lambda p: b"\0\1" + p[2:])),
        ("signature of 63 bytes", "not_opened", made(
            plaintext=lambda p: replaced(p, 4 + int.from_bytes(p[:4], "big") + 1, 63),
        )),
        ("inner has a null", "malformed", made(inner_bytes=b"\x82\xacmessage_type\xa4text\xa4body\xc0")),
        ("inner has a duplicate key", "malformed", made(
            inner_bytes=b"\x83\xacmessage_type\xa4text\xa4body\xa1x\xa4body\xa1y",
        )),
        ("timestamp told otherwise", "bad_signature", made(
            told={"metadata": {"timestamp": NOW * 10**6, "classification": "official_use_only"}},
        )),
        ("classification told otherwise", "bad_signature", made(
            told={"metadata": {"timestamp": NOW * 10**6 + 7, "classification": "unclassified"}},
        )),
        ("number told otherwise", "not_opened", made(told={"sequence_number": 0x123457})),
        ("chain told otherwise", "not_opened", made(told={"chain_id": uuid("other chain")})),
    ]  # fmt: skip
    return [refused(made_, f"MessageRefusedError {cause}", name=f"{name}: {why}") for why, cause, made_ in listed]


def paddings() -> list[Case]:
    """Lengths and their buckets."""
    lengths = [0, 1, 255, 256, 257, 511, 512, 513, 32768, 32769, 65535, 65536, 65537, 131072, 131073, 2**20 + 1]
    return [
        {"name": str(length), "accept": True, "length": length, "padded": padded_length(length)} for length in lengths
    ]


def receipt_maps() -> list[Case]:
    """Receipts for a ciphertext."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        device, other = key(identity(suite_name), "bob device"), key(identity(suite_name), "mallory")
        ciphertext = fixed("ciphertext", 272)
        for status in ("delivered", "read"):
            receipt = receipts.make_receipt(
                device, message_id=uuid("message"), conversation_id=uuid("conversation"),
                ciphertext_hash=suite.hash(ciphertext), status=status, user_id=BOB, device_id=TARGET,  # type: ignore[arg-type]
                timestamp_us=NOW * 10**6 + 3,
            )  # fmt: skip
            signature = receipt["signature"]
            assert isinstance(signature, bytes)
            body = canonical({name: receipt[name] for name in receipts.SIGNED_MEMBERS}).decode()
            case: Case = {
                "name": status, "suite": suite_name, "accept": True, "public_key": x(device.public_key),
                "ciphertext": x(ciphertext), "map": m(receipt), "label": "receipt:v1", "body": body,
                "signature": x(signature),
            }  # fmt: skip
            cases += [
                case,
                refused(case, "BadSignatureError", name=f"{status}: for another ciphertext",
                        ciphertext=x(flipped(ciphertext))),
                refused(case, "BadSignatureError", name=f"{status}: signed by another key",
                        map=m(receipt | {"signature": other.sign("receipt:v1", body.encode())}),
                        signature=x(other.sign("receipt:v1", body.encode()))),
            ]  # fmt: skip
    return cases


CHUNK = 64 * 1024


def file_chunks() -> list[Case]:
    """Chunks: `content` repeated to the chunk's length; the sealed bytes by their hash and tag."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        file_key, file_id = fixed("file key"), uuid("file")
        for index, length in ((0, CHUNK), (1, CHUNK), (2, 1000)):
            content = fixed(f"file chunk {index}")
            chunk = (content * (length // 32 + 1))[:length]
            sealer = files.FileSealer(suite, file_key, file_id, total=3, chunk_size=CHUNK)
            sealed = sealer.seal(index, chunk)
            case: Case = {
                "name": f"chunk {index} of 3", "suite": suite_name, "accept": True, "file_key": x(file_key),
                "file_id": file_id, "index": index, "total": 3, "chunk_size": CHUNK, "content": x(content),
                "length": length, "size": 2 * CHUNK + 1000,
                "chunk_key": x(files.chunk_key(suite, file_key, uuid_bytes(file_id))),
                "chunk_hash": x(suite.hash(sealed)), "tag": x(sealed[-16:]), "first": x(sealed[:32]),
            }  # fmt: skip
            cases += [
                case,
                refused(case, "DecryptionFailedError", name=f"chunk {index} as another", index=(index + 1) % 3),
                refused(case, "DecryptionFailedError", name=f"chunk {index} in a longer file", total=4,
                        size=3 * CHUNK + 1),
            ]  # fmt: skip
    return cases


def call_packets() -> list[Case]:
    """Keys of three epochs and a packet under each."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        secret, call_id = fixed("call secret"), uuid("call")
        sender = calls.CallSender(suite, secret, call_id, SENDER)
        keys = [calls.first_key(suite, secret, uuid_bytes(call_id), uuid_bytes(SENDER))]
        keys += [calls.next_key(suite, keys[0])]
        keys += [calls.next_key(suite, keys[1])]
        packets = [sender.seal(f"packet {at}".encode(), float(at)) for at in (0, 1, 30, 61)]
        cases.append(
            {"name": "three epochs", "suite": suite_name, "accept": True, "call_secret": x(secret), "call_id": call_id,
             "sender_device": SENDER, "keys": [x(one) for one in keys],
             "packets": [{"packet": x(packet), "payload": x(f"packet {at}".encode())}
                         for packet, at in zip(packets, (0, 1, 30, 61), strict=True)]}
        )  # fmt: skip
        altered = (flipped(packets[0], 44 * 8), packets[0][:59], flipped(packets[0], 40 * 8))
        broken = [{"packet": x(packet), "payload": ""} for packet in altered]
        cases += [
            refused(cases[-1], "DecryptionFailedError", name=f"altered packet {number}", packets=[packet])
            for number, packet in enumerate(broken)
        ]
    return cases
