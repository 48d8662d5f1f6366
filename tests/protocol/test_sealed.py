"""The sealed session: vectors, tampering, order, the life of keys, and every state × every input."""

from collections import deque
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.limits import DH_REKEY_SECONDS
from norc_actors.protocol import codec, sealed
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import V2_HEADER, decode_v2, encode_v2
from norc_actors.protocol.messages import SessionRekey
from norc_actors.protocol.sealed import (
    REKEY,
    REKEY_CODE,
    Discarded,
    Event,
    Keys,
    Opened,
    Rekeyed,
    SealedSession,
)
from tests.support.links import pair, seeded
from tests.vectors.files import holds, recorded
from tests.vectors.reading import Entry


def _session(role: Any, suite: str, th: bytes, derived: Keys, random: Any = None) -> SealedSession:
    return SealedSession(
        role=role, suite=SUITES[suite], th=th, keys=derived, random=random or seeded(7), now=0.0,
        send_limit=2**20, receive_limit=2**20,
    )  # fmt: skip


def _ends(suite: str = "0001") -> tuple[SealedSession, SealedSession]:
    ends = pair(suite)
    return ends.client.sealed, ends.server.sealed


# --- Vectors ---


@recorded("sealed", "refused_sealed", "rekey", "refused_rekey")
def test_recorded(entry: Entry) -> None:
    assert holds(entry)


# --- Frames ---


@pytest.mark.parametrize("suite", PREFERENCE)
def test_both_directions(suite: str) -> None:
    client, server = _ends(suite)
    for n in range(5):
        for sender, receiver in ((client, server), (server, client)):
            for frame in sender.seal(0x10 + n, bytes([n]) * n):
                assert receiver.receive(frame) == Opened(0x10 + n, bytes([n]) * n)
    assert client.statistics() == {"sent": 5, "received": 5, "failures": 0}


def test_headers() -> None:
    client, server = _ends()
    frames = [decode_v2(client.seal(9, b"x" * n)[0]) for n in range(4)]
    assert frames[0].sequence < 2**24
    assert [frame.sequence for frame in frames] == [frames[0].sequence + n for n in range(4)]
    assert frames[0].prev_message_hash == bytes(32)
    for before, after in pairwise(frames):
        assert after.prev_message_hash == SUITES["0001"].hash(before.ciphertext)
    for frame in frames:
        assert frame.message_id[6] >> 4 == 4
        assert frame.message_id[8] >> 6 == 2
    assert len({frame.message_id for frame in frames}) == 4
    server.close()


@given(st.binary(max_size=60), st.data())
@settings(max_examples=300)
def test_a_flipped_bit_anywhere_is_refused(plaintext: bytes, data: st.DataObject) -> None:
    client, server = _ends()
    frame = bytearray(client.seal(9, plaintext)[0])
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    try:
        event: Event = server.receive(bytes(frame))
    except ProtocolError:
        assert bit // 8 in {0, 2, 3, 4, 5}  # version and length: refused from the header
    else:
        assert isinstance(event, Discarded)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    _, server = _ends()
    for frame in (data, b"\x02\x10" + len(data).to_bytes(4, "big") + bytes(56) + data):
        try:
            assert isinstance(server.receive(frame), Discarded)
        except ProtocolError:
            return


def test_limits() -> None:
    client, server = _ends()
    limit = 2**20
    assert isinstance(server.receive(client.seal(9, bytes(limit - 16))[0]), Opened)
    assert client.fits(limit - 16)
    assert not client.fits(limit - 15)
    with pytest.raises(ProtocolError) as caught:
        client.seal(9, bytes(limit - 15))
    assert caught.value.code is Code.TOO_LARGE
    assert isinstance(server.receive(client.seal(9, b"still in order")[0]), Opened)


# --- Order and failures ---


def test_replay_reordering_and_loss_change_nothing() -> None:
    client, server = _ends()
    first, second, third = (client.seal(9, bytes([n]))[0] for n in range(3))
    assert isinstance(server.receive(first), Opened)
    assert server.receive(first) == Discarded("sequence")  # replayed
    assert server.receive(third) == Discarded("sequence")  # ahead of its turn
    assert server.receive(second) == Opened(9, b"\x01")
    assert server.receive(third) == Opened(9, b"\x02")


def test_a_frame_that_does_not_open_moves_on() -> None:
    client, server = _ends()
    first, second = client.seal(9, b"1")[0], client.seal(9, b"2")[0]
    frame = decode_v2(first)
    forged = encode_v2(msgspec.structs.replace(frame, type=10))
    assert server.receive(forged) == Discarded("not opened")
    assert server.receive(second) == Opened(9, b"2")  # same ciphertext, so the chain holds
    third, fourth = decode_v2(client.seal(9, b"3")[0]), client.seal(9, b"4")[0]
    spoiled = encode_v2(msgspec.structs.replace(third, ciphertext=bytes(17)))
    assert server.receive(spoiled) == Discarded("not opened")
    assert server.receive(fourth) == Discarded("chain")  # the hash of what came is not the hash of what was sent
    assert server.receive(client.seal(9, b"5")[0]) == Opened(9, b"5")


def test_the_first_sequence_is_below_two_to_the_24() -> None:
    client, server = _ends()
    frame = decode_v2(client.seal(9, b"1")[0])
    for sequence in (2**24, 2**64 - 1):
        assert server.receive(encode_v2(msgspec.structs.replace(frame, sequence=sequence))) == Discarded("sequence")
    assert server.receive(encode_v2(frame)) == Opened(9, b"1")


def test_three_failures_in_a_row_close() -> None:
    client, server = _ends()
    first = client.seal(9, b"1")[0]
    assert isinstance(server.receive(first), Opened)
    for _ in range(5):  # two in a row, again and again
        assert server.receive(first) == server.receive(first) == Discarded("sequence")
        assert isinstance(server.receive(client.seal(9, b"x")[0]), Opened)
    server.receive(first)
    server.receive(first)
    with pytest.raises(ProtocolError) as caught:
        server.receive(first)
    assert caught.value.code is Code.CRYPTO
    assert server.closed
    with pytest.raises(ProtocolError):
        server.receive(client.seal(9, b"x")[0])


# --- The life of keys ---


def test_the_key_is_renewed_at_the_1000th_frame_by_itself() -> None:
    client, server = _ends()
    rekeys = []
    for n in range(3000):
        frames = client.seal(9, n.to_bytes(2, "big"))
        rekeys += [n] * (len(frames) - 1)
        events = [server.receive(frame) for frame in frames]
        assert events[-1] == Opened(9, n.to_bytes(2, "big"))
        assert events[:-1] == [Rekeyed()] * (len(frames) - 1)
    assert rekeys == [999, 1998, 2997]


def test_a_1001st_frame_under_one_key_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = _ends()
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "FRAMES_PER_KEY", 5000)
        frames = [client.seal(9, b"x")[0] for _ in range(1001)]
    for frame in frames[:1000]:
        assert isinstance(server.receive(frame), Opened)
    with pytest.raises(ProtocolError) as caught:
        server.receive(frames[1000])
    assert caught.value.code is Code.PROTOCOL
    assert server.closed


def test_the_1000th_frame_may_be_the_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = _ends()
    for _ in range(999):
        server.receive(client.seal(9, b"x")[0])
    assert server.receive(client.update()[0]) == Rekeyed()
    assert server.statistics()["received"] == 0
    assert isinstance(server.receive(client.seal(9, b"x")[0]), Opened)


def test_updates_at_any_time_and_old_keys_erased() -> None:
    client, server = _ends()
    old = client._send.key  # noqa: SLF001 - the secret that must be gone
    for sender, receiver in ((client, server), (server, client), (client, server)):
        assert receiver.receive(sender.update()[0]) == Rekeyed()
        assert isinstance(receiver.receive(sender.seal(9, b"x")[0]), Opened)
    with pytest.raises(ValueError, match="wiped"):
        old.reveal()


@pytest.mark.parametrize("suite", PREFERENCE)
def test_dh_rekey_while_traffic_flows(suite: str) -> None:
    client, server = _ends(suite)
    old = [client._send.key, client._receive.key, client._rs]  # noqa: SLF001
    (asked,) = client.ask_dh(5.0)
    early = client.seal(9, b"before the answer")[0]
    crossing = server.seal(9, b"crossing")[0]
    answered = server.receive(asked)
    assert isinstance(answered, Rekeyed)
    under_new = server.seal(9, b"server, new key")[0]
    assert server.receive(early) == Opened(9, b"before the answer")
    assert client.receive(crossing) == Opened(9, b"crossing")
    done = client.receive(answered.frames[0])
    assert isinstance(done, Rekeyed)
    assert client.receive(under_new) == Opened(9, b"server, new key")
    after = client.seal(9, b"client, new key")[0]
    assert server.receive(done.frames[0]) == Rekeyed()
    assert server.receive(after) == Opened(9, b"client, new key")
    for secret in old:
        with pytest.raises(ValueError, match="wiped"):
            secret.reveal()
    (again,) = client.ask_dh(6.0)  # and once more, from the new rs
    reply = server.receive(again)
    assert isinstance(reply, Rekeyed)
    assert isinstance(client.receive(reply.frames[0]), Rekeyed)


def test_rest_changes_nothing() -> None:
    client, server = _ends()
    for n in range(3):
        assert server.receive(client.seal(9, bytes([n]))[0]) == Opened(9, bytes([n]))
        client.rest()
        server.rest()


def test_when_a_dh_rekey_is_due() -> None:
    client, server = _ends()
    start = 1000.0
    assert not client.dh_due(start + DH_REKEY_SECONDS - 1)
    assert client.dh_due(start + DH_REKEY_SECONDS)
    assert not server.dh_due(start + DH_REKEY_SECONDS)
    client.ask_dh(start + DH_REKEY_SECONDS)
    assert not client.dh_due(start + 2 * DH_REKEY_SECONDS)  # one is under way


def test_a_rekey_without_the_suites_key_material_closes() -> None:
    for suite, message in (
        ("0001", SessionRekey(mode="dh", ephemeral_public_key=b"\x09" + bytes(31), pq_public_key=bytes(1184))),
        ("0101", SessionRekey(mode="dh", ephemeral_public_key=b"\x09" + bytes(31))),
        ("0001", SessionRekey(mode="dh", ephemeral_public_key=bytes(32))),
    ):
        client, server = _ends(suite)
        with pytest.raises(ProtocolError) as caught:
            server.receive(client.seal(REKEY_CODE, codec.encode(message))[0])
        assert caught.value.code in (Code.MALFORMED, Code.CRYPTO)
        assert server.closed


def test_a_dh_answer_without_the_suites_key_material_closes() -> None:
    for suite, answer in (
        ("0001", SessionRekey(mode="dh", ephemeral_public_key=b"\x09" + bytes(31), pq_ciphertext=bytes(1088))),
        ("0101", SessionRekey(mode="dh", ephemeral_public_key=b"\x09" + bytes(31))),
        ("0001", SessionRekey(mode="dh", ephemeral_public_key=bytes(32))),
    ):
        client, server = _ends(suite)
        client.ask_dh(1.0)
        with pytest.raises(ProtocolError) as caught:
            client.receive(server.seal(REKEY_CODE, codec.encode(answer))[0])
        assert caught.value.code in (Code.MALFORMED, Code.CRYPTO)
        assert client.closed


def test_closing_during_a_dh_rekey_erases_its_keys() -> None:
    client, _ = _ends("0101")
    client.ask_dh(1.0)
    asked = client._asked  # noqa: SLF001 - the secrets that must be gone
    assert asked is not None
    assert asked.kem is not None
    client.close()
    for secret in (asked.ephemeral, asked.kem):
        with pytest.raises(ValueError, match="wiped"):
            secret.reveal()


# --- Every state × every input ---

_DH = SessionRekey(mode="dh", ephemeral_public_key=b"\x09" + bytes(31))
INPUTS: dict[str, SessionRekey | None] = {
    "application": None,
    "update": SessionRekey(mode="update"),
    "dh": _DH,
    "dh_done": SessionRekey(mode="dh_done"),
}


def _in_state(role: str, state: str) -> tuple[SealedSession, SealedSession]:
    """(the session in that state, its peer)."""
    client, server = _ends()
    if state == "asked":
        client.ask_dh(1.0)
    elif state == "answered":
        server.receive(client.ask_dh(1.0)[0])
    elif state == "closed":
        client.close()
        server.close()
    return (client, server) if role == "client" else (server, client)


def _peer_seals(peer: SealedSession, code: int, plaintext: bytes) -> bytes:
    """A frame that the session will open, whatever the peer's own state: sealed by a copy of the peer's direction."""
    if peer.closed:
        return V2_HEADER.pack(2, code, 16, bytes(16), 1, bytes(32)) + bytes(16)
    return peer._seal(code, plaintext)  # noqa: SLF001 - a peer that does not follow the rules


SWEEP = [
    (role, state, name)
    for role in ("client", "server")
    for state in ("steady", "asked", "answered", "closed")
    if (role, state) not in {("client", "answered"), ("server", "asked")}
    for name in INPUTS
]


@pytest.mark.parametrize(("role", "state", "name"), SWEEP)
def test_sweep_of_received_frames(role: Any, state: Any, name: str) -> None:
    session, peer = _in_state(role, state)
    message = INPUTS[name]
    code, plaintext = (9, b"hello") if message is None else (REKEY_CODE, codec.encode(message))
    frame = _peer_seals(peer, code, plaintext)
    legal = state != "closed" and (name in {"application", "update"} or (role, state, f"receive {name}") in REKEY)
    if legal:
        assert isinstance(session.receive(frame), Opened if name == "application" else Rekeyed)
        return
    with pytest.raises(ProtocolError) as caught:
        session.receive(frame)
    assert caught.value.code is Code.WRONG_STATE
    assert session.closed


@pytest.mark.parametrize(("role", "state"), sorted({(role, state) for role, state, _ in SWEEP}))
def test_sweep_of_what_is_sent(role: Any, state: Any) -> None:
    for name in ("seal", "update", "ask_dh"):
        session, _ = _in_state(role, state)
        acts = {"seal": lambda: session.seal(9, b""), "update": session.update, "ask_dh": lambda: session.ask_dh(1.0)}  # noqa: B023
        legal = state != "closed" and (name != "ask_dh" or (role, state, "send dh") in REKEY)
        if legal:
            assert acts[name]()
        else:
            with pytest.raises(ProtocolError) as caught:
                acts[name]()
            assert caught.value.code is Code.WRONG_STATE
    session.close()
    session.close()  # idempotent


def test_malformed_rekeys_close() -> None:
    for plaintext in (b"", b"\x80", b"\xc1", codec.encode_map({"type": "session_rekey", "mode": "other"})):
        client, server = _ends()
        with pytest.raises(ProtocolError):
            server.receive(client.seal(REKEY_CODE, plaintext)[0])
        assert server.closed


STEPS = st.lists(
    st.sampled_from(["c send", "s send", "c update", "s update", "dh", "c get", "s get", "c get", "s get"])
)


@given(STEPS)
def test_any_interleaving_delivers_everything_in_order(steps: list[str]) -> None:
    client, server = _ends()
    ends = {"c": client, "s": server}
    wires: dict[str, deque[bytes]] = {"c": deque(), "s": deque()}  # by receiver
    sent: dict[str, list[bytes]] = {"c": [], "s": []}
    got: dict[str, list[bytes]] = {"c": [], "s": []}

    def deliver(name: str) -> None:
        event = ends[name].receive(wires[name].popleft())
        if isinstance(event, Opened):
            got[name].append(event.plaintext)
        else:
            assert isinstance(event, Rekeyed)
            wires["s" if name == "c" else "c"] += event.frames

    for number, step in enumerate([*steps, *["c get", "s get"] * len(steps) * 2]):
        name, _, act = step.partition(" ")
        other = "s" if name == "c" else "c"
        if act == "get":
            if wires[name]:
                deliver(name)
        elif act == "send":
            sent[other].append(str(number).encode())
            wires[other] += ends[name].seal(9, sent[other][-1])
        elif act == "update":
            wires[other] += ends[name].update()
        elif client.dh_due(1e9):
            wires["s"] += client.ask_dh(number)
    assert got == sent
    assert not wires["c"]
    assert not wires["s"]
