"""The exchange by which one server comes to trust another: its states as one table, and what both sides check (section
9; §5.2; D-39; rows B134–B138, B141, B142, B156).

```
            requesting                                  granting
  new       trust_capabilities ───────────────────────▶
  greeted   trust_request ────────────────────────────▶
  requested                    ◀──────────────────────── trust_challenge
  challenged trust_response ──────────────────────────▶                      judged, then an operator decides
  responded                    ◀──────────────────────── trust_decision + certificate
  decided   trust_acknowledgment (+ certificate) ─────▶
  done
```
Rules
- Both sides hold the same state and the same messages; `STEPS` says who may send what next. What comes out of turn is
  3002. A refusal (`trust_decision{reject}`) may come instead of a challenge or after it.
- Each message signs all before it, so none can be moved, left out, or put into another exchange. The keys are those of
  the link when it began, and every later message has to come under them, whatever link it takes.
- The message that came last, sent again byte for byte, is a repetition: the answer on record goes out again and nothing
  changes. So either side may ask again after a lost answer or a restart. A closed exchange answers nothing.
- Times: the first two messages are at most `EXCHANGE_FRESH_SECONDS` old, a response comes before its challenge's
  deadline, no message is older than the one before it or from the future, each by more than the skew (5605); what
  comes after a deadline is 5002.
- An `Exchange` is a value: whoever changes it stores the new one before anything that follows from it leaves the house.
  `to_bytes` and `from_bytes` are its form on disk.

What each side says stands in `requesting.py` and `granting.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

import msgspec

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import ServerId
from norc_actors.limits import EXCHANGE_FRESH_SECONDS, EXCHANGE_SECONDS, TRUST_SKEW_SECONDS
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import convert
from norc_actors.protocol.errors import Code, ProtocolError, malformed
from norc_actors.protocol.messages.trust import (
    OrganizationInfo,
    TrustCapabilities,
    TrustChallenge,
    TrustPolicies,
    TrustRequest,
    TrustResponse,
)
from norc_actors.protocol.messages.trust_decision import TrustAcknowledgment, TrustDecision
from norc_actors.protocol.schema import Message, SignedMap, type_name
from norc_actors.protocol.trust_levels import TrustLevel
from norc_actors.protocol.trust_transcript import Transcript, verify_message

M = TypeVar("M", bound=Message)

Role = Literal["requesting", "granting"]
State = Literal["new", "greeted", "requested", "challenged", "responded", "decided", "done", "closed"]

STEPS: Final[Mapping[tuple[State, str], tuple[Role, State]]] = {
    ("new", "trust_capabilities"): ("requesting", "greeted"),
    ("greeted", "trust_request"): ("requesting", "requested"),
    ("requested", "trust_challenge"): ("granting", "challenged"),
    ("challenged", "trust_response"): ("requesting", "responded"),
    ("requested", "trust_decision"): ("granting", "decided"),
    ("challenged", "trust_decision"): ("granting", "decided"),
    ("responded", "trust_decision"): ("granting", "decided"),
    ("decided", "trust_acknowledgment"): ("requesting", "done"),
}
"""(state, type) → who sends it, and the state after it."""
OPEN: Final[frozenset[State]] = frozenset({"new", "greeted", "requested", "challenged", "responded", "decided"})
"""States from which an exchange goes on; from each it may be closed (out of time, withdrawn, replaced)."""

KINDS: Final[Mapping[str, type[Message]]] = {
    "trust_capabilities": TrustCapabilities,
    "trust_request": TrustRequest,
    "trust_challenge": TrustChallenge,
    "trust_response": TrustResponse,
    "trust_decision": TrustDecision,
    "trust_acknowledgment": TrustAcknowledgment,
}
SENDERS: Final[Mapping[str, str]] = {
    "trust_capabilities": "server_id",
    "trust_request": "requesting_server",
    "trust_challenge": "challenging_server",
    "trust_response": "responding_server",
    "trust_decision": "decision_server",
    "trust_acknowledgment": "acknowledging_server",
}
"""The member that names who sends a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a server says of itself in every exchange. `chain`: its X.509 certificates, DER, leaf first."""

    server: ServerId
    keys: tuple[bytes, ...]
    policies: TrustPolicies
    organization: OrganizationInfo
    versions: tuple[str, ...] = ("1.0", "1.1")
    methods: tuple[str, ...] = ("direct_exchange", "ca_validation", "manual_verification")
    levels: tuple[str, ...] = ("basic", "verified")
    authorities: tuple[str, ...] = ()
    compliance: tuple[str, ...] = ()
    attestations: tuple[SignedMap, ...] = ()
    chain: tuple[bytes, ...] = ()
    pq_fingerprint: bytes | None = None
    build_attestation_hash: bytes | None = None
    software_sbom_hash: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange as one side holds it. `request_id` is drawn by the requesting side; `own_keys[0]` signs, and
    `remote_key` is the one that the other's link showed (b"" until it is known). `messages`: all so far, as signed.
    `started_at`: seconds since the epoch."""

    role: Role
    request_id: str
    own: ServerId
    own_keys: tuple[bytes, ...]
    remote: ServerId
    remote_key: bytes
    started_at: int
    state: State = "new"
    messages: tuple[SignedMap, ...] = ()

    @property
    def transcript(self) -> Transcript:
        """Over all messages so far."""
        both = (self.own, self.remote) if self.role == "requesting" else (self.remote, self.own)
        transcript = Transcript(requesting=both[0], other=both[1])
        for message in self.messages:
            transcript = transcript.then(message)
        return transcript

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.state in OPEN

    def expired(self, now: float) -> bool:
        """Whether it has lasted too long, or its challenge was not answered in time."""
        late = self.state == "challenged" and now > self.challenge.deadline + TRUST_SKEW_SECONDS
        return self.open and (late or now > self.started_at + EXCHANGE_SECONDS)

    def closed(self) -> "Exchange":
        """The exchange, over."""
        return replace(self, state="closed")

    def with_key(self, remote_key: bytes) -> "Exchange":
        """The exchange, bound to the key that the other's link showed; `ProtocolError` 5604 for another one later."""
        if self.remote_key not in (b"", remote_key):
            raise ProtocolError(Code.BAD_SIGNATURE, f"{self.remote} shows another key than when the exchange began")
        return replace(self, remote_key=remote_key)

    # --- What was said ---

    def said(self, kind: str) -> SignedMap | None:
        """The message of that type, as signed."""
        return next((message for message in self.messages if message["type"] == kind), None)

    def _typed(self, kind: type[M]) -> M:
        name = str(type_name(kind))
        plain = self.said(name)
        if plain is None:
            raise ProtocolError(Code.WRONG_STATE, f"no {name} yet")
        return convert(plain, kind)

    @property
    def capabilities(self) -> TrustCapabilities:
        """The requesting side's; `ProtocolError` 3002 if there are none yet, and so for the others."""
        return self._typed(TrustCapabilities)

    @property
    def request(self) -> TrustRequest:
        return self._typed(TrustRequest)

    @property
    def challenge(self) -> TrustChallenge:
        return self._typed(TrustChallenge)

    @property
    def response(self) -> TrustResponse:
        return self._typed(TrustResponse)

    @property
    def decision(self) -> TrustDecision:
        return self._typed(TrustDecision)

    @property
    def acknowledgment(self) -> TrustAcknowledgment:
        return self._typed(TrustAcknowledgment)

    @property
    def requested(self) -> TrustLevel:
        """The level that is asked for."""
        return self.request.requested_trust_level


# --- Steps ---


def after(exchange: Exchange, kind: str, sender: Role) -> State:
    """The state after a message of that type; `ProtocolError` 3002 if it may not come now, or not from there."""
    step = STEPS.get((exchange.state, kind))
    if step is None or step[0] != sender:
        raise ProtocolError(Code.WRONG_STATE, f"{kind} from the {sender} side when {exchange.state}")
    return step[1]


def sent(exchange: Exchange, message: SignedMap) -> Exchange:
    """The exchange after this side's own signed message."""
    following = after(exchange, str(message["type"]), exchange.role)
    return replace(exchange, state=following, messages=(*exchange.messages, message))


@dataclass(frozen=True, slots=True)
class Repeated:
    """The other's last message came once more: send `answer` again, if there is one."""

    answer: SignedMap | None


def arrived(exchange: Exchange, plain: Mapping[str, Value], now: float) -> Exchange | Repeated:
    """The exchange after a message of the other, its place, names, time and signature checked; what it says is checked
    by its side (`requesting.py`, `granting.py`).

    `ProtocolError` 3001 malformed, 3002 out of turn, 5206 other names, 5605 its time, 5002 too late, 5604 its
    signature.
    """
    repeated = _repeated(exchange, plain)
    if repeated is not None:
        return repeated
    kind = str(plain.get("type"))
    other: Role = "granting" if exchange.role == "requesting" else "requesting"
    following = after(exchange, kind, other)
    message = convert(plain, KINDS[kind])
    check_names(exchange, message)
    if exchange.expired(now):
        raise ProtocolError(Code.TRUST_EXPIRED, f"{kind} after its time")
    check_time(exchange, message, now)
    try:
        verify_message(plain, exchange.remote_key, exchange.transcript)
    except BadSignatureError as error:
        raise ProtocolError(Code.BAD_SIGNATURE, f"{kind} in this exchange") from error
    return replace(exchange, state=following, messages=(*exchange.messages, dict(plain)))


def _repeated(exchange: Exchange, plain: Mapping[str, Value]) -> Repeated | None:
    """A repetition is what the other said last, and what this side said after it, if anything, is the answer."""
    if not exchange.messages or exchange.state == "closed":
        return None
    *before, last = exchange.messages
    if last == plain:
        return Repeated(None)
    return Repeated(last) if before and before[-1] == plain else None


def check_names(exchange: Exchange, message: Message) -> None:
    """Every name in a message is one of the two servers', each in its place, and the ids are this exchange's."""
    kind = str(type_name(type(message)))
    wanted: dict[str, object] = {SENDERS[kind]: exchange.remote, "request_id": exchange.request_id}
    if kind != "trust_capabilities":
        wanted["target_server"] = exchange.own
    if kind == "trust_response":
        wanted["challenge_id"] = exchange.challenge.challenge_id
    for member, value in wanted.items():
        if getattr(message, member, value) != value:
            raise ProtocolError(Code.WRONG_TARGET, f"{kind}.{member} is not {value}")


def check_time(exchange: Exchange, message: Message, now: float) -> None:
    """Not from the future, not before what it answers, and the first two not old."""
    stamp = getattr(message, "timestamp", None)
    if not isinstance(stamp, int):
        raise malformed("no timestamp")
    earliest = now - EXCHANGE_FRESH_SECONDS
    if exchange.state not in ("new", "greeted"):
        before = exchange.messages[-1]["timestamp"]
        earliest = (before if isinstance(before, int) else 0) - TRUST_SKEW_SECONDS
    if not earliest <= stamp <= now + TRUST_SKEW_SECONDS:
        raise ProtocolError(Code.CLOCK_SKEW, f"timestamp {stamp} at {int(now)}")


# --- On disk ---


def to_bytes(exchange: Exchange) -> bytes:
    """As stored."""
    return msgspec.msgpack.encode(exchange)


def from_bytes(data: bytes) -> Exchange:
    """The inverse of `to_bytes`."""
    return msgspec.msgpack.decode(data, type=Exchange)
