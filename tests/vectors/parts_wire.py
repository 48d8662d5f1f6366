"""Parts of sections 1 to 4: values, signatures, derivations, versions, frames, the handshake and what it seals."""

# ruff: noqa: SLF001 - a recorded client has to go on from its recorded ephemeral keys

from typing import Any

from norc_actors.crypto import hkdf, kem, layout
from norc_actors.crypto.labels import signing_input
from norc_actors.crypto.padding import padded_length
from norc_actors.crypto.secret import Secret
from norc_actors.crypto.signatures import SigningKey, algorithm_of, verify
from norc_actors.crypto.suites import SUITES, Algorithm, Suite
from norc_actors.ids import uuid_bytes
from norc_actors.protocol import auth
from norc_actors.protocol.canonical import canonical, from_base64url
from norc_actors.protocol.codec import convert, decode_map, encode_map
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.frames import (
    decode_v1,
    decode_v2,
    encode_federation,
    encode_v1,
    encode_v2,
    federation_stream,
)
from norc_actors.protocol.handshake import ClientHandshake, KnownKeys, ServerHandshake, ServerOffer, master_secret
from norc_actors.protocol.handshake import transcript_hash as handshake_hash
from norc_actors.protocol.json_form import read_json
from norc_actors.protocol.messages import AuthRequest, ConnectionRequest, SessionRekey
from norc_actors.protocol.sealed import (
    REKEY_CODE,
    Discarded,
    Keys,
    Rekeyed,
    SealedSession,
    rekey_keys,
    traffic_keys,
)
from norc_actors.protocol.versions import negotiate

from .reading import DeclinedError, DiscardedError, Entry, part

LIMIT = 2**24


def stated_key(entry: Entry, secret: str, public: str, algorithm: str | None = None) -> SigningKey | None:
    """The signing key of a `…_seed`, held against its public half; None where the file has no seed."""
    if secret not in entry:
        return None
    named = algorithm or (algorithm_of(entry.raw(public)) if public in entry else SUITES[entry["suite"]].identity)
    key = SigningKey(named, entry.raw(secret))  # type: ignore[arg-type]
    entry.equal(public, key.public_key)
    return key


def made_again(entry: Entry, key: SigningKey | None, label: str, body: bytes, stated: bytes) -> None:
    """Ed25519 signs a body in one way, so ours has to be the file's; P-256 may be hedged, so there it is verified."""
    if key is not None and key.algorithm == "ed25519" and key.sign(label, body) != stated:
        entry.differ(f"signs {label} otherwise")


# --- Values ---


@part("msgpack canonical")
def canonical_form(entry: Entry) -> None:
    for name in ("msgpack", "canonical", "json"):
        entry.get(name)
    form = canonical(decode_map(bytes.fromhex(entry["msgpack"])))
    entry.equal("canonical", form.decode())
    if "json" in entry:
        entry.equal("canonical", canonical(read_json(entry["json"].encode())).decode())
    digest = SUITES[entry["suite"]].hash if "suite" in entry else hkdf.blake3
    entry.equal("hash", digest(form))


READERS = {"json": read_json, "msgpack": decode_map, "base64": lambda data: from_base64url(data.decode())}


@part("encoding hex", malformed=".")
def read_by_itself(entry: Entry) -> None:
    try:
        READERS[entry["encoding"]](entry.raw("hex"))
    except UnicodeDecodeError as error:
        raise DeclinedError("malformed") from error


# --- Signatures ---


@part("public_key label body signature", bad_signature=".")
def labelled_signature(entry: Entry) -> None:
    if "seed" in entry:
        key = stated_key(entry, "seed", "public_key")
        made_again(entry, key, entry["label"], entry.raw("body"), entry.raw("signature"))
    if "algorithm" in entry:
        entry.equal("algorithm", algorithm_of(entry.raw("public_key")))
    entry.equal("signed", signing_input(entry["label"], entry.raw("body")))
    verify(entry.raw("public_key"), entry["label"], entry.raw("body"), entry.raw("signature"))


@part("public_key", alone=True, bad_key=".*")
def agreement_key(entry: Entry) -> None:
    """A public key by itself: X25519 by its 32 bytes, else ML-KEM-768."""
    public_key = entry.raw("public_key")
    if len(public_key) == kem.X25519_BYTES:
        kem.x25519(bytes(range(32)), public_key)
    else:
        kem.check_mlkem_public(public_key)


@part("seed ciphertext", bad_key="length|bytes")
def decapsulation(entry: Entry) -> None:
    entry.equal("secret", kem.decapsulate(entry.raw("seed"), entry.raw("ciphertext")))
    entry.equal("public_key", kem.mlkem_public(entry.raw("seed")))


# --- Derivations, layouts ---


@part("suite ikm salt info length")
def derivation(entry: Entry) -> None:
    mac = entry.suite.hmac
    prk = hkdf.extract(mac, entry.raw("salt"), entry.raw("ikm"))
    entry.equal("prk", prk)
    entry.equal("okm", hkdf.expand(mac, prk, entry.raw("info"), entry["length"]))


@part("suite key message mac")
def keyed_hash(entry: Entry) -> None:
    entry.equal("mac", entry.suite.hmac(entry.raw("key"), entry.raw("message")))


@part("major minor type sequence message_id length prev transcript_hash")
def associated_data(entry: Entry) -> None:
    found = layout.aad_v1(
        entry["major"], entry["minor"], entry["type"], entry["sequence"], entry.uuid("message_id"), entry["length"],
        entry.raw("prev"), entry.raw("transcript_hash"),
    )  # fmt: skip
    entry.equal("aad", found)
    entry.equal("nonce", layout.sequence_nonce(entry["sequence"]))


@part("length padded", alone=True)
def bucket(entry: Entry) -> None:
    if padded_length(entry["length"]) != entry["padded"]:
        raise DeclinedError(f"the bucket of {entry['length']} is {padded_length(entry['length'])}")


# --- Versions, frames ---


@part("client server allow_amc_bridge")
def negotiation(entry: Entry) -> None:
    try:
        found = [*negotiate(entry["client"], entry["server"], entry["allow_amc_bridge"])]
    except ProtocolError:
        if "result" in entry and entry["result"] is None:
            return
        raise
    entry.equal("result", found)


@part("kind frame", malformed__or__too_large=".")
def frame_of_bytes(entry: Entry) -> None:
    data, kind = entry.raw("frame"), entry["kind"]
    if kind == "v1":
        v1 = decode_v1(data, LIMIT)
        entry.equal("type", v1.type)
        entry.equal("payload", v1.payload)
        entry.equal("frame", encode_v1(v1.type, v1.payload))
    elif kind == "v2":
        v2 = decode_v2(data, LIMIT)
        for name, value in (("type", v2.type), ("sequence", v2.sequence), ("ciphertext", v2.ciphertext)):
            entry.equal(name, value)
        entry.equal("prev", v2.prev_message_hash)
        entry.equal("frame", encode_v2(v2))
        if "message_id" in entry and entry.uuid("message_id") != v2.message_id:
            entry.differ("another message_id")
    else:
        (fed,) = _one_frame(data)
        for name, value in (("ver", fed.version), ("type", fed.type), ("body", fed.body)):
            entry.equal(name, value)
        entry.equal("frame", encode_federation(fed.version, fed.type, fed.body))


def _one_frame(data: bytes) -> list[Any]:
    stream = federation_stream(LIMIT)
    frames = stream.feed(data)
    if len(frames) != 1 or not stream.between_frames:
        raise DeclinedError("malformed")
    return frames


# --- The handshake ---


def client_of(entry: Entry, request: dict[str, Any], server_name: str) -> ClientHandshake:
    """A client that has sent the recorded request, unknown members and all."""
    client = ClientHandshake(server_name=server_name, known=KnownKeys(), random=bytes)  # type: ignore[arg-type]
    client._request = convert(request, ConnectionRequest)
    client._request_map = request
    client._ephemeral = entry.raw("e_client") if "e_client" in entry else b"e" * 32
    public = request.get("pq_public_key")
    client._kem_seed = None if public is None else entry.file.seeds.get(public, b"s" * 64)
    return client


@part(
    "request accepted",
    malformed="nonce|PQ|pq_|hybrid part|missing|short|long|length|challenge|malformed|bytes",
    downgrade="version|compatib|suite|downgrade",
    invalid_signature="sign|dialled|server_id|name|algorithm|key of",
    crypto="all-zero|small order|X25519",
)
def handshake(entry: Entry) -> None:
    """As the client judges the answer, then the formulas, then the server's side of them."""
    request, accepted = entry.map("request"), entry.map("accepted")
    client = client_of(entry, request, entry.get("server_name") or request["server_name"])
    established = client.accept(encode_v1(1, bytes.fromhex(entry["accepted"]["msgpack"])), 0.0)
    suite = established.suite
    entry.equal("suite", suite.name)
    entry.equal("th", handshake_hash(suite, request, accepted))
    entry.equal("th", established.th)
    if "ikm" in entry:
        ms = master_secret(
            suite, entry.raw("ikm"), request["client_nonce"], accepted["server_nonce"],
            accepted["negotiated_version"], established.th,
        )  # fmt: skip
        entry.equal("master_secret", ms)
        _keys(entry, traffic_keys(suite, ms))
        _same_keys(established.sealed, traffic_keys(suite, ms), entry)
    ours = SUITES.keys() >= set(accepted["server_cipher_suites"])  # a server of ours offers what it knows
    if entry.has("e_server server_seed ikm") and ours:
        _server(entry, suite, request, accepted)


def _keys(entry: Entry, keys: Keys, rs: str = "rs") -> None:
    for name, value in (("k_c2s", keys.c2s), ("k_s2c", keys.s2c), (rs, keys.rs)):
        entry.equal(name, value)


def _same_keys(session: SealedSession, keys: Keys, entry: Entry) -> None:
    """Whether a session that was made by a handshake really runs under the stated keys."""
    held = {secret.reveal() for secret in (session._send.key, session._receive.key)}
    if held != {keys.c2s, keys.s2c}:
        entry.differ("the session has other keys")


def _server(entry: Entry, suite: Suite, request: dict[str, Any], accepted: dict[str, Any]) -> None:
    """The recorded answer, drawn by our server from the recorded randomness."""
    key = stated_key(entry, "server_seed", "server_key")
    assert key is not None
    if kem.x25519_public(entry.raw("e_server")) != accepted["ephemeral_public_key"]:
        entry.differ("e_server is not the answer's key")
    other: Algorithm = "p256" if key.algorithm == "ed25519" else "ed25519"
    keys = {other: SigningKey(other, b"\1" * 32).public_key, key.algorithm: key.public_key}
    offer = ServerOffer(
        server_id=accepted["server_id"], public_keys=keys, max_frame=accepted["max_frame"],
        versions=tuple(accepted["server_versions"]), suites=tuple(accepted["server_cipher_suites"]),
        capabilities=tuple(accepted["server_capabilities"]),
        build_attestation_hash=accepted.get("build_attestation_hash"),
    )  # fmt: skip
    drawn = [
        entry.raw("e_server"), uuid_bytes(accepted["session_id"]), accepted["server_nonce"],
        accepted["auth_challenge"], bytes(3),
    ]  # fmt: skip
    encapsulated = (accepted.get("pq_ciphertext"), entry.raw("ikm")[32:])
    server = ServerHandshake(offer, random=lambda length: drawn.pop(0), encapsulate=lambda _: encapsulated)  # type: ignore[arg-type,return-value]
    wanted = server.prepare(
        encode_v1(0, bytes.fromhex(entry["request"]["msgpack"])), uri_version=request["uri_version"],
        subprotocol=request["subprotocol"], now=accepted["server_time"],
    )  # fmt: skip
    entry.equal("th", wanted.body)
    made_again(entry, key, wanted.label, wanted.body, accepted["signature"])
    frame, established = server.finish(accepted["signature"], 0.0)
    made = canonical(decode_map(decode_v1(frame).payload))
    if made != canonical(accepted):
        entry.differ(f"our server answers {made.decode()}")
    _same_keys(established.sealed, traffic_keys(suite, entry.raw("master_secret")), entry)


# --- Sealed frames ---


def _session(role: Any, suite: Suite, th: bytes, keys: Keys, random: Any) -> SealedSession:
    return SealedSession(
        role=role, suite=suite, th=th, keys=keys, random=random, now=0.0, send_limit=LIMIT, receive_limit=LIMIT
    )


@part(
    "suite key th frames",
    chain="chain|prev",
    sequence="sequence|order|replay",
    malformed="length|short|header|version",
    not_opened=".",
)
def sealed_frames(entry: Entry) -> None:
    """One direction from its first frame: opened in order, then sealed again to the same bytes."""
    keys = Keys(c2s=entry.raw("key"), s2c=bytes(32), rs=bytes(32))
    receiver = _session("server", entry.suite, entry.raw("th"), keys, bytes)
    key = after = entry.raw("key")
    for frame in entry.inside("frames"):
        event = receiver.receive(frame.raw("frame"))
        if isinstance(event, Discarded):
            raise DiscardedError(event.why.replace(" ", "_"))
        if isinstance(event, Rekeyed):
            frame.equal("plaintext", _opened(entry, frame, key))
            key = entry.suite.hkdf(key, b"", b"norc:tk:update:v1")
        else:
            frame.equal("type", event.code)
            frame.equal("plaintext", event.plaintext)
        before, after = after, key
        if frame.get("key_after") != before.hex():  # an update may be stated with the key that it was sealed under
            frame.equal("key_after", after)
        if receiver._receive.key != Secret(key):
            frame.differ("the session has another key after it")
    _seal_again(entry, keys)


def _opened(entry: Entry, frame: Entry, key: bytes) -> bytes:
    """What is inside a frame that a session keeps to itself."""
    v2 = decode_v2(frame.raw("frame"), LIMIT)
    aad = layout.aad_v1(
        2, 0, v2.type, v2.sequence, v2.message_id, len(v2.ciphertext), v2.prev_message_hash, entry.raw("th")
    )  # fmt: skip
    return entry.suite.open(key, layout.sequence_nonce(v2.sequence), aad, v2.ciphertext)


def _seal_again(entry: Entry, keys: Keys) -> None:
    frames = entry.inside("frames")
    if not frames:
        return
    drawn = [decode_v2(frames[0].raw("frame"), LIMIT).sequence.to_bytes(3, "big")]
    drawn += [decode_v2(frame.raw("frame"), LIMIT).message_id for frame in frames]
    entry.equal("first_sequence", int.from_bytes(drawn[0], "big"))
    sender = _session("client", entry.suite, entry.raw("th"), keys, lambda length: drawn.pop(0))
    for frame in frames:
        wire, update = frame.raw("frame"), frame["type"] == REKEY_CODE
        found = sender.update() if update else sender.seal(frame["type"], frame.raw("plaintext"))
        if update and found != [wire]:
            return  # the same message in another order of members: what follows is chained to their bytes
        frame.equal("frame", found[0])
        if "message_id" in frame and frame.uuid("message_id") != decode_v2(wire, LIMIT).message_id:
            frame.differ("another message_id")


@part("suite th request answer", malformed="PQ|pq_|hybrid|missing", crypto__or__bad_key="zero|X25519")
def rekey(entry: Entry) -> None:
    """The dh re-key: the formulas, and both ends with the recorded keys."""
    suite, th = entry.suite, entry.raw("th")
    request, answer = entry.map("request"), entry.map("answer")
    rs = entry.raw("rs") if "rs" in entry else traffic_keys(suite, entry.raw("ms")).rs
    if "ms" in entry:
        entry.equal("rs", traffic_keys(suite, entry.raw("ms")).rs)
    asked, answered = convert(request, SessionRekey), convert(answer, SessionRekey)
    if (asked.pq_public_key is not None, answered.pq_ciphertext is not None) != (suite.hybrid, suite.hybrid):
        raise DeclinedError("malformed")
    ikm = kem.x25519(entry.raw("e_client"), answer["ephemeral_public_key"])
    if kem.x25519(entry.raw("e_server"), request["ephemeral_public_key"]) != ikm:
        entry.differ("the ends agree on two secrets")
    if suite.hybrid:
        ikm += kem.decapsulate(entry.file.seeds[request["pq_public_key"]], answer["pq_ciphertext"])
    entry.equal("ikm", ikm)
    transcript = suite.hash(b"norc-c-rekey-v1" + th + layout.lv(canonical(request)) + layout.lv(canonical(answer)))
    entry.equal("th1", transcript)
    entry.equal("ms1", suite.hkdf(ikm, rs, b"norc:ms:rekey:v1" + transcript))
    keys = rekey_keys(suite, th, rs, ikm, request, answer)
    _keys(entry, keys, "rs1")
    if "ms" in entry:
        _rekey_at_the_client(entry, traffic_keys(suite, entry.raw("ms")), request, answer, keys)


def _rekey_at_the_client(
    entry: Entry, first: Keys, request: dict[str, Any], answer: dict[str, Any], after: Keys
) -> None:
    """A client that asked with the recorded keys takes the recorded answer, sealed by a plain server."""
    suite, th = entry.suite, entry.raw("th")
    seed = entry.file.seeds[request["pq_public_key"]] if suite.hybrid else b""
    drawn = {32: [entry.raw("e_client")], 64: [seed], 3: [bytes(3)]}
    client = _session("client", suite, th, first, lambda length: drawn[length].pop() if length in drawn else bytes(16))
    client.ask_dh(1.0)
    assert client._asked is not None
    client._asked.request = request
    server = _session("server", suite, th, first, bytes)
    event = client.receive(server._seal(REKEY_CODE, encode_map(answer)))
    if not isinstance(event, Rekeyed) or {client._send.key.reveal(), client._receive.key.reveal()} != {
        after.c2s, after.s2c,
    }:  # fmt: skip
        entry.differ("a client has other keys after it")


@part("th challenge user_id device_id timestamp signature public_key", authentication=".")
def authentication(entry: Entry) -> None:
    body = auth.auth_body(
        entry.raw("th"), entry.raw("challenge"), entry["user_id"], entry["device_id"], entry["timestamp"]
    )
    entry.equal("body", body)
    key = stated_key(entry, "device_seed", "public_key")
    request = AuthRequest(
        user_id=entry["user_id"], device_id=entry["device_id"], timestamp=entry["timestamp"],
        signature=entry.raw("signature"),
    )  # fmt: skip
    auth.verify_auth(
        request, entry.raw("public_key"), th=entry.raw("th"), challenge=entry.raw("challenge"),
        now=entry.get("now") or entry["timestamp"],
    )  # fmt: skip
    made_again(entry, key, "auth:v1", body, entry.raw("signature"))
