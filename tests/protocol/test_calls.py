"""Media packets: order does not matter, repetition does, and old keys are gone."""

# ruff: noqa: SLF001 - which keys are still held is nobody else's business

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.suites import SUITES
from norc_actors.protocol.calls import CALL_EPOCHS_AHEAD, HEADER, HEADER_BYTES, CallReceiver, CallSender
from tests.vectors.files import holds, recorded


@recorded("calls", "refused_calls")
def test_recorded(entry):
    assert holds(entry)


CALL, DEVICE = "227aa942-4868-44ab-8456-8dc9d19774da", "8730f70d-c056-4103-9108-3d814ee5a7da"
OTHER = "00000000-0000-4000-8000-000000000001"
SECRET = b"s" * 32


def ends(suite="0101"):
    return CallSender(SUITES[suite], SECRET, CALL, DEVICE), CallReceiver(SUITES[suite], SECRET, CALL, DEVICE)


def refused(receiver, packet):
    with pytest.raises(DecryptionFailedError):
        receiver.open(packet)


@pytest.mark.parametrize("suite", SUITES)
def test_packets_over_three_epochs(suite):
    sender, receiver = ends(suite)
    for number in range(100):
        packet = sender.seal(b"%d" % number, 5.0 + number)
        call, device, epoch, counter = HEADER.unpack_from(packet)
        assert (call.hex(), device.hex()) == (CALL.replace("-", ""), DEVICE.replace("-", ""))
        assert (epoch, counter) == divmod(number, 30)
        assert receiver.open(packet) == b"%d" % number
        refused(receiver, packet)


@given(st.permutations(range(40)), st.integers(0, 59))
def test_reordered_and_lost(order, start):
    sender, receiver = ends()
    packets = [sender.seal(b"%d" % number, number * 1.0) for number in range(60)][start:]
    newest = -1
    for at in order:
        if at >= len(packets):
            continue
        epoch = HEADER.unpack_from(packets[at])[2]
        assert receiver.open(packets[at]) == b"%d" % (at + start)  # never more than one epoch behind here
        newest = max(newest, epoch)
        refused(receiver, packets[at])


def test_keys_live_for_two_epochs():
    sender, receiver = ends()
    packets = [sender.seal(b"p", at) for at in (0.0, 1.0, 30.0, 31.0, 60.0, 90.0)]
    assert receiver.open(packets[2]) == b"p"
    assert receiver.open(packets[0]) == b"p"
    assert receiver.open(packets[4]) == b"p"
    refused(receiver, packets[1])  # two epochs behind
    assert receiver.open(packets[3]) == b"p"
    assert receiver.open(packets[5]) == b"p"


def test_a_long_silence():
    sender, receiver = ends()
    receiver.open(sender.seal(b"p", 0.0))
    assert receiver.open(sender.seal(b"p", 30.0 * CALL_EPOCHS_AHEAD)) == b"p"
    refused(receiver, sender.seal(b"p", 30.0 * (2 * CALL_EPOCHS_AHEAD + 1)))
    late_sender, late = ends()
    late_sender.seal(b"p", 0.0)
    assert late.open(late_sender.seal(b"p", 95.0)) == b"p"
    assert sorted(late._epochs) == [2, 3]


def test_only_the_sender_moves_a_receiver_on():
    sender, receiver = ends()
    first = sender.seal(b"p", 0.0)
    forged = HEADER.pack(bytes.fromhex(CALL.replace("-", "")), bytes.fromhex(DEVICE.replace("-", "")), 999, 0)
    refused(receiver, forged + bytes(32))
    assert receiver.open(first) == b"p"


def test_foreign_packets():
    sender, receiver = ends()
    packet = sender.seal(b"p", 0.0)
    for call, device in ((OTHER, DEVICE), (CALL, OTHER)):
        refused(receiver, CallSender(SUITES["0101"], SECRET, call, device).seal(b"p", 0.0))
    refused(receiver, packet[: HEADER_BYTES + 15])
    for position in range(len(packet)):
        refused(receiver, packet[:position] + bytes((packet[position] ^ 1,)) + packet[position + 1 :])
    assert receiver.open(packet) == b"p"
