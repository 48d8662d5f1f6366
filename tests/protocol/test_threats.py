"""The threat model line by line: what `test_attacks.py` has not, each attack as its attacker would do it.

`docs/security.md` lists every line with its tests; `tools/mutants.py` removes the defences one by one.
"""

import copy
import itertools

import pytest

from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.errors import BadSignatureError, DecryptionFailedError
from norc_actors.crypto.labels import SIGN_LABELS, signing_input
from norc_actors.crypto.signatures import SigningKey, verify
from norc_actors.crypto.suites import SUITES
from norc_actors.protocol import auth, sealing, sessions
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.codec import convert, decode_map, encode, encode_map, to_map
from norc_actors.protocol.conversations import StateRefusedError, first_state, next_state, sign_state, verify_state
from norc_actors.protocol.devices import lost_hybrid
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import decode_v1, encode_v1
from norc_actors.protocol.messages import MessageReceived
from norc_actors.protocol.opening import Again, Cause, MessageRefusedError, Opened
from norc_actors.protocol.prekeys import PrekeyRefusedError
from norc_actors.protocol.receipts import make_receipt, verify_receipt
from norc_actors.protocol.sealing import CLASSICAL_ALLOWED, SealRefusedError
from norc_actors.protocol.sessions import OpenFault, OpenRefusedError, accept_open, next_sending_key, open_session
from tests.support.chat import Chatter, text
from tests.support.links import SERVER, keys, offer, pair, shake_hands
from tests.support.links import seeded as link_seeded
from tests.support.people import NOW, Person, seeded
from tests.support.world import World, known_device, raw, replace_fields


def refusal(world, received, **changes):
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, changes.pop("sender", world.alice_device), **changes)
    return refused.value.cause


# --- Signing oracle ---


@pytest.mark.parametrize("algorithm", ["ed25519", "p256"])
def test_signing_oracle(algorithm):
    """Whatever body an attacker gets signed under one label verifies under no other."""
    key, body = SigningKey.generate(algorithm, seeded(algorithm)), b"\0" * 64
    signature = key.sign("auth:v1", body)
    for label in SIGN_LABELS - {"auth:v1"}:
        with pytest.raises(BadSignatureError):
            verify(key.public_key, label, body, signature)
    inputs = {signing_input(label, b"") for label in SIGN_LABELS}
    assert not [pair for pair in itertools.permutations(inputs, 2) if pair[0].startswith(pair[1])]


def test_signing_oracle_by_relayed_challenge():
    """A server in the middle hands a challenge on: the signature is bound to the connection it was made on."""
    user, device = "alice@a.example", "8730f70d-c056-4103-9108-3d814ee5a7da"
    key, challenge = SigningKey.generate("ed25519", seeded("device")), b"c" * 32
    here, there = pair(seed=1).client.th, pair(seed=5).client.th
    assert here != there
    request = auth.sign_auth(key, th=here, challenge=challenge, user_id=user, device_id=device, now=NOW)
    auth.verify_auth(request, key.public_key, th=here, challenge=challenge, now=NOW)
    with pytest.raises(ProtocolError) as refused:
        auth.verify_auth(request, key.public_key, th=there, challenge=challenge, now=NOW)
    assert refused.value.code is Code.AUTHENTICATION


# --- Key and nonce reuse after a crash ---


def test_a_crash_before_the_commit_repeats_no_key(world):
    """What was committed is what was sent: from the state before it, the same key makes the same message only if it is
    the same message. A device restored from before its commit sends its stored bytes, so what differs is refused."""
    world.b.open(world.to_bob(world.a.send("0", [world.bob_device])), world.alice_device)
    before = copy.deepcopy(world.a.dump())
    first = world.a.send("one", [world.bob_device])
    world.a.restore(before)
    second = world.a.send("another", [world.bob_device])
    one, two = (sealed.message.encrypted_keys[world.bobs.id] for sealed in (first, second))
    assert (one.session_id, one.index) == (two.session_id, two.index)  # the clone does reuse the message key …
    assert first.message.message_id != second.message.message_id
    assert first.message.ciphertext != second.message.ciphertext
    layouts = [
        schedule._wrap_layout(  # noqa: SLF001 - the two nonces and keys themselves
            SUITES[sealed.message.suite], b"k" * 32, sealed.message.key_commitment,
            schedule.WrapNames(
                sender_user=b"", sender_device=bytes(16), user=b"", device=bytes(16),
                message_id=raw(sealed.message.message_id), session_id=bytes(16), index=0,
            ),
        )
        for sealed in (first, second)
    ]  # fmt: skip
    assert len({key for key, _, _ in layouts}) == 2  # … and yet neither wrap key nor nonce repeats:
    assert len({nonce for _, nonce, _ in layouts}) == 2  # commitment and message_id are in them
    assert isinstance(world.b.open(world.to_bob(first), world.alice_device), Opened)
    assert refusal(world, world.to_bob(second)) is Cause.KEY_USED


def test_a_retransmission_is_the_stored_bytes(world):
    sealed = world.a.send("once", [world.bob_device])
    stored = encode(sealed.message)
    received = world.to_bob(sealed)
    world.b.open(received, world.alice_device)
    assert isinstance(world.b.open(received, world.alice_device), Again)
    assert encode(sealed.message) == stored


# --- Downgrades ---


def _client(**changes):
    from norc_actors.protocol.handshake import ClientHandshake, KnownKeys, ServerHandshake

    identity = keys()
    members = {"server_name": SERVER, "known": KnownKeys(), "random": link_seeded(1)} | changes
    return ClientHandshake(**members), ServerHandshake(offer(identity), random=link_seeded(2)), identity


def _without(member, *gone, **more):
    def change(frame):
        v1 = decode_v1(frame)
        plain = decode_map(v1.payload)
        plain[member] = [entry for entry in plain[member] if entry not in gone]
        plain |= more
        return encode_v1(v1.type, encode_map({name: value for name, value in plain.items() if value is not None}))

    return change


def test_downgrade_to_1_x():
    """A middle that takes 2.0 out of the server's list, or a server that once spoke 2.0 and pretends it never did."""
    client, server, identity = _client(versions=("1.1", "2.0"))
    with pytest.raises(ProtocolError) as refused:
        shake_hands(
            client, server, identity,
            on_accepted=_without("server_versions", server_versions=["1.1"], negotiated_version="1.1"),
        )  # fmt: skip
    assert refused.value.code in (Code.DOWNGRADE, Code.NO_COMPATIBLE_VERSION)
    client, server, identity = _client(versions=("1.1", "2.0"))
    with pytest.raises(ProtocolError) as refused:
        shake_hands(
            client, server, identity,
            on_accepted=_without("server_versions", server_versions=["1.1", "2.0"], negotiated_version="1.1"),
        )  # fmt: skip
    assert refused.value.code is Code.DOWNGRADE
    client, server, identity = _client(remembered_version="2.1")
    with pytest.raises(ProtocolError) as refused:
        shake_hands(client, server, identity)
    assert refused.value.code is Code.DOWNGRADE


@pytest.mark.parametrize(
    "middle",
    [
        {"on_request": _without("cipher_suites", "0101", "0102", pq_public_key=None)},
        {"on_request": _without("cipher_suites", "0101")},
        {"on_accepted": _without("server_cipher_suites", "0101", "0102", cipher_suite="0001", pq_ciphertext=None)},
        {"on_accepted": _without("server_cipher_suites", "0101", cipher_suite="0102")},
    ],
    ids=["pq from the request", "one from the request", "pq from the answer", "one from the answer"],
)
def test_suite_strip(middle):
    client, server, identity = _client()
    with pytest.raises(ProtocolError):
        shake_hands(client, server, identity, **middle)


def test_pq_strip():
    """The ML-KEM key is taken from a bundle, from an `open`, from a record: never a silent classical session."""
    world = World()
    bare = {name: value for name, value in world.bobs.entry["bundle"].items() if name != "mlkem768"}
    bare["signature"] = world.bobs.key.sign("prekey:v1", canonical(bare, ("signature",)))  # even with Bob's own hand
    device = copy.copy(world.bob_device)
    object.__setattr__(device, "entry", {**device.entry, "bundle": bare})
    with pytest.raises(PrekeyRefusedError):
        open_session(world.phone.own, device, now=NOW, random=seeded("pq"))
    session = open_session(world.phone.own, world.bob_device, now=NOW, random=seeded("pq"))
    stripped = {name: value for name, value in session.open.items() if name != "pq_ciphertext"} | {"suite": "0001"}
    with pytest.raises(OpenRefusedError) as refused:
        accept_open(
            stripped, own=world.bobs.own, sender=world.alice_device, accepted_at=NOW, bundle=world.bobs.bundles[1],
            one_time=world.bobs.one_times[1],
        )  # fmt: skip
    assert refused.value.fault is OpenFault.BAD_SIGNATURE
    classical = copy.copy(world.bob_device)
    object.__setattr__(classical, "e2e_suites", ("0001", "0002"))
    assert lost_hybrid(world.bob_device, classical)


# --- Relabelled classification ---


@pytest.mark.parametrize("label", ["unclassified", "secret", "nato_secret"])
def test_relabelled_classification(world, label):
    plain = to_map(world.to_bob(world.a.send("x", [world.bob_device])))
    plain["metadata"] = {**plain["metadata"], "classification": label}
    cause = refusal(world, convert(plain, MessageReceived))
    assert cause is Cause.BAD_SIGNATURE


def test_higher_classifications_never_go_classically():
    assert {"unclassified", "official_use_only"} == CLASSICAL_ALLOWED
    world = World("ed25519", ("0001",))
    with pytest.raises(sessions.NoCommonSuiteError):
        world.a.send("x", [world.bob_device], classification="confidential")
    hybrid = World()
    target = hybrid.target(hybrid.bob_device, suite="0001")
    outgoing = sealing.Outgoing(
        message_id=hybrid.phone.id, state=hybrid.state, inner=text("x"), timestamp_us=NOW * 10**6,
        classification="secret",
    )  # fmt: skip
    chain = SendingChain.start(hybrid.state.conversation_id, seeded(1))
    with pytest.raises(SealRefusedError, match="hybrid"):
        sealing.seal(
            outgoing, own=hybrid.phone.own, chain=chain, targets=[target], now=NOW, random=seeded(2)
        )  # fmt: skip


# --- Replayed open, clones ---


def test_replayed_open(world):
    """An `open` that comes again, before or after its session ended, gives nobody a session anew."""
    first = world.to_bob(world.a.send("0", [world.bob_device]))
    world.b.open(first, world.alice_device)
    session_id = first.encrypted_keys[world.bobs.id].session_id
    known = world.b.receiving[session_id]
    second = world.to_bob(world.a.send("1", [world.bob_device]))
    assert second.encrypted_keys[world.bobs.id].open is not None
    opened = world.b.open(second, world.alice_device)
    assert not opened.new_session
    assert opened.session.next_index == known.next_index + 1
    third = world.to_bob(world.a.send("2", [world.bob_device]))
    world.b.receiving.clear()
    assert refusal(world, third, session_ended=True) is Cause.KEY_USED
    assert refusal(world, third) is Cause.UNKNOWN_SESSION  # its one-time key is gone as well


def test_clone_and_restore(world):
    """A receiver restored from a back-up and a sender cloned from one: a used key opens nothing again, and both
    continuations of one chain never stand."""
    one = world.to_bob(world.a.send("one", [world.bob_device]))
    world.b.open(one, world.alice_device)
    saved = world.b.dump()
    two = world.to_bob(world.a.send("two", [world.bob_device]))
    world.b.open(two, world.alice_device)
    world.b.restore(saved)
    world.b.seen.clear()
    assert refusal(world, one) is Cause.KEY_USED


# --- Keys and who they belong to ---


def test_unknown_key_share():
    """Mallory registers Bob's device key and prekeys as her own: Alice's session with "Mallory" opens nowhere."""
    world = World()
    mallory = Person("mallory", world.server)
    posing = known_device(mallory.user_id, world.bobs.id, world.bobs.key.public_key)
    bundle = {**world.bobs.entry["bundle"], "user_id": mallory.user_id}
    object.__setattr__(posing, "entry", {"bundle": bundle, "one_time": world.bobs.entry["one_time"]})
    with pytest.raises(PrekeyRefusedError):
        open_session(world.phone.own, posing, now=NOW, random=seeded("uks"))  # the bundle names its owner, signed
    object.__setattr__(posing, "entry", {"bundle": world.bobs.entry["bundle"]})
    with pytest.raises(PrekeyRefusedError):
        open_session(world.phone.own, posing, now=NOW, random=seeded("uks"))
    honest = open_session(world.phone.own, world.bob_device, now=NOW, random=seeded("uks"))
    moved = honest.open | {"target_user": mallory.user_id}
    moved["signature"] = world.phone.key.sign("session:v1", canonical(moved, ("signature",)))
    with pytest.raises(OpenRefusedError) as refused:
        accept_open(
            moved, own=world.bobs.own, sender=world.alice_device, accepted_at=NOW, bundle=world.bobs.bundles[1],
            one_time=world.bobs.one_times[1],
        )  # fmt: skip
    assert refused.value.fault is OpenFault.WRONG_NAMES


def test_the_names_are_in_the_keys():
    """The same secrets with any other name give another wrap key or another associated data."""
    suite = SUITES["0001"]
    secret = schedule.PrekeySecrets(x25519=b"p" * 32)
    public = schedule.Prekeys(x25519=schedule.x25519_public(secret.x25519))
    agreement = schedule.agree_sender(suite, b"e" * 32, public)
    names = {
        "sender_user": b"alice@a.example", "sender_device": bytes(16), "target_user": b"bob@b.example",
        "target_device": b"\1" * 16, "session_id": b"\2" * 16, "prekey_id": 5,
    }  # fmt: skip
    commitment, wrapped = schedule.wrap_session_key(suite, agreement, schedule.Names(**names), b"s" * 32)
    for name, value in names.items():
        other = value + 1 if isinstance(value, int) else bytes((value[0] ^ 1,)) + value[1:]
        with pytest.raises(DecryptionFailedError):
            schedule.unwrap_session_key(
                suite, agreement, schedule.Names(**names | {name: other}), commitment, wrapped
            )  # fmt: skip


def test_key_compromise_impersonation(world):
    """Whoever has all of Bob's keys still cannot write to Bob as Alice: `open` and message want her signature."""
    thief = world.bobs.key
    session = open_session(world.phone.own, world.bob_device, now=NOW, random=seeded("kci"))
    forged = session.open | {"signature": thief.sign("session:v1", canonical(session.open, ("signature",)))}
    with pytest.raises(OpenRefusedError) as refused:
        accept_open(
            forged, own=world.bobs.own, sender=world.alice_device, accepted_at=NOW, bundle=world.bobs.bundles[1],
            one_time=world.bobs.one_times[1],
        )  # fmt: skip
    assert refused.value.fault is OpenFault.BAD_SIGNATURE
    forger = Chatter.of(world.phone, world.state, "forger")
    own = copy.copy(world.phone.own)
    object.__setattr__(own, "key", thief)
    forger.phone = copy.copy(world.phone)
    forger.phone.own = own
    world.a.send("a real session", [world.bob_device])
    forger.sending[world.bobs.id] = world.a.sending[world.bobs.id]
    received = world.to_bob(forger.send("as Alice", [world.bob_device]))
    assert refusal(world, received) is Cause.BAD_SIGNATURE


# --- A malicious member ---


def test_two_plaintexts_for_one_ciphertext(world):
    """The AEADs are not key-committing; the commitment in the clear is what keeps one ciphertext to one content key.
    A sender who wraps another key for Bob's device is found out whatever the ciphertext would say under it."""
    sealed = world.a.send("for all", [world.bob_device])
    session = world.a.sending[world.bobs.id]
    key, _ = next_sending_key(replace_fields(session, index=1), NOW)
    suite = SUITES[sealed.message.suite]
    names = schedule.WrapNames(
        sender_user=world.alice.user_id.encode(), sender_device=raw(world.phone.id), user=world.bob.user_id.encode(),
        device=raw(world.bobs.id), message_id=raw(sealed.message.message_id), session_id=raw(session.session_id),
        index=1,
    )  # fmt: skip
    wrapped = schedule.wrap_content_key(suite, key, sealed.message.key_commitment, names, b"another content key 32 by")
    plain = to_map(world.to_bob(sealed))
    wrap = plain["encrypted_keys"][world.bobs.id]
    plain["encrypted_keys"] = {world.bobs.id: {**wrap, "index": 1, "wrapped": wrapped.ljust(48, b"\0")[:48]}}
    assert refusal(world, convert(plain, MessageReceived)) is Cause.NOT_OPENED
    other = schedule.wrap_content_key(suite, key, sealed.message.key_commitment, names, b"k" * 32)
    with pytest.raises(DecryptionFailedError, match="commitment"):
        schedule.unwrap_content_key(suite, key, sealed.message.key_commitment, names, other)


# --- A malicious server ---


def test_fork(world):
    """Two next states for one epoch, each shown to one half of the group: neither half takes the other's messages."""
    group = world.group(alice="owner", bob="member", carol="member")
    key = world.phone.key.public_key
    members = [member for member in group.members if member.user_id != world.carol.user_id]
    left = next_state(group, members, group.settings, key)
    right = next_state(group, group.members, group.settings, key)
    world.a.state, world.a.chain = left, None
    received = world.to_bob(world.a.send("to the left half", [world.bob_device]))
    assert refusal(world, received, state=right) is Cause.BAD_SIGNATURE
    third = next_state(left, members, left.settings, key)
    with pytest.raises(StateRefusedError, match="previous"):  # the halves never meet again unnoticed
        verify_state(third.map, sign_state(world.phone.key, third), previous=right, signer=world.alice_device, at=NOW)
    signature = sign_state(world.phone.key, left)
    for previous in (group, right):
        arguments = {"previous": previous, "signer": world.alice_device, "at": NOW}
        if previous is group:
            verify_state(left.map, signature, **arguments)
        else:
            with pytest.raises(StateRefusedError):
                verify_state(left.map, signature, **arguments)


def test_drop(world):
    """A message that the server keeps back is noticed by the next one; and filled in if it comes after all."""
    world.b.open(world.to_bob(world.a.send("0", [world.bob_device])), world.alice_device)
    kept_back = world.to_bob(world.a.send("1", [world.bob_device]))
    opened = world.b.open(world.to_bob(world.a.send("2", [world.bob_device])), world.alice_device)
    assert opened.incomplete
    late = world.b.open(kept_back, world.alice_device)
    assert late.place == "fill"


def test_swap(world):
    """Ciphertexts, wraps or numbers of two messages exchanged: nothing of either opens."""
    first, second = (
        to_map(world.to_bob(world.a.send(body, [world.bob_device], now=now)))
        for body, now in (("one", NOW), ("two", NOW + 1))
    )
    for name in ("ciphertext", "encrypted_keys", "sequence_number", "message_id", "prev_message_hash", "metadata"):
        changed = first | {name: second[name]}
        if changed == first:
            continue
        fresh = World(world.alice.algorithm, world.phone.own.e2e_suites)
        assert to_map(fresh.to_bob(fresh.a.send("one", [fresh.bob_device])))["message_id"] == first["message_id"]
        with pytest.raises((MessageRefusedError, ProtocolError)):
            fresh.b.open(convert(changed, MessageReceived), world.alice_device)


def test_splice(world):
    """A message of one conversation put into another of the same people, or behind another message."""
    world.b.open(world.to_bob(world.a.send("0", [world.bob_device])), world.alice_device)
    received = to_map(world.to_bob(world.a.send("1", [world.bob_device])))
    elsewhere = first_state(
        "00000000-0000-4000-8000-0000000000bb", "direct",
        {user.user_id: ("owner", user.user_key.public_key) for user in (world.alice, world.bob)},
    )  # fmt: skip
    moved = received | {"conversation_id": elsewhere.conversation_id}
    cause = refusal(world, convert(moved, MessageReceived), state=elsewhere, chain=None)
    assert cause is Cause.NOT_OPENED
    behind = received | {"prev_message_hash": b"\1" * 32}
    assert refusal(world, convert(behind, MessageReceived)) is Cause.NOT_OPENED


def test_a_receipt_of_a_twin(world):
    """A device key that two names share (a clone enrolled twice) signs receipts for its own name alone."""
    named = {"message_id": world.phone.id, "conversation_id": world.state.conversation_id, "ciphertext_hash": b"h" * 32}
    receipt = make_receipt(
        world.bobs.key, **named, status="read", user_id=world.bob.user_id, device_id=world.bobs.id,
        timestamp_us=NOW * 10**6,
    )  # fmt: skip
    verify_receipt(receipt, world.bob_device, **named)
    twin = known_device(world.bob.user_id, world.phone.id, world.bobs.key.public_key)
    with pytest.raises(BadSignatureError):
        verify_receipt(receipt, twin, **named)
