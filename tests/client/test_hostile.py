"""Whatever a server or a peer says, the rules answer with a value or with one of their own errors."""

import contextlib
import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from norc_actors.client.needs import FinalError, WantingError
from norc_actors.client.records import OUTBOX
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import new_uuid
from norc_actors.protocol import sealing
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import ConversationState, Inner, PrekeyStatus
from tests.support.duo import SERVER, Peer, World

ALICE, BOB = f"alice@{SERVER}", f"bob@{SERVER}"

values = st.recursive(
    st.integers(-5, 2**53 - 1) | st.text(max_size=8) | st.binary(max_size=40) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcxy"), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("hostile"))
    for name in ("alice", "bob"):
        made.peer(name)
    yield made
    made.close()


@pytest.fixture(scope="module")
def alice(world: World) -> Peer:
    return world.peers[0]


@pytest.fixture(scope="module")
def bob(world: World) -> Peer:
    return world.peers[1]


def mangled(data: st.DataObject, plain: object) -> object:
    """A value with one of its inner values exchanged, taken away or doubled."""
    if isinstance(plain, dict) and plain and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(sorted(plain)))
        if data.draw(st.integers(0, 7)) == 0:
            return {name: value for name, value in plain.items() if name != key}
        return {**plain, key: mangled(data, plain[key])}
    if isinstance(plain, list) and plain and data.draw(st.integers(0, 3)):
        index = data.draw(st.integers(0, len(plain) - 1))
        return [*plain[:index], mangled(data, plain[index]), *plain[index + 1 :]]
    if isinstance(plain, bytes) and plain and data.draw(st.booleans()):
        return bytes([plain[0] ^ 1]) + plain[1:]
    return data.draw(values)


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.data())
@quick
def test_entries(world: World, alice: Peer, bob: Peer, data: st.DataObject) -> None:
    entry = mangled(data, bob.entry)
    listing = {bob.device_id: entry if isinstance(entry, dict) else {}}
    transaction = alice.ledger.begin()
    engine = alice.engine
    learned = engine.directory.learn(transaction, BOB, listing, engine.now(), complete=True)
    engine.sending.open_sessions(transaction, learned.devices, engine.now())


@given(st.data())
@quick
def test_states(world: World, alice: Peer, bob: Peer, data: st.DataObject) -> None:
    create = alice.do(lambda tx: alice.engine.conversations.make_direct(tx, new_uuid(os.urandom), BOB))
    state = mangled(data, create.state)
    transaction = bob.ledger.begin()
    with contextlib.suppress(ProtocolError, WantingError, FinalError):
        carrier = ConversationState(
            conversation_id=create.conversation_id,
            state=state if isinstance(state, dict) else {},
            signer_user=create.signer_user,
            signer_device=create.signer_device,
            signature=create.signature,
        )
        bob.engine.conversations.take(transaction, carrier, bob.engine.now())


@given(st.data())
@quick
def test_receipts_and_revocations(world: World, alice: Peer, bob: Peer, data: st.DataObject) -> None:
    (message,) = alice.say(BOB, "hello")
    receipt = bob.receive(world.hand_out(message, alice, bob)).acks[0].receipt
    assert receipt is not None
    forged = mangled(data, receipt)
    transaction = alice.ledger.begin()
    outbox, now_us = alice.engine.outbox, alice.engine.now_us()
    outbox.receipt(transaction, message.message_id, forged if isinstance(forged, dict) else {}, now_us)
    revocation = {"type": "device_revoke", "user_id": BOB, "device_id": bob.device_id, "signed_by": "user"}
    forged = mangled(data, {**revocation, "signature": b"s" * 64, "reason": "lost", "effective": 1})
    with contextlib.suppress(ProtocolError, BadSignatureError):
        alice.engine.directory.revoke(transaction, forged if isinstance(forged, dict) else {}, b"k" * 32)


@given(st.data())
@quick
def test_stale_lists(world: World, alice: Peer, bob: Peer, data: st.DataObject) -> None:
    alice.say(BOB, "hello")
    sequence, _ = alice.look(lambda tx: tx.queue(OUTBOX))[-1]
    entries = [mangled(data, bob.entry)]
    maps = [entry for entry in entries if isinstance(entry, dict)]
    transaction = alice.ledger.begin()
    alice.engine.outbox.stale(transaction, sequence, maps, alice.engine.now_us())


@given(st.data())
@quick
def test_messages(world: World, alice: Peer, bob: Peer, data: st.DataObject) -> None:
    (message,) = alice.say(BOB, "hello")
    received = world.hand_out(message, alice, bob)
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(received))
    forged = mangled(data, plain)
    transaction = bob.ledger.begin()
    with contextlib.suppress(msgspec.ValidationError, ProtocolError, WantingError):
        altered = msgspec.convert(forged, type(received), builtin_types=(bytes,))
        outcome = bob.engine.receiving.receive(transaction, altered, bob.engine.now_us())
        for row in bob.engine.conversations.groups(transaction):
            assert row
        assert outcome.acks or outcome.hold or outcome.unknown or outcome.waiting


@given(values)
@quick
def test_what_a_true_member_puts_inside(world: World, alice: Peer, bob: Peer, inside: object) -> None:
    """A sender that holds all keys and signs whatever it likes."""
    alice.say(BOB, "opens the session")
    engine = alice.engine
    conversation = world.directs[frozenset((ALICE, BOB))]
    state = alice.look(lambda tx: engine.conversations.latest(tx, conversation))
    devices = alice.look(lambda tx: engine.directory.active(tx, BOB, engine.now()))
    assert state is not None
    assert devices
    session = alice.look(lambda tx: engine.sending.session(tx, devices[0]))
    assert session is not None
    body = {"name": inside}
    with contextlib.suppress(ProtocolError):
        sealed = sealing.seal(
            sealing.Outgoing(
                message_id=new_uuid(os.urandom),
                state=state,
                inner=Inner(message_type="system", body=body),  # type: ignore[arg-type]
                timestamp_us=engine.now_us(),
            ),
            own=engine.own,
            chain=SendingChain.start(conversation, os.urandom),
            targets=[sealing.Target(device=devices[0], session=session)],
            now=engine.now(),
            random=os.urandom,
        )
        transaction = bob.ledger.begin()
        bob.engine.receiving.receive(transaction, world.hand_out(sealed.message, alice, bob), bob.engine.now_us())


@given(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1))
@quick
def test_prekey_status(alice: Peer, left: int, expires: int) -> None:
    status = PrekeyStatus(one_time_left=left, bundle_expires_at=expires)
    alice.engine.keyring.refill(alice.ledger.begin(), status, alice.engine.now(), os.urandom)
