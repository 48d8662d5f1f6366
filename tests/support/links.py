"""Both ends of a sealed connection in memory, with seeded randomness."""

import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES, Algorithm
from norc_actors.ids import Random, ServerId
from norc_actors.protocol.handshake import ClientHandshake, Established, KnownKeys, ServerHandshake, ServerOffer, ToSign

SERVER = ServerId("a.example")


def seeded(seed: int) -> Random:
    """`random(n)` from a seed: the same bytes in every run."""
    return _random.Random(seed).randbytes


def scripted(*parts: bytes) -> Random:
    """`random(n)` that gives these parts in turn, and fails if another length is asked for."""
    left = list(parts)

    def random(length: int) -> bytes:
        part = left.pop(0)
        assert len(part) == length
        return part

    return random


@dataclass
class Ends:
    """What a handshake gave on both sides."""

    client: Established
    server: Established


def keys(seed: int = 1) -> dict[Algorithm, SigningKey]:
    """A server's identity keys of both algorithms."""
    return {name: SigningKey.generate(name, seeded(seed)) for name in ("ed25519", "p256")}  # type: ignore[misc]


def offer(identity: dict[Algorithm, SigningKey], **changes: Any) -> ServerOffer:
    """An offer with every suite that these keys serve."""
    suites = tuple(name for name in ("0101", "0102", "0001", "0002") if SUITES[name].identity in identity)
    members: dict[str, Any] = {
        "server_id": SERVER,
        "public_keys": {name: key.public_key for name, key in identity.items()},
        "suites": suites,
    }
    return ServerOffer(**(members | changes))


def sign(identity: dict[Algorithm, SigningKey], what: ToSign) -> bytes:
    """The signature by the key that is asked for."""
    key = next(key for key in identity.values() if key.public_key == what.public_key)
    return key.sign(what.label, what.body)


def shake_hands(
    client: ClientHandshake,
    server: ServerHandshake,
    identity: dict[Algorithm, SigningKey],
    *,
    now: float = 1000.0,
    subprotocol: str = "norc-c-v2.0",
    on_request: Callable[[bytes], bytes] = lambda frame: frame,
    on_accepted: Callable[[bytes], bytes] = lambda frame: frame,
) -> Ends:
    """The whole handshake; `on_request` and `on_accepted` stand for whoever is in the middle."""
    wanted = server.prepare(on_request(client.request), uri_version="2.0", subprotocol=subprotocol, now=now)
    frame, at_server = server.finish(sign(identity, wanted), now)
    return Ends(client.accept(on_accepted(frame), now), at_server)


def pair(suite: str = "0001", seed: int = 1, **client: Any) -> Ends:
    """An established connection under `suite`."""
    identity = keys(seed)
    members: dict[str, Any] = {"server_name": SERVER, "known": KnownKeys(), "random": seeded(seed), "suites": (suite,)}
    members |= client
    return shake_hands(
        ClientHandshake(**members), ServerHandshake(offer(identity), random=seeded(seed + 1)), identity,
        subprotocol=members.get("subprotocol", "norc-c-v2.0"),
    )  # fmt: skip
