"""Both ends of a link's handshake in memory; each of its four messages can be changed on the way."""

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE
from norc_actors.protocol.codec import encode_map
from norc_actors.protocol.federation_handshake import InitiatorHandshake, ResponderHandshake
from norc_actors.protocol.frames import encode_federation, federation_stream
from norc_actors.protocol.links import LinkOffer, Peer
from tests.support.people import NOW, seeded
from tests.support.vectors import map_of

ALPN = "norc-f/2.0"
A, B = "a.example", "b.example"
PRINT = {A: b"A" * 32, B: b"B" * 32}
KEYS = {
    server: {name: SigningKey.generate(name, seeded((server, name))) for name in ("ed25519", "p256")}
    for server in (A, B)
}


def offer(server, **changes):
    members = {
        "server_id": server, "tls_fingerprint": PRINT[server], "suites": PREFERENCE,
        "public_keys": {name: key.public_key for name, key in KEYS[server].items()},
    }  # fmt: skip
    return LinkOffer(**(members | changes))


def peer(server, **changes):
    members = {
        "server_id": server, "tls_fingerprint": PRINT[server],
        "keys": tuple(key.public_key for key in KEYS[server].values()),
    }  # fmt: skip
    return Peer(**(members | changes))


def sign(server, wanted):
    key = next(key for key in KEYS[server].values() if key.public_key == wanted.public_key)
    return key.sign(wanted.label, wanted.body)


def members_of(frame):
    (one,) = federation_stream(2**20).feed(frame)
    return one.type, map_of({"msgpack": one.body.hex()})


def altered(frame, **changes):
    """A frame whose map somebody changed."""
    code, members = members_of(frame)
    return encode_federation(2, code, encode_map({k: v for k, v in (members | changes).items() if v is not None}))


class Link:
    """A handshake that can be stopped and changed at each of its four messages."""

    def __init__(self, *, a=None, b=None, at_a=None, at_b=None, alpn=ALPN, offered=(ALPN,), seed=0):
        self.a = InitiatorHandshake(
            a or offer(A), at_a or peer(B), alpn=alpn, alpn_offered=offered, random=seeded(("a", seed))
        )
        self.b = ResponderHandshake(b or offer(B), at_b or peer(A), alpn=alpn, random=seeded(("b", seed)))

    def run(self, **changes):
        """`m1` to `m4` change a message on its way."""
        place, frame = "m1", self.a.hello
        while place:
            place, frame = self.deliver(place, changes.get(place, lambda frame: frame)(frame))
        return frame, self.at_b

    def deliver(self, place, frame):
        """Give `frame` to the end that waits for this message: the next place and frame, at last None and a's link."""
        if place == "m1":
            return "m2", self.b.receive_hello(frame)
        if place == "m2":
            return "m3", self.a.handshake(sign(A, self.a.receive_response(frame)))
        if place == "m3":
            answer, self.at_b = self.b.finish(sign(B, self.b.receive_handshake(frame)), NOW)
            return "m4", answer
        return None, self.a.finish(frame, NOW)
