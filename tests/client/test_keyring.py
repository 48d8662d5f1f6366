"""Private halves of prekeys and their life, pins of the server's key, devices that give up protection."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from norc_actors.client.events import DeviceRefused
from norc_actors.client.keyring import pin_server, server_pin
from norc_actors.client.opening import dial_for
from norc_actors.client.records import ONE_TIME, SELF
from norc_actors.limits import BUNDLE_RENEW_SECONDS, MAX_ONE_TIME_BATCH, ONE_TIME_REFILL, PREKEY_DRAIN_SECONDS
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import make_record, sign_record
from norc_actors.protocol.messages import PrekeyStatus, PrekeyUpload, Record
from norc_actors.protocol.prekeys import verify_upload
from tests.support.duo import SERVER, Peer, World

BOB = f"bob@{SERVER}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def alice(world: World) -> Peer:
    return world.peer("alice")


def refill(peer: Peer, left: int, expires: int) -> PrekeyUpload | None:
    status = PrekeyStatus(one_time_left=left, bundle_expires_at=expires)
    return peer.do(lambda tx: peer.engine.keyring.refill(tx, status, peer.engine.now(), os.urandom))


def newest(peer: Peer) -> int:
    return peer.look(peer.engine.keyring.secrets)[-1].not_after


def test_nothing_is_uploaded_while_nothing_is_missing(alice: Peer) -> None:
    assert refill(alice, ONE_TIME_REFILL, newest(alice)) is None


def test_a_bundle_that_the_server_lost_is_replaced(alice: Peer) -> None:
    upload = refill(alice, 100, 0)
    assert upload is not None
    assert upload.bundle is not None
    assert upload.one_time is None
    record = make_record(
        alice.engine.own.user_id,
        alice.engine.own.device_id,
        alice.engine.own.key.public_key,
        now=alice.engine.now(),
        e2e_suites=alice.engine.own.e2e_suites,
    )
    assert verify_upload(convert(record, Record), upload.bundle, (), alice.engine.now()) == newest(alice)


def test_a_bundle_is_renewed_daily_and_ids_never_come_twice(world: World, alice: Peer) -> None:
    seen_bundles = {secret.prekey_id for secret in alice.look(alice.engine.keyring.secrets)}
    seen_keys = {int(key) for key in alice.look(lambda tx: tx.all(ONE_TIME))}
    for _ in range(3):
        assert refill(alice, 100, newest(alice)) is None
        world.clock.now += BUNDLE_RENEW_SECONDS
        upload = refill(alice, ONE_TIME_REFILL - 1, newest(alice))
        assert upload is not None
        assert upload.bundle is not None
        keys = [int(str(key["one_time_id"])) for key in upload.one_time or ()]
        assert len(keys) == MAX_ONE_TIME_BATCH - ONE_TIME_REFILL + 1
        assert upload.bundle["prekey_id"] not in seen_bundles
        assert not seen_keys & set(keys)
        seen_bundles.add(int(str(upload.bundle["prekey_id"])))
        seen_keys |= set(keys)
        stored = alice.look(lambda tx: tx.all(ONE_TIME))
        assert set(map(str, keys)) <= set(stored)


def test_private_halves_go_a_day_after_they_were_replaced_and_the_queue_was_empty(world: World, alice: Peer) -> None:
    def count() -> int:
        return len(alice.look(alice.engine.keyring.secrets))

    def retire() -> None:
        alice.do(lambda tx: alice.engine.keyring.retire(tx, alice.engine.now()))

    retire()
    assert count() == 1, "the newest stays"
    world.clock.now += BUNDLE_RENEW_SECONDS
    refill(alice, 100, newest(alice))
    retire()
    assert count() == 2
    world.clock.now += PREKEY_DRAIN_SECONDS
    retire()
    assert count() == 1


def test_a_one_time_half_goes_with_the_session_that_used_it(world: World, alice: Peer) -> None:
    bob = world.peer("bob")
    before = set(bob.look(lambda tx: tx.all(ONE_TIME)))
    (message,) = alice.say(BOB, "hello")
    opened = message.encrypted_keys[bob.device_id].open  # type: ignore[index]
    assert opened is not None
    bob.receive(world.hand_out(message, alice, bob))
    assert before - set(bob.look(lambda tx: tx.all(ONE_TIME))) == {str(opened["one_time_id"])}


def test_a_replaced_server_key_verifies_certificates_and_no_connection(alice: Peer) -> None:
    for key in (b"1" * 32, b"1" * 32, b"2" * 32, b"3" * 32):
        alice.do(lambda tx, key=key: pin_server(tx, key))  # type: ignore[misc]
    pin = alice.look(server_pin)
    assert (pin.key, pin.former_keys) == (b"3" * 32, (b"2" * 32, b"1" * 32))
    own = alice.look(lambda tx: tx.get(SELF, "self"))
    assert own is not None
    dial = dial_for(own, pin, None)  # type: ignore[arg-type]
    assert dial.known.pinned == (b"3" * 32,)
    linked = dial_for(own, msgspec.structs.replace(pin, key=b"", key_hashes=(b"h" * 32,)), None)  # type: ignore[arg-type]
    assert linked.known.token_hashes == (b"h" * 32,)


def test_a_device_that_gives_up_post_quantum_protection_is_refused_and_shown_once(world: World, alice: Peer) -> None:
    bob = world.peer("bob")
    user_key = bob.engine.keyring.user_key
    assert user_key is not None
    alice.say(BOB, "before")
    hybrid = bob.entry
    now = int(world.clock())
    record = make_record(BOB, bob.device_id, bob.engine.own.key.public_key, now=now, e2e_suites=("0001",))
    bob.entry = {**world.entry(record, user_key), "user_signature": sign_record(user_key, record)}
    for _ in range(2):
        alice.learn(BOB)
    shown = [event for event in alice.events if isinstance(event, DeviceRefused)]
    assert [event.cause for event in shown] == ["lost_hybrid"]
    assert alice.look(lambda tx: alice.engine.directory.active(tx, BOB, now)) == []
    bob.entry = hybrid
    alice.learn(BOB)
    devices = alice.look(lambda tx: alice.engine.directory.active(tx, BOB, now))
    assert devices is not None
    assert len(devices) == 1
