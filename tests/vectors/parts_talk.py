"""Parts of section 6: sessions, messages, receipts, conversations, files, calls."""

from typing import Any
from unittest import mock

from norc_actors.crypto import kem, padding
from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES, Suite
from norc_actors.protocol import calls, conversations, files, opening, receipts, sealing
from norc_actors.protocol.canonical import canonical, from_base64url
from norc_actors.protocol.codec import convert, decode_as
from norc_actors.protocol.conversations import State, read_state
from norc_actors.protocol.devices import OwnDevice
from norc_actors.protocol.json_form import read_json
from norc_actors.protocol.messages import Inner, MessageReceived, MessageSend
from norc_actors.protocol.prekeys import BundleSecret, OneTimeSecret
from norc_actors.protocol.sessions import ReceivingSession, accept_open

from .parts_people import SIGNED, known_device, raw
from .parts_wire import made_again, stated_key
from .reading import Entry, part

FOREVER = 2**40


def own_device(user_id: str, device_id: str) -> OwnDevice:
    """The device that opens; it signs nothing here."""
    return OwnDevice(user_id=user_id, device_id=device_id, key=SigningKey("ed25519", bytes(32)), e2e_suites=PREFERENCE)


# --- Sessions ---


@part(
    "sender_key prekey_priv open",
    malformed="PQ|pq_|superfluous|missing|null|malformed|bytes",
    not_opened__or__malformed="other suite|another suite|suite differs",
    bad_signature="sign|label",
    wrong_names__or__bad_signature="target|sender_",
    not_opened=".",
)
def session_opening(entry: Entry) -> None:
    """As the target judges it, then the key schedule of both ends."""
    opened = entry.map("open")
    entry.equal("suite", opened["suite"])
    prekey, one_time = entry.raw("prekey_priv"), None
    seed = entry.raw("kem_seed") if entry.get("kem_seed") else None
    if entry.get("one_time_priv") and "one_time_id" in opened:
        one_time = OneTimeSecret(one_time_id=opened["one_time_id"], x25519=entry.raw("one_time_priv"))
    key = stated_key(entry, "sender_seed", "sender_key")
    target = entry.file.owners.get(prekey, (opened["target_user"], opened["target_device"]))
    session = accept_open(
        opened, own=own_device(*target), accepted_at=opened["expires_at"] - 1, one_time=one_time,
        sender=known_device(opened["sender_user"], opened["sender_device"], entry.raw("sender_key")),
        bundle=BundleSecret(prekey_id=opened["prekey_id"], x25519=prekey, mlkem_seed=seed, not_after=FOREVER),
    )  # fmt: skip
    entry.equal("session_key", session.chain_key)
    made_again(entry, key, "session:v1", canonical(opened, ("signature",)), opened["signature"])
    _schedule(entry, opened, one_time, seed)


def _schedule(entry: Entry, opened: dict[str, Any], one_time: OneTimeSecret | None, seed: bytes | None) -> None:
    """The formulas one by one, and the sender's wrap of the same key."""
    suite = SUITES[opened["suite"]]
    if "e_priv" in entry and kem.x25519_public(entry.raw("e_priv")) != opened["ephemeral_public_key"]:
        entry.differ("e_priv is of another ephemeral key")
    secrets = schedule.PrekeySecrets(
        x25519=entry.raw("prekey_priv"), one_time=one_time.x25519 if one_time else None,
        mlkem_seed=seed if suite.hybrid else None,
    )  # fmt: skip
    public = schedule.Prekeys(
        x25519=kem.x25519_public(secrets.x25519),
        one_time=kem.x25519_public(secrets.one_time) if secrets.one_time else None,
        mlkem768=kem.mlkem_public(secrets.mlkem_seed) if secrets.mlkem_seed else None,
    )
    agreement = schedule.agree_receiver(
        suite, secrets, public, opened["ephemeral_public_key"], opened.get("pq_ciphertext")
    )
    names = schedule.Names(
        sender_user=opened["sender_user"].encode(), sender_device=raw(opened["sender_device"]),
        target_user=opened["target_user"].encode(), target_device=raw(opened["target_device"]),
        session_id=raw(opened["session_id"]), prekey_id=opened["prekey_id"],
    )  # fmt: skip
    wrap_key = schedule.wrap_key(suite, agreement, opened["key_commitment"], names)
    for name, value in (("ss", agreement.ss), ("bind", agreement.bind), ("wrap_key", wrap_key)):
        entry.equal(name, value)
    if "session_key" in entry:
        made = schedule.wrap_session_key(suite, agreement, names, entry.raw("session_key"))
        if made != (opened["key_commitment"], opened["wrapped"]):
            entry.differ("the sender wraps it otherwise")
        _stated_seal(entry, suite, wrap_key, entry.raw("session_key"), opened["wrapped"])


def _stated_seal(entry: Entry, suite: Suite, key: bytes, plaintext: bytes, sealed: bytes) -> None:
    """Stated nonce and associated data have to be those that the sealed bytes were made with."""
    if entry.has("nonce aad") and suite.seal(key, entry.raw("nonce"), entry.raw("aad"), plaintext) != sealed:
        entry.differ("nonce and aad are of something else")


@part("suite session_key steps")
def chain_keys(entry: Entry) -> None:
    """All 1000 keys of a session, some of them stated."""
    ck, key = entry.raw("session_key"), b""
    steps = {step["i"]: step for step in entry.inside("steps")}
    for index in range(1000):
        key = schedule.message_key(entry.suite, ck)
        if index in steps:
            steps[index].equal("ck", ck)
            steps[index].equal("mk", key)
        ck = schedule.next_chain_key(entry.suite, ck)
    entry.equal("mk_999", key)


def key_at(suite: Suite, chain_key: bytes, index: int) -> bytes:
    """mk_index of a session."""
    for _ in range(index):
        chain_key = schedule.next_chain_key(suite, chain_key)
    return schedule.message_key(suite, chain_key)


# --- Conversations and receipts ---


@part("state state_signature state_signer_key", state_refused="epoch|prev_|previous|member|sorted|role", **SIGNED)
def conversation_state(entry: Entry) -> None:
    state = read_state(entry.map("state"))
    previous = read_state(entry.map("state_first")) if "state_first" in entry else None
    owner = entry.get("state_signer") or next(
        (one.user_id for one in (previous or state).members if one.role == "owner"), ""
    )
    signer = known_device(owner, "00000000-0000-4000-8000-000000000001", entry.raw("state_signer_key"))
    key = stated_key(entry, "state_signer_seed", "state_signer_key")
    conversations.verify_state(
        state.map, entry.raw("state_signature"), previous=previous, signer=signer, at=0
    )  # fmt: skip
    made_again(entry, key, "conversation:v1", state.form, entry.raw("state_signature"))


@part("state audience")
def audience(entry: Entry) -> None:
    entry.equal("audience", conversations.audience(entry.suite, read_state(entry.map("state"))))


@part("receipt_body receipt_key receipt_signature", **SIGNED)
def receipt(entry: Entry) -> None:
    """The body is given alone: it is a receipt less its type and signature."""
    members = read_json(entry.raw("receipt_body"))
    body = canonical({name: members[name] for name in receipts.SIGNED_MEMBERS})
    entry.equal("receipt_body", body)
    whole = {**members, "type": "read_receipt", "signature": entry.raw("receipt_signature")}
    whole["ciphertext_hash"] = from_base64url(members["ciphertext_hash"])
    digest = entry.raw("ciphertext_hash") if "ciphertext_hash" in entry else whole["ciphertext_hash"]
    receipts.verify_receipt(
        whole, known_device(members["user_id"], members["device_id"], entry.raw("receipt_key")),
        message_id=members["message_id"], conversation_id=members["conversation_id"], ciphertext_hash=digest,
    )  # fmt: skip
    made_again(entry, stated_key(entry, "receipt_seed", "receipt_key"), "receipt:v1", body, whole["signature"])


# --- Messages ---


@part("suite sender_key state messages")
def messages(entry: Entry) -> None:
    """A sender's messages to its recipients' devices: what the sender makes, and that each device opens it."""
    state = read_state(entry.map("state"))
    key = stated_key(entry, "sender_seed", "sender_key")
    chains: dict[str, Any] = {}
    for one in entry.inside("messages"):
        send = convert(one.map("message_send"), MessageSend)
        _content(entry, one, send, state, key)
        for device in one.inside("devices"):
            _wrap(entry, one, device, send)
            received = received_of(device)
            session = session_of(received, device["session_id"], entry.raw("sender_key"))
            session = ReceivingSession.from_map(
                {**session.to_map(), "next_index": 1000, "skipped": {str(device["index"]): device.raw("mk")}}
            )
            opened = opening.open_message(
                received, own=own_device(device["user"], device["device"]),
                sender=known_device(received.sender_user, received.sender_device, entry.raw("sender_key")),
                recorded_hash=None, session=session, state=state, chain=chains.get(device["device"]),
                now=received.metadata.timestamp / 1e6, held=True,
            )  # fmt: skip
            assert isinstance(opened, opening.Opened)
            chains[device["device"]] = opened.chain
            if opened.inner != decode_as(Inner, one.raw("inner")).message:
                device.differ("another inner map was opened")
            one.equal("ciphertext_hash", opened.ciphertext_hash)


def _content(entry: Entry, one: Entry, send: MessageSend, state: State, key: SigningKey | None) -> None:
    """Body, signature, plaintext and ciphertext, as the sender makes them."""
    suite, inner, content_key = entry.suite, one.raw("inner"), one.raw("content_key")
    received = received_of(one.inside("devices")[0])
    sender = received.sender_user, received.sender_device
    body = sealing.signed_body(send, *sender, conversations.audience(suite, state), suite.hash(inner))
    one.equal("body", body)
    one.equal("plaintext", padding.pad(inner, one.raw("signature")))
    made_again(one, key, "message:v1", body, one.raw("signature"))
    if schedule.seal_content(suite, content_key, sealing.content_names(send), one.raw("plaintext")) != (
        send.ciphertext
    ):
        one.differ("the sender seals it otherwise")
    if schedule.commitment(suite, content_key) != send.key_commitment:
        one.differ("the commitment is to another key")
    _stated_seal(one, suite, content_key, one.raw("plaintext"), send.ciphertext)


def _wrap(entry: Entry, one: Entry, device: Entry, send: MessageSend) -> None:
    """The content key for one device, under the message key of its session."""
    suite, received = entry.suite, received_of(device)
    names = schedule.WrapNames(
        sender_user=received.sender_user.encode(), sender_device=raw(received.sender_device),
        user=device["user"].encode(), device=device.uuid("device"), message_id=raw(send.message_id),
        session_id=device.uuid("session_id"), index=device["index"],
    )  # fmt: skip
    wrap = send.encrypted_keys[device["device"]]
    made = schedule.wrap_content_key(suite, device.raw("mk"), send.key_commitment, names, one.raw("content_key"))
    if made != wrap.wrapped or (wrap.session_id, wrap.index) != (device["session_id"], device["index"]):
        device.differ("the sender wraps it otherwise")
    if "wk" in device:
        _stated_seal(device, suite, device.raw("wk"), one.raw("content_key"), wrap.wrapped)
    if device["session_id"] in entry.file.sessions:
        session_suite, session_key = entry.file.sessions[device["session_id"]]
        device.equal("mk", key_at(session_suite, session_key, device["index"]))


def received_of(entry: Entry) -> MessageReceived:
    """The `message_received` of an entry; recordings may leave out the home server's time of acceptance."""
    members = entry.map("message_received")
    return convert({"accepted_at": members["metadata"]["timestamp"] // 10**6, **members}, MessageReceived)


def session_of(
    received: MessageReceived, session_id: str, sender_key: bytes, chain_key: bytes = b"", index: int = 0
) -> ReceivingSession:
    """The receiver's state of a session, at an index."""
    return ReceivingSession(
        session_id=session_id, suite=received.suite, sender_user=received.sender_user,
        sender_device=received.sender_device, prekey_id=5, chain_key=chain_key, next_index=index, skipped={},
        expires_at=FOREVER,
    )  # fmt: skip


@part(
    "session_key index user device sender_key audience message_received",
    not_opened="^(?!signed).*(padd|commitment|beyond|cut to|bytes$|length|wrap|tag|ciphertext altered|device|index)",
    malformed="inner has|inner is|null|duplicate|float|body",
    bad_signature="sign|differs|added|audience|dropped|removed|epoch|changed|label",
)
def message(entry: Entry) -> None:
    """One message as its target judges it; the conversation's state is given by its hash alone."""
    received, suite = received_of(entry), entry.suite
    wrap, chain_key = received.encrypted_keys[entry["device"]], entry.raw("session_key")
    for _ in range(entry["index"]):
        chain_key = schedule.next_chain_key(suite, chain_key)
    key = entry.raw("sender_key")
    state = conversations.direct_state(
        received.conversation_id, received.sender_user, bytes(32), entry["user"], bytes(32)
    )
    state = State(**{name: getattr(state, name) for name in State.__slots__} | {"epoch": received.epoch})
    given = entry.raw("audience")
    with mock.patch.object(opening, "audience", return_value=given):
        opening.open_message(
            received, own=own_device(entry["user"], entry["device"]), recorded_hash=None, state=state, chain=None,
            sender=known_device(received.sender_user, received.sender_device, key), held=True,
            session=session_of(received, wrap.session_id, key, chain_key, entry["index"]),
            now=received.metadata.timestamp / 1e6,
        )  # fmt: skip


# --- Files and calls ---


class Manifest:
    """What a chunk's formulas take of its manifest: the least file that has so many chunks."""

    def __init__(self, entry: Entry, length: int) -> None:
        self.file_id, self.file_key, self.hash = entry["file_id"], entry.raw("file_key"), bytes(32)
        self.chunk_size, self.total = entry["chunk_size"], entry["total"]
        short = length if entry["index"] == self.total - 1 else 1
        self.size = (self.total - 1) * self.chunk_size + short


@part("suite file_key file_id index total chunk_size chunk", not_opened=".")
def file_chunk(entry: Entry) -> None:
    chunk = entry.raw("chunk")
    sealer = files.FileSealer(
        entry.suite, entry.raw("file_key"), entry["file_id"], total=entry["total"], chunk_size=entry["chunk_size"]
    )
    sealed = sealer.seal(entry["index"], chunk)
    entry.equal("sealed_hash", files.chunk_hash(entry.suite, sealed))
    entry.equal("tag", sealed[-16:])
    if "sealed" in entry:
        sealed = entry.raw("sealed")
    if "chunk_hash" in entry:
        files.check_chunk_hash(entry.suite, sealed, entry.raw("chunk_hash"))
    if files.FileOpener(entry.suite, Manifest(entry, len(chunk))).open(entry["index"], sealed) != chunk:
        entry.differ("it opens to another chunk")


@part("suite call_secret call_id sender_device", not_opened=".")
def call_keys(entry: Entry) -> None:
    key, at = calls.first_key(
        entry.suite, entry.raw("call_secret"), entry.uuid("call_id"), entry.uuid("sender_device")
    ), 0  # fmt: skip
    while f"m{at}" in entry:
        entry.equal(f"m{at}", key)
        key, at = calls.next_key(entry.suite, key), at + 1
    receiver = calls.CallReceiver(entry.suite, entry.raw("call_secret"), entry["call_id"], entry["sender_device"])
    for packet in entry.inside("packets") if "packets" in entry else ():
        packet.equal("payload", receiver.open(packet.raw("packet")))
