"""The generated vectors: up to date, held by the independent check, judged by this implementation as they say."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from norc_actors.crypto import signatures
from norc_actors.crypto.errors import BadSignatureError, DecryptionFailedError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.protocol import auth, batches, calls, devices, enrolment, files, opening, receipts, relay, revocation
from norc_actors.protocol import trust_transcript as trust
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import convert, decode_map
from norc_actors.protocol.conversations import StateRefusedError, read_state, verify_leave, verify_state
from norc_actors.protocol.devices import OwnDevice
from norc_actors.protocol.enrolment import BadLinkError
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import decode_v1, decode_v2, encode_v1, federation_stream
from norc_actors.protocol.handshake import ClientHandshake, KnownKeys
from norc_actors.protocol.json_frames import from_json
from norc_actors.protocol.links import transcript_hash
from norc_actors.protocol.messages import AuthRequest, ConnectionAccepted, MessageReceived
from norc_actors.protocol.messages.federation import Batch
from norc_actors.protocol.opening import MessageRefusedError
from norc_actors.protocol.prekeys import BundleSecret, OneTimeSecret
from norc_actors.protocol.revocation import RevocationChainError
from norc_actors.protocol.sealed import Discarded, Rekeyed, SealedSession, traffic_keys
from norc_actors.protocol.sessions import OpenRefusedError, ReceivingSession, accept_open, verify_unknown
from norc_actors.protocol.versions import negotiate
from tests.support.people import NOW
from tests.support.samples import sample
from tests.support.world import known_device
from tools import make_vectors

HERE = Path(__file__).parent
FILES = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "generated").glob("*.json"))}
h = bytes.fromhex


def mapped(entry):
    return decode_map(h(entry["msgpack"]))


# --- Up to date, and independent ---


def test_every_topic_has_its_file():
    assert set(FILES) == set(make_vectors.TOPICS)


@pytest.mark.parametrize("topic", make_vectors.TOPICS)
def test_up_to_date(topic):
    """`python -m tools.make_vectors` would write nothing."""
    assert (HERE / "generated" / f"{topic}.json").read_text() == make_vectors.text_of(topic)


def test_the_tool_says_so(tmp_path, monkeypatch, capsys):
    topics = {"padding": make_vectors.TOPICS["padding"]}
    monkeypatch.setattr(make_vectors, "DIRECTORY", tmp_path)
    monkeypatch.setattr(make_vectors, "TOPICS", topics)
    assert make_vectors.main(["--check"]) == 1
    assert make_vectors.main([]) == 0
    assert make_vectors.main(["--check"]) == 0
    assert capsys.readouterr().out == "not up to date: padding.json\nwritten: padding.json\n"


def test_the_independent_check():
    """In a process of its own, which then has nothing of this project loaded."""
    script = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='independent')['main'](); "
        "assert not [name for name in sys.modules if name.startswith(('norc_actors', 'supervision', 'tools', 'nacl'))]"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(HERE / "independent.py")], capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("cases hold\n")


# --- As this implementation judges ---


def judge_canonical(case):
    assert canonical(mapped(case)).decode() == case["canonical"]


def judge_negotiation(case):
    found = negotiate(case["client"], case["server"], case["allow_amc_bridge"])
    assert found == (case["negotiated_version"], case["compatibility_mode"])


def judge_handshake(case):
    request = mapped(case["request"])
    drawn = {32: h(case["e_client"]), 64: h(case["kem_seed"]), 12: request["client_nonce"], 3: bytes(3)}
    client = ClientHandshake(server_name=case["server_name"], known=KnownKeys(), random=drawn.__getitem__)
    client.request = encode_v1(0, h(case["request"]["msgpack"]))
    assert client.accept(encode_v1(1, h(case["accepted"]["msgpack"])), NOW).th.hex() == case["th"]
    assert request["cipher_suites"] == list(PREFERENCE)


def judge_sealed(case):
    suite = SUITES[case["suite"]]
    receiver = SealedSession(
        role="server", suite=suite, th=h(case["th"]), keys=traffic_keys(suite, h(case["master_secret"])),
        random=bytes, now=0.0, send_limit=2**20, receive_limit=2**20,
    )  # fmt: skip
    for one in case["frames"]:
        event = receiver.receive(h(one["frame"]))
        if isinstance(event, Discarded):
            raise DiscardedError(event.why)
        assert isinstance(event, Rekeyed) or event.plaintext.hex() == one["plaintext"]


class DiscardedError(Exception):
    """A frame was discarded."""


def judge_authentication(case):
    request = AuthRequest(
        user_id=case["user_id"], device_id=case["device_id"], timestamp=case["timestamp"],
        signature=h(case["signature"]),
    )  # fmt: skip
    auth.verify_auth(
        request, h(case["public_key"]), th=h(case["th"]), challenge=h(case["challenge"]), now=case["timestamp"]
    )  # fmt: skip


def judge_device_record(case):
    if "signatures" in case:
        devices.verify_rotation(h(case["replaces"]), mapped(case["map"]), [h(one) for one in case["signatures"]])
    else:
        judge_signed(case)


def judge_signed(case):
    body = canonical(mapped(case["map"]), ("signature",))
    signatures.verify(h(case["public_key"]), case["label"], body, h(case["signature"]))


def judge_revocation(case):
    previous = mapped(case["previous"]) if "previous" in case else None
    signed = mapped(case["map"]) | {"signature": h(case["signature"])}
    revocation.verify_revocation(signed, h(case["public_key"]), previous)


def judge_enrolment(case):
    if "proof_solution" in case:
        suite, key = SUITES[case["suite"]], h(case["public_key"])
        if not enrolment.is_solution(
            suite, h(case["challenge"]), case["device_id"], key, case["difficulty"], case["proof_solution"]
        ):  # fmt: skip
            raise NotAcceptedError("not a solution")
    elif "k" in case:
        assert enrolment.server_key_hash(h(case["server_key"])).hex() == case["k"]
    elif "link" in case:
        link = enrolment.parse_link(case["link"])
        assert str(link) == case["link"]
        assert (link.server_id, link.token.hex()) == (case["server_id"], case["token"])
        assert all(link.names_key(h(one)) for one in case["server_keys"])
    else:
        register = mapped(case["map"]) | {"public_key": h(case["public_key"])}
        enrolment.verify_registration(h(case["th"]), h(case["challenge"]), register, h(case["signature"]))


class NotAcceptedError(Exception):
    """What has no exception of its own."""


def own_device(case, device_id):
    return OwnDevice(
        user_id="bob@b.example", device_id=device_id, key=SigningKey("ed25519", bytes(32)), e2e_suites=PREFERENCE
    )  # fmt: skip


def judge_session_open(case):
    opened = mapped(case["open"])
    bundle = BundleSecret(
        prekey_id=5, x25519=h(case["prekey_private"]), mlkem_seed=h(case.get("mlkem_seed", "")) or None,
        not_after=2**40,
    )  # fmt: skip
    one_time = OneTimeSecret(one_time_id=7, x25519=h(case["one_time_private"])) if "one_time_private" in case else None
    sender = known_device(opened["sender_user"], opened["sender_device"], h(case["sender_key"]))
    session = accept_open(
        opened, own=own_device(case, opened["target_device"]), sender=sender, accepted_at=NOW, bundle=bundle,
        one_time=one_time,
    )  # fmt: skip
    assert session.chain_key.hex() == case["session_key"]


def judge_message(case):
    received = convert(mapped(case["message_received"]), MessageReceived)
    sender = known_device(received.sender_user, received.sender_device, h(case["sender_key"]))
    wrap = received.encrypted_keys[case["target_device"]]
    session = ReceivingSession(
        session_id=wrap.session_id, suite=case["suite"], sender_user=received.sender_user,
        sender_device=received.sender_device, prekey_id=5, chain_key=h(case["session_key"]), next_index=0, skipped={},
        expires_at=2**40,
    )  # fmt: skip
    opened = opening.open_message(
        received, own=own_device(case, case["target_device"]), sender=sender, recorded_hash=None, session=session,
        state=read_state(mapped(case["state"])), chain=None, now=NOW, held=True,
    )  # fmt: skip
    assert opened.ciphertext_hash.hex() == case["ciphertext_hash"]


def judge_conversation_state(case):
    previous = read_state(mapped(case["previous"])) if "previous" in case else None
    user = case.get("signer_user", "alice@a.example")
    signer = known_device(user, "00000000-0000-4000-8000-000000000001", h(case["public_key"]))
    verify_state(mapped(case["map"]), h(case["signature"]), previous=previous, signer=signer, at=NOW)


def judge_receipt(case):
    receipt = mapped(case["map"])
    device = known_device(receipt["user_id"], receipt["device_id"], h(case["public_key"]))
    receipts.verify_receipt(
        receipt, device, message_id=receipt["message_id"], conversation_id=receipt["conversation_id"],
        ciphertext_hash=SUITES[case["suite"]].hash(h(case["ciphertext"])),
    )  # fmt: skip


class Manifest:
    """A case of `file_chunk` as the manifest of its file."""

    def __init__(self, case):
        self.file_id, self.file_key, self.hash = case["file_id"], h(case["file_key"]), bytes(32)
        self.size, self.chunk_size, self.total = case["size"], case["chunk_size"], case["total"]


def judge_file_chunk(case):
    suite, content = SUITES[case["suite"]], h(case["content"])
    chunk = (content * (case["length"] // 32 + 1))[: case["length"]]
    # The sealed bytes are not in the file: they are made again for the place that the case's tag names.
    place = next(one for one in FILES["file_chunk"]["cases"] if one["accept"] and one["tag"] == case["tag"])
    sealer = files.FileSealer(
        suite, h(place["file_key"]), place["file_id"], total=place["total"], chunk_size=place["chunk_size"]
    )  # fmt: skip
    sealed = sealer.seal(place["index"], chunk)
    files.check_chunk_hash(suite, sealed, h(case["chunk_hash"]))
    assert files.FileOpener(suite, Manifest(case)).open(case["index"], sealed) == chunk


def judge_call_key(case):
    receiver = calls.CallReceiver(SUITES[case["suite"]], h(case["call_secret"]), case["call_id"], case["sender_device"])
    for one in case["packets"]:
        assert receiver.open(h(one["packet"])).hex() == one["payload"]


def judge_link_handshake(case):
    suite = SUITES[case["suite"]]
    messages = [mapped(case[name]) for name in ("hello", "hello_response", "handshake", "handshake_response")]
    for count, name in ((3, "initiator"), (4, "responder")):
        body = name.encode() + transcript_hash(suite, messages[:count])
        try:
            signatures.verify(h(case[f"{name}_key"]), "fed-link:v1", body, messages[count - 1]["signature"])
        except BadSignatureError as error:
            raise ProtocolError(Code.BAD_SIGNATURE) from error


def judge_relay(case):
    message, keys = mapped(case["relay"]), {name: h(key) for name, key in case["keys"].items()}
    relay.verify_relay(message, keys[message["origin_server"]])
    relay.verify_route(message, case["receiver"], keys.get)
    if message["route_path"][0] != message["origin_server"]:
        raise BadSignatureError("the path")


def judge_signed_maps(case):
    plain = mapped(case["map"])
    if "pinned" in case:
        accepted = sample(ConnectionAccepted, full=True)
        members = {name: getattr(accepted, name) for name in accepted.__struct_fields__}
        shown = {"server_id": "a.example", "server_public_key": plain["new_public_key"], "server_rotation": (plain,)}
        known = KnownKeys(pinned=(h(case["pinned"]),))
        assert known.judge(ConnectionAccepted(**members | shown)) == "rotated"
        return
    judge_signed(case)
    device = known_device(
        "bob@b.example", plain.get("device_id", plain.get("sender_device", "")), h(case["public_key"])
    )
    match plain["type"]:
        case "conversation_leave":
            verify_leave(plain, device)
        case "session_key_exchange":
            own = dataclasses.replace(own_device(case, plain["target_device"]), user_id=plain["target_user"])
            verify_unknown(plain, own=own, device=device)
        case "relay_ack":
            relay.verify_ack(plain, h(case["public_key"]))


def judge_frames(case):
    if case["kind"] == "json":
        frame = from_json(case["text"].encode())
    elif case["kind"] == "federation":
        (frame,) = federation_stream(2**20).feed(h(case["frame"]))
    else:
        frame = (decode_v1 if case["kind"] == "v1" else decode_v2)(h(case["frame"]))
    for name in ("type", "sequence"):
        assert name not in case or getattr(frame, name) == case[name]
    for name in ("ciphertext", "prev_message_hash"):
        assert name not in case or getattr(frame, name).hex() == case[name]


def judge_fed_request(case):
    batch = convert(mapped(case["batch"]), Batch)
    batches.open_batch(
        batch, SUITES[case["suite"]], h(case["public_key"]), remote=batch.requesting, own_server=batch.target,
        now=batch.timestamp,
    )  # fmt: skip


def judge_trust(case):
    key = h(case["public_key"])
    if "certificate" in case:
        certificate = mapped(case["certificate"])
        trust.verify_certificate(
            certificate, key, issuer=certificate["issuer_server"], now=certificate["not_before"]
        )  # fmt: skip
        return
    transcript = None
    if case["earlier"] is not None:
        transcript = trust.Transcript(requesting=case["requesting"], other=case["other"])
        for one in case["earlier"]:
            transcript = transcript.then(mapped(one))
    if "proof" in case:
        trust.verify_proof(key, transcript, h(case["challenge_data"]), h(case["proof"]))
    else:
        trust.verify_message(mapped(case["message"]), key, transcript)
    if "chained" in case:
        previous = mapped(case["previous"]) if "previous" in case else None
        trust.check_revocation_chain(mapped(case["message"]), previous, key)


JUDGES = {name.removeprefix("judge_"): judge for name, judge in globals().items() if name.startswith("judge_")} | {
    "prekeys": judge_signed
}
KINDS = (
    BadLinkError, BadSignatureError, DecryptionFailedError, DiscardedError, MessageRefusedError, NotAcceptedError,
    OpenRefusedError, ProtocolError, RevocationChainError, StateRefusedError,
)  # fmt: skip


def named(error):
    """An exception as the vectors name it."""
    match error:
        case ProtocolError():
            return f"ProtocolError {error.code.value}"
        case OpenRefusedError():
            return f"OpenRefusedError {error.fault.value}"
        case MessageRefusedError():
            return f"MessageRefusedError {error.cause.value}"
        case DiscardedError():
            return f"Discarded {error}"
        case NotAcceptedError():
            return str(error)
        case _:
            return type(error).__name__


@pytest.mark.parametrize("topic", [topic for topic in FILES if topic in JUDGES])
def test_judged_as_they_say(topic):
    for case in FILES[topic]["cases"]:
        try:
            JUDGES[topic](case)
            found = None
        except KINDS as error:
            found = named(error)
        assert found == (None if case["accept"] else case["error"]), (case.get("suite"), case["name"])


def test_what_is_not_judged_here_has_no_refusals_or_a_test_of_its_own():
    silent = {topic for topic in FILES if topic not in JUDGES}
    refusing = {topic for topic in silent if not all(case["accept"] for case in FILES[topic]["cases"])}
    assert refusing == {"audit"}  # judged by the store: test_audit.py
