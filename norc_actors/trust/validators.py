"""What every model of trust is asked, and what it answers (section 9; §5.1; rows B134, B136–B138).

Rules
- The four models of §5.1 are four validators behind one interface: direct exchange (here), X.509 chains and
  government PKI (`x509_chains.py`), web of trust (`web.py`). A validator is asked with `Evidence`, which was gathered
  before (DNS answers, papers, chains), and answers with a `Verdict`. It decides alone, without I/O, and twice the same.
- A verdict claims *proofs*, not trust. Which proofs a level needs is one table (`scoring.PROOFS`), over the proofs of
  all validators together; a validator can neither grant more than its `highest` level nor speak for another's proofs.
- A verdict says why, in words for an operator: each reason one sentence, the failures too. Evidence that is absent is
  a reason, not an error; evidence that is broken (a forged proof, a chain that does not verify) is `refused`, which
  ends the exchange whatever else was proven.
- An operator's own checks (the organisation, an agreement) are evidence too: `Evidence.organisation_checked`, `.nato`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Protocol

from norc_actors.ids import ServerId
from norc_actors.limits import DOMAIN_PROOF_SECONDS
from norc_actors.protocol.messages.trust import (
    ComplianceAttestation,
    OrganizationInfo,
    OrganizationProof,
    TrustCapabilities,
    ValidationRequirements,
)
from norc_actors.protocol.messages.trust_reports import GovPkiTrustRequest, NatoRecord
from norc_actors.protocol.messages.vocabulary import TrustMethod
from norc_actors.protocol.trust_levels import TrustLevel

Criterion = Literal["certificate_chain", "domain", "organisation", "posture", "compliance", "reliability"]
WEIGHTS: Final[Mapping[Criterion, int]] = MappingProxyType(
    {"certificate_chain": 30, "domain": 15, "organisation": 20, "posture": 15, "compliance": 10, "reliability": 10}
)
"""How many points a criterion can bring; 100 together (fields.md, *Score of a request*)."""

Proof = Literal["key_exchange", "domain", "x509_chain", "organisation", "policy_root", "nato_root", "nato_agreement"]
"""What can be proven. `policy_root`: a chain to a configured government or enterprise root with its policy OID;
`nato_root`: one to a NATO root."""

DIRECT: Final = "direct exchange"
X509: Final = "X.509 chain"
WEB: Final = "web of trust"
GOVERNMENT: Final = "government PKI"
"""The names of the four validators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What a request by one method can come to (row B134): `highest`, whatever was proven, and never more than the
    verdict of its `validator` (None: an operator judges alone)."""

    highest: TrustLevel
    validator: str | None


METHODS: Final[Mapping[TrustMethod, Method]] = MappingProxyType(
    {
        "direct_exchange": Method(highest="basic", validator=DIRECT),
        "web_of_trust": Method(highest="verified", validator=WEB),
        "manual_verification": Method(highest="verified", validator=None),
        "ca_validation": Method(highest="verified", validator=X509),
        "government_pki": Method(highest="nato", validator=GOVERNMENT),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainAnswer:
    """What DNS said: the TXT records of `_norc-trust-challenge.DOMAIN` when they were looked up, empty if there are
    none; `trouble` in words if the look-up itself failed."""

    expected: str
    found: tuple[str, ...]
    looked_up_at: float
    trouble: str = ""

    def holds(self, now: float) -> bool:
        """Whether the expected record was there, at most a day ago."""
        return self.expected in self.found and now - self.looked_up_at <= DOMAIN_PROOF_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What this server remembers of the other: since when there was a relation without a break (None: there is none),
    how many of its certificates were revoked here for a reason of security, how many of its reports failed."""

    since: int | None = None
    revoked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What a third server said of the subject, its signature verified (`web.py`). `given` and `expires` in seconds
    since the epoch."""

    recommender: ServerId
    opinion: Literal["positive", "negative", "neutral", "declined"]
    confidence: Literal["low", "medium", "high"]
    level: TrustLevel
    given: int
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of a server that asks for trust, gathered before anyone judges.

    `server_key` is the identity key that the link showed and the request names; `keys` are all that the request
    names. `proven_keys`: those that signed the challenge of this very exchange. `chain` (DER, leaf first),
    `ocsp_responses` and `ct_proofs` are what the response brought; `requirements` what the challenge asked of them.
    `capabilities` is the newest that it sent, `government` its `gov_pki_trust_request`. `known_builds`: hashes of
    builds that this server's operator knows as good; empty: no such list. `organisation_checked` and `nato` are the
    operator's word.
    """

    server: ServerId
    requested: TrustLevel
    method: TrustMethod
    server_key: bytes
    keys: tuple[bytes, ...] = ()
    proven_keys: frozenset[bytes] = frozenset()
    domain: DomainAnswer | None = None
    chain: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()
    ct_proofs: tuple[bytes, ...] = ()
    requirements: ValidationRequirements | None = None
    capabilities: TrustCapabilities | None = None
    organisation: OrganizationInfo | None = None
    organisation_checked: bool = False
    documents: tuple[OrganizationProof, ...] = ()
    attestations: tuple[ComplianceAttestation, ...] = ()
    government: GovPkiTrustRequest | None = None
    nato: NatoRecord | None = None
    known_builds: frozenset[bytes] = frozenset()
    history: History = field(default_factory=History)
    recommendations: tuple[Recommendation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one validator says. `level`: the highest that its own evidence supports, at most its `highest`;
    `points` by criterion, each at most its weight; `refused`: evidence that is broken or forged."""

    validator: str
    level: TrustLevel = "untrusted"
    proofs: frozenset[Proof] = frozenset()
    points: Mapping[Criterion, int] = field(default_factory=dict)
    why: tuple[str, ...] = ()
    refused: bool = False

    def __post_init__(self) -> None:
        for criterion, points in self.points.items():
            if not 0 <= points <= WEIGHTS[criterion]:
                raise ValueError(f"{self.validator}: {points} points for {criterion}, of {WEIGHTS[criterion]}")


class Validator(Protocol):
    """One model of trust."""

    @property
    def name(self) -> str:
        """As verdicts and an operator's screen have it."""

    @property
    def highest(self) -> TrustLevel:
        """The highest level that this model can give."""

    def judge(self, evidence: Evidence, now: float) -> Verdict:
        """Judge; raises nothing for what a peer sent. `now` in seconds since the epoch."""


class DirectExchange:
    """Keys exchanged over a link and signed for: the server that asks holds the keys that it names, and, with a DNS
    proof, the domain. Alone it gives `basic`."""

    name = DIRECT
    highest: TrustLevel = "basic"

    def judge(self, evidence: Evidence, now: float) -> Verdict:
        """`refused` if a key that the request names did not sign the challenge."""
        unproven = [key for key in (evidence.server_key, *evidence.keys) if key not in evidence.proven_keys]
        if unproven:
            return Verdict(validator=self.name, why=("A key that the request names did not sign.",), refused=True)
        proofs: set[Proof] = {"key_exchange"}
        why = ["It holds the keys that it names."]
        points: dict[Criterion, int] = {}
        domain = evidence.domain
        if domain is None:
            why.append("No DNS proof was asked for.")
        elif domain.holds(now):
            proofs.add("domain")
            points["domain"] = WEIGHTS["domain"]
            why.append(f"It put the challenge into the DNS of {evidence.server}.")
        elif domain.trouble:
            why.append(f"The DNS of {evidence.server} did not answer: {domain.trouble}.")
        elif domain.expected in domain.found:
            why.append("The DNS proof is older than a day.")
        else:
            why.append(f"The DNS of {evidence.server} does not have the challenge.")
        return Verdict(validator=self.name, level="basic", proofs=frozenset(proofs), points=points, why=tuple(why))
