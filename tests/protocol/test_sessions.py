"""Sessions: the recorded openings, their refusals, and a model run of two devices with loss, disorder and restarts."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from norc_actors.crypto import kem
from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.limits import SESSION_KEPT_SECONDS, SESSION_SECONDS
from norc_actors.protocol import opening, sessions
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import convert, to_map
from norc_actors.protocol.conversations import direct_state
from norc_actors.protocol.devices import EntryRefusedError, OwnDevice
from norc_actors.protocol.messages import MessageReceived, SessionOpening
from norc_actors.protocol.opening import Again, Cause, MessageRefusedError, Opened
from norc_actors.protocol.prekeys import BundleSecret, PrekeyRefusedError
from norc_actors.protocol.sessions import (
    KeyUsedError,
    NoCommonSuiteError,
    OpenFault,
    OpenRefusedError,
    ReceivingSession,
    SendingSession,
    SessionEndedError,
    accept_open,
    make_unknown,
    next_sending_key,
    open_session,
    receiving_key,
    verify_unknown,
)
from tests.support.chat import Chatter, delivered
from tests.support.people import ALGORITHMS, NOW, Person, make_server, seeded
from tests.vectors.files import holds, recorded
from tools import state_tables


@recorded("sessions", "refused_sessions")
def test_recorded(entry):
    assert holds(entry)


# --- Opening and accepting ---


class Pair:
    def __init__(self, algorithm="ed25519", a_suites=PREFERENCE, b_suites=PREFERENCE, one_times=1):
        server = make_server(algorithm=algorithm)
        self.alice, self.bob = (Person(name, server, algorithm=algorithm) for name in ("alice", "bob"))
        self.a, self.b = self.alice.phone(suites=a_suites), self.bob.phone(suites=b_suites, one_times=one_times)
        self.random = seeded("pair")

    def open(self, **changes):
        return open_session(self.a.own, self.bob.device(self.b), now=NOW, random=self.random, **changes)

    def accept(self, session, *, accepted_at=NOW, **changes):
        arguments = {
            "own": self.b.own,
            "sender": self.alice.device(self.a),
            "accepted_at": accepted_at,
            "bundle": self.b.bundles.get(session.open["prekey_id"]),
            "one_time": self.b.one_times.get(session.open.get("one_time_id")),
        } | changes
        return accept_open(session.open, **arguments)


@pytest.mark.parametrize("one_times", [0, 1])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("suite", PREFERENCE)
def test_both_ends_agree(algorithm, suite, one_times):
    p = Pair(algorithm, [suite], PREFERENCE, one_times)
    sending = p.open()
    assert sending.suite == suite
    assert ("one_time_id" in sending.open) == bool(one_times)
    convert(sending.open, SessionOpening)
    receiving = p.accept(sending)
    for index in range(3):
        key, sending = next_sending_key(sending, NOW)
        other, receiving = receiving_key(receiving, index)
        assert key == other


def test_states_survive_a_round_trip_and_hide_their_keys():
    p = Pair()
    sending = p.open()
    receiving = p.accept(sending)
    _, receiving = receiving_key(receiving, 5)
    assert type(sending).from_map(sending.to_map()) == sending
    assert type(receiving).from_map(receiving.to_map()) == receiving
    acknowledged = sending.acknowledged()
    assert type(sending).from_map(acknowledged.to_map()) == acknowledged
    assert acknowledged.open is None
    for state in (sending, receiving):
        assert state.chain_key.hex() not in repr(state)
        assert repr(state.chain_key) not in repr(state)


def test_no_fallback_from_hybrid():
    """A bundle whose ML-KEM key was dropped, newly signed by the device, opens nothing."""
    p = Pair()
    bundle = {key: value for key, value in p.b.entry["bundle"].items() if key not in ("mlkem768", "signature")}
    bundle["signature"] = p.b.key.sign("prekey:v1", canonical(bundle))
    p.b.entry["bundle"] = bundle
    with pytest.raises(PrekeyRefusedError, match="ML-KEM"):
        p.open()


def test_no_common_suite():
    with pytest.raises(NoCommonSuiteError):
        Pair(a_suites=["0101", "0001"], b_suites=["0102", "0002"]).open()
    with pytest.raises(NoCommonSuiteError):
        Pair(b_suites=["0001"]).open(hybrid_required=True)


def test_a_suite_that_this_device_does_not_run_is_refused():
    p = Pair()
    sending = p.open()
    own = OwnDevice(user_id=p.b.own.user_id, device_id=p.b.id, key=p.b.key, e2e_suites=("0102", "0002"))
    with pytest.raises(OpenRefusedError) as refused:
        p.accept(sending, own=own)
    assert refused.value.fault is OpenFault.SUITE


@pytest.mark.parametrize("gone", ["bundle", "one_time"])
def test_erased_prekeys_ask_for_a_new_session(gone):
    p = Pair()
    sending = p.open()
    with pytest.raises(OpenRefusedError) as refused:
        p.accept(sending, **{gone: None})
    assert refused.value.fault is OpenFault.PREKEY_GONE


def test_signature_is_checked_before_the_prekeys_are_looked_at():
    p = Pair()
    sending = p.open()
    sending.open["signature"] = bytes(64)
    with pytest.raises(OpenRefusedError) as refused:
        p.accept(sending, bundle=None)
    assert refused.value.fault is OpenFault.BAD_SIGNATURE


def test_an_open_for_another_device_is_refused():
    p = Pair()
    sending = p.open()
    other = OwnDevice(user_id=p.b.own.user_id, device_id=p.a.id, key=p.b.key, e2e_suites=PREFERENCE)
    with pytest.raises(OpenRefusedError) as refused:
        p.accept(sending, own=other)
    assert refused.value.fault is OpenFault.WRONG_NAMES
    with pytest.raises(OpenRefusedError) as refused:
        p.accept(sending, sender=p.bob.device(p.b))
    assert refused.value.fault is OpenFault.WRONG_NAMES


def test_no_session_towards_an_expired_or_keyless_device():
    p = Pair()
    with pytest.raises(EntryRefusedError):
        open_session(p.a.own, p.bob.device(p.b), now=NOW + 181 * 86400, random=p.random)
    with pytest.raises(PrekeyRefusedError, match="in force"):
        open_session(p.a.own, p.bob.device(p.b), now=NOW + 31 * 86400, random=p.random)
    del p.b.entry["bundle"]
    with pytest.raises(PrekeyRefusedError, match="no prekeys"):
        p.open()


@pytest.mark.parametrize("member", ["x25519", "mlkem768"])
def test_a_prekey_that_is_no_key_is_refused(member):
    """Signed by the device all the same: a small-order point, an ML-KEM key out of range."""
    p = Pair()
    value = {"x25519": bytes(32), "mlkem768": b"\xff" * 1184}[member]
    bundle = {**p.b.entry["bundle"], member: value}
    bundle["signature"] = p.b.key.sign("prekey:v1", canonical(bundle, ("signature",)))
    p.b.entry["bundle"] = bundle
    with pytest.raises(PrekeyRefusedError, match="no usable key"):
        p.open()


def test_a_hybrid_open_to_a_bundle_without_ml_kem_does_not_open():
    p = Pair()
    sending = p.open()
    bundle = BundleSecret(prekey_id=1, x25519=p.b.bundles[1].x25519, mlkem_seed=None, not_after=2**40)
    with pytest.raises(OpenRefusedError) as refused:
        p.accept(sending, bundle=bundle)
    assert refused.value.fault is OpenFault.NOT_OPENED


@pytest.mark.parametrize("suite", ["0001", "0101"])
def test_the_schedule_takes_ml_kem_exactly_in_a_hybrid_suite(suite):
    hybrid = SUITES[suite].hybrid
    keys = {"x25519": kem.x25519_public(bytes(31) + b"\1")}
    seed = bytes(64)
    wrong = schedule.Prekeys(**keys, mlkem768=None if hybrid else kem.mlkem_public(seed))
    with pytest.raises(ValueError, match="hybrid"):
        schedule.agree_sender(SUITES[suite], bytes(31) + b"\2", wrong)
    secrets = schedule.PrekeySecrets(x25519=bytes(31) + b"\1", mlkem_seed=None if hybrid else seed)
    with pytest.raises(ValueError, match="hybrid"):
        schedule.agree_receiver(SUITES[suite], secrets, wrong, keys["x25519"], None)


# --- The chain ---


def test_a_session_has_a_thousand_messages():
    p = Pair(a_suites=["0001"])
    sending = p.open()
    receiving = p.accept(sending)
    for _ in range(1000):
        last, sending = next_sending_key(sending, NOW)
    with pytest.raises(SessionEndedError):
        next_sending_key(sending, NOW)
    key, done = receiving_key(receiving, 999)
    assert key == last
    assert len(done.skipped) == 999
    assert done.chain_key == b""
    for index in (1000, 5000, 2**32 - 1, -1):
        with pytest.raises(KeyUsedError):
            receiving_key(receiving, index)


def test_a_session_ends_after_24_hours():
    sending = Pair().open()
    next_sending_key(sending, NOW + SESSION_SECONDS - 1)
    with pytest.raises(SessionEndedError):
        next_sending_key(sending, NOW + SESSION_SECONDS)


def test_a_receiver_keeps_a_session_thirty_days_whatever_its_sender_says():
    p = Pair()
    sending = p.open()
    sending.open["expires_at"] = NOW + 10**8
    sending.open["signature"] = p.a.key.sign("session:v1", canonical(sending.open, ("signature",)))
    receiving = p.accept(sending)
    assert receiving.keep_until == NOW + SESSION_SECONDS + SESSION_KEPT_SECONDS


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(order=st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_each_key_opens_once_in_any_order(order):
    p = Pair(a_suites=["0001"])
    sending = p.open()
    receiving = p.accept(sending)
    keys = []
    for _ in range(61):
        key, sending = next_sending_key(sending, NOW)
        keys.append(key)
    used = set()
    for index in order:
        if index in used:
            with pytest.raises(KeyUsedError):
                receiving_key(receiving, index)
        else:
            key, receiving = receiving_key(receiving, index)
            assert key == keys[index]
            used.add(index)
        assert set(receiving.skipped) == set(range(receiving.next_index)) - used
        assert keys[index] not in receiving.to_map()["skipped"].values()


# --- Unknown session ---


def test_unknown_session_is_signed_and_addressed():
    p = Pair()
    sending = p.open()
    unknown = make_unknown(p.b.own, sending.session_id, p.alice.user_id, p.a.id, NOW)
    typed = verify_unknown(unknown, own=p.a.own, device=p.bob.device(p.b))
    assert (typed.session_id, typed.status) == (sending.session_id, "unknown")
    for change in ({"session_id": p.a.id}, {"timestamp": NOW + 1}, {"target_device": p.b.id}, {"status": "known"}):
        with pytest.raises(OpenRefusedError):
            verify_unknown({**unknown, **change}, own=p.a.own, device=p.bob.device(p.b))
    with pytest.raises(OpenRefusedError):
        verify_unknown(unknown, own=p.a.own, device=p.alice.device(p.a))


def test_healing_classifications():
    assert frozenset({"secret", "top_secret", "nato_secret"}) == sessions.HEALING
    assert sessions.starts_fresh("secret")
    assert not sessions.starts_fresh("confidential")
    assert sessions.starts_fresh("unclassified", always=True)


# --- Model run ---


class TwoDevices(RuleBasedStateMachine):
    """Alice writes, the network loses, repeats and reorders, either side falls back to what it had committed.

    The model: every message that reaches Bob opens exactly once, with its text; a copy is `Again`; nothing is refused
    but what came after its session was thrown away.
    """

    @initialize(algorithm=st.sampled_from(ALGORITHMS), suite=st.sampled_from(["0001", "0101", "0102"]))
    def start(self, algorithm, suite):
        server = make_server(algorithm=algorithm)
        self.alice, self.bob = (Person(name, server, algorithm=algorithm) for name in ("alice", "bob"))
        phone, bobs = self.alice.phone(suites=[suite]), self.bob.phone(suites=[suite])
        state = direct_state(
            "2cd6bf73-5d0d-4567-96b2-70548f57d0df",
            self.alice.user_id, self.alice.user_key.public_key, self.bob.user_id, self.bob.user_key.public_key,
        )  # fmt: skip
        self.a, self.b = Chatter.of(phone, state), Chatter.of(bobs, state)
        self.from_alice, self.to_bob = self.alice.device(phone), self.bob.device(bobs)
        self.wire, self.sent, self.shown = [], {}, {}

    @rule(body=st.text(max_size=40))
    def send(self, body):
        sealed = self.a.send(body, [self.to_bob], classification="unclassified")
        self.sent[sealed.message.message_id] = body
        self.wire.append(delivered(sealed.message, self.a.phone, self.b.phone.id))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), copies=st.integers(1, 2), restart=st.booleans())
    def deliver(self, data, copies, restart):
        received = self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1)))
        for _ in range(copies):
            result = self.b.open(received, self.from_alice)
            if received.message_id in self.shown:
                assert result == Again()
            else:
                assert isinstance(result, Opened)
                self.shown[received.message_id] = result.inner.body
            if restart:
                self.b.restore(self.b.dump())

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data):
        self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1)))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), where=st.integers(0, 10**6))
    def corrupt(self, data, where):
        """A copy with one flipped bit is refused and changes nothing; the honest one still opens later."""
        received = data.draw(st.sampled_from(self.wire))
        before = self.b.dump()
        ciphertext = bytearray(received.ciphertext)
        ciphertext[where % len(ciphertext)] ^= 1 << where % 8
        with pytest.raises(MessageRefusedError) as refused:
            self.b.open(replace(received, ciphertext=bytes(ciphertext)), self.from_alice)
        assert refused.value.cause in {Cause.NOT_OPENED, Cause.REPLAYED}
        assert self.b.dump() == before

    @rule()
    def alice_restarts(self):
        self.a.restore(self.a.dump())

    @rule()
    def receipt_arrives(self):
        if self.shown:
            self.a.sending = {key: session.acknowledged() for key, session in self.a.sending.items()}

    @invariant()
    def what_is_shown_is_what_was_sent(self):
        assert all(self.sent[message_id] == body for message_id, body in getattr(self, "shown", {}).items())


TestTwoDevices = TwoDevices.TestCase
TestTwoDevices.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


# --- Every state, every input: the tables of docs/protocol/tables.md ---


def _sending(index, opened, expires_at):
    return SendingSession(
        session_id="s", suite="0001", target_user="b", target_device="d", chain_key=b"k" * 32, index=index,
        expires_at=expires_at, open={"x": 1} if opened else None,
    )  # fmt: skip


@given(st.integers(0, 1000), st.booleans(), st.integers(-10, 10), st.sampled_from(sorted(state_tables.STEPS)))
def test_a_senders_session_moves_as_its_table_says(index, opened, before_end, event):
    """Any index, with `open` or without, around its end."""
    session, now = _sending(index, opened, 100), 100 - before_end
    state = state_tables.state_of(session, now)
    assert (state == "ended") == (index == 1000 or before_end <= 0)
    if event == "a signed receipt comes":
        after = session.acknowledged()
        assert state_tables.state_of(after, now) == ("ended" if state == "ended" else "confirmed")
        assert (after.index, after.chain_key) == (session.index, session.chain_key)
    elif event == "24 h pass":
        assert state_tables.state_of(session, now + SESSION_SECONDS) == "ended"
    elif state == "ended":
        with pytest.raises(SessionEndedError):
            next_sending_key(session, now)
    else:
        _, after = next_sending_key(session, now)
        assert state_tables.state_of(after, now) == ("ended" if index == 999 else state)
        assert after.index == index + 1


@given(st.integers(0, 1000), st.sets(st.integers(0, 999), max_size=8), st.integers(-1, 1001))
def test_a_receiver_takes_each_index_once(following, skipped, index):
    kept = {at: bytes([at % 256]) * 32 for at in skipped if at < following}
    session = ReceivingSession(
        session_id="s", suite="0001", sender_user="a", sender_device="d", prekey_id=1, chain_key=b"k" * 32,
        next_index=following, skipped=kept, expires_at=0,
    )  # fmt: skip
    if index in kept:
        key, after = receiving_key(session, index)
        assert key == kept[index]
        assert (after.next_index, set(after.skipped)) == (following, set(kept) - {index})
    elif following <= index < 1000:
        _, after = receiving_key(session, index)
        assert (after.next_index, set(after.skipped)) == (index + 1, set(kept) | set(range(following, index)))
    else:
        with pytest.raises(KeyUsedError):
            receiving_key(session, index)


@pytest.mark.parametrize(("held", "brings"), sorted(opening.ARRIVALS))
def test_what_becomes_of_a_wrap(held, brings, world):
    first, second = (world.to_bob(world.a.send("x", [world.bob_device])) for _ in range(2))
    if not brings:
        plain = to_map(second)
        del plain["encrypted_keys"][world.bobs.id]["open"]
        second = convert(plain, MessageReceived)
    known = world.b.open(first, world.alice_device).session if held == "held" else None
    arguments = {"session": known, "session_ended": held == "ended", "held": True}
    match opening.ARRIVALS[held, brings]:
        case "use":
            opened = world.b.open(second, world.alice_device, **arguments)
            assert (opened.new_session, opened.session.session_id) == (False, known.session_id)
        case "accept its open":
            assert world.b.open(second, world.alice_device, **arguments).new_session
        case "ask":
            assert world.refusal(second, **arguments) is Cause.UNKNOWN_SESSION
        case "refuse":
            assert world.refusal(second, **arguments) is Cause.KEY_USED
