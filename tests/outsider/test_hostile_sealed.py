"""After acceptance: frames that are forged, repeated, out of place; people who are not who they say."""

from collections.abc import Callable

import pytest

from .device import Device
from .forms import Map, canonical, lv, new_id, pack, raw, u64
from .harness import Node
from .papers import DAY, make_record, now
from .primitives import SigningKey
from .sealed import CODES, REKEY
from .talk import Talker, talker
from .wire import AnsweredError, Connection, EndedError

pytestmark = pytest.mark.usefixtures("unharmed")

PING: Map = {"type": "ping", "timestamp": 1}


@pytest.fixture(scope="module")
def mallory(home: Node) -> Talker:
    """Who means harm, and has a device like everybody."""
    return talker(home, "mallory")


# --- Frames ---

Act = Callable[[Connection], None]


def send(line: Connection, *frames: bytes) -> None:
    line.send_frames([*frames])


def replayed(line: Connection) -> None:
    frames = line.sealed.seal(PING)
    send(line, *frames, *frames, *frames, *frames)


def wrong_sequence(line: Connection) -> None:
    line.roundtrip()  # the first frame may have any sequence
    following = (line.sealed.out.sequence or 0) + 1
    send(line, *(line.sealed.frame(CODES["ping"], pack(PING), sequence=following) for _ in range(3)))


def broken_chain(line: Connection) -> None:
    for _ in range(3):
        frame = line.sealed.frame(CODES["ping"], pack(PING), prev=bytes(range(32)))
        send(line, frame)
        line.sealed.out.moved_on(frame[62:])


def altered(line: Connection) -> None:
    for _ in range(3):
        [frame] = line.sealed.seal(PING)
        send(line, frame[:-1] + bytes([frame[-1] ^ 1]))


def another_type_in_the_header(line: Connection) -> None:
    for _ in range(3):
        [frame] = line.sealed.seal(PING)
        send(line, frame[:1] + bytes([CODES["pong"]]) + frame[2:])


def first_sequence_too_high(line: Connection) -> None:
    """`auth_request` was not sent: this is the first sealed frame."""
    send(line, *(line.sealed.frame(CODES["ping"], pack(PING), sequence=2**24) for _ in range(3)))


def too_many_frames(line: Connection) -> None:
    for _ in range(1001):
        frame = line.sealed.frame(CODES["pong"], pack({"type": "pong", "timestamp": 1}))
        send(line, frame)
        line.sealed.out.moved_on(frame[62:])


def a_header_of_v1(line: Connection) -> None:
    send(line, bytes([CODES["ping"]]) + bytes(100))


def half_a_frame(line: Connection) -> None:
    send(line, line.sealed.seal(PING)[0][:-1])


def no_tag(line: Connection) -> None:
    send(line, b"\x02\x09\x00\x00\x00\x0f" + bytes(56) + bytes(15))


def a_length_beyond_max_frame(line: Connection) -> None:
    send(line, b"\x02\x09\x7f\xff\xff\xff" + bytes(56) + bytes(16))


def rekey(**members: object) -> Act:
    def act(line: Connection) -> None:
        line.send({"type": "session_rekey", **members}, REKEY)  # type: ignore[dict-item]

    return act


SILENT: list[tuple[str, Act]] = [
    ("replayed", replayed),
    ("wrong sequence", wrong_sequence),
    ("broken chain", broken_chain),
    ("altered", altered),
    ("another type in the header", another_type_in_the_header),
    ("first sequence too high", first_sequence_too_high),
    ("1001 frames under a key", too_many_frames),
    ("a header of v1", a_header_of_v1),
    ("half a frame", half_a_frame),
    ("no tag", no_tag),
    ("a length beyond max_frame", a_length_beyond_max_frame),
    ("dh_done out of turn", rekey(mode="dh_done")),
    ("dh without key", rekey(mode="dh")),
    ("dh without its hybrid part", rekey(mode="dh", ephemeral_public_key=b"\x09" + bytes(31))),
    ("dh with a point of small order", rekey(mode="dh", ephemeral_public_key=bytes(32), pq_public_key=bytes(1184))),
    ("update with a key", rekey(mode="update", ephemeral_public_key=bytes(32))),
    ("a mode of nothing", rekey(mode="sideways")),
]


@pytest.mark.parametrize("act", [act for _, act in SILENT], ids=[name for name, _ in SILENT])
def test_what_ends_a_connection_without_a_word(home: Node, act: Act) -> None:
    with Connection(home.place) as line:
        act(line)
        assert line.end() == (None, 1008)


def test_two_failures_are_forgiven(mallory: Talker) -> None:
    """A frame that opens resets the count."""
    with mallory.device.connected() as line:
        for _ in range(3):
            frame = line.sealed.seal(PING)[0]
            send(line, frame, frame, frame)
            line.expect("pong")
        line.roundtrip()


# --- Before authentication ---

UNAUTHENTICATED: list[tuple[Map, int, int]] = [
    ({"type": "message_send"}, 0x10, 3002),
    ({"type": "key_request"}, 0x30, 3002),
    ({"type": "prekey_upload"}, 0x35, 3002),
    ({"type": "registration_response", "challenge": bytes(32), "signature": bytes(64)}, 0x07, 3002),
    ({"type": "auth_response"}, 0x04, 3002),
    ({"type": "connection_request"}, 0x00, 3002),
    ({"type": "presence_update"}, 0x20, 3004),
    ({"type": "message_relay"}, 0x80, 3004),
    ({"type": "nothing"}, 0x2F, 3004),
    ({"type": "auth_request"}, 0x03, 3001),
    ({"type": "auth_request", **PING}, 0x03, 3001),
]


@pytest.mark.parametrize(
    ("message", "type_code", "code"), UNAUTHENTICATED, ids=[str(case[0]["type"]) for case in UNAUTHENTICATED]
)
def test_a_type_before_its_time(home: Node, message: Map, type_code: int, code: int) -> None:
    with Connection(home.place) as line:
        line.send(message, type_code)
        assert line.end() == (code, 1008)


def test_a_ping_is_answered_before_authentication(home: Node) -> None:
    with Connection(home.place) as line:
        line.send({"type": "pong", "timestamp": 1})
        line.roundtrip()


def test_nobody_else_gets_in(home: Node, mallory: Talker) -> None:
    """Whatever is wrong, it is 1000."""
    me, victim = mallory.device, talker(home, "victim").device
    with Connection(home.place) as line:
        elsewhere = me.auth_request(line)
    wrong: list[Callable[[Connection], Map]] = [
        lambda line: elsewhere,
        lambda line: me.auth_request(line, timestamp=now() - 10),
        lambda line: me.auth_request(line, timestamp=now() + 10),
        lambda line: {**me.auth_request(line), "signature": bytes(64)},
        lambda line: {**me.auth_request(line), "device_id": victim.device_id},
        lambda line: {**me.auth_request(line), "user_id": victim.user_id},
        lambda line: {**me.auth_request(line), "user_id": victim.user_id, "device_id": victim.device_id},
        lambda line: {**me.auth_request(line), "user_id": "nobody@localhost", "device_id": new_id()},
    ]
    for request in wrong:
        with Connection(home.place) as line:
            line.send(request(line))
            assert line.end() == (1000, 1008)


def test_a_newer_connection_of_a_device_ends_the_older(mallory: Talker) -> None:
    with mallory.device.connected() as line, mallory.device.connected() as newer:
        assert line.end() == (1004, 1008)
        newer.roundtrip()


# --- Registration ---


def enlist(home: Node, device: Device, change: Callable[[Map], None]) -> tuple[int | None, int]:
    """Register with a map that was changed before it was signed for; how it ends."""
    with Connection(home.place) as line:
        register = device.registration()
        change(register)
        line.send(register)
        try:
            challenge = line.expect("registration_challenge")
        except (AnsweredError, EndedError) as refused:
            code = refused.code if isinstance(refused, AnsweredError) else None
            return code, line.end()[1]
        device.answer_challenge(line, register, challenge)
        return line.end()


def fresh(home: Node, **members: object) -> Device:
    """A device of nobody yet, with other members in its record."""
    device = Device(home.place, f"eve-{new_id()[:8]}@localhost")
    device.record |= members  # type: ignore[arg-type]
    return device


def nothing(register: Map) -> None:
    """As it is."""


def test_registrations_that_are_refused(home: Node, mallory: Talker) -> None:
    me = mallory.device

    def not_signed(register: Map) -> None:
        register["user_device_signature"] = bytes(64)

    def signed_by_another(register: Map) -> None:
        record = {name: register[name] for name in me.record}
        register["user_device_signature"] = SigningKey().sign("user-device:v1", canonical(record))

    def a_token(register: Map) -> None:
        register["enrollment_token"] = bytes(32)

    def a_rotation(register: Map) -> None:
        register |= {"replaces": bytes(32), "rotation_signatures": [bytes(64), bytes(64)]}

    cases: list[tuple[Device, Callable[[Map], None], int]] = [
        (fresh(home), not_signed, 1000),
        (fresh(home), signed_by_another, 1000),
        (fresh(home), a_token, 1000),
        (fresh(home), a_rotation, 3002),
        (fresh(home, device_id=me.device_id), nothing, 1000),
        (fresh(home, user_id=me.user_id), nothing, 1000),
        (fresh(home, user_id="eve@elsewhere.example"), nothing, 1000),
        (fresh(home, not_before=now() - 10, not_after=now() - 5), nothing, 1000),
        (fresh(home, not_before=now() + 600), nothing, 1000),
        (fresh(home, not_after=now() + 181 * DAY), nothing, 1000),
        (fresh(home, e2e_suites=["0999"]), nothing, 1000),
        (fresh(home, key_algorithm="p256"), nothing, 3001),
        (fresh(home, user_id="Eve@localhost"), nothing, 3001),
    ]
    for number, (device, change, code) in enumerate(cases):
        assert enlist(home, device, change) == (code, 1008), number


def test_work_that_was_not_done(home: Node) -> None:
    """No solution, a wrong one, or the signature of another key."""
    for wrong in ("no solution", "no work", "signature"):
        device = fresh(home)
        with Connection(home.place) as line:
            register = device.registration()
            line.send(register)
            nonce = line.expect("registration_challenge")["challenge"]
            assert isinstance(nonce, bytes)
            signer = SigningKey() if wrong == "signature" else device.key
            solution = next(n for n in range(99) if has_work(line, device, nonce, n) == (wrong != "no work"))
            body = line.sealed.th + nonce + lv(canonical(register))
            response: Map = {
                "type": "registration_response",
                "challenge": nonce,
                "signature": signer.sign("register:v1", body),
            }
            line.send(response if wrong == "no solution" else {**response, "proof_solution": solution})
            assert line.end() == (1000, 1008)


def has_work(line: Connection, device: Device, nonce: bytes, solution: int) -> bool:
    hashed = line.sealed.suite.hash(b"norc:pow:v1" + nonce + raw(device.device_id) + device.key.public + u64(solution))
    return hashed[0] < 32


def test_a_further_device_of_somebody_else(home: Node, mallory: Talker) -> None:
    """It is held, and stays so: only who holds the user key can let it in, and with no other map."""
    victim = talker(home, "victim")
    intruder = Device(home.place, victim.device.user_id)
    with Connection(home.place) as waiting, mallory.device.connected() as line, victim.device.connected() as home_line:
        register = intruder.registration(further=True)
        intruder.ask_to_register(waiting, register)
        held = home_line.expect("device_register")
        assert held == register
        own_record = make_record(victim.device.user_id, intruder.device_id, SigningKey(), ["0001"])
        for line_of, approval, code in (
            (line, intruder.approval(held), 4001),
            (home_line, intruder.approval(held), 2005),
            (home_line, victim.device.approval({**held, **own_record}), 2005),
            (home_line, victim.device.approval({**held, "device_id": new_id()}), 4001),
        ):
            line_of.send(approval)
            with pytest.raises(AnsweredError) as refused:
                line_of.expect("device_register")
            assert (refused.value.code, refused.value.error["request_id"]) == (code, approval["device_id"])
        waiting.roundtrip()
