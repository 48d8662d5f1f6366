"""What is fuzzed: one stated sentence per target, each a function of bytes that raises only if its sentence is false.

| target | sentence |
|---|---|
| messages | any bytes as a message give one ProtocolError, or what the strict reader reads, written to the same bytes |
| maps | any bytes as a map give plain values or one ProtocolError; what was read has one canonical form |
| json | any bytes as JSON give plain values or one ProtocolError; what was read, written and read again is the same |
| frames | any bytes give the same frames or the same ProtocolError, whole or byte by byte |
| sealed | a frame that is not the sealed one, bit for bit, gives the application nothing |
| envelope | a message altered anywhere is refused, or is what its sender said |
| signed | a signed map altered anywhere is refused by its verifier |
| handshake | any bytes as an answer give a session or one ProtocolError, and a session only for the honest answer |
| link | any bytes as any of a link's four messages give one ProtocolError, or what the honest peer said |
| batch | any bytes as a batch's frames give frames or one ProtocolError |
| media | a packet or chunk that is not the sealed one is not opened |
| hello | any bytes as a ClientHello give names or one ValueError, and its beginnings the same names or none yet |
| http2 | any bytes end an HTTP/2 connection at most once, and are answered by no more than a few times as many |
| chain | a chain of certificates that is not the honest one, bit for bit, proves nothing |
| texts | any text as a version, user, server, link or device code is taken or refused by its one error |

`alter` turns bytes into an alteration of an honest value, so that a fuzzer gets past its first check.
Bounds: an input of up to 64 KiB within a second of CPU and 64 MiB more than before. `bounded` holds every input of the
fuzzer to them; the slice asserts them by tracemalloc. What is honest is made once, and an end that an input would
change is copied.
"""

# ruff: noqa: SLF001 - the two ends of a link are copied between their messages

import contextlib
import copy
import resource
import time
from collections.abc import Callable
from functools import cache, wraps

from norc_actors.crypto.errors import BadSignatureError, DecryptionFailedError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import InvalidIdError, parse_server_id, parse_user_id
from norc_actors.protocol import calls, enrolment, receipts, sessions
from norc_actors.protocol.batches import make_batch, open_batch
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import convert, decode, decode_as, decode_map, encode, encode_map, to_map
from norc_actors.protocol.conversations import direct_state
from norc_actors.protocol.errors import PeerError, ProtocolError
from norc_actors.protocol.frames import encode_federation, federation_stream, v1_stream, v2_stream
from norc_actors.protocol.handshake import ClientHandshake, KnownKeys, ServerHandshake
from norc_actors.protocol.json_form import read_json, write_json
from norc_actors.protocol.messages import MessageReceived
from norc_actors.protocol.messages.federation import Batch
from norc_actors.protocol.opening import MessageRefusedError, Opened
from norc_actors.protocol.sealed import Keys, SealedSession, traffic_keys
from norc_actors.protocol.sealed import Opened as OpenedFrame
from norc_actors.protocol.versions import parse_version
from tests.fuzz.wire_targets import chain, client_hello, conversation, hello, http2
from tests.protocol import test_federation_handshake as ends
from tests.support.chat import Chatter, delivered
from tests.support.links import keys, offer, seeded, sign
from tests.support.people import NOW, Person, make_server
from tests.support.servers import ORIGIN, TARGET, server_keys

Target = Callable[[bytes], None]
CONVERSATION = "2cd6bf73-5d0d-4567-96b2-70548f57d0df"
MOST_BYTES = 64 * 1024
MOST_SECONDS = 1.0  # of CPU
MOST_MEMORY = 64 * 2**20


def bounded(target: Target) -> Target:
    """The target, which then also raises for an input that takes more than its time or memory."""

    @wraps(target)
    def within(data: bytes) -> None:
        peak, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        target(data)
        assert time.process_time() - began < MOST_SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 < MOST_MEMORY

    return within


def alter(honest: bytes, data: bytes) -> bytes:
    """`honest` with the changes that `data` describes: three bytes each, a place and a byte to xor; the rest is
    appended."""
    out = bytearray(honest)
    count = data[0] % 8 if data else 0
    for at in range(count):
        step = data[1 + 3 * at : 4 + 3 * at]
        if len(step) == 3 and out:
            out[int.from_bytes(step[:2], "big") % len(out)] ^= step[2]
    return bytes(out) + data[1 + 3 * count :]


# --- Decoders ---


def messages(data: bytes) -> None:
    if not data:
        return
    try:
        received = decode(data[0], data[1:])
    except ProtocolError:
        return
    again = decode(data[0], encode(received.message, received.extra))
    assert again.message == received.message
    plain = decode_map(data[1:])  # whatever way it was read, the strict reader takes it and reads the same
    assert convert(plain, type(received.message)) == received.message
    if received.exact:  # nothing else is in it
        assert to_map(received.message) == plain
        assert len(encode(received.message)) == len(data) - 1
    assert again.extra == received.extra  # inside a map that nobody signed, unknown members are not passed on


def maps(data: bytes) -> None:
    try:
        plain = decode_map(data)
    except ProtocolError:
        return
    written = encode_map(plain)
    assert decode_map(written) == plain
    assert encode_map(decode_map(written)) == written
    assert canonical(plain) == canonical(dict(reversed(plain.items())))


def json(data: bytes) -> None:
    try:
        plain = read_json(data)
    except ProtocolError:
        return
    written = write_json(plain)
    assert read_json(written) == plain
    assert write_json(read_json(written)) == written


def frames(data: bytes) -> None:
    """The first byte says what the stream is of."""
    if not data:
        return
    new = (v1_stream, v2_stream, federation_stream)[data[0] % 3]
    whole, single = new(256), new(256)
    found, errors = ([], []), [None, None]
    try:
        found[0].extend(whole.feed(data[1:]))
    except ProtocolError as error:
        errors[0] = error.code
    try:
        for at in range(1, len(data)):
            found[1].extend(single.feed(data[at : at + 1]))
    except ProtocolError as error:
        errors[1] = error.code
    assert errors[0] is errors[1]
    if errors[0] is None:
        assert found[0] == found[1]
        assert whole.between_frames == single.between_frames


# --- Sealed and signed ---


def _end(role: str) -> SealedSession:
    """One end of a session under fixed keys, at its first frame."""
    suite = SUITES["0001"]
    return SealedSession(
        role=role, suite=suite, th=b"t" * 32, keys=_keys(), random=_same_bytes, now=0.0,
        send_limit=MOST_BYTES, receive_limit=MOST_BYTES,
    )  # fmt: skip


@cache
def _keys() -> Keys:
    return traffic_keys(SUITES["0001"], b"m" * 32)


@cache
def _frame() -> bytes:
    (frame,) = _end("client").seal(9, b"plaintext")
    return frame


def sealed(data: bytes) -> None:
    changed = alter(_frame(), data)
    if changed == _frame():
        return
    with contextlib.suppress(ProtocolError):
        assert not isinstance(_end("server").receive(changed), OpenedFrame)


@cache
def _people():
    server = make_server()
    alice, bob = Person("alice", server), Person("bob", server)
    phone, bobs = alice.phone(suites=("0001",)), bob.phone(suites=("0001",))
    state = direct_state(
        CONVERSATION, alice.user_id, alice.user_key.public_key, bob.user_id, bob.user_key.public_key
    )  # fmt: skip
    sent = Chatter.of(phone, state).send("what Alice said", [bob.device(bobs)], classification="unclassified")
    return alice.device(phone), bob.device(bobs), bobs, state, encode(delivered(sent.message, phone, bobs.id))


def envelope(data: bytes) -> None:
    alice, _, bobs, state, honest = _people()
    changed = alter(honest, data)
    try:
        received = decode_as(MessageReceived, changed).message
    except ProtocolError:
        return
    if (received.sender_user, received.sender_device) != (alice.user_id, alice.device_id):
        return
    if (received.conversation_id, received.epoch) != (state.conversation_id, state.epoch):
        return
    reader = copy.copy(bobs)
    reader.one_times = dict(bobs.one_times)
    try:
        opened = Chatter.of(reader, state).open(received, alice)
    except MessageRefusedError:
        return
    assert isinstance(opened, Opened)
    assert opened.inner.body == "what Alice said"


def signed(data: bytes) -> None:
    _, bob, bobs, _, _ = _people()
    named = {"message_id": bobs.id, "conversation_id": CONVERSATION, "ciphertext_hash": b"h" * 32}
    receipt = receipts.make_receipt(
        bobs.key, **named, status="read", user_id=bob.user_id, device_id=bobs.id, timestamp_us=NOW * 10**6
    )  # fmt: skip
    try:
        changed = decode_map(alter(encode_map(receipt), data))
    except ProtocolError:
        return
    if {name: changed.get(name) for name in receipt} == receipt:
        return
    with contextlib.suppress(BadSignatureError, ProtocolError):
        receipts.verify_receipt(changed, bob, **named)
        raise AssertionError("an altered receipt verified")
    unknown = sessions.make_unknown(bobs.own, bobs.id, "alice@a.example", bobs.id, NOW)
    try:
        changed = decode_map(alter(encode_map(unknown), data))
    except ProtocolError:
        return
    if changed != unknown:
        with contextlib.suppress(sessions.OpenRefusedError):
            sessions.verify_unknown(changed, own=bobs.own, device=bob)
            raise AssertionError("an altered answer verified")


# --- Handshakes ---


@cache
def _answer() -> bytes:
    server = ServerHandshake(offer(keys()), random=seeded(2))
    wanted = server.prepare(_client().request, uri_version="2.0", subprotocol="norc-c-v2.0", now=NOW)
    return server.finish(sign(keys(), wanted), NOW)[0]


def _client():
    return ClientHandshake(server_name="a.example", known=KnownKeys(), random=seeded(1), suites=("0001",))


def handshake(data: bytes) -> None:
    honest = _answer()
    changed = alter(honest, data)
    try:
        _client().accept(changed, NOW)
    except (ProtocolError, PeerError):
        return
    assert changed == honest


class _Places:
    """Both ends of a link as they are before each of its messages, and that message."""

    def __init__(self) -> None:
        suites = {"a": ends.offer(ORIGIN, suites=("0001",)), "b": ends.offer(TARGET, suites=("0001",))}
        self.before: dict[str, tuple[ends.Link, bytes]] = {}
        link = ends.Link(**suites)
        link.run(**{place: lambda frame, place=place: self._keep(link, place, frame) for place in PLACES})

    def _keep(self, link: ends.Link, place: str, frame: bytes) -> bytes:
        self.before[place] = _copied(link), frame
        return frame


PLACES = ("m1", "m2", "m3", "m4")
_places = cache(_Places)


def _copied(link: ends.Link) -> ends.Link:
    link = copy.copy(link)
    for name in ("a", "b"):
        end = copy.copy(getattr(link, name))
        end._side = copy.copy(end._side)
        end._side.maps = [dict(one) for one in end._side.maps]
        end._side.random = _same_bytes
        setattr(link, name, end)
    return link


def _same_bytes(length: int) -> bytes:
    """Randomness that is the same in every run, however many there were before."""
    return b"r" * length


def link(data: bytes) -> None:
    """The first byte says which message."""
    if not data:
        return
    place = PLACES[data[0] % 4]
    both, frame = _places().before[place]
    both, sent = _copied(both), (changed := alter(frame, data[1:]))
    try:
        while place:
            place, sent = both.deliver(place, sent)
    except (ProtocolError, PeerError):
        return
    assert changed == frame


@cache
def _key() -> SigningKey:
    return server_keys()[ORIGIN]


@cache
def _batch() -> Batch:
    return convert(
        make_batch(_key(), SUITES["0001"], ORIGIN, TARGET, encode_federation(2, 0x82, b"\x80") * 2, NOW), Batch
    )


def batch(data: bytes) -> None:
    """The first byte says whether the sender signed what the batch holds, or somebody changed it afterwards."""
    key, suite = _key(), SUITES["0001"]
    changed = alter(_batch().frames, data[1:])
    if changed == _batch().frames:
        return
    by_sender = bool(data[0] % 2)
    if by_sender:
        made = convert(make_batch(key, suite, ORIGIN, TARGET, changed, NOW), Batch)
    else:
        made = convert(to_map(_batch()) | {"frames": changed}, Batch)
    with contextlib.suppress(ProtocolError):
        opened = open_batch(made, suite, key.public_key, remote=ORIGIN, own_server=TARGET, now=NOW)
        assert by_sender, "an altered batch verified"
        assert b"".join(encode_federation(one.version, one.type, one.body) for one in opened) == made.frames


def media(data: bytes) -> None:
    suite, device = SUITES["0001"], "8730f70d-c056-4103-9108-3d814ee5a7da"
    packet = calls.CallSender(suite, b"s" * 32, CONVERSATION, device).seal(b"payload", 0.0)
    changed = alter(packet, data)
    if changed == packet:
        return
    with contextlib.suppress(DecryptionFailedError):
        calls.CallReceiver(suite, b"s" * 32, CONVERSATION, device).open(changed)
        raise AssertionError("an altered packet opened")


def texts(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for parse, error in (
        (parse_version, ProtocolError),
        (parse_user_id, InvalidIdError),
        (parse_server_id, InvalidIdError),
        (enrolment.parse_link, enrolment.BadLinkError),
    ):
        with contextlib.suppress(error):
            parse(text)
    assert not enrolment.code_matches(text, CONVERSATION, b"k" * 32) or any(char.isdigit() for char in text)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        messages, maps, json, frames, sealed, envelope, signed, handshake, link, batch, media, hello, http2, chain,
        texts,
    )
}  # fmt: skip


def seeds(name: str) -> list[bytes]:
    """Inputs to start from: honest encodings for the decoders, small alterations for the others."""
    message = _people()[4]
    if name == "messages":
        return [bytes((0x12,)) + message]
    if name == "maps":
        return [message, encode_map({"a": [1, {"b": b"c"}], "d": True})]
    if name == "json":
        return [b'{"a":[1,{"b":"c"}],"d":true}', b'{"type":"ping","timestamp":1790000000}']
    if name == "frames":
        return [b"\x00" + _answer(), b"\x01" + _frame(), b"\x02" + encode_federation(2, 0x82, b"\x80") * 2]
    if name == "hello":
        return [client_hello(), client_hello()[:20]]
    if name == "http2":
        return list(conversation())
    if name == "texts":
        return [b"2.0", b"alice@a.example", b"norc://a.example/enroll?v=1&t=" + b"A" * 43 + b"&k=" + b"A" * 43]
    return [b"", b"\x01\x00\x05\x01", b"\x02\x00\x41\x80\x01\x03\x04", b"\x00tail", b"\x03\x01\x00\x30\x01"]
