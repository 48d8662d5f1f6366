"""Two servers that play an exchange in memory, step by step, each holding its own side."""

from dataclasses import dataclass, field
from typing import Any

from norc_actors.ids import new_uuid
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_levels import LEVELS
from norc_actors.trust import certificates, granting, requesting
from norc_actors.trust.certificates import Certificate, Grant
from norc_actors.trust.exchange import Exchange, Profile, Repeated, arrived, from_bytes, sent, to_bytes
from norc_actors.trust.granting import Asking, Gathered
from norc_actors.trust.requesting import Goal
from norc_actors.trust.scoring import Assessment, assess
from norc_actors.trust.validators import X509, DirectExchange, DomainAnswer, Verdict
from tests.support.people import NOW
from tests.support.trust import Party, profile

STEPS = (
    "trust_capabilities", "trust_request", "trust_challenge", "trust_response", "trust_decision",
    "trust_acknowledgment",
)  # fmt: skip


def goal(level: str = "verified", **changes: Any) -> Goal:
    usual = {"level": level, "method": "ca_validation", "grant": Grant(level=level)}  # type: ignore[arg-type]
    return Goal(**(usual | changes))


@dataclass
class Two:
    """`requester` asks `granter`. `goal` is the asking operator's; `now` moves on by itself."""

    requester: Party
    granter: Party
    goal: Goal = field(default_factory=goal)
    asking: Asking = field(default_factory=Asking)
    now: int = NOW
    request_id: str = ""
    said: SignedMap | None = None
    mine: Profile | None = None
    theirs: Profile | None = None

    def __post_init__(self) -> None:
        self.mine = self.mine or profile(self.requester)
        self.theirs = self.theirs or profile(self.granter)
        self.request_id = self.request_id or new_uuid(self.requester.random)
        begun = requesting.begin(self.mine, self.granter.name, request_id=self.request_id, now=self.now)
        self.asks: Exchange = begun.with_key(self.granter.key.public_key)
        self.gives: Exchange | None = None

    def restart(self) -> None:
        """Both sides come back from their disks."""
        self.asks = from_bytes(to_bytes(self.asks))
        self.gives = None if self.gives is None else from_bytes(to_bytes(self.gives))

    # What each side says next

    def say(self, kind: str) -> SignedMap:
        """Have the side whose turn it is say it; its own state moves on."""
        self.now += 1
        message: SignedMap = getattr(self, kind.removeprefix("trust_"))()
        if kind in ("trust_challenge", "trust_decision"):
            assert self.gives is not None
            self.gives = sent(self.gives, message)
        else:
            self.asks = sent(self.asks, message)
        return message

    def capabilities(self) -> SignedMap:
        assert self.mine is not None
        return requesting.draft_capabilities(self.asks, self.mine, self.now).by(self.requester.key)

    def request(self) -> SignedMap:
        assert self.mine is not None
        return requesting.draft_request(self.asks, self.mine, self.goal, self.now).by(self.requester.key)

    def challenge(self) -> SignedMap:
        assert self.gives is not None
        draft = granting.draft_challenge(self.gives, self.asking, self.granter.random, self.now)
        return draft.by(self.granter.key)

    def response(self) -> SignedMap:
        assert self.mine is not None
        proofs = [one.by(self.requester.key) for one in requesting.proofs_to_sign(self.asks)]
        return requesting.draft_response(self.asks, self.mine, proofs, self.now).by(self.requester.key)

    def decision(self, grant: Grant | None = None, *, mutual: bool = True, **gathered: Any) -> SignedMap:
        assert self.gives is not None
        grant = grant or Grant(level=self.gives.requested)
        certificate = certificates.draft(
            self.granter.key.public_key, grant, issuer=self.granter.name, subject=self.requester.name,
            keys=granting.keys_named(self.gives), certificate_id=new_uuid(self.granter.random), now=self.now,
        ).by(self.granter.key)  # fmt: skip
        judged = self.assessment(**gathered)
        return granting.draft_decision(self.gives, grant, certificate, judged, self.now, mutual=mutual).by(
            self.granter.key
        )

    def acknowledgment(self) -> SignedMap:
        grant = requesting.returned_grant(self.asks, self.goal)
        certificate = None
        if grant is not None:
            certificate = certificates.draft(
                self.requester.key.public_key, grant, issuer=self.requester.name, subject=self.granter.name,
                keys=(self.asks.remote_key,), certificate_id=new_uuid(self.requester.random), now=self.now,
            ).by(self.requester.key)  # fmt: skip
        return requesting.draft_acknowledgment(self.asks, certificate, self.now).by(self.requester.key)

    # What each side makes of what it is told

    def hear(self, message: SignedMap) -> Repeated | None:
        """Have the other side hear it; `ProtocolError` leaves it as it was."""
        kind = message["type"]
        if kind == "trust_capabilities" and self.gives is None:
            self.said = message
            return None
        if kind == "trust_request" and self.gives is None:
            assert self.said is not None
            assert self.theirs is not None
            link_key = self.requester.key.public_key
            self.gives = granting.open_exchange(
                self.theirs, self.requester.name, link_key, self.said, message, self.now
            )
            return None
        granter = kind in ("trust_capabilities", "trust_request", "trust_response", "trust_acknowledgment")
        before = self.gives if granter else self.asks
        assert before is not None
        after = arrived(before, message, self.now)
        if isinstance(after, Repeated):
            return after
        if kind == "trust_challenge":
            requesting.check_challenge(after, self.now)
        elif kind == "trust_response":
            granting.check_response(before, after)
        elif kind == "trust_decision":
            requesting.check_decision(after, self.now)
        elif kind == "trust_acknowledgment":
            granting.check_acknowledgment(after, self.now)
        if granter:
            self.gives = after
        else:
            self.asks = after
        return None

    def play(self, until: str = "trust_acknowledgment", *, restart: bool = False) -> list[SignedMap]:
        """All steps from where things stand to `until`; what was said."""
        done = len(self.asks.messages)
        messages = []
        for kind in STEPS[done : STEPS.index(until) + 1]:
            message = self.say(kind)
            if restart:
                self.restart()
            self.hear(message)
            messages.append(message)
        return messages

    def assessment(self, *, checked: bool = True, chain: bool = True, level: str = "verified") -> Assessment:
        """What validators would say of a requester with everything that `level` needs."""
        assert self.gives is not None
        wanted = granting.domain_wanted(self.gives)
        domain = None if wanted is None else DomainAnswer(expected=wanted[1], found=(wanted[1],), looked_up_at=self.now)
        evidence = granting.evidence(self.gives, Gathered(domain=domain, organisation_checked=checked))
        verdicts = [DirectExchange().judge(evidence, self.now)]
        if chain and LEVELS.index(self.gives.requested) >= LEVELS.index("verified"):
            points = {"certificate_chain": 30, "posture": 15}
            verdicts.append(
                Verdict(validator=X509, level=level, proofs=frozenset({"x509_chain"}), points=points)  # type: ignore[arg-type]
            )
        return assess(evidence, verdicts, self.now)

    def granted(self) -> tuple[Certificate | None, Certificate | None]:
        """What both hold at the end: (from the granter, from the requester)."""
        assert self.gives is not None
        return requesting.check_decision(self.asks, self.now), granting.check_acknowledgment(self.gives, self.now)
