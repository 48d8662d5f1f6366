"""Messages between servers: what origin and hops sign, and in which order a receiver checks (section 8, *Relay*; F§5,
F§7; D-20, D-37, D-38; rows `B100`, `B104`, `B105`).

```
signature    = Sign(origin's key, "relay:v1", canonical(the map less signature, route_path, route_signatures,
               link_epoch, link_sequence, ciphertext, encrypted_payloads, and less metadata's hop_count and
               federation_timestamp, plus payload_hash))
payload_hash = H(len‖ciphertext ‖ len‖canonical(encrypted_payloads))
route n      = Sign(key of route_path[n], "route:v1", H(relay signature) ‖ p ‖ len‖route_path[n] ‖ len‖next ‖ (n+1):u8
               ‖ federation_timestamp:u64)
               p = H(signature of entry n−1), 32 zeroes for n = 0
               next = route_path[n+1], for the last the receiving server
```
H runs under the key that signs. `link_epoch`, `link_sequence` and the hops' members are bound by the batch.

Rules
- The origin's signature covers everything that may not change on the way; each hop's covers the one before it, itself,
  whom it hands to, and when. So a hop can neither be left out, nor added, nor two routes be joined.
- `route_signatures` has as many entries as `route_path`; only an origin that sends directly may leave them out.
- `INGRESS` is the order of the checks, cheapest first, and the only place that has it: `check_ingress` runs it and
  raises at the first that fails. A relay that was accepted before is `Repeated` (its recorded answer goes out again),
  which is found before any signature is verified.
- `check_ingress` changes nothing but the link's rate: the caller stores, caches and moves the link window in one
  transaction, after all checks passed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.layout import ZERO_HASH, lv, u64
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import hash_for_key
from norc_actors.ids import InvalidIdError, parse_user_id, server_of
from norc_actors.limits import FEDERATION_WINDOW_MESSAGES, HOP_SKEW_SECONDS, MAX_HOPS, ORIGINAL_AGE_SECONDS

from .canonical import Value, canonical
from .chains import ReplayedError, Window
from .errors import Code, ProtocolError, malformed
from .schema import SignedMap
from .trust_levels import ALLOWANCES, TrustLevel, allows, at_least, lowest

Relay: TypeAlias = Mapping[str, Any]
"""A `message_relay` as received, its members already of their types (`codec.decode` saw to that)."""

UNSIGNED: Final = (
    "signature", "route_path", "route_signatures", "link_epoch", "link_sequence", "ciphertext", "encrypted_payloads",
)  # fmt: skip
"""Members that the origin's signature leaves out: a hop or a link sets them, or `payload_hash` stands for them."""
UNSIGNED_METADATA: Final = ("hop_count", "federation_timestamp")


# --- The origin's signature ---


def payload_hash(signing_key: bytes, ciphertext: bytes, encrypted_payloads: Mapping[str, Value]) -> bytes:
    """`payload_hash` under the key that signs the relay."""
    return hash_for_key(signing_key)(lv(ciphertext) + lv(canonical(encrypted_payloads)))


def relay_body(relay: Relay, signing_key: bytes) -> bytes:
    """What `relay:v1` signs."""
    members: dict[str, Value] = {name: value for name, value in relay.items() if name not in UNSIGNED}
    metadata = relay["metadata"]
    members["metadata"] = {name: value for name, value in metadata.items() if name not in UNSIGNED_METADATA}
    ciphertext = relay.get("ciphertext", b"")  # at 1.x it is inside the blobs, and empty here
    members["payload_hash"] = payload_hash(signing_key, ciphertext, relay["encrypted_payloads"])
    return canonical(members)


def sign_relay(key: Signer, relay: Relay) -> SignedMap:
    """The relay with its origin's signature."""
    return {**relay, "signature": key.sign("relay:v1", relay_body(relay, key.public_key))}


def verify_relay(relay: Relay, origin_key: bytes) -> None:
    """`BadSignatureError` unless the origin signed this relay."""
    verify(origin_key, "relay:v1", relay_body(relay, origin_key), relay["signature"])


def sign_ack(key: Signer, ack: Mapping[str, Value]) -> SignedMap:
    """A `relay_ack` (or any later one with receipts) with the target's signature, `relay:v1` too."""
    return {**ack, "signature": key.sign("relay:v1", canonical(ack, less=("signature",)))}


def verify_ack(ack: Mapping[str, Value], target_key: bytes) -> None:
    """`BadSignatureError` unless the target signed this answer."""
    signature = ack.get("signature")
    if not isinstance(signature, bytes):
        raise BadSignatureError("a relay_ack without signature")
    verify(target_key, "relay:v1", canonical(ack, less=("signature",)), signature)


# --- The route ---


def route_body(
    signing_key: bytes, relay_signature: bytes, previous: bytes | None, server: str, following: str, index: int, at: int
) -> bytes:
    """What `route:v1` signs as entry `index`; `previous` is the signature of the entry before, `at` its
    federation_timestamp (µs)."""
    digest = hash_for_key(signing_key)
    before = ZERO_HASH if previous is None else digest(previous)
    return (
        digest(relay_signature) + before + lv(server.encode()) + lv(following.encode()) + bytes((index + 1,)) + u64(at)
    )


def hop_body(public_key: bytes, relay: Relay, server: str, following: str, now_us: int) -> bytes:
    """What `server` (its `public_key`) signs to hand this relay to `following`.

    `ProtocolError` 5203 for a loop, 5202 beyond 10 hops.
    """
    path, entries = [*relay.get("route_path", ())], [*relay.get("route_signatures", ())]
    if server in path or following in path:
        raise ProtocolError(Code.LOOP_DETECTED, f"{server} to {following} after {path}")
    if len(path) >= MAX_HOPS:
        raise ProtocolError(Code.TTL_EXPIRED, f"more than {MAX_HOPS} hops")
    previous = entries[-1]["signature"] if entries else None
    return route_body(public_key, relay["signature"], previous, server, following, len(path), now_us)


def with_hop(relay: Relay, server: str, now_us: int, signature: bytes) -> SignedMap:
    """The relay with `server` at the end of its path, its entry, the time."""
    path, entries = [*relay.get("route_path", ()), server], [*relay.get("route_signatures", ())]
    entry = {"federation_timestamp": now_us, "signature": signature}
    metadata = {**relay["metadata"], "federation_timestamp": now_us, "hop_count": len(path)}
    return {**relay, "metadata": metadata, "route_path": path, "route_signatures": [*entries, entry]}


def sent_directly(relay: Relay, server: str, now_us: int) -> SignedMap:
    """The relay as its origin sends it straight to its target: a path of one, which need not be signed."""
    metadata = {**relay["metadata"], "federation_timestamp": now_us, "hop_count": 1}
    return {**relay, "metadata": metadata, "route_path": [server]}


def add_hop(key: Signer, relay: Relay, server: str, following: str, now_us: int) -> SignedMap:
    """The relay as `server` hands it to `following`, signed; errors as in `hop_body`."""
    body = hop_body(key.public_key, relay, server, following, now_us)
    return with_hop(relay, server, now_us, key.sign("route:v1", body))


def verify_route(relay: Relay, receiver: str, key_of: Callable[[str], bytes | None]) -> None:
    """`BadSignatureError` unless every hop signed its entry, each with its key as the receiver knows it."""
    path: Sequence[str] = relay["route_path"]
    entries: Sequence[Mapping[str, Any]] | None = relay.get("route_signatures")
    if entries is None:
        if list(path) != [relay["origin_server"]] or relay["target_server"] != receiver:
            raise BadSignatureError("only an origin that sends directly leaves its route unsigned")
        return
    if len(entries) != len(path):
        raise BadSignatureError("a route with hops that did not sign")
    previous = None
    for index, (server, entry) in enumerate(zip(path, entries, strict=True)):
        key = key_of(server)
        if key is None:
            raise BadSignatureError(f"no key of {server} is known")
        following = path[index + 1] if index + 1 < len(path) else receiver
        at = entry["federation_timestamp"]
        body = route_body(key, relay["signature"], previous, server, following, index, at)
        verify(key, "route:v1", body, entry["signature"])
        previous = entry["signature"]


# --- The sequence of a link ---


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWindow:
    """Which relays of the newest link of a remote were seen."""

    epoch: int = 0
    window: Window = field(default_factory=lambda: Window(size=FEDERATION_WINDOW_MESSAGES))

    def accept(self, epoch: int, sequence: int) -> "LinkWindow":
        """The window with this relay seen. An epoch above starts anew; `ProtocolError` 5606 for one below, for a number
        that was seen, and for one that lies 4096 behind."""
        if epoch < self.epoch:
            raise ProtocolError(Code.BAD_SEQUENCE, f"epoch {epoch} after {self.epoch}")
        window = self.window if epoch == self.epoch else Window(size=self.window.size)
        try:
            return LinkWindow(epoch=epoch, window=window.accept(sequence))
        except ReplayedError as error:
            raise ProtocolError(Code.BAD_SEQUENCE, f"link sequence {sequence}") from error


# --- Ingress ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What this server's own records say about another server."""

    level: TrustLevel
    permissions: frozenset[str]
    public_key: bytes
    agreement: frozenset[str] = frozenset()
    """National secrets that a NATO agreement covers."""
    transit: bool = False
    """Whether it may hand on relays of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """What the checks ask: one value per link and relay; the callables are look-ups that cost something.

    `rate` takes from the link's allowance and gives the seconds to wait (0.0 = passed); `recorded` gives the answer to
    a relay that was accepted before.
    """

    own_server: str
    remote: str
    link_open: bool
    max_frame: int
    now: float
    relation: Callable[[str], Relation | None]
    rate: Callable[[int], float]
    recorded: Callable[[str, str], SignedMap | None]
    window: LinkWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A relay that passed: store it, its answer, and this window."""

    window: LinkWindow
    level: TrustLevel
    """The effective level of its path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A relay that was accepted before: send its recorded answer again, store nothing."""

    ack: SignedMap


def _link_state(view: Ingress, relay: Relay, size: int) -> None:
    if not view.link_open:
        raise ProtocolError(Code.WRONG_STATE, "the link is not open")


def _size(view: Ingress, relay: Relay, size: int) -> None:
    if size > view.max_frame:
        raise ProtocolError(Code.MESSAGE_TOO_LARGE, f"{size} bytes")


def _rate(view: Ingress, relay: Relay, size: int) -> None:
    wait = view.rate(size)
    if wait > 0:
        raise ProtocolError(Code.RATE_EXCEEDED, view.remote, retry_after=max(1, int(wait + 0.999)))


def _type(view: Ingress, relay: Relay, size: int) -> None:
    if relay["type"] != "message_relay":
        raise malformed("no message_relay")


def _target(view: Ingress, relay: Relay, size: int) -> None:
    """For this server or, in transit, for one that it has a relation with; the users are the target's, the sender the
    origin's."""
    target, origin, users = relay["target_server"], relay["origin_server"], relay["target_users"]
    if target != view.own_server and view.relation(target) is None:
        raise ProtocolError(Code.NO_ROUTE, f"to {target}")
    try:
        homes = {server_of(parse_user_id(user)) for user in users}
        home = server_of(parse_user_id(relay["sender_user"]))
    except InvalidIdError as error:
        raise malformed("no user_id") from error
    if homes != {target}:
        raise ProtocolError(Code.WRONG_TARGET, f"users of {sorted(homes)} at {target}")
    if home != origin:
        raise ProtocolError(Code.WRONG_TARGET, f"a user of {home} from {origin}")


def _parties(view: Ingress, relay: Relay) -> list[Relation]:
    """The relations with the origin and with every server on the path, by this server's own records."""
    names = dict.fromkeys((relay["origin_server"], view.remote, *relay["route_path"]))
    if relay["target_server"] != view.own_server:
        names[relay["target_server"]] = None
    parties = []
    for name in names:
        relation = view.relation(name)
        if relation is None:
            raise ProtocolError(Code.SERVER_NOT_TRUSTED, name)
        parties.append(relation)
    return parties


def _effective(view: Ingress, relay: Relay) -> TrustLevel:
    return lowest(party.level for party in _parties(view, relay))


def _trust(view: Ingress, relay: Relay, size: int) -> None:
    """Basic at least, `message_relay` permitted by all, transit only where both neighbours permit it."""
    parties = _parties(view, relay)
    if not at_least(lowest(party.level for party in parties), "basic"):
        raise ProtocolError(Code.INSUFFICIENT_TRUST, view.remote)
    if any("message_relay" not in party.permissions for party in parties):
        raise ProtocolError(Code.PERMISSION_DENIED, "message_relay")
    remote, target = view.remote, relay["target_server"]
    sender, following = view.relation(remote), view.relation(target)
    if remote != relay["origin_server"] and not (sender and sender.transit):
        raise ProtocolError(Code.PERMISSION_DENIED, f"transit through {remote}")
    if target != view.own_server and not (sender and sender.transit and following and following.transit):
        raise ProtocolError(Code.PERMISSION_DENIED, f"transit to {target}")


def _classification(view: Ingress, relay: Relay, size: int) -> None:
    """Allowed at the least level of the path, by every agreement on it, and no larger than that level takes."""
    parties = _parties(view, relay)
    if any(not allows(party.level, relay["classification"], party.agreement) for party in parties):
        raise ProtocolError(Code.CLASSIFICATION_EXCEEDED, str(relay["classification"]))
    length = len(relay.get("ciphertext", b""))
    if length > ALLOWANCES[_effective(view, relay)].max_message:
        raise ProtocolError(Code.MESSAGE_TOO_LARGE, f"{length} bytes of ciphertext")


def _hops(view: Ingress, relay: Relay, size: int) -> None:
    path, metadata = relay["route_path"], relay["metadata"]
    if not path or path[0] != relay["origin_server"] or path[-1] != view.remote:
        raise ProtocolError(Code.BAD_SIGNATURE, "the path does not lead from the origin to the link's remote")
    if metadata["hop_count"] != len(path) or len(path) > MAX_HOPS:
        raise ProtocolError(Code.TTL_EXPIRED, f"{metadata['hop_count']} hops counted, {len(path)} named")
    if view.now > metadata["original_timestamp"] / 1e6 + metadata["ttl"]:
        raise ProtocolError(Code.TTL_EXPIRED, "past its ttl")
    if relay.get("expires_at") is not None and view.now > relay["expires_at"]:
        raise ProtocolError(Code.TTL_EXPIRED, "past its expires_at")


def _loop(view: Ingress, relay: Relay, size: int) -> None:
    path = relay["route_path"]
    if len(set(path)) != len(path) or view.own_server in path or relay["target_server"] in path:
        raise ProtocolError(Code.LOOP_DETECTED, str(path))


def _skew(view: Ingress, relay: Relay, size: int) -> None:
    metadata = relay["metadata"]
    if abs(view.now - metadata["federation_timestamp"] / 1e6) > HOP_SKEW_SECONDS:
        raise ProtocolError(Code.CLOCK_SKEW, "federation_timestamp")
    age = view.now - metadata["original_timestamp"] / 1e6
    if not -HOP_SKEW_SECONDS <= age <= ORIGINAL_AGE_SECONDS:
        raise ProtocolError(Code.CLOCK_SKEW, "original_timestamp")
    entries = relay.get("route_signatures")
    if entries and entries[-1]["federation_timestamp"] != metadata["federation_timestamp"]:
        raise ProtocolError(Code.CLOCK_SKEW, "the last hop signed another time than the metadata says")


def _signatures(view: Ingress, relay: Relay, size: int) -> None:
    def key_of(server: str) -> bytes | None:
        relation = view.relation(server)
        return None if relation is None else relation.public_key

    try:
        verify_relay(relay, key_of(relay["origin_server"]) or b"")  # no key: nothing verifies
        verify_route(relay, view.own_server, key_of)
    except BadSignatureError as error:
        raise ProtocolError(Code.BAD_SIGNATURE, "a relay or route signature") from error


Check: TypeAlias = Callable[[Ingress, Relay, int], None]
BEFORE_CACHE: tuple[tuple[str, Check], ...] = (
    ("link state", _link_state),
    ("size", _size),
    ("rate", _rate),
    ("type", _type),
    ("target", _target),
    ("trust level and permission", _trust),
    ("classification", _classification),
    ("hop count and ttl", _hops),
    ("loop", _loop),
    ("skew", _skew),
)
"""Before the look-up in the relay cache, in this order."""
AFTER_CACHE: tuple[tuple[str, Check], ...] = (("signatures", _signatures),)
"""For what was not accepted before; then the link's sequence."""
INGRESS: tuple[str, ...] = (
    *(name for name, _ in BEFORE_CACHE), "relay cache", *(name for name, _ in AFTER_CACHE), "link sequence",
)  # fmt: skip
"""The order of section 8, by name."""


def check_ingress(view: Ingress, relay: Relay, size: int) -> Accepted | Repeated:
    """Judge a relay of `size` bytes as it came in a verified batch; `ProtocolError` with the code of the first check
    that fails."""
    for _, check in BEFORE_CACHE:
        check(view, relay, size)
    recorded = view.recorded(relay["origin_server"], relay["federation_id"])
    if recorded is not None:
        return Repeated(ack=recorded)
    for _, check in AFTER_CACHE:
        check(view, relay, size)
    window = view.window.accept(relay["link_epoch"], relay["link_sequence"])
    return Accepted(window=window, level=_effective(view, relay))
